//! One committed version, pinned and readable from any thread.

use std::{fmt, mem, ops::Bound};

use super::{
    Identity,
    diff::Diff,
    estimate::full_pages,
    fork, free,
    lmdb::Store,
    map::Mapping,
    open::briefly,
    page::{META_BYTES, META_PAGES, Meta, NO_PAGE, Tree},
    places::Places,
    reader_table::Slot,
    table::{Direction, Entry, ReadTables, Table},
    tree::{Pages, Walk},
};
use crate::{
    error::{Error, Result},
    sync::{Arc, AtomicU64, Mutex, Ordering},
};

/// How often to begin again when writers overtake us: each time takes two commits between two of our steps.
const ATTEMPTS: u32 = 256;

/// A committed version of all tables, which stays as it is for as long as this lives.
///
/// LMDB's read transaction pins the version and does nothing else; the reads walk the pages themselves.
pub(crate) struct Snapshot {
    meta: Meta,
    meta_page: [u8; META_BYTES],
    trees: [Tree; Table::COUNT],
    /// How many pages this version may reach and the file has.
    page_count: u64,
    /// Where entries were found.
    places: [Places; Table::COUNT],
    /// Which of a process and its forks has the version pinned by `pin`.
    home: AtomicU64,
    pin: Mutex<Pin>,
    mapping: Arc<Mapping>,
    store: Arc<Store>,
}

