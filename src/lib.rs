//! A transactional object database: a dict on disk whose values are whole object graphs.
//!
//! This is the engine, without Python. An [`Environment`] is an opened map; a [`ReadTransaction`] is one committed
//! version of it, from whose mapped pages values are borrowed; a [`WriteTransaction`] changes it, all or nothing.
//! `docs/design.md` says how it works and `docs/file-format.md` what is on the disk.

#![deny(unsafe_code)]

mod coord;
mod environment;
mod error;
mod format;
mod load;
mod object;
mod options;
#[expect(
    unsafe_code,
    reason = "LMDB's flags, memory that the file is mapped to, and file locks have no safe interface"
)]
mod store;
mod sync;
mod txn;
mod vacuum;

pub use environment::{Environment, Stats, flush_all, settle_all};
pub use error::{Error, Result};
pub use format::{
    builder::{Block, Draft, Role, ValueBuilder},
    key::{Key, KeyBytes, MAX_DEPTH, encode_bytes, encode_int, encode_str},
    name::Name,
    record::{Checked, Container, ContainerKind, Node, ObjectId, RecordView, Reference, Text, Uniform},
    scalar::{Scalar, bytes_int, int_bytes},
    temporal::{Date, Time, Zone},
    word::{Tag, Word},
};
pub use load::{
    sorter::{SortedEntries, Sorter},
    store::Tell,
    text::{TextFormat, TextSource},
    waiting::Waiting,
};
pub use object::{
    check::Problem,
    container::{ContainerView, Element, Hold, Keep, Members, ReadObjects, Reader, Run, RunElements, Tables},
    entry_ref::EntryRef,
    held::Held,
    long::Long,
    moment::Moment,
    read_transaction::{ReadTransaction, Scan},
    scope::{Scope, Stored, find},
    shared_transaction::{Copied, SharedScan},
    value::Value,
    value_ref::{ContainerRef, LeafRef, ValueRef},
    write_transaction::{WriteScope, WriteTransaction},
};
pub use options::{Durability, Options};
pub use store::{HeldBack, Location, Reader as ReaderSlot};
pub use txn::{
    change::{Change, Position, Stamp},
    core::Resized,
    deferred::Room,
    entry::EntryKey,
    patience::Patience,
    scan::Span,
    shared_write::SharedWrite,
};
pub use vacuum::{
    report::{VacuumProgress, VacuumStep, Vacuumed},
    worker::Vacuum,
};
