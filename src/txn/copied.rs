//! Copies of records that are read inside a write transaction, whose pages move with the next change.

use std::collections::HashMap;

use super::{
    memory::Memory,
    write::{WriteState, shared_value},
};
use crate::{error::Result, format::record::RecordView, store::WriteTables, sync::Arc};

/// A larger record is not kept for those who ask for it next.
const MOST_KEPT: usize = 64 * 1024;

/// A copy of a record, with all that it takes to read it.
#[derive(Debug)]
pub(crate) struct RecordCopy {
    pub(crate) payload: Box<[u8]>,
    pub(crate) memory: Arc<Memory>,
    /// The symbols that the transaction had made by then.
    pub(crate) names: Arc<Vec<Arc<str>>>,
    pub(crate) first_name: u32,
    pub(crate) shared: HashMap<u64, Box<[u8]>>,
}

/// The record that was copied last: a way like `tx[k]["items"][3]` asks for one and the same at each step.
#[derive(Debug)]
pub(crate) struct LastCopied {
    record: u64,
    /// After how many changes it was like that.
    changes: u64,
    copy: Arc<RecordCopy>,
}

impl<T: WriteTables> WriteState<T> {
    /// The copy of a record that was made last, if it still is like that.
    pub(crate) fn copied(&self, record: u64) -> Option<Arc<RecordCopy>> {
        let last = self.last_copied.borrow();
        let last = last.as_ref().filter(|last| last.record == record && last.changes == self.changes)?;
        Some(Arc::clone(&last.copy))
    }

    /// Copies a record, given its archive and whether it names shared values.
    pub(crate) fn copy(&self, payload: &[u8], has_shared: bool) -> Result<Arc<RecordCopy>> {
        let view = RecordView::access(payload)?;
        let record = view.id();
        if record != 0
            && let Some(copy) = self.copied(record)
        {
            return Ok(copy);
        }
        let mut shared = HashMap::new();
        if has_shared {
            for id in view.named()?.shared {
                if let std::collections::hash_map::Entry::Vacant(entry) = shared.entry(id) {
                    entry.insert(shared_value(self.tables(), id)?.into());
                }
            }
        }
        let (first_name, names) = self.new_names();
        let copy = Arc::new(RecordCopy {
            payload: payload.into(),
            memory: Arc::clone(self.memory()),
            names,
            first_name,
            shared,
        });
        if record != 0 && payload.len() <= MOST_KEPT {
            let last = LastCopied { record, changes: self.changes, copy: Arc::clone(&copy) };
            *self.last_copied.borrow_mut() = Some(last);
        }
        Ok(copy)
    }
}
