//! Read transactions: one committed version of everything.

use super::{
    entry_ref::EntryRef,
    held::Held,
    scope::{Scope, Stored, open, symbol_name},
    value_ref::ValueRef,
};
use crate::{
    error::{Error, Result},
    format::{
        frame::Frame,
        header::Header,
        key::{Key, KeyBytes},
        record::{self, RecordView},
    },
    store::{Direction, Location, ReadTables, Snapshot, Table},
    sync::Arc,
    txn::{
        entry,
        memory::Memory,
        read::Pin,
        scan::{SnapshotScan, Span},
        write::shared_value,
    },
};

/// One committed version of the map, pinned for as long as this or a clone of it lives.
///
/// Everything read through it is borrowed from the mapped pages and can't outlive it:
///
/// ```compile_fail,E0505
/// # fn main() -> Result<(), oocmap::Error> {
/// # let environment = oocmap::Environment::open("x.ooc".as_ref(), &oocmap::Options::default())?;
/// let read = environment.read()?;
/// let value = read.get(&"key".into())?;
/// drop(read);
/// assert!(value.is_some()); // the pages may be gone by now
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ReadTransaction {
    pin: Pin,
}

impl ReadTransaction {
    pub(crate) fn new(pin: Pin) -> Self {
        Self { pin }
    }

    pub(super) fn pin(&self) -> &Pin {
        &self.pin
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        self.pin.pinned.snapshot()
    }

