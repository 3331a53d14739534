//! Iterators over lazy containers and over the map.

use std::sync::{Arc, Mutex, PoisonError};

use oocmap::{Environment, ReadTransaction, Resized, Scan, SharedScan, SharedWrite};
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::PyString,
};

use crate::{
    convert::{decode, key},
    errors::OrRaise,
    lazy::Handle,
    names::Origin,
};

/// What an iterator gives of each item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Elements, members or keys.
    Items,
    /// The values of a dict.
    Values,
    /// Pairs of key and value.
    Pairs,
}

/// An iterator over a lazy container.
#[pyclass(module = "oocmap._oocmap")]
pub(crate) struct LazyIterator {
    handle: Handle,
    part: Part,
    /// What is left, from the front to before the back.
    left: std::ops::Range<usize>,
    backward: bool,
}

impl LazyIterator {
    pub(crate) fn forward(handle: Handle, part: Part) -> Self {
        let left = 0..handle.len();
        Self { handle, part, left, backward: false }
    }

    pub(crate) fn backward(handle: Handle, part: Part) -> Self {
        Self { backward: true, ..Self::forward(handle, part) }
    }
}

#[pymethods]
impl LazyIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let next = if self.backward { self.left.next_back() } else { self.left.next() };
        let Some(index) = next else { return Ok(None) };
        match self.part {
            Part::Items => self.handle.item(py, index),
            Part::Values => self.handle.value(py, index),
            Part::Pairs => {
                let pair = (self.handle.item(py, index)?, self.handle.value(py, index)?);
                Ok(pair.into_pyobject(py)?.into_any())
            }
        }
        .map(Some)
    }

    fn __length_hint__(&self) -> usize {
        self.left.len()
    }
}

/// Where an iterator over the map reads.
pub(crate) enum Walk {
    /// In one version; when it is the live map's, changes of its size by the same thread are noticed.
    Version { read: ReadTransaction, scan: Scan, live: Option<(Environment, Resized)> },
    /// In a write transaction.
    Transaction { transaction: Arc<SharedWrite>, scan: SharedScan, resized: u64 },
    /// Nowhere: it has come to its end, or failed.
    Ended,
    /// Somewhere, at this moment.
    Busy,
}

/// An iterator over entries of the map, in key order.
#[pyclass(frozen, module = "oocmap._oocmap")]
pub(crate) struct MapIterator {
    walk: Mutex<Walk>,
    part: Part,
    origin: Arc<Origin>,
}

impl MapIterator {
    pub(crate) fn new(walk: Walk, part: Part, origin: Arc<Origin>) -> Self {
        Self { walk: Mutex::new(walk), part, origin }
    }

    /// The first that a new iterator gives.
    pub(crate) fn first<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.__next__(py)
    }

    fn step<'py>(&self, py: Python<'py>, walk: &mut Walk) -> PyResult<Option<Bound<'py, PyAny>>> {
        match walk {
            Walk::Ended => Ok(None),
            // As generators do.
            Walk::Busy => Err(PyValueError::new_err("the iterator is already executing")),
            Walk::Version { read, scan, live } => {
                if let Some((environment, resized)) = live
                    && environment.is_resized(resized)
                {
                    return Err(changed());
                }
                let Some(entry) = scan.next(read).or_raise()? else { return Ok(None) };
                let key = || match entry.key_text().and_then(|text| std::str::from_utf8(text).ok()) {
                    Some(text) => Ok(PyString::new(py, text).into_any()),
                    None => key::to_python_object(py, &entry.key().or_raise()?),
                };
                let value = || decode::stored(py, read, &self.origin, read.open(&entry).or_raise()?);
                part_of(py, self.part, key, value).map(Some)
            }
            Walk::Transaction { transaction, scan, resized } => {
                if transaction.resized().or_raise()? != *resized {
                    return Err(changed());
                }
                let wanted = self.part != Part::Items;
                let Some((key, value)) = transaction.next(scan, wanted).or_raise()? else { return Ok(None) };
                let key = || key::to_python_object(py, &key);
                let value = || match value {
                    Some(value) => decode::copied(py, &self.origin, value),
                    None => Ok(py.None().into_bound(py)),
                };
                part_of(py, self.part, key, value).map(Some)
            }
        }
    }
}

fn part_of<'py>(
    py: Python<'py>,
    part: Part,
    key: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    value: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match part {
        Part::Items => key(),
        Part::Values => value(),
        Part::Pairs => Ok((key()?, value()?).into_pyobject(py)?.into_any()),
    }
}

fn changed() -> PyErr {
    PyRuntimeError::new_err("map changed size during iteration")
}

#[pymethods]
impl MapIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        // Making Python objects may run finalizers, which may use this very iterator: so it is taken out meanwhile.
        let put =
            |walk| std::mem::replace(&mut *self.walk.lock().unwrap_or_else(PoisonError::into_inner), walk);
        let mut walk = put(Walk::Busy);
        if let Walk::Busy = walk {
            return self.step(py, &mut walk);
        }
        let result = self.step(py, &mut walk);
        put(if let Ok(Some(_)) = result { walk } else { Walk::Ended });
        result
    }
}
