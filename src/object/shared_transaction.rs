//! What a transaction that lives across calls offers: every answer is owned, since its pages may move.

use super::{
    entry_ref::EntryRef,
    held::Held,
    scope::{Stored, open},
    write_transaction::WriteScope,
};
use crate::{
    error::Result,
    format::{
        frame::Frame,
        key::Key,
        record::{Container, ObjectId, Reference},
    },
    store::{Direction, Writer},
    sync::Arc,
    txn::{
        change::{Change, Stamp},
        entry::{TableKey, is_short},
        objects::Home,
        scan::{Span, TableScan},
        shared_write::SharedWrite,
        write::WriteState,
    },
};

/// A stored value, copied out of a write transaction.
#[derive(Debug)]
pub enum Copied {
    /// A leaf, encoded.
    Scalar(Vec<u8>),
    /// A record with all that it takes to read it.
    Record(Held),
    /// A Rust user's own archive.
    Archive(Vec<u8>),
    /// A mutable container that lies elsewhere.
    Object(Reference),
}

impl Copied {
    /// Copies the value under the ordered bytes of a key, without keeping a borrow of the transaction's pages.
    pub(crate) fn of_entry(state: &WriteState<Writer>, ordered: &[u8]) -> Result<Option<Self>> {
        if let Some(copy) = state.copied_under(ordered) {
            return Ok(Some(Self::Record(Held::of_copy(copy))));
        }
        let Some(stored) = state.entry(ordered)? else { return Ok(None) };
        if let Some(encoded) = Frame::plain_scalar(stored) {
            return Ok(Some(Self::Scalar(encoded.to_vec())));
        }
        let home = || is_short(ordered).then(|| Home::Entry(TableKey::from_slice(ordered)));
        Self::new(state, stored, &Frame::decode(stored)?, home).map(Some)
    }

    /// Copies a value as it is stored, with its frame.
    fn new(
        state: &WriteState<Writer>,
        stored: &[u8],
        frame: &Frame<'_>,
        home: impl FnOnce() -> Option<Home>,
    ) -> Result<Self> {
        Ok(match open(state.tables(), frame)? {
            Stored::Scalar(encoded) => Self::Scalar(encoded.to_vec()),
            Stored::Archive(bytes) => Self::Archive(bytes.to_vec()),
            Stored::Object(reference) => Self::Object(reference),
            Stored::Record(record, _) => {
                Self::Record(Held::of_copy(state.copy_framed(stored, frame, record, home())?))
            }
        })
    }
}

impl SharedWrite {
    /// Changes something, wholly or not at all.
    ///
    /// # Errors
    ///
    /// `TransactionClosed` when the transaction has ended; that of `work`. Where the storage had no room, the whole
    /// transaction is rolled back.
    pub fn update<R>(&self, work: impl FnOnce(&mut WriteScope<'_>) -> Result<R>) -> Result<R> {
        self.write(|state| work(&mut WriteScope::new(state, true)))
    }

    /// As [`SharedWrite::update`], for a single step that does nothing when it fails.
    ///
    /// # Errors
    ///
    /// As [`SharedWrite::update`].
    pub fn update_one<R>(&self, work: impl FnOnce(&mut WriteScope<'_>) -> Result<R>) -> Result<R> {
        self.write_one(|state| work(&mut WriteScope::new(state, true)))
    }

    /// Changes a container, all that is asked or nothing; `seen` are the ordered bytes of the key that it was last seen
    /// under. Answers `false`, having done nothing, when it is no longer what it was when it was given this stamp.
    ///
    /// # Errors
    ///
    /// As [`SharedWrite::update`]; `Stale` when the object is gone; `InvalidKey` for positions past its end.
    pub fn change(
        &self,
        id: ObjectId,
        seen: Option<&Arc<[u8]>>,
        expected: Option<Stamp>,
        changes: &[Change],
    ) -> Result<bool> {
        // Without a savepoint, which would keep what is replaced.
        match self.update_one(|scope| scope.patch(id, seen.map(AsRef::as_ref), expected, changes))? {
            Some(done) => Ok(done),
            None => self.update(|scope| scope.change_anew(id, seen, expected, changes)),
        }
    }

    /// A container of the record that was read or changed last, if nothing was changed since.
    ///
    /// # Errors
    ///
    /// As [`SharedWrite::get`].
    pub fn copied_object(&self, id: ObjectId) -> Result<Option<(Held, Container)>> {
        self.read(|state| {
            let copied = state.copied_object(id)?;
            Ok(copied.map(|(copy, container)| (Held::of_copy(copy), container)))
        })
    }

    /// The value under the ordered bytes of a key.
    ///
    /// # Errors
    ///
    /// `TransactionClosed` when the transaction has ended; `Corrupted` when the file is damaged.
    pub fn get(&self, ordered: &[u8]) -> Result<Option<Copied>> {
        self.read(|state| Copied::of_entry(state, ordered))
    }

    /// Whether there is an entry under the ordered bytes of a key.
    ///
    /// # Errors
    ///
    /// As [`SharedWrite::get`].
    pub fn contains(&self, ordered: &[u8]) -> Result<bool> {
        self.read(|state| Ok(state.entry(ordered)?.is_some()))
    }

    /// How many entries there are.
    ///
    /// # Errors
    ///
    /// As [`SharedWrite::get`].
    pub fn len(&self) -> Result<u64> {
        self.read(WriteState::entries)
    }

    /// Whether there is no entry.
    ///
    /// # Errors
    ///
    /// As [`SharedWrite::get`].
    pub fn is_empty(&self) -> Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Counts the changes so far.
    ///
    /// # Errors
    ///
    /// As [`SharedWrite::get`].
    pub fn changes(&self) -> Result<u64> {
        self.count(WriteState::changes)
    }

    /// Counts the changes of the number of elements in containers so far.
    ///
    /// # Errors
    ///
    /// As [`SharedWrite::get`].
    pub fn objects_resized(&self) -> Result<u64> {
        self.count(WriteState::objects_resized)
    }

    /// Counts the insertions and deletions so far.
    ///
    /// # Errors
    ///
    /// As [`SharedWrite::get`].
    pub fn resized(&self) -> Result<u64> {
        self.count(WriteState::resized)
    }

    /// The next entry of a walk, with its value when that is wanted.
    ///
    /// # Errors
    ///
    /// As [`SharedWrite::get`].
    pub fn next(
        &self,
        scan: &mut SharedScan,
        with_value: bool,
    ) -> Result<Option<(Key<'static>, Option<Copied>)>> {
        self.read(|state| {
            let Some((key, value)) = scan.0.next(state.tables())? else { return Ok(None) };
            let entry = EntryRef::new(key, value)?;
            let home = || Some(Home::Entry(TableKey::from_slice(key)));
            let value = with_value.then(|| Copied::new(state, value, &entry.frame, home)).transpose()?;
            Ok(Some((entry.key()?.into_owned(), value)))
        })
    }
}

/// A walk through the entries of a write transaction, which may change between the steps.
#[derive(Debug)]
pub struct SharedScan(TableScan);

impl SharedScan {
    /// A walk through a span.
    pub fn new(span: Span, backward: bool) -> Self {
        Self(TableScan::new(span, if backward { Direction::Backward } else { Direction::Forward }))
    }
}
