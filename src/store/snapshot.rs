//! One committed version, pinned and readable from any thread.

use std::{fmt, ops::Bound};

use heed::{RoTxn, WithoutTls};

use super::{
    fork::Own,
    free,
    lmdb::Store,
    map::Mapping,
    page::{Meta, NO_PAGE, Tree},
    table::{Direction, Entry, ReadTables, Table},
    tree::{Pages, Walk},
};
use crate::{
    error::{Error, Result},
    sync::{Arc, Mutex},
};

/// How often to begin again when writers overtake us: each time takes two commits between two of our steps.
const ATTEMPTS: u32 = 256;

/// A committed version of all tables, which stays as it is for as long as this lives.
///
/// LMDB's read transaction pins the version and does nothing else; the reads walk the pages themselves.
pub(crate) struct Snapshot {
    meta: Meta,
    trees: [Tree; Table::COUNT],
    /// How many pages this version may reach and the file has.
    page_count: u64,
    /// Held for its reader slot and never locked: the lock is what lets threads share a transaction that is
    /// only `Send`.
    _slot: Mutex<Own<RoTxn<'static, WithoutTls>>>,
    mapping: Arc<Mapping>,
    // Last, so that the slot is given back before the environment can close.
    store: Arc<Store>,
}

/// Where a snapshot holds some bytes, to find them again in the same version without a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Location {
    version: u64,
    offset: u64,
    store: u32,
    len: u32,
}

impl Location {
    /// How many bytes there are.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there are no bytes.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// A walk through a range of a table, which a snapshot gives its entries to.
///
/// It holds its place and no borrow, so that it can be kept beside a shared snapshot.
#[derive(Debug, Clone)]
pub(crate) struct TreeCursor {
    walk: Walk,
    version: u64,
    store: u32,
}

impl TreeCursor {
    /// The next entry. After the last one, and after an error, there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupted`], and [`Error::Transaction`] if the snapshot is of another version than the one
    /// that made the cursor.
    #[inline]
    pub(crate) fn next<'s>(&mut self, snapshot: &'s Snapshot) -> Result<Option<Entry<'s>>> {
        if self.version != snapshot.txn_id() || self.store != snapshot.store.id() {
            return Err(Error::Transaction("a cursor only works with the version that it was made for"));
        }
        self.walk.next(snapshot.pages()?)
    }
}

impl Snapshot {
    pub(super) fn begin(store: &Arc<Store>) -> Result<Self> {
        let mut slot = store.begin_read()?;
        for _ in 0..ATTEMPTS {
            let txn_id = slot.id() as u64;
            let copy = store.metas().copy(txn_id);
            // The copy is whole if version N + 2, which goes to the same page, has not been begun, which in
            // turn waits for N + 1 to be published. If the other page is older than N, nobody has come as far
            // as writing N + 1. If it isn't, N + 1 may be waiting for the disk, which takes long: then a
            // transaction that begins now tells.
            if store.metas().txn_id(txn_id + 1) >= txn_id {
                let later = store.begin_read()?;
                if later.id() as u64 != txn_id {
                    slot = later;
                    continue;
                }
            }
            let meta = Meta::parse(&copy)?;
            if meta.txn_id == txn_id {
                return Self::of(store, meta, slot);
            }
            // LMDB's lock file is behind the data file; the next writer mends that.
            slot = store.begin_read()?;
        }
        Err(Error::corrupted(format!("no meta page belongs to version {}", slot.id())))
    }

    fn of(store: &Arc<Store>, meta: Meta, slot: Own<RoTxn<'static, WithoutTls>>) -> Result<Self> {
        if meta.page_size as usize != store.page_size() || !meta.has_plain_trees() {
            return Err(Error::corrupted(format!("the meta page of version {} makes no sense", meta.txn_id)));
        }
        let (mapping, page_count) = store.mapping_for(&meta)?;
        let mut snapshot = Self {
            meta,
            trees: [Tree::EMPTY; Table::COUNT],
            page_count,
            _slot: Mutex::new(slot),
            mapping,
            store: Arc::clone(store),
        };
        snapshot.trees = read_trees(snapshot.pages()?, &meta)?;
        Ok(snapshot)
    }

