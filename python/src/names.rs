//! The Python strings of symbols, made once for each map.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

use oocmap::{Held, Hold, ReadTransaction, Scope};
use pyo3::{prelude::*, types::PyString};

use crate::{access::Access, buffer::Borrows, errors::OrRaise};

/// How many strings are in one row of [`Names`].
const ROW: usize = 256;
/// How many rows there are; together they have room for all symbols that a map may have.
const ROWS: usize = 256;
/// How many names are remembered by the objects that they were looked up with.
const RECENT: usize = 512;

type Row = [OnceLock<Py<PyString>>; ROW];

/// Python strings by symbol, which are made once and then read without a lock.
pub(crate) struct Names {
    rows: [OnceLock<Box<Row>>; ROWS],
    /// One more than the symbols whose very string objects were looked up of late, by their address.
    recent: [AtomicU32; RECENT],
}

impl Default for Names {
    fn default() -> Self {
        Self { rows: [const { OnceLock::new() }; ROWS], recent: [const { AtomicU32::new(0) }; RECENT] }
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

impl Names {
    /// The string of a symbol, if it was made before.
    #[inline]
    fn made(&self, symbol: u32) -> Option<&Py<PyString>> {
        self.rows.get(symbol as usize / ROW)?.get()?[symbol as usize % ROW].get()
    }

    /// The Python string of a symbol that a record holds.
    #[cold]
    fn make<'py>(
        &self,
        py: Python<'py>,
        scope: &impl Scope,
        symbol: u32,
        settled: u32,
    ) -> PyResult<Bound<'py, PyString>> {
        // A symbol of a transaction that may still be rolled back could mean another text later.
        if symbol >= settled {
            return Ok(PyString::new(py, &scope.symbol(symbol).or_raise()?));
        }
        let name = PyString::intern(py, &scope.symbol(symbol).or_raise()?);
        if let Some(row) = self.rows.get(symbol as usize / ROW) {
            let row = row.get_or_init(|| Box::new([const { OnceLock::new() }; ROW]));
            let _ = row[symbol as usize % ROW].set(name.clone().unbind());
        }
        Ok(name)
    }
}

/// What the leaves of a record are made with: its symbols and shared values.
pub(crate) struct Texts<'a, S> {
    names: &'a Names,
    scope: &'a S,
    /// Symbols below this number always mean what they mean now.
    settled: u32,
}

impl<'a> Texts<'a, ReadTransaction> {
    /// Those of a version.
    pub(crate) fn of(read: &'a ReadTransaction, origin: &'a Origin) -> Self {
        Self { names: &origin.names, scope: read, settled: read.symbols() }
    }
}

impl<'a, S: Scope> Texts<'a, S> {
    /// The Python string of a symbol, if it was made before.
    #[inline]
    pub(crate) fn known(&self, symbol: u32) -> Option<&'a Py<PyString>> {
        self.names.made(symbol).filter(|_| symbol < self.settled)
    }

    /// The Python string of a symbol.
    #[inline]
    pub(crate) fn name<'py>(&self, py: Python<'py>, symbol: u32) -> PyResult<Bound<'py, PyString>> {
        match self.known(symbol) {
            Some(name) => Ok(name.bind(py).clone()),
            None => self.names.make(py, self.scope, symbol, self.settled),
        }
    }

    /// The encoding of a shared value.
    pub(crate) fn shared(&self, id: u64) -> PyResult<&[u8]> {
        self.scope.shared(id).or_raise()
    }

    /// The symbol of a text, when it has one.
    #[inline]
    pub(crate) fn symbol_of(&self, text: &Bound<'_, PyString>) -> Option<u32> {
        // Names in programs are the same interned objects each time, and the ones here live as long as this does.
        let recent = &self.names.recent[(text.as_ptr().addr() >> 4) % RECENT];
        let is_it = |symbol: u32| self.names.made(symbol).is_some_and(|name| name.is(text));
        let known = recent.load(Ordering::Relaxed);
        if let Some(symbol) = known.checked_sub(1)
            && is_it(symbol)
        {
            return Some(symbol);
        }
        let symbol = self.scope.symbol_of(text.to_str().ok()?)?;
        if symbol < self.settled && self.name(text.py(), symbol).is_ok_and(|name| name.is(text)) {
            recent.store(symbol + 1, Ordering::Relaxed);
        }
        Some(symbol)
    }
}

/// Where values come from: a map, or one of its snapshots.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// The strings of the map's symbols.
    pub(crate) names: Arc<Names>,
    /// Counts the views that borrow from the snapshot.
    pub(crate) borrows: Option<Borrows>,
    /// Whether what was stored with pickle may be read, and what has no native form be stored so.
    pub(crate) allow_pickle: bool,
}

/// A record, and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) held: Arc<Held>,
    /// What the objects are read and written through that the record refers to.
    pub(crate) access: Arc<Access>,
    /// The ordered bytes of the key that the record was found under.
    pub(crate) seen: Option<Arc<[u8]>>,
    /// What keeps all mutable containers that the record refers to, when something does.
    pub(crate) holds: Option<Arc<[Hold]>>,
}

impl Source {
    pub(crate) fn origin(&self) -> &Arc<Origin> {
        self.access.origin()
    }

    /// What the record's leaves are made with.
    pub(crate) fn texts(&self) -> Texts<'_, Held> {
        Texts { names: &self.origin().names, scope: &self.held, settled: self.held.settled_symbols() }
    }
}
