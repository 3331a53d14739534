//! What a process remembers of a map between transactions: its symbols, and which texts it saw of late.

use std::collections::HashMap;

use super::live::Live;
use crate::{
    error::{Error, Result},
    format::header::Header,
    store::{ReadTables, Table, hold_off_forks},
    sync::{Arc, AtomicBool, Mutex, Ordering, RwLock},
};

/// How many symbols a map may have; they all stay in memory.
pub(crate) const SYMBOLS: u32 = 1 << 16;

/// Remembered across the transactions of one map.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    symbols: RwLock<Symbols>,
    /// Hashes of texts that were written of late.
    pub(crate) seen: Mutex<Seen>,
    /// The objects that have handles.
    pub(crate) live: Live,
    /// Whether so much was deleted, as a commit of this process has found, that a vacuum is to begin.
    vacuum_due: AtomicBool,
}

#[derive(Debug, Default)]
struct Symbols {
    ids: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Memory {
    /// Makes sure that all symbols of a version are known; they are never changed or taken back once committed.
    pub(crate) fn learn(&self, tables: &impl ReadTables, header: &Header) -> Result<()> {
        let known = self.symbols.read().names.len() as u32;
        if known >= header.symbols {
            return Ok(());
        }
        let names = (known..header.symbols).map(|id| stored_symbol(tables, id).map(Arc::from));
        self.adopt(known, &names.collect::<Result<Vec<_>>>()?);
        Ok(())
    }

    /// Notes whether a vacuum is to begin.
    pub(crate) fn note_vacuum_due(&self, is_due: bool) {
        self.vacuum_due.store(is_due, Ordering::Relaxed);
    }

    /// Whether a vacuum is to begin; told once for each commit.
    pub(crate) fn take_vacuum_due(&self) -> bool {
        self.vacuum_due.load(Ordering::Relaxed) && self.vacuum_due.swap(false, Ordering::Relaxed)
    }

    /// The symbol of a name.
    pub(crate) fn symbol(&self, name: &str) -> Option<u32> {
        self.symbols.read().ids.get(name).copied()
    }

    /// The name of a symbol.
    pub(crate) fn name(&self, symbol: u32) -> Option<Arc<str>> {
        self.symbols.read().names.get(symbol as usize).cloned()
    }

    /// Takes over symbols that are committed, the first of which has this id.
    pub(crate) fn adopt(&self, first: u32, names: &[Arc<str>]) {
        if names.is_empty() {
            return;
        }
        // A fork reads the symbols of the snapshots that it inherits, and would wait for ever for a thread that it does not have.
        let _whole = hold_off_forks();
        let mut symbols = self.symbols.write();
        // Others may have learnt them from the committed version already, or not even the ones before.
        let known = symbols.names.len();
        if let Some(fresh) = known.checked_sub(first as usize).and_then(|skip| names.get(skip..)) {
            for name in fresh {
                let id = symbols.names.len() as u32;
                symbols.ids.insert(Arc::clone(name), id);
                symbols.names.push(Arc::clone(name));
            }
        }
    }
}

/// The name of a symbol, as a version has it.
pub(crate) fn stored_symbol(tables: &impl ReadTables, symbol: u32) -> Result<&str> {
    let name = tables
        .get(Table::Symbols, &symbol.to_be_bytes())?
        .ok_or_else(|| Error::corrupted(format!("symbol {symbol} is missing")))?;
    std::str::from_utf8(name).map_err(|_| Error::corrupted(format!("symbol {symbol} is not text")))
}

/// A small, forgetful set of hashes.
///
/// Forgetting, or taking one text for another, costs a little space and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Seen(Vec<u64>);

impl Seen {
    const SIZE: usize = 1 << 16;

    /// Whether the hash was seen of late; it is from now on.
    pub(crate) fn again(&mut self, hash: u64) -> bool {
        if self.0.is_empty() {
            self.0.resize(Self::SIZE, 0);
        }
        let hash = hash | 1;
        let place = &mut self.0[(hash >> 1) as usize % Self::SIZE];
        std::mem::replace(place, hash) == hash
    }
}
