//! Texts that are stored once for all: names that became symbols, and long values that repeat.

use xxhash_rust::xxh3::xxh3_64;

use super::WriteState;
use crate::{
    error::{Error, Result},
    format::{
        builder::{LONG, Placement},
        copy::Names,
        frame::{Frame, Kind},
        name::Name,
    },
    store::{ReadTables, Table, WriteTables},
    sync::Arc,
    txn::{
        changes::Changes,
        memory::{Memory, SYMBOLS},
    },
};

/// Values from this size on, in bytes, always go to the shared table, so that what holds them stays small.
const SHARED_FROM: usize = 64 * 1024;

/// The names of symbols, at some moment of a write transaction.
#[derive(Clone, Debug)]
pub(crate) struct SymbolNames {
    pub(super) memory: Arc<Memory>,
    pub(super) first_name: u32,
    pub(super) names: Arc<Vec<Arc<str>>>,
}

impl Names for SymbolNames {
    fn name(&self, symbol: u32) -> Result<Arc<str>> {
        match symbol.checked_sub(self.first_name) {
            Some(new) => self.names.get(new as usize).cloned(),
            None => self.memory.name(symbol),
        }
        .ok_or_else(|| Error::corrupted(format!("symbol {symbol} is missing")))
    }
}

/// Places one draft.
pub(in crate::txn) struct Placing<'a, T> {
    pub(in crate::txn) state: &'a mut WriteState<T>,
}

impl<T: WriteTables> Placement for Placing<'_, T> {
    fn symbol(&mut self, name: &str) -> Result<Option<u32>> {
        match self.state.known_symbol(name) {
            Some(symbol) => Ok(Some(symbol)),
            None => self.state.new_symbol(name),
        }
    }

    #[inline]
    fn named(&mut self, name: Name) -> Result<Option<u32>> {
        if let Some(symbol) = self.existing_symbol(name) {
            return Ok(Some(symbol));
        }
        let symbol = self.state.new_symbol(name.text())?;
        if let Some(symbol) = symbol {
            self.state.note_named(name, symbol);
        }
        Ok(symbol)
    }

    #[inline]
    fn existing_symbol(&mut self, name: Name) -> Option<u32> {
        if let Some(Some(symbol)) = self.state.named.get(name.number() as usize) {
            return Some(*symbol);
        }
        let symbol = self.state.known_symbol(name.text())?;
        self.state.note_named(name, symbol);
        Some(symbol)
    }

    fn share(&mut self, encoded: &[u8]) -> Result<Option<u64>> {
        if !may_be_shared(encoded) {
            return Ok(None);
        }
        let state = &mut *self.state;
        let hash = hash(encoded);
        let mut id = shared_hash(hash);
        loop {
            match state.tables.get(Table::Shared, &id.to_be_bytes())? {
                Some(stored) if Frame::decode(stored)?.payload == encoded => break,
                Some(_) => id = id.wrapping_add(1),
                None => {
                    if encoded.len() < SHARED_FROM && !state.memory.seen.lock().again(hash) {
                        return Ok(None);
                    }
                    let frame = Frame::new(Kind::Scalar, encoded);
                    state.write(Table::Shared, &id.to_be_bytes(), &frame.encode())?;
                    break;
                }
            }
        }
        // Goes away with the commit unless an entry comes to name it.
        state.claim(id, 0);
        Ok(Some(id))
    }

    fn record_id(&mut self) -> u64 {
        self.state.new_record()
    }
}

impl<T: WriteTables> WriteState<T> {
    /// The symbol of a name that has none yet, when it is to have one.
    fn new_symbol(&mut self, name: &str) -> Result<Option<u32>> {
        let symbol = self.header.symbols;
        if symbol >= SYMBOLS || !self.memory.seen.lock().again(hash(name.as_bytes())) {
            return Ok(None);
        }
        self.write(Table::Symbols, &symbol.to_be_bytes(), name.as_bytes())?;
        self.header.symbols += 1;
        let name: Arc<str> = name.into();
        Arc::make_mut(&mut self.names).push(Arc::clone(&name));
        self.name_ids.insert(name, symbol);
        Ok(Some(symbol))
    }

    fn note_named(&mut self, name: Name, symbol: u32) {
        let number = name.number() as usize;
        if self.named.len() <= number {
            self.named.resize(number + 1, None);
        }
        self.named[number] = Some(symbol);
    }
}

/// Whether an encoded leaf may come to stand in the shared table.
#[inline]
pub(super) fn may_be_shared(encoded: &[u8]) -> bool {
    encoded.len() >= LONG
}

/// The id of a shared value, from the payload that names it.
pub(crate) fn shared_id(payload: &[u8]) -> Result<u64> {
    payload
        .try_into()
        .map(u64::from_le_bytes)
        .map_err(|_| Error::corrupted("the id of a shared value is not 8 bytes"))
}

/// A shared value, encoded as a scalar.
pub(crate) fn shared_value(tables: &impl ReadTables, id: u64) -> Result<&[u8]> {
    let stored = tables
        .get(Table::Shared, &id.to_be_bytes())?
        .ok_or_else(|| Error::corrupted(format!("shared value {id:016x} is missing")))?;
    match Frame::decode(stored)? {
        Frame { kind: Kind::Scalar, form: None, payload, .. } => Ok(payload),
        _ => Err(Error::corrupted(format!("shared value {id:016x} is no leaf"))),
    }
}

/// Where the count of a shared value stands.
pub(super) fn count_key(id: u64) -> [u8; 9] {
    let mut key = [1; 9];
    key[..8].copy_from_slice(&id.to_be_bytes());
    key
}

fn hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Where a value's search in the shared table starts; the engine's own tests make all values collide.
fn shared_hash(hash: u64) -> u64 {
    if cfg!(test) { hash & 1 } else { hash }
}
