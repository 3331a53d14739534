//! The generations of a data file: a vacuum, maybe of another process, puts a compacted one in its place.

use std::path::Path;

use super::{
    Identity, Waiting, fork,
    lmdb::{Store, WriteKind},
    open::{StoreOptions, briefly},
    page::META_BYTES,
    snapshot::Snapshot,
    writer::Writer,
};
use crate::{
    coord::generation::enter,
    error::{Error, Result},
    sync::{Arc, Mutex, RwLock},
};

/// A map's data file, whichever generation of it is the current one.
#[derive(Debug)]
pub(crate) struct Generations {
    current: RwLock<Arc<Store>>,
    /// Held by the one who looks for the current one.
    refreshing: Mutex<()>,
    /// Of the process that opened the file.
    fork: u64,
}

impl Generations {
    /// Opens a data file, or makes one.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub(crate) fn open(path: &Path, options: &StoreOptions, waiting: &mut Waiting<'_>) -> Result<Self> {
        let store = Store::open(path, options, waiting)?;
        Ok(Self { current: RwLock::new(store), refreshing: Mutex::new(()), fork: fork::generation() })
    }

    /// Whether this process is a fork of the one that opened the file.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.fork != fork::generation()
    }

    /// Whether a path leads to this file.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        self.current().is_at(path)
    }

    /// Whether these are the same file.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.current().is_same(&other.current())
    }

    /// The generation that was the current one a moment ago.
    pub(crate) fn current(&self) -> Arc<Store> {
        Arc::clone(&self.current.read())
    }

    /// Pins the newest version.
    ///
    /// # Errors
    ///
    /// As [`Store::snapshot`] and [`Store::open`].
    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        self.enter(Store::snapshot)
    }

    /// Pins a version of a file that a meta page describes, as long as someone else has it pinned.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotExpired`]; as [`Store::snapshot`] and [`Store::open`].
    pub(crate) fn follow(&self, identity: Identity, meta_page: [u8; META_BYTES]) -> Result<Snapshot> {
        if !self.current().is_current() {
            self.refresh()?;
        }
        let store = self.current();
        if store.identity() != identity {
            return Err(Error::SnapshotExpired);
        }
        Snapshot::follow(&store, meta_page)
    }

    /// Begins to write, for one who has the right to.
    ///
    /// # Errors
    ///
    /// As [`Store::begin_write`] and [`Store::open`].
    pub(crate) fn begin_write(&self, kind: WriteKind, max_size: Option<u64>) -> Result<Writer> {
        self.enter(|store| store.begin_write(kind, max_size))
    }

    fn enter<T>(&self, begin: impl FnMut(&Arc<Store>) -> Result<T>) -> Result<T> {
        let first = self.current();
        let current = || {
            let store = self.current();
            let seen = store.seen();
            (store, seen)
        };
        enter(first.sequence(), current, begin, || self.refresh()).map(|(_, begun)| begun)
    }

    /// Looks for the current generation, when this is not it any more.
    fn refresh(&self) -> Result<()> {
        let _refreshing = self.refreshing.lock();
        let known = self.current();
        if known.is_current() {
            return Ok(());
        }
        let fresh = known.reopen(&mut briefly())?;
        let old = std::mem::replace(&mut *self.current.write(), fresh);
        drop(old);
        Ok(())
    }
}
