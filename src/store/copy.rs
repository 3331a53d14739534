//! A compacted generation that is being made beside the data file, while others read and write that.
//!
//! It is loaded anew in the order of the keys, which fills its pages to the brim: LMDB's own compacting copy leaves out
//! unused pages only, and after many deletions those that are used are nearly empty. That is done in pieces, each of which
//! is committed and brought to the disk, so that neither memory nor a wait for the disk grows with the file.
//!
//! Nobody else knows of the file, so LMDB needs no lock file for it.

mod target;

use std::{io, ops::Bound};

pub(super) use self::target::CopyFile;
use self::target::{Target, failed};
#[cfg(test)]
use super::failpoint::Point;
use super::{
    Waiting,
    diff::{Change, Diff, entry_size},
    lmdb::Store,
    map::Mapping,
    page::{META_BYTES, META_PAGES, Meta, Tree},
    snapshot::{Snapshot, TreeCursor, read_trees},
    table::{Direction, ReadTables, Table},
    tree::Pages,
};
use crate::{
    error::{Error, Result},
    sync::Arc,
};

/// How many bytes of entries are written in one transaction, in tests few, so that they have several.
const PIECE: usize = if cfg!(test) { 256 << 10 } else { 16 << 20 };

/// How many changes are made between two questions whether to go on.
const STRIDE: u64 = 64;

/// How far a copy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The entries that were copied.
    pub(crate) copied: u64,
    /// The entries that there are.
    pub(crate) total: u64,
    /// Whether nothing is left to copy.
    pub(crate) is_complete: bool,
}

/// A compacted generation that is being made. Dropping it removes its file.
pub(crate) struct CompactCopy {
    target: Target,
    /// What it is, or becomes, a copy of.
    version: Snapshot,
    /// What is left to copy, the last first.
    todo: Vec<(Table, TreeCursor)>,
    progress: Progress,
    /// Whether a step failed, which leaves it open what the copy holds.
    is_broken: bool,
    /// Whether all of it is on the disk and was found to be whole.
    is_synced: bool,
}

impl CompactCopy {
    /// Begins a copy of a version, for one who has the right to vacuum.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: with `StorageFull` if the disk has no room for it, and as [`Store::check_swappable`];
    /// [`Error::Corrupted`]; that of `waiting`.
    pub(crate) fn begin(version: Snapshot, waiting: &mut Waiting<'_>) -> Result<Self> {
        let store = Arc::clone(version.store());
        let control = store.check_swappable(waiting)?;
        control.remove_copies().map_err(|error| failed(&store, error))?;
        let size = version.compacted_bytes()?;
        let target = Target::new(&store, control, size)?;
        let mut todo = Vec::new();
        let mut total = 0;
        for table in all_tables().rev() {
            todo.push((table, version.whole(table)?));
            total += version.len(table)?;
        }
        let progress = Progress { copied: 0, total, is_complete: false };
        let copy = Self { target, version, todo, progress, is_broken: false, is_synced: false };
        #[cfg(test)]
        copy.target.reach(Point::CopyBegun)?;
        Ok(copy)
    }

    /// Copies a few megabytes, to the disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Corrupted`]. After any error the copy can only be dropped.
    pub(crate) fn step(&mut self) -> Result<Progress> {
        self.attempt(Self::copy_piece)
    }

    /// Makes it a copy of a newer version, and says how many changes that took. `go_on` is asked now and then.
    ///
    /// # Errors
    ///
    /// As [`CompactCopy::step`]; [`Error::Transaction`] if it is not complete, or the version is older or one of another
    /// generation; that of `go_on`.
    pub(crate) fn catch_up(&mut self, newer: Snapshot, go_on: &mut dyn FnMut() -> Result<()>) -> Result<u64> {
        self.attempt(|copy| {
            copy.check_complete()?;
            let changes = copy.change(&newer, go_on)?;
            // Only now may pages of the older version be used again, which the comparison took to be unchanged.
            copy.version = newer;
            copy.is_synced &= changes == 0;
            Ok(changes)
        })
    }

