//! An LMDB environment with all that has to be closed in order.

use heed::{Database, Env, WithoutTls, types::Bytes};

use super::{
    super::{
        Identity,
        fork::{self, Own},
        open::opened,
        reader_table::ReaderTable,
        table::Table,
    },
    Tables,
};
use crate::sync::Arc;

/// An LMDB environment with what must not be closed before it.
pub(in super::super) struct Environment {
    /// Empty only while it is dropped.
    env: Option<Own<Env<WithoutTls>>>,
    // Closing our descriptor of the lock file drops the locks of LMDB's, so it comes later.
    pub(super) reader_table: Option<Arc<ReaderTable>>,
    tables: Option<Tables>,
    /// Whether LMDB was told to write nothing, because we may not.
    pub(in super::super) readonly: bool,
    /// Whether there is no other name under which a fork of this process could open the file.
    has_one_name: bool,
}

impl Environment {
    pub(in super::super) fn new(env: Env<WithoutTls>, readonly: bool, has_one_name: bool) -> Self {
        Self { env: Some(Own::new(env)), reader_table: None, tables: None, readonly, has_one_name }
    }

    pub(in super::super) fn complete(&mut self, tables: Tables, reader_table: Option<Arc<ReaderTable>>) {
        self.tables = Some(tables);
        self.reader_table = reader_table;
    }

    pub(in super::super) fn env(&self) -> &Env<WithoutTls> {
        self.env.as_ref().expect("it is there until it is dropped")
    }

    pub(in super::super) fn table(&self, table: Table) -> Database<'static, Bytes, Bytes> {
        self.tables.as_ref().expect("it is complete before a store has it")[table.place()]
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        let _whole = fork::hold_off();
        let env = self.env.take();
        if self.has_one_name {
            // The child can't have opened it itself, and only can when this one is closed.
            drop(env.and_then(Own::take_inherited));
        } else {
            // A child leaves it alone: closing it would drop the locks of one that the child has opened itself.
            drop(env);
        }
    }
}

/// Says that a file is no longer open in this process, when all of it is closed.
pub(in super::super) struct Registration {
    pub(super) identity: Identity,
    generation: u64,
}

impl Registration {
    pub(in super::super) fn new(identity: Identity) -> Self {
        Self { identity, generation: fork::generation() }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.generation == fork::generation() {
            opened().gone(&self.identity);
        }
    }
}
