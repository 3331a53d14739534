//! Tables in memory that count what is asked of them, for the tests of the layers above.

use std::{cell::Cell, collections::BTreeMap, ops::Bound};

use super::{Direction, ReadTables, Table, WriteTables, table::Entry};
use crate::error::Result;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// How often something was done, for each table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counter([Cell<u64>; Table::COUNT]);

impl Counter {
    fn note(&self, table: Table) {
        let times = &self.0[table.place()];
        times.set(times.get() + 1);
    }
}

/// Tables in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryTables {
    tables: [Rows; Table::COUNT],
    gets: Counter,
    puts: Counter,
}

impl MemoryTables {
    /// Tables of which only the header has something.
    pub(crate) fn new(header_key: &[u8], header: &[u8]) -> Self {
        let mut new = Self::default();
        new.tables[Table::Header.place()].insert(header_key.to_vec(), header.to_vec());
        new
    }

    /// All that a table holds.
    pub(crate) fn rows(&self, table: Table) -> &Rows {
        &self.tables[table.place()]
    }

    /// How many single look-ups a table had.
    pub(crate) fn gets(&self, table: Table) -> u64 {
        self.gets.0[table.place()].get()
    }

    /// How many single values were stored in a table.
    pub(crate) fn puts(&self, table: Table) -> u64 {
        self.puts.0[table.place()].get()
    }
}

impl ReadTables for MemoryTables {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<&[u8]>> {
        self.gets.note(table);
        Ok(self.rows(table).get(key).map(Vec::as_slice))
    }

    fn len(&self, table: Table) -> Result<u64> {
        Ok(self.rows(table).len() as u64)
    }

    fn seek(&self, table: Table, from: Bound<&[u8]>, direction: Direction) -> Result<Option<Entry<'_>>> {
        let rows = self.rows(table);
        let found = match direction {
            Direction::Forward => rows.range::<[u8], _>((from, Bound::Unbounded)).next(),
            Direction::Backward => rows.range::<[u8], _>((Bound::Unbounded, from)).next_back(),
        };
        Ok(found.map(|(key, value)| (key.as_slice(), value.as_slice())))
    }
}

impl WriteTables for MemoryTables {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        assert!((1..=511).contains(&key.len()), "a key of {} bytes", key.len());
        self.puts.note(table);
        self.tables[table.place()].insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn put_new(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some(old) = self.rows(table).get(key) {
            return Ok(Some(old.clone()));
        }
        self.put(table, key, value)?;
        Ok(None)
    }

    fn append(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<bool> {
        if self.rows(table).keys().next_back().is_some_and(|last| last.as_slice() >= key) {
            return Ok(false);
        }
        self.put(table, key, value)?;
        Ok(true)
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool> {
        Ok(self.tables[table.place()].remove(key).is_some())
    }

    fn clear(&mut self, table: Table) -> Result<()> {
        self.tables[table.place()].clear();
        Ok(())
    }
}
