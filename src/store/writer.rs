//! A write transaction.

use std::{fmt, ops::Bound, ptr};

use heed::{Database, Env, MdbError, PutFlags, RwTxn, WithoutTls, types::Bytes};

use super::{
    fault::name_full_disk,
    fork::Own,
    lmdb::{Store, WriteKind},
    page::{leaf_node, leaf_room},
    table::{Direction, Entry, ReadTables, Run, Table, WriteTables},
};
use crate::{
    error::{Error, Result},
    options::Durability,
    sync::{Arc, Ordering},
};

/// How often to begin again after another process has made the file grow.
const ATTEMPTS: u32 = 32;

/// The longest key that LMDB takes.
const KEY_LIMIT: usize = 511;

/// LMDB writes a value in one call, which the system cuts short beyond this.
const VALUE_LIMIT: usize = (1 << 31) - (64 << 10);

/// The one write transaction of this process. Dropping it aborts it.
///
/// LMDB locks a mutex of the thread, so the thread that began the transaction must also commit, abort or drop
/// it; what happens in between may happen on any thread, one at a time. Whoever uses this keeps to that.
pub(crate) struct Writer {
    // Before the turn, whose store it points into.
    txn: Own<RwTxn<'static>>,
    turn: Turn,
}

/// The right of one writer in this process.
struct Turn(Arc<Store>);

impl Turn {
    fn take(store: &Arc<Store>) -> Result<Self> {
        if store.writing().swap(true, Ordering::AcqRel) {
            return Err(Error::Transaction("this process is writing to the map already"));
        }
        Ok(Self(Arc::clone(store)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.writing().store(false, Ordering::Release);
    }
}

impl Writer {
    pub(super) fn begin(store: &Arc<Store>, kind: WriteKind, max_size: Option<u64>) -> Result<Self> {
        if store.environment().readonly {
            return Err(Error::ReadOnly("the data file"));
        }
        let turn = Turn::take(store)?;
        for _ in 0..ATTEMPTS {
            store.fit_lmdb_map(kind, max_size)?;
            let begun = store.with_lmdb_map(|env| {
                let env: *const Env<WithoutTls> = ptr::from_ref(env);
                // SAFETY: the environment lies in the heap block of the `Arc<Store>` that `turn` holds. The
                // transaction and `turn` become fields of one `Writer`, which drops the transaction first, or
                // the transaction is dropped on the way there, before `turn`.
                let env: &'static Env<WithoutTls> = unsafe { &*env };
                env.write_txn()
            })?;
            match begun {
                Ok(txn) => return Ok(Self { txn: Own::new(txn), turn }),
                Err(heed::Error::Mdb(MdbError::MapResized)) => {}
                Err(error) => return Err(store.fault(error, "beginning to write")),
            }
        }
        Err(store.fault(MdbError::MapResized.into(), "beginning to write"))
    }

    /// Makes the changes the newest version.
    ///
    /// # Errors
    ///
    /// [`Error::MapFull`], [`Error::Io`], [`Error::Transaction`] after a change that failed: nothing was
    /// changed. [`Error::CommitOutcomeUnknown`]: only a store that is opened anew can tell, and this one
    /// writes no more.
    pub(crate) fn commit(self, durability: Durability) -> Result<()> {
        let Self { txn, turn } = self;
        let store = &turn.0;
        let txn = txn.take().ok_or_else(Store::inherited)?;
        store.set_meta_sync(durability != Durability::NoMetaSync)?;
        let Err(error) = txn.commit() else {
            return Ok(());
        };
        let heed::Error::Io(source) = error else {
            return Err(store.fault(error, "committing to"));
        };
        let source = name_full_disk(source, store.file());
        // LMDB gives itself up if it was the meta page that could not be written, and shows that to the next
        // reader.
        match store.begin_read() {
            Err(Error::CommitOutcomeUnknown(_)) => return Err(Error::CommitOutcomeUnknown(source)),
            Ok(slot) => store.let_go(slot),
            Err(_) => {}
        }
        Err(Error::io(format!("committing to {}", store.path().display()), source))
    }

    /// Forgets the changes.
    pub(crate) fn abort(self) {
        if let Some(txn) = self.txn.take() {
            txn.abort();
        }
    }

    /// The store that is written to.
    pub(super) fn store(&self) -> &Arc<Store> {
        &self.turn.0
    }

    fn table(&self, table: Table) -> Database<'static, Bytes, Bytes> {
        self.store().environment().table(table)
    }

    /// How many leaves a table has.
    pub(super) fn leaves(&self, table: Table) -> Result<usize> {
        let stat = self.table(table).stat(&self.txn).map_err(|error| self.read_fault(error))?;
        Ok(stat.leaf_pages)
    }

    #[cold]
    fn read_fault(&self, error: heed::Error) -> Error {
        self.store().fault(error, "reading")
    }

    #[cold]
    fn write_fault(&self, error: heed::Error) -> Error {
        self.store().fault(error, "writing to")
    }

    fn seek_any(&self, table: Table, from: Bound<&[u8]>, direction: Direction) -> Result<Option<Entry<'_>>> {
        let (tree, txn) = (self.table(table), &self.txn);
        match (direction, from) {
            // LMDB has no empty keys and does not take one as a place either; all keys lie behind it.
            (Direction::Forward, Bound::Unbounded | Bound::Included([]) | Bound::Excluded([])) => {
                tree.first(txn)
            }
            (Direction::Forward, Bound::Included(key)) => tree.get_greater_than_or_equal_to(txn, key),
            (Direction::Forward, Bound::Excluded(key)) => tree.get_greater_than(txn, key),
            (Direction::Backward, Bound::Unbounded) => tree.last(txn),
            (Direction::Backward, Bound::Included([]) | Bound::Excluded([])) => Ok(None),
            (Direction::Backward, Bound::Included(key)) => tree.get_lower_than_or_equal_to(txn, key),
            (Direction::Backward, Bound::Excluded(key)) => tree.get_lower_than(txn, key),
        }
        .map_err(|error| self.read_fault(error))
    }
}

