//! The data file: tables of bytes in versions that are committed as a whole.
//!
//! LMDB writes, locks and keeps the table of readers; this is the only module that names it. Committed
//! versions are read by a walker of our own through a mapping of our own, every offset checked, so that a
//! damaged file gives an error and LMDB's mapping can be resized under live snapshots.
//!
//! `table` is the seam that the layers above use. `page`, `tree` and `free` read the file's format, `places`
//! remembers where entries are, `map` holds the file in memory, `snapshot` and `writer` are the two kinds of transactions on a `lmdb::Store`, one generation of
//! the file, which `open` opens after `examine` has found it to be ours. `generations` finds the current one, which
//! `control` tells, with who may write. For a vacuum, `copy` makes a compacted generation, which `diff` lets catch up with
//! the writers, and `swap` makes it the current one.

mod control;
mod copy;
mod diff;
mod estimate;
mod examine;
#[cfg(test)]
mod failpoint;
mod fault;
mod fork;
mod free;
mod generations;
mod lmdb;
mod lock;
mod map;
#[cfg(test)]
mod memory;
mod newest;
mod open;
mod page;
mod places;
mod reader_table;
mod snapshot;
mod swap;
mod table;
mod tree;
mod writer;

#[cfg(test)]
mod tests;

use std::{fs::Metadata, os::unix::fs::MetadataExt, time::Duration};

use crate::error::Result;

/// What tells a file apart from all others that exist: its device and inode.
type Identity = (u64, u64);

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// Says for how long to wait before the next attempt, or why to give up.
pub(crate) type Waiting<'a> = dyn FnMut() -> Result<Duration> + 'a;

pub(crate) use self::copy::CompactCopy;
#[cfg(test)]
pub(crate) use self::memory::MemoryTables;
pub(crate) use self::{
    control::Holder,
    fork::{HomeProcess, PerProcess, generation as fork_generation, hold_off as hold_off_forks},
    generations::Generations,
    lmdb::{Store, StoreStats, VACUUM_THREAD, WriteKind},
    newest::Newest,
    open::StoreOptions,
    snapshot::{Snapshot, TreeCursor},
    table::{Direction, Entry, ReadTables, Run, Table, WriteTables},
    writer::Writer,
};
pub use self::{
    reader_table::{HeldBack, Reader},
    snapshot::Location,
};