    /// What the process remembers of the map.
    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.pin.core.memory
    }

    /// How many symbols the version has, which will always mean what they mean now.
    pub fn symbols(&self) -> u32 {
        self.pin.pinned.header().symbols
    }

    /// The id that the next record would get.
    pub(super) fn next_record(&self) -> u64 {
        self.pin.pinned.header().next_record
    }

    /// The counters of the version.
    pub(crate) fn header(&self) -> &Header {
        self.pin.pinned.header()
    }

    /// The version's number, which grows with every commit and is the same in every process.
    pub fn version(&self) -> u64 {
        self.pin.pinned.header().version
    }

    /// How many entries there are.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    pub fn len(&self) -> Result<u64> {
        self.count(&Span::all())
    }

    /// How many records and parts of long containers stand outside of the entries.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    pub fn objects(&self) -> Result<u64> {
        self.snapshot().len(Table::Objects)
    }

    /// Whether there is no entry.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    pub fn is_empty(&self) -> Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// How many entries a span has; it is walked for that.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    pub fn count(&self, span: &Span) -> Result<u64> {
        self.pin.pinned.count(span)
    }

    /// The value under a key.
    ///
    /// # Errors
    ///
    /// `InvalidKey` or `TooLarge` for a key that can't be one; `Corrupted` when the file is damaged.
    pub fn get(&self, key: &Key<'_>) -> Result<Option<ValueRef<'_>>> {
        let mut ordered = KeyBytes::new();
        key.encode(&mut ordered)?;
        self.stored(&ordered)?.map(|stored| ValueRef::new(self, stored)).transpose()
    }

    /// The archive of a user's own type under a key, borrowed and validated.
    ///
    /// # Errors
    ///
    /// `Unsupported` when something else is stored there; `Corrupted` when the archive is no valid `T`; as
    /// [`ReadTransaction::get`].
    pub fn get_archived<T>(&self, key: &Key<'_>) -> Result<Option<&T::Archived>>
    where
        T: rkyv::Archive,
        T::Archived: record::Checked,
    {
        match self.get(key)? {
            None => Ok(None),
            Some(ValueRef::Archive(bytes)) => record::access::<T::Archived>(bytes).map(Some),
            Some(_) => Err(Error::Unsupported("the value is no archive; read it with get".into())),
        }
    }

    /// The value under the ordered bytes of a key.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    #[inline]
    pub fn stored(&self, ordered: &[u8]) -> Result<Option<Stored<'_>>> {
        let Some(raw) = self.pin.pinned.get(ordered)? else { return Ok(None) };
        match Frame::plain_scalar(raw) {
            Some(encoded) => Ok(Some(Stored::Scalar(encoded))),
            None => self.open_raw(raw).map(Some),
        }
    }

    /// All bytes of an entry, to tell later whether it is still the same.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    pub fn raw(&self, ordered: &[u8]) -> Result<Option<&[u8]>> {
        self.pin.pinned.get(ordered)
    }

    /// All bytes of the entries of many keys, given by their ordered bytes; it goes the faster the more their order is that
    /// of the map.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    pub fn raw_of_many<'k>(&self, ordered: impl IntoIterator<Item = &'k [u8]>) -> Result<Vec<Option<&[u8]>>> {
        let mut near = self.snapshot().near(Table::Entries);
        let find = |key| if entry::is_short(key) { near.get(key) } else { self.raw(key) };
        ordered.into_iter().map(find).collect()
    }

    /// The value in the bytes of an entry.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is damaged.
    pub fn open_raw<'t>(&'t self, raw: &'t [u8]) -> Result<Stored<'t>> {
        open(self.pin.pinned.snapshot(), &Frame::decode(raw)?)
    }

    /// Whether there is an entry under the ordered bytes of a key.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    pub fn contains(&self, ordered: &[u8]) -> Result<bool> {
        Ok(self.pin.pinned.get(ordered)?.is_some())
    }

    /// A walk through the entries of a span, to be continued with [`Scan::next`].
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    pub fn scan(&self, span: Span, backward: bool) -> Result<Scan> {
        let direction = if backward { Direction::Backward } else { Direction::Forward };
        SnapshotScan::new(self.pin.pinned.snapshot(), span, direction).map(Scan)
    }

    /// The value of an entry that was found by a scan.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is damaged.
    #[inline]
    pub fn open<'t>(&'t self, entry: &EntryRef<'t>) -> Result<Stored<'t>> {
        entry.open(self.pin.pinned.snapshot())
    }

    /// Keeps a record of this version; `archive` is what came with it.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the bytes are not part of the data file.
    pub fn hold(&self, archive: &[u8]) -> Result<Held> {
        Held::pinned(self.pin.clone(), archive)
    }

    /// Keeps a record of this version that was found before.
    pub fn hold_at(&self, location: Location) -> Held {
        Held::at(self.pin.clone(), location)
    }

    /// The record whose archive lies there in this version.
    ///
    /// # Errors
    ///
    /// `Transaction` when the place is one of another version; `Corrupted` when there is no record.
    #[inline]
    pub fn record(&self, location: Location) -> Result<RecordView<'_>> {
        RecordView::access(self.at(location)?)
    }

    /// Whether a place is one of this version.
    #[inline]
    pub fn has(&self, location: Location) -> bool {
        self.snapshot().has(location)
    }

    /// Where bytes of this version lie in the data file, so that they can be found again without a borrow.
    pub fn locate(&self, bytes: &[u8]) -> Option<Location> {
        self.pin.pinned.snapshot().locate(bytes)
    }

    /// The bytes at a place of this version.
    ///
    /// # Errors
    ///
    /// `Transaction` when the place is one of another version.
    pub fn at(&self, location: Location) -> Result<&[u8]> {
        self.pin.pinned.snapshot().at(location)
    }

    /// Names the version for another process, which can pin it with [`Environment::follow`](crate::Environment::follow) for
    /// as long as someone has it pinned.
    pub fn hand_over(&self) -> Vec<u8> {
        self.pin.pinned.hand_over()
    }

    /// Whether two of these are of the same pinned version.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pin.pinned, &other.pin.pinned)
    }
}

impl Scope for ReadTransaction {
    fn symbol(&self, symbol: u32) -> Result<Arc<str>> {
        symbol_name(&self.pin.core.memory, self.pin.pinned.snapshot(), symbol)
    }

    fn symbol_of(&self, name: &str) -> Option<u32> {
        self.pin.core.memory.symbol(name)
    }

    fn shared(&self, id: u64) -> Result<&[u8]> {
        shared_value(self.pin.pinned.snapshot(), id)
    }
}

/// A walk through the entries of one version, in key order.
#[derive(Debug)]
pub struct Scan(SnapshotScan);

impl Scan {
    /// The next entry; `transaction` is the one that the walk began in, or a clone of it.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    pub fn next<'t>(&mut self, transaction: &'t ReadTransaction) -> Result<Option<EntryRef<'t>>> {
        match self.0.next(transaction.pin.pinned.snapshot())? {
            Some((key, value)) => EntryRef::new(key, value).map(Some),
            None => Ok(None),
        }
    }
}
