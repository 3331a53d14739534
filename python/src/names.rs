//! The Python strings of symbols, made once for each map.

use std::sync::{Arc, Mutex, PoisonError};

use oocmap::{Held, Hold, Scope};
use pyo3::{prelude::*, types::PyString};

use crate::{access::Access, buffer::Borrows, errors::OrRaise};

/// Python strings by symbol.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<Vec<Option<Py<PyString>>>>);

impl Names {
    /// The Python string of a symbol that a record holds.
    pub(crate) fn get<'py>(
        &self,
        py: Python<'py>,
        held: &Held,
        symbol: u32,
    ) -> PyResult<Bound<'py, PyString>> {
        // A symbol of a transaction that may still be rolled back could mean another text later.
        if symbol >= held.settled_symbols() {
            return Ok(PyString::new(py, &held.symbol(symbol).or_raise()?));
        }
        let index = symbol as usize;
        if let Some(Some(name)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(index) {
            return Ok(name.bind(py).clone());
        }
        let name = PyString::intern(py, &held.symbol(symbol).or_raise()?);
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() <= index {
            names.resize_with(index + 1, || None);
        }
        names[index] = Some(name.clone().unbind());
        Ok(name)
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
}
