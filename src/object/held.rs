//! A record that is kept, with all that it takes to read it, for as long as someone has a handle to a part of it.

use std::collections::HashMap;

use super::{
    read_transaction::ReadTransaction,
    scope::{Scope, missing_symbol, symbol_name},
};
use crate::{
    error::{Error, Result},
    format::record::RecordView,
    store::{Location, Writer},
    sync::Arc,
    txn::{
        memory::Memory,
        read::Pin,
        write::{WriteState, shared_value},
    },
};

/// A record that stays readable.
///
/// It lies in the mapped pages of a pinned version, or, when it was read inside a write transaction whose pages may
/// still move, in a copy of its own.
#[derive(Debug)]
pub struct Held(Source);

#[derive(Debug)]
enum Source {
    Pinned { pin: Pin, location: Location },
    Copied(Box<Copied>),
}

#[derive(Debug)]
struct Copied {
    payload: Box<[u8]>,
    memory: Arc<Memory>,
    /// The symbols that the transaction had made by then.
    names: Arc<Vec<Arc<str>>>,
    first_name: u32,
    shared: HashMap<u64, Box<[u8]>>,
}

impl Held {
    /// Keeps a record of a pinned version; `payload` is its archive there.
    pub(crate) fn pinned(pin: Pin, payload: &[u8]) -> Result<Self> {
        let location = pin
            .pinned
            .snapshot()
            .locate(payload)
            .ok_or_else(|| Error::corrupted("a record lies outside the data file"))?;
        Ok(Self(Source::Pinned { pin, location }))
    }

    /// Copies a record out of a write transaction.
    pub(crate) fn copied(state: &WriteState<Writer>, payload: &[u8], has_shared: bool) -> Result<Self> {
        let (first_name, names) = state.new_names();
        let mut shared = HashMap::new();
        if has_shared {
            for id in RecordView::access(payload)?.shared()? {
                if let std::collections::hash_map::Entry::Vacant(entry) = shared.entry(id) {
                    entry.insert(shared_value(state.tables(), id)?.into());
                }
            }
        }
        Ok(Self(Source::Copied(Box::new(Copied {
            payload: payload.into(),
            memory: Arc::clone(state.memory()),
            names,
            first_name,
            shared,
        }))))
    }

    /// The record.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is damaged.
    #[inline]
    pub fn record(&self) -> Result<RecordView<'_>> {
        RecordView::access(match &self.0 {
            Source::Pinned { pin, location } => pin.pinned.snapshot().at(*location)?,
            Source::Copied(copied) => &copied.payload,
        })
    }

    /// The read transaction whose version it belongs to; `None` for a copy.
    pub fn reader(&self) -> Option<ReadTransaction> {
        match &self.0 {
            Source::Pinned { pin, .. } => Some(ReadTransaction::new(pin.clone())),
            Source::Copied(_) => None,
        }
    }

    /// Symbols below this number are committed, and will always mean what they mean now.
    pub fn settled_symbols(&self) -> u32 {
        match &self.0 {
            Source::Pinned { pin, .. } => pin.pinned.header().symbols,
            Source::Copied(copied) => copied.first_name,
        }
    }

    /// Whether two of these keep the same record of the same version.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (
                Source::Pinned { pin, location },
                Source::Pinned { pin: other_pin, location: other_location },
            ) => Arc::ptr_eq(&pin.pinned, &other_pin.pinned) && location == other_location,
            _ => std::ptr::eq(self, other),
        }
    }
}

impl Scope for Held {
    fn symbol(&self, symbol: u32) -> Result<Arc<str>> {
        match &self.0 {
            Source::Pinned { pin, .. } => symbol_name(&pin.core.memory, pin.pinned.snapshot(), symbol),
            Source::Copied(copied) => match symbol.checked_sub(copied.first_name) {
                Some(new) => copied.names.get(new as usize).cloned(),
                None => copied.memory.name(symbol),
            }
            .ok_or_else(|| missing_symbol(symbol)),
        }
    }

    fn symbol_of(&self, name: &str) -> Option<u32> {
        match &self.0 {
            Source::Pinned { pin, .. } => pin.core.memory.symbol(name),
            Source::Copied(copied) => {
                copied.memory.symbol(name).filter(|symbol| *symbol < copied.first_name).or_else(|| {
                    let new = copied.names.iter().position(|new| &**new == name)?;
                    Some(copied.first_name + new as u32)
                })
            }
        }
    }

    fn shared(&self, id: u64) -> Result<&[u8]> {
        match &self.0 {
            Source::Pinned { pin, .. } => shared_value(pin.pinned.snapshot(), id),
            Source::Copied(copied) => copied
                .shared
                .get(&id)
                .map(AsRef::as_ref)
                .ok_or_else(|| Error::corrupted(format!("shared value {id:016x} is missing"))),
        }
    }
}
