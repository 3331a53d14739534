//! The seam: ordered bytes in named tables, in one version or in a write transaction.

use std::ops::Bound;

#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;

/// One of the tables that a map consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Table {
    /// What the whole file says of itself: the format, counters.
    Header,
    /// The entries of the map, one for each key.
    Entries,
    /// The objects that have an identity of their own.
    Objects,
    /// The strings that stand for small numbers.
    Symbols,
    /// Values that several places share.
    Shared,
}

impl Table {
    /// How many tables there are.
    pub(super) const COUNT: usize = 5;

    /// The tables that have a name, in the order of their place.
    pub(super) const NAMED: [Self; Self::COUNT - 1] =
        [Self::Entries, Self::Objects, Self::Symbols, Self::Shared];

    /// The name in the file, which [`Table::Header`] has none of.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Header => "",
            Self::Entries => "entries",
            Self::Objects => "objects",
            Self::Symbols => "symbols",
            Self::Shared => "shared",
        }
    }

    /// The place in an array with one item for each table.
    pub(super) const fn place(self) -> usize {
        self as usize
    }

    /// Whether a key of [`Table::Header`] is taken by the record of a named table.
    pub(super) fn is_reserved(self, key: &[u8]) -> bool {
        self == Self::Header && Self::NAMED.iter().any(|table| table.name().as_bytes() == key)
    }
}

/// Which way to go through the order of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    /// From small keys to large ones.
    Forward,
    /// From large keys to small ones.
    Backward,
}

/// A key and its value.
pub(crate) type Entry<'a> = (&'a [u8], &'a [u8]);

/// Entries whose keys ascend, one at a time.
pub(crate) trait Run {
    /// The present entry; `None` behind the last one.
    fn entry(&self) -> Option<Entry<'_>>;

    /// Goes on to the next entry, once the present one is stored.
    fn advance(&mut self);
}

/// Ordered reads of bytes in the tables of one version.
///
/// Keys are ordered byte by byte.
pub(crate) trait ReadTables {
    /// The value of a key.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupted`].
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<&[u8]>>;

    /// How many entries a table has.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupted`].
    fn len(&self, table: Table) -> Result<u64>;

    /// The first entry at or past `from` in the direction.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupted`].
    fn seek(&self, table: Table, from: Bound<&[u8]>, direction: Direction) -> Result<Option<Entry<'_>>>;
}

/// Reads that see the transaction's own changes, and the changes.
///
/// Keys have 1 to 511 bytes, values less than 2 GiB. After an error of a change, the transaction can only be
/// aborted.
pub(crate) trait WriteTables: ReadTables {
    /// Stores a value, over the one that the key has.
    ///
    /// # Errors
    ///
    /// [`Error::MapFull`], [`Error::TooLarge`], [`Error::InvalidKey`] for the name of a table in
    /// [`Table::Header`], [`Error::Transaction`] after an earlier error, [`Error::Corrupted`].
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()>;

    /// Stores a value unless the key has one, which is then returned and stays.
    ///
    /// # Errors
    ///
    /// [`Error::MapFull`], [`Error::TooLarge`], [`Error::InvalidKey`] for the name of a table in
    /// [`Table::Header`], [`Error::Transaction`] after an earlier error, [`Error::Corrupted`].
    fn put_new(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Stores an entry whose key sorts behind all others, which fills the pages to the brim; answers `false`, and
    /// stores nothing, when the key doesn't.
    ///
    /// # Errors
    ///
    /// [`Error::MapFull`], [`Error::TooLarge`], [`Error::InvalidKey`] for the name of a table in
    /// [`Table::Header`], [`Error::Transaction`] after an earlier error, [`Error::Corrupted`].
    fn append(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<bool>;

    /// Stores the entries of a run as [`WriteTables::append`] does, one behind the other, until it has no more; one that
    /// doesn't sort behind all others is not stored, and stays the present one.
    ///
    /// # Errors
    ///
    /// As [`WriteTables::append`].
    fn append_run(&mut self, table: Table, run: &mut impl Run) -> Result<()> {
        while let Some((key, value)) = run.entry()
            && self.append(table, key, value)?
        {
            run.advance();
        }
        Ok(())
    }

    /// Deletes an entry and says whether there was one.
    ///
    /// # Errors
    ///
    /// [`Error::MapFull`], as pages are copied before they are changed, [`Error::Transaction`] after an
    /// earlier error, [`Error::Corrupted`].
    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool>;

    /// Deletes all entries of a table other than [`Table::Header`].
    ///
    /// # Errors
    ///
    /// [`Error::MapFull`], as pages are copied before they are changed, [`Error::Transaction`] after an
    /// earlier error or for the header, [`Error::Corrupted`].
    fn clear(&mut self, table: Table) -> Result<()>;
}