impl ReadTables for Writer {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<&[u8]>> {
        if key.is_empty() || key.len() > KEY_LIMIT || table.is_reserved(key) {
            return Ok(None);
        }
        self.table(table).get(&self.txn, key).map_err(|error| self.read_fault(error))
    }

    fn len(&self, table: Table) -> Result<u64> {
        let len = self.table(table).len(&self.txn).map_err(|error| self.read_fault(error))?;
        let records = if table == Table::Header { Table::NAMED.len() as u64 } else { 0 };
        Ok(len.saturating_sub(records))
    }

    fn seek(&self, table: Table, from: Bound<&[u8]>, direction: Direction) -> Result<Option<Entry<'_>>> {
        let mut found = self.seek_any(table, from, direction)?;
        while let Some((key, _)) = found
            && table.is_reserved(key)
        {
            found = self.seek_any(table, Bound::Excluded(key), direction)?;
        }
        Ok(found)
    }
}

/// Refuses what LMDB would not store, or not completely.
fn check_entry(table: Table, key: &[u8], value: &[u8]) -> Result<()> {
    if key.is_empty() || key.len() > KEY_LIMIT {
        return Err(Error::TooLarge(format!(
            "a key has {} bytes; the file takes 1 to {KEY_LIMIT}",
            key.len()
        )));
    }
    if value.len() > VALUE_LIMIT {
        return Err(Error::TooLarge(format!(
            "a value has {} bytes; the file takes {VALUE_LIMIT}",
            value.len()
        )));
    }
    check_key(table, key)
}

/// Refuses the keys under which the header table holds the other tables.
fn check_key(table: Table, key: &[u8]) -> Result<()> {
    if table.is_reserved(key) {
        return Err(Error::InvalidKey(format!(
            "{:?} is the name of a table and can't be a key of the header",
            String::from_utf8_lossy(key)
        )));
    }
    Ok(())
}

impl WriteTables for Writer {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        check_entry(table, key, value)?;
        self.table(table).put(&mut self.txn, key, value).map_err(|error| self.write_fault(error))
    }

    fn put_new(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
        check_entry(table, key, value)?;
        match self.table(table).get_or_put(&mut self.txn, key, value) {
            // heed gives the bytes the lifetime of the key, and they only last until the next change: copy
            // them at once.
            Ok(existing) => Ok(existing.map(<[u8]>::to_vec)),
            Err(error) => Err(self.write_fault(error)),
        }
    }

    fn append(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<bool> {
        check_entry(table, key, value)?;
        match self.table(table).put_with_flags(&mut self.txn, PutFlags::APPEND, key, value) {
            Ok(()) => Ok(true),
            Err(heed::Error::Mdb(MdbError::KeyExist)) => Ok(false),
            Err(error) => Err(self.write_fault(error)),
        }
    }

    /// LMDB goes down to the last leaf for each entry that it is told to append. A cursor that stands there spares that, but
    /// without being told LMDB splits a full leaf in the middle; so it is told whenever the leaf is full, for which the first
    /// entries are appended until one begins a leaf of its own.
    fn append_run(&mut self, table: Table, run: &mut impl Run) -> Result<()> {
        let page_size = self.store().page_size();
        let mut room = loop {
            let leaves = self.leaves(table)?;
            let Some((key, value)) = run.entry() else { return Ok(()) };
            let node = leaf_node(page_size, key, value);
            if !self.append(table, key, value)? {
                return Ok(());
            }
            run.advance();
            if self.leaves(table)? > leaves {
                break leaf_room(page_size) - node;
            }
        };
        let Self { txn, turn: Turn(store) } = self;
        let fault = |error| store.fault(error, "writing to");
        let mut cursor = store.environment().table(table).iter_mut(txn).map_err(fault)?;
        while let Some((key, value)) = run.entry() {
            check_entry(table, key, value)?;
            let node = leaf_node(page_size, key, value);
            let (flags, left) = match room.checked_sub(node) {
                Some(left) => (PutFlags::NO_OVERWRITE, left),
                None => (PutFlags::APPEND, leaf_room(page_size) - node),
            };
            // SAFETY: key and value are none of this transaction's, which is borrowed mutably for as long as the cursor
            // lives, and nothing else that was read from it.
            let put = unsafe { cursor.put_current_with_options::<Bytes>(flags, key, value) };
            match put {
                Ok(()) => {}
                Err(heed::Error::Mdb(MdbError::KeyExist)) => return Ok(()),
                Err(error) => return Err(fault(error)),
            }
            room = left;
            run.advance();
        }
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool> {
        if key.is_empty() || key.len() > KEY_LIMIT || table.is_reserved(key) {
            return Ok(false);
        }
        self.table(table).delete(&mut self.txn, key).map_err(|error| self.write_fault(error))
    }

    fn clear(&mut self, table: Table) -> Result<()> {
        if table == Table::Header {
            return Err(Error::Transaction("the header can't be cleared; it holds the other tables"));
        }
        self.table(table).clear(&mut self.txn).map_err(|error| self.write_fault(error))
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("path", &self.store().path()).finish_non_exhaustive()
    }
}
