//! Iterators over the map.

use std::sync::{Arc, Mutex, PoisonError};

use oocmap::{Environment, KeyBytes, ReadTransaction, Resized, Scan, SharedScan, SharedWrite};
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::PyString,
};

use crate::{
    access::Access,
    convert::{decode, key},
    errors::OrRaise,
    lazy::walk::Part,
};

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
    access: Arc<Access>,
}

impl MapIterator {
    pub(crate) fn new(walk: Walk, part: Part, access: Arc<Access>) -> Self {
        Self { walk: Mutex::new(walk), part, access }
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
                let value = || {
                    let ordered = entry.ordered().or_raise()?;
                    decode::stored(py, read, &self.access, read.open(&entry).or_raise()?, &ordered)
                };
                part_of(py, self.part, key, value).map(Some)
            }
            Walk::Transaction { transaction, scan, resized } => {
                if transaction.resized().or_raise()? != *resized {
                    return Err(changed());
                }
                let wanted = self.part != Part::Items;
                let Some((key, value)) = transaction.next(scan, wanted).or_raise()? else { return Ok(None) };
                let mut ordered = KeyBytes::new();
                key.encode(&mut ordered).or_raise()?;
                let key = || key::to_python_object(py, &key);
                let value = || match value {
                    Some(value) => decode::copied(py, &self.access, value, &ordered),
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
