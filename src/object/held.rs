//! A record that is kept, with all that it takes to read it, for as long as someone has a handle to a part of it.

use std::collections::{BTreeSet, HashSet};

use super::{
    container::Hold,
    read_transaction::ReadTransaction,
    scope::{Scope, missing_symbol, symbol_name},
};
use crate::{
    error::{Error, Result},
    format::{
        builder::ValueBuilder,
        copy::{Copier, Names, Placed},
        record::{Container, Node, ObjectId, RecordView, Reference},
    },
    store::{Location, Writer},
    sync::Arc,
    txn::{
        change::Stamp,
        copied::RecordCopy,
        live::Live,
        objects::Home,
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
    Copied(Arc<RecordCopy>),
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

    /// Copies a record out of a write transaction, as it is stored; where it lies, if that is known.
    pub(crate) fn copied(state: &WriteState<Writer>, stored: &[u8], home: Option<Home>) -> Result<Self> {
        state.copy(stored, home).map(Self::of_copy)
    }

    /// A record of a write transaction that was copied already.
    pub(crate) fn of_copy(copy: Arc<RecordCopy>) -> Self {
        Self(Source::Copied(copy))
    }

    /// The record.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is damaged.
    #[inline]
    pub fn record(&self) -> Result<RecordView<'_>> {
        RecordView::access(self.payload()?)
    }

    /// The record's id; zero when nothing in it can change.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is damaged.
    pub fn id(&self) -> Result<u64> {
        match &self.0 {
            Source::Pinned { .. } => Ok(self.record()?.id()),
            Source::Copied(copied) => Ok(copied.record()),
        }
    }

    /// The record's archive.
    pub(crate) fn payload(&self) -> Result<&[u8]> {
        match &self.0 {
            Source::Pinned { pin, location } => pin.pinned.snapshot().at(*location),
            Source::Copied(copied) => Ok(copied.payload()),
        }
    }

    /// The read transaction whose version it belongs to; `None` for a copy.
    pub fn reader(&self) -> Option<ReadTransaction> {
        match &self.0 {
            Source::Pinned { pin, .. } => Some(ReadTransaction::new(pin.clone())),
            Source::Copied(_) => None,
        }
    }

    /// Keeps a record of a pinned version that was found before.
    pub(crate) fn at(pin: Pin, location: Location) -> Self {
        Self(Source::Pinned { pin, location })
    }

    /// Keeps an object of the same map for as long as the answer lives.
    pub fn keep(&self, id: ObjectId) -> Hold {
        match &self.0 {
            Source::Pinned { pin, .. } => Hold::new(&pin.core.memory, id),
            Source::Copied(copied) => Hold::new(&copied.memory, id),
        }
    }

    /// Keeps all objects that a tuple or frozenset of the record refers to, for as long as the answer lives.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the record is damaged.
    pub fn keep_all(&self, container: Container) -> Result<Vec<Hold>> {
        let record = self.record()?;
        let (mut records, mut seen) = (BTreeSet::new(), HashSet::new());
        let mut pending = vec![container];
        while let Some(container) = pending.pop() {
            for index in 0..container.len() {
                match record.item(container, index)? {
                    Node::Object(reference) => {
                        records.insert(reference.id.record);
                    }
                    Node::Container(inner) if inner.slot().is_some() => {
                        records.insert(record.id());
                    }
                    Node::Container(inner) if seen.insert(inner) => pending.push(inner),
                    _ => {}
                }
            }
        }
        Ok(records.into_iter().map(|record| self.keep(ObjectId { record, slot: Live::WHOLE })).collect())
    }

    /// Where a record of a pinned version lies, and the number of the version.
    pub fn place(&self) -> Option<(u64, Location)> {
        match &self.0 {
            Source::Pinned { pin, location } => Some((pin.pinned.header().version, *location)),
            Source::Copied(_) => None,
        }
    }

    /// What tells later whether the record still is the same.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is damaged.
    pub fn stamp(&self) -> Result<Stamp> {
        self.payload().map(Stamp::of_record)
    }

    /// A small copy of a tuple or frozenset, so that the version needn't be kept for it; mutable containers in it become
    /// references. `None` when it is too large for that, or when it holds itself.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the record is damaged.
    pub fn extract(&self, container: Container) -> Result<Option<(Self, Container)>> {
        const MOST: usize = 256;
        let record = self.record()?;
        let Source::Pinned { pin, .. } = &self.0 else { return Ok(None) };
        let mut builder = ValueBuilder::new();
        let mut refer = |builder: &mut ValueBuilder, child: Container| {
            let slot = child.slot().ok_or_else(|| Error::corrupted("a mutable container has no slot"))?;
            let id = ObjectId { record: record.id(), slot };
            builder.refer(Reference { kind: child.kind, id }).map(Placed::Elsewhere)
        };
        if container.len() > MOST || self.payload()?.len() > 64 * MOST || holds_itself(record, container)? {
            return Ok(None);
        }
        let symbols = HeldNames(self);
        let root =
            Copier::new(record, &symbols).copy(&mut builder, Node::Container(container), &mut refer)?;
        let payload = builder.archive_part(root)?;
        let container = RecordView::access(&payload)?.root_container()?;
        self.beside(pin, &payload).map(|copy| Some((copy, container)))
    }

    /// A copy of a record that is small, so that the version needn't be kept for it.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the record is damaged.
    pub fn detached(&self) -> Result<Option<Self>> {
        const MOST: usize = 16 * 1024;
        let Source::Pinned { pin, .. } = &self.0 else { return Ok(None) };
        let payload = self.payload()?;
        if payload.len() > MOST {
            return Ok(None);
        }
        self.beside(pin, payload).map(Some)
    }

    /// A record of its own, with what it needs of this one's version.
    fn beside(&self, pin: &Pin, payload: &[u8]) -> Result<Self> {
        let named = RecordView::access(payload)?.named()?;
        let shared =
            named.shared.into_iter().map(|id| Ok((id, self.shared(id)?.into()))).collect::<Result<_>>()?;
        let copy = RecordCopy::beside(payload, &pin.core.memory, self.settled_symbols(), shared)?;
        Ok(Self(Source::Copied(Arc::new(copy))))
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

/// Whether something in a tuple leads back to it, as a list in it can.
fn holds_itself(record: RecordView<'_>, whole: Container) -> Result<bool> {
    let mut seen = HashSet::new();
    let mut pending = vec![whole];
    while let Some(container) = pending.pop() {
        for at in 0..container.words() {
            let Node::Container(child) = record.element(container, at)? else { continue };
            if child == whole {
                return Ok(true);
            }
            if seen.insert(child.position()) {
                pending.push(child);
            }
        }
    }
    Ok(false)
}

/// The names of the symbols of a record.
struct HeldNames<'a>(&'a Held);

impl Names for HeldNames<'_> {
    fn name(&self, symbol: u32) -> Result<Arc<str>> {
        self.0.symbol(symbol)
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
