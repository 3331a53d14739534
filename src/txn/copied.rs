//! Copies of records that are read inside a write transaction, whose pages move with the next change.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use super::{
    entry::is_short,
    memory::Memory,
    objects::Home,
    write::{WriteState, shared_value},
};
use crate::{
    error::Result,
    format::{
        frame::Frame,
        record::{Container, ObjectId, RecordView},
    },
    store::WriteTables,
    sync::Arc,
};

/// A larger record is not kept for those who ask for it next.
const MOST_KEPT: usize = 64 * 1024;

/// A copy of a record, with all that it takes to read it.
#[derive(Clone, Debug)]
pub(crate) struct RecordCopy {
    /// What is stored, and where in it the archive begins.
    stored: Vec<u8>,
    start: usize,
    record: u64,
    pub(crate) memory: Arc<Memory>,
    /// The symbols that the transaction had made by then.
    pub(crate) names: Arc<Vec<Arc<str>>>,
    pub(crate) first_name: u32,
    pub(crate) shared: HashMap<u64, Box<[u8]>>,
}

impl RecordCopy {
    /// A record of its own, which is not stored.
    pub(crate) fn beside(
        payload: &[u8],
        memory: &Arc<Memory>,
        first_name: u32,
        shared: HashMap<u64, Box<[u8]>>,
    ) -> Result<Self> {
        Ok(Self {
            stored: payload.to_vec(),
            start: 0,
            record: RecordView::access(payload)?.id(),
            memory: Arc::clone(memory),
            names: Arc::default(),
            first_name,
            shared,
        })
    }

    /// The record's id.
    pub(crate) fn record(&self) -> u64 {
        self.record
    }

    /// What is stored.
    pub(crate) fn stored(&self) -> &[u8] {
        &self.stored
    }

    /// What is stored, to be changed, and where the archive begins.
    pub(super) fn stored_mut(&mut self) -> (&mut Vec<u8>, usize) {
        (&mut self.stored, self.start)
    }

    /// The archive.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.stored[self.start..]
    }

    /// The container of a slot, when it lies in the record.
    pub(crate) fn at_slot(&self, slot: u32) -> Result<Option<Container>> {
        RecordView::access(self.payload())?.known_slot(slot)
    }
}

/// The record that was copied last: a way like `tx[k]["items"][3]` asks for one and the same at each step, and so does the
/// change at its end.
#[derive(Debug)]
pub(crate) struct LastCopied {
    /// Where it lies, if that is known.
    home: Option<Home>,
    /// After how many changes it was like that.
    changes: u64,
    copy: Arc<RecordCopy>,
}

impl<T: WriteTables> WriteState<T> {
    /// The copy of a record that was made last, if it still is like that.
    fn copied(&self, is_it: impl FnOnce(&LastCopied) -> bool) -> Option<Arc<RecordCopy>> {
        let last = self.last_copied.borrow();
        let last = last.as_ref().filter(|last| last.changes == self.changes && is_it(last))?;
        Some(Arc::clone(&last.copy))
    }

    /// The record under the ordered bytes of a key, if it was copied last and still is like that.
    pub(crate) fn copied_under(&self, ordered: &[u8]) -> Option<Arc<RecordCopy>> {
        // The ordered bytes of a long key may look like the place of another one.
        let is_it = |home: &Home| matches!(home, Home::Entry(key) if key.as_slice() == ordered);
        self.copied(|last| is_short(ordered) && last.home.as_ref().is_some_and(is_it))
    }

    /// A container of the record that was copied last, if that still is like that.
    pub(crate) fn copied_object(&self, id: ObjectId) -> Result<Option<(Arc<RecordCopy>, Container)>> {
        let Some(copy) = self.copied(|last| last.copy.record == id.record) else { return Ok(None) };
        Ok(copy.at_slot(id.slot)?.map(|container| (copy, container)))
    }

    /// The record that was copied last, if it still is like that, and where it lies, to be changed: it is no longer kept for
    /// others.
    pub(super) fn take_copied(&mut self, record: u64) -> Option<(Arc<RecordCopy>, Home)> {
        let is_it = |last: &LastCopied| last.changes == self.changes && last.copy.record == record;
        let LastCopied { copy, home, .. } = self.last_copied.take().filter(is_it)?;
        home.map(|home| (copy, home))
    }

    /// Keeps the copy of a record for those who ask for it next.
    pub(super) fn keep_copied(&self, copy: Arc<RecordCopy>, home: Option<Home>) {
        if copy.record != 0 && copy.stored.len() <= MOST_KEPT {
            *self.last_copied.borrow_mut() = Some(LastCopied { home, changes: self.changes, copy });
        }
    }

    /// Copies a record as it is stored; where it lies, if that is known.
    pub(crate) fn copy(&self, stored: &[u8], home: Option<Home>) -> Result<Arc<RecordCopy>> {
        let frame = Frame::decode(stored)?;
        self.copy_framed(stored, &frame, RecordView::access(frame.payload)?, home)
    }

    /// As [`WriteState::copy`], of what was taken out of its frame already.
    pub(crate) fn copy_framed(
        &self,
        stored: &[u8],
        frame: &Frame<'_>,
        view: RecordView<'_>,
        home: Option<Home>,
    ) -> Result<Arc<RecordCopy>> {
        if view.id() != 0
            && let Some(copy) = self.copied(|last| last.copy.record == view.id())
        {
            return Ok(copy);
        }
        let mut copy = self.copy_alone(stored, frame, view.id());
        if frame.has_shared {
            for id in view.named()?.shared {
                if let std::collections::hash_map::Entry::Vacant(entry) = copy.shared.entry(id) {
                    entry.insert(shared_value(self.tables(), id)?.into());
                }
            }
        }
        let copy = Arc::new(copy);
        self.keep_copied(Arc::clone(&copy), home);
        Ok(copy)
    }

    /// Copies a record, without the shared values that it names.
    pub(super) fn copy_alone(&self, stored: &[u8], frame: &Frame<'_>, record: u64) -> RecordCopy {
        let (first_name, names) = self.new_names();
        RecordCopy {
            stored: stored.to_vec(),
            start: stored.len() - frame.payload.len(),
            record,
            memory: Arc::clone(self.memory()),
            names,
            first_name,
            shared: HashMap::new(),
        }
    }
}
