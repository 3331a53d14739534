//! Changes of tables that can be taken back.

use crate::{
    error::Result,
    store::{ReadTables, Table},
};

/// Tables whose changes are remembered, and counted where they name other things.
pub(crate) trait Changes: ReadTables {
    /// Stores a value, over the one that the key has.
    ///
    /// # Errors
    ///
    /// Those of [`WriteTables::put`](crate::store::WriteTables::put).
    fn write(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()>;

    /// Deletes an entry that is there.
    ///
    /// # Errors
    ///
    /// Those of [`WriteTables::delete`](crate::store::WriteTables::delete).
    fn erase(&mut self, table: Table, key: &[u8]) -> Result<()>;
}

#[cfg(test)]
impl Changes for crate::store::MemoryTables {
    fn write(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        crate::store::WriteTables::put(self, table, key, value)
    }

    fn erase(&mut self, table: Table, key: &[u8]) -> Result<()> {
        crate::store::WriteTables::delete(self, table, key).map(|_| ())
    }
}
