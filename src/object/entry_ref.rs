//! An entry of the map, borrowed.

use super::scope::{Stored, open};
use crate::{
    error::Result,
    format::{
        frame::Frame,
        key::{Key, KeyBytes},
    },
    store::ReadTables,
    txn::entry,
};

/// An entry, borrowed from where it lies.
#[derive(Clone, Copy, Debug)]
pub struct EntryRef<'t> {
    table_key: &'t [u8],
    pub(crate) frame: Frame<'t>,
}

impl<'t> EntryRef<'t> {
    pub(crate) fn new(table_key: &'t [u8], value: &'t [u8]) -> Result<Self> {
        Ok(Self { table_key, frame: Frame::decode(value)? })
    }

    /// The key, as it was first given.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is damaged.
    pub fn key(&self) -> Result<Key<'t>> {
        entry::decode_key(self.table_key, &self.frame)
    }

    /// The ordered bytes of the key.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is damaged.
    pub fn ordered(&self) -> Result<KeyBytes> {
        entry::ordered_of_frame(self.table_key, &self.frame)
    }

    /// The key's text, when it is one that can be borrowed as it lies; not checked to be UTF-8.
    pub fn key_text(&self) -> Option<&'t [u8]> {
        match self.frame.form {
            None if crate::format::key::is_str(self.table_key) => self.table_key.get(1..),
            _ => None,
        }
    }

    pub(crate) fn open(&self, tables: &'t impl ReadTables) -> Result<Stored<'t>> {
        open(tables, &self.frame)
    }
}
