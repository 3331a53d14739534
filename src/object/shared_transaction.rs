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
        record::{ObjectId, Reference},
    },
    store::{Direction, Writer},
    sync::Arc,
    txn::{
        change::{Change, Stamp},
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
    /// Copies a value without keeping a borrow of the transaction's pages.
    pub(crate) fn new(state: &WriteState<Writer>, frame: &Frame<'_>) -> Result<Self> {
        Ok(match open(state.tables(), frame)? {
            Stored::Scalar(encoded) => Self::Scalar(encoded.to_vec()),
            Stored::Archive(bytes) => Self::Archive(bytes.to_vec()),
            Stored::Object(reference) => Self::Object(reference),
            Stored::Record(_, archive) => Self::Record(Held::copied(state, archive, frame.has_shared)?),
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

    /// The value under the ordered bytes of a key.
    ///
    /// # Errors
    ///
    /// `TransactionClosed` when the transaction has ended; `Corrupted` when the file is damaged.
    pub fn get(&self, ordered: &[u8]) -> Result<Option<Copied>> {
        self.read(|state| match state.entry(ordered)? {
            Some(value) => Copied::new(state, &Frame::decode(value)?).map(Some),
            None => Ok(None),
        })
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
            let value = with_value.then(|| Copied::new(state, &entry.frame)).transpose()?;
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