/// What keeps the version.
struct Pin {
    /// Empty only while it is dropped.
    slot: Option<Slot>,
    // Last, so that the slot is given back before the environment can close.
    store: Arc<Store>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            if self.store.is_inherited() {
                drop(slot);
            } else {
                self.store.let_go(slot);
            }
        }
    }
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
            let txn_id = slot.txn_id();
            let copy = store.metas().copy(txn_id);
            // The copy is whole if version N + 2, which goes to the same page, has not been begun, which in
            // turn waits for N + 1 to be published. If the other page is older than N, nobody has come as far
            // as writing N + 1. If it isn't, N + 1 may be waiting for the disk, which takes long: then a
            // transaction that begins now tells.
            if store.metas().txn_id(txn_id + 1) >= txn_id {
                let later = store.begin_read()?;
                if later.txn_id() != txn_id {
                    store.let_go(mem::replace(&mut slot, later));
                    continue;
                }
                store.let_go(later);
            }
            let meta = Meta::parse(&copy)?;
            if meta.txn_id == txn_id {
                return Self::of(store, copy, slot);
            }
            // LMDB's lock file is behind the data file; the next writer mends that.
            store.let_go(mem::replace(&mut slot, store.begin_read()?));
        }
        Err(Error::corrupted(format!("no meta page belongs to version {}", slot.txn_id())))
    }

    /// Pins the version of a meta page, as long as someone else has it pinned.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotExpired`] when nobody has; [`Error::Io`], [`Error::Corrupted`].
    pub(super) fn follow(store: &Arc<Store>, meta_page: [u8; META_BYTES]) -> Result<Self> {
        let slot = store.begin_read_of(Meta::parse(&meta_page)?.txn_id)?;
        Self::of(store, meta_page, slot)
    }

    fn of(store: &Arc<Store>, meta_page: [u8; META_BYTES], slot: Slot) -> Result<Self> {
        let pin = Mutex::new(Pin { slot: Some(slot), store: Arc::clone(store) });
        let meta = Meta::parse(&meta_page)?;
        if meta.page_size as usize != store.page_size() || !meta.has_plain_trees() {
            return Err(Error::corrupted(format!("the meta page of version {} makes no sense", meta.txn_id)));
        }
        let (mapping, page_count) = store.mapping_for(&meta)?;
        let mut snapshot = Self {
            meta,
            meta_page,
            trees: [Tree::EMPTY; Table::COUNT],
            page_count,
            places: Default::default(),
            home: AtomicU64::new(fork::generation()),
            pin,
            mapping,
            store: Arc::clone(store),
        };
        snapshot.trees = read_trees(snapshot.pages()?, &meta)?;
        Ok(snapshot)
    }

    /// Pins the version in a fork of the process that had it pinned, which has its mapping, and which may let go of it.
    #[cold]
    fn adopt(&self) -> Result<()> {
        let store = self.store.reopen(&mut briefly())?;
        let mut own = None;
        if store.identity() == self.store.identity() {
            let slot = store.begin_read_of(self.txn_id())?;
            own = Some(Pin { slot: Some(slot), store });
        } else if !self.store.has_pinned(self.txn_id()) {
            return Err(Error::SnapshotExpired);
        }
        // Nobody writes to an older generation, so it needs no slot of its own there.
        {
            // A fork of this process comes here too, and must not find it locked by a thread that it does not have.
            let _whole = fork::hold_off();
            let mut pin = self.pin.lock();
            if self.home.load(Ordering::Acquire) != fork::generation() {
                if let Some(own) = &mut own {
                    mem::swap(&mut *pin, own);
                }
                self.home.store(fork::generation(), Ordering::Release);
            }
        }
        // What is not needed may be closed with it, for which forks are held off again.
        drop(own);
        Ok(())
    }

    /// The store that it is a version of.
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The page that describes the version, and the file that it is a version of.
    pub(crate) fn origin(&self) -> ([u8; META_BYTES], Identity) {
        (self.meta_page, self.store.identity())
    }

    /// Whether nothing was committed since, as far as is known.
    #[inline]
    pub(crate) fn is_newest(&self) -> bool {
        self.store.newest_txn_id() == self.txn_id() && self.store.is_current()
    }

    /// Whether it is this snapshot's version that a place is one of.
    #[inline]
    pub(crate) fn has(&self, location: Location) -> bool {
        location.version == self.txn_id() && location.store == self.store.id()
    }

    /// The pages of this version.
    #[inline]
    fn pages(&self) -> Result<Pages<'_>> {
        if self.home.load(Ordering::Acquire) != fork::generation() {
            self.adopt()?;
        }
        let (base, page_size) = (self.mapping.base(), self.meta.page_size as usize);
        // SAFETY: `Store::mapping_for` counted only pages that lie within both the file and the mapping,
        // which is kept by `self`. LMDB writes only to pages that no pinned version reaches, and `self` keeps
        // this one pinned, in this process too. That nobody else changes or shortens the file is what the whole engine
        // has to ask of its users.
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

    /// Look-ups of many keys of a table, about in order.
    pub(crate) fn near(&self, table: Table) -> Near<'_> {
        Near { snapshot: self, table, leaf: NO_PAGE }
    }

    /// A walk through all entries of a table.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupted`].
    pub(crate) fn whole(&self, table: Table) -> Result<TreeCursor> {
        self.cursor(table, Bound::Unbounded, Bound::Unbounded, Direction::Forward)
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
        if !self.has(location) {
            return Err(Error::Transaction(
                "a place in the file only means something in the version that it was found in",
            ));
        }
        if location.is_empty() {
            return Ok(&[]);
        }
        self.pages()?
            .bytes_at(location.offset, location.len())
            .ok_or_else(|| Error::corrupted(format!("nothing is at byte {} any more", location.offset)))
    }

    /// How a table of this version differs from a newer one of the same generation.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupted`], [`Error::Transaction`] if the other version is of another generation, or older.
    pub(super) fn changes_until<'s>(&'s self, newer: &'s Self, table: Table) -> Result<Diff<'s>> {
        if self.store.id() != newer.store.id() || self.txn_id() > newer.txn_id() {
            return Err(Error::Transaction("only an older version of the same file can be caught up with"));
        }
        Ok(Diff::new((self.pages()?, self.tree(table)), (newer.pages()?, newer.tree(table))))
    }

    /// How large the file would be, about, if it held only this version, on full pages.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupted`].
    pub(crate) fn compacted_bytes(&self) -> Result<u64> {
        let mut total = META_PAGES;
        for tree in &self.trees {
            total = total.saturating_add(full_pages(self.pages()?, tree)?);
        }
        Ok(total.saturating_mul(u64::from(self.meta.page_size)))
    }

    /// How many bytes of the file are unused, and can't be used as long as an older version is pinned.
    pub(super) fn held_bytes(&self, version: u64) -> Result<u64> {
        Ok(free::held_pages(self.pages()?, &self.meta, version)? * u64::from(self.meta.page_size))
    }

    /// How many bytes of the file are unused.
    pub(super) fn free_bytes(&self) -> Result<u64> {
        Ok(free::free_pages(self.pages()?, &self.meta)? * u64::from(self.meta.page_size))
    }
}

/// Looks keys up one after the other, each first where the last one was found.
pub(crate) struct Near<'t> {
    snapshot: &'t Snapshot,
    table: Table,
    leaf: u64,
}

impl<'t> Near<'t> {
    /// The value of a key.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupted`].
    pub(crate) fn get(&mut self, key: &[u8]) -> Result<Option<&'t [u8]>> {
        let tree = self.snapshot.tree(self.table);
        self.snapshot.pages()?.get_near(tree, &mut self.leaf, key)
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
        self.places[table.place()].get(self.pages()?, self.tree(table), key)
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