    /// Waits until all of it is on the disk, and looks whether it is whole.
    ///
    /// # Errors
    ///
    /// As [`CompactCopy::step`]; [`Error::Transaction`] if it is not complete.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.attempt(|copy| {
            copy.check_complete()?;
            if copy.is_synced {
                return Ok(());
            }
            copy.repeat_commit()?;
            copy.target.sync()?;
            copy.verify()?;
            copy.is_synced = true;
            #[cfg(test)]
            copy.target.reach(Point::CopySynced)?;
            Ok(())
        })
    }

    /// The version that it is, or becomes, a copy of.
    pub(crate) fn version(&self) -> &Snapshot {
        &self.version
    }

    /// Ends all work on it, for one who gives its file a name.
    pub(super) fn close(self) -> Result<CopyFile> {
        if self.is_broken || !self.is_synced {
            return Err(Error::Transaction("only a copy that is whole and on the disk can replace the file"));
        }
        Ok(self.target.into_file())
    }

    /// Does something that leaves the copy unusable if it fails.
    fn attempt<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.target.is_inherited() {
            return Err(Store::inherited());
        }
        if self.is_broken {
            return Err(Error::Transaction("making the copy has failed; begin another one"));
        }
        self.is_broken = true;
        let done = act(self)?;
        self.is_broken = false;
        Ok(done)
    }

    fn check_complete(&self) -> Result<()> {
        if self.progress.is_complete {
            return Ok(());
        }
        Err(Error::Transaction("the copy is not complete"))
    }

    fn copy_piece(&mut self) -> Result<Progress> {
        let mut txn = self.target.begin()?;
        let mut bytes = 0;
        while bytes < PIECE
            && let Some((table, cursor)) = self.todo.last_mut()
        {
            let table = *table;
            match cursor.next(&self.version)? {
                Some(entry) => {
                    self.target.append(&mut txn, table, entry)?;
                    bytes += entry_size(entry);
                    self.progress.copied += 1;
                }
                None => drop(self.todo.pop()),
            }
        }
        self.progress.is_complete = self.todo.is_empty();
        self.target.commit(txn)?;
        self.target.sync_data()?;
        #[cfg(test)]
        if !self.progress.is_complete {
            self.target.reach(Point::CopyHalfDone)?;
        }
        Ok(self.progress)
    }

    fn change(&self, newer: &Snapshot, go_on: &mut dyn FnMut() -> Result<()>) -> Result<u64> {
        let mut todo: Vec<(Table, Diff<'_>)> = Vec::new();
        for table in all_tables().rev() {
            todo.push((table, self.version.changes_until(newer, table)?));
        }
        let page_size = newer.store().page_size();
        let mut changes = 0;
        while !todo.is_empty() {
            let mut txn = self.target.begin()?;
            let mut bytes = 0;
            while bytes < PIECE
                && let Some((table, diff)) = todo.last_mut()
            {
                if changes % STRIDE == 0 {
                    go_on()?;
                }
                let Some(change) = diff.next()? else {
                    todo.pop();
                    continue;
                };
                self.target.change(&mut txn, *table, change)?;
                // It may change a page of its own, which is in memory until the commit.
                bytes += change.size().max(page_size);
                changes += 1;
            }
            if bytes > 0 {
                self.target.commit(txn)?;
                self.target.sync_data()?;
            }
        }
        Ok(changes)
    }

    /// Commits once more without a change, so that the older meta page, which LMDB goes back to when a write of the newer
    /// one was torn, has the whole map too.
    fn repeat_commit(&self) -> Result<()> {
        let mut txn = self.target.begin()?;
        let Some((key, value)) = self.version.seek(Table::Header, Bound::Unbounded, Direction::Forward)?
        else {
            return Err(Error::corrupted("the header is missing"));
        };
        self.target.change(&mut txn, Table::Header, Change::Put(key, value))?;
        self.target.commit(txn)
    }

    /// Reads what the file says of itself by both its meta pages, and compares it with what was copied.
    #[expect(unsafe_code, reason = "the pages are read as those of the data file are")]
    fn verify(&self) -> Result<()> {
        let store = self.version.store();
        let page_size = store.page_size();
        let len = self.target.file().metadata().map_err(|error| self.target.failed(error))?.len() as usize;
        let mapping = Mapping::new(self.target.file(), len).map_err(|error| self.target.failed(error))?;
        // SAFETY: the file has these pages, and is changed only by `self`, which is borrowed.
        let pages = unsafe { Pages::new(mapping.base(), (len / page_size) as u64, page_size) };
        let mut expected = [0; Table::COUNT];
        for table in all_tables() {
            expected[table.place()] = self.version.len(table)?;
        }
        expected[Table::Header.place()] += Table::NAMED.len() as u64;
        let mut found = [None; META_PAGES as usize];
        for (number, found) in found.iter_mut().enumerate() {
            let meta = pages.bytes(number as u64, META_BYTES).and_then(|bytes| bytes.first_chunk());
            let meta = Meta::parse(meta.ok_or_else(|| self.unfaithful("it has no meta pages"))?)?;
            let trees = read_trees(pages, &meta)?;
            if meta.page_size as usize != page_size || trees.map(|tree: Tree| tree.entries) != expected {
                return Err(self.unfaithful("it has other entries than what was copied"));
            }
            *found = Some(meta.txn_id);
        }
        match found {
            [Some(first), Some(second)] if first.abs_diff(second) == 1 => Ok(()),
            _ => Err(self.unfaithful("its meta pages don't follow each other")),
        }
    }

    fn unfaithful(&self, what: &str) -> Error {
        self.target.failed(io::Error::other(format!("the copy is wrong: {what}; nothing was changed")))
    }
}

fn all_tables() -> impl DoubleEndedIterator<Item = Table> {
    [Table::Header].into_iter().chain(Table::NAMED)
}