    /// The pages of this version, unless it is pinned by a parent of this process, which may let go of it at any time.
    #[inline]
    fn pages(&self) -> Result<Pages<'_>> {
        if self.store.is_inherited() {
            return Err(Store::inherited());
        }
        let (base, page_size) = (self.mapping.base(), self.meta.page_size as usize);
        // SAFETY: `Store::mapping_for` counted only pages that lie within both the file and the mapping,
        // which is kept by `self`. LMDB writes only to pages that no pinned version reaches, and `self` keeps
        // this one pinned. That nobody else changes or shortens the file is what the whole engine has to ask
        // of its users.
        Ok(unsafe { Pages::new(base, self.page_count, page_size) })
    }

    #[inline]
    fn tree(&self, table: Table) -> &Tree {
        &self.trees[table.place()]
    }

    /// The number of the transaction that committed this version.
    #[inline]
    pub(crate) fn txn_id(&self) -> u64 {
        self.meta.txn_id
    }

    /// A walk through the entries of a table between two bounds.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupted`].
    pub(crate) fn cursor(
        &self,
        table: Table,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        direction: Direction,
    ) -> Result<TreeCursor> {
        let walk = Walk::new(self.pages()?, self.tree(table), lower, upper, direction)?;
        Ok(TreeCursor { walk, version: self.txn_id(), store: self.store.id() })
    }

    /// The place of bytes that this snapshot returned, or of a part of them; nothing for any other bytes.
    #[inline]
    pub(crate) fn locate(&self, bytes: &[u8]) -> Option<Location> {
        let offset = bytes.as_ptr().addr().checked_sub(self.mapping.base().addr())? as u64;
        let len = u32::try_from(bytes.len()).ok()?;
        let end = self.page_count * u64::from(self.meta.page_size);
        (offset + u64::from(len) <= end).then_some(Location {
            version: self.txn_id(),
            offset,
            store: self.store.id(),
            len,
        })
    }

    /// The bytes at a place that a snapshot of the same version named.
    ///
    /// # Errors
    ///
    /// [`Error::Transaction`] if the place is one of another version.
    #[inline]
    pub(crate) fn at(&self, location: Location) -> Result<&[u8]> {
        if location.version != self.txn_id() || location.store != self.store.id() {
            return Err(Error::Transaction(
                "a place in the file only means something in the version that it was found in",
            ));
        }
        if location.is_empty() {
            return Ok(&[]);
        }
        let page_size = u64::from(self.meta.page_size);
        let within = (location.offset % page_size) as usize;
        self.pages()?
            .bytes(location.offset / page_size, within + location.len())
            .and_then(|bytes| bytes.get(within..))
            .ok_or_else(|| Error::corrupted(format!("nothing is at byte {} any more", location.offset)))
    }

    /// How many bytes of the file are unused.
    pub(super) fn free_bytes(&self) -> Result<u64> {
        Ok(free::free_pages(self.pages()?, &self.meta)? * u64::from(self.meta.page_size))
    }
}

/// Finds the tables of a version. A table that isn't there is empty.
pub(super) fn read_trees(pages: Pages<'_>, meta: &Meta) -> Result<[Tree; Table::COUNT]> {
    let (count, page_size) = (pages.count(), pages.page_size());
    meta.free.check("free", count, page_size)?;
    meta.main.check("main", count, page_size)?;
    let mut trees = [Tree::EMPTY; Table::COUNT];
    trees[Table::Header.place()] = meta.main;
    if meta.main.root != NO_PAGE {
        for table in Table::NAMED {
            if let Some(tree) = pages.table(&meta.main, table.name())? {
                tree.check(table.name(), count, page_size)?;
                trees[table.place()] = tree;
            }
        }
    }
    Ok(trees)
}

impl ReadTables for Snapshot {
    #[inline]
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<&[u8]>> {
        self.pages()?.get(self.tree(table), key)
    }

    fn len(&self, table: Table) -> Result<u64> {
        let entries = self.tree(table).entries;
        if table != Table::Header {
            return Ok(entries);
        }
        let mut records = 0;
        for named in Table::NAMED {
            records += u64::from(self.pages()?.table(&self.meta.main, named.name())?.is_some());
        }
        Ok(entries.saturating_sub(records))
    }

    fn seek(&self, table: Table, from: Bound<&[u8]>, direction: Direction) -> Result<Option<Entry<'_>>> {
        self.pages()?.seek(self.tree(table), from, direction)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("path", &self.store.path())
            .field("txn_id", &self.txn_id())
            .finish_non_exhaustive()
    }
}
