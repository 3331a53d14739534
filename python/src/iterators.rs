//! Iterators over the map.

use std::sync::{Arc, Mutex, PoisonError};

use oocmap::{Environment, KeyBytes, ReadTransaction, Resized, Scan, SharedScan, SharedWrite, Stored};
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::PyString,
};

use crate::{
    access::Access,
    convert::{decode, key, scalar},
    errors::OrRaise,
    lazy::walk::Part,
};

/// Where an iterator over the map reads.
pub(crate) enum Walk {
    /// In one version; when it is the live map's, changes of its size by the same thread are noticed.
    Version { read: ReadTransaction, scan: Scan, live: Option<(Environment, Resized)> },
    /// In a write transaction.
    Transaction { transaction: Arc<SharedWrite>, scan: SharedScan, resized: u64 },
}

/// Where an iterator stands.
enum State {
    /// Somewhere. What moves while a step is made is as small as can be.
    Ready(Box<Walk>),
    /// It has come to its end, or failed.
    Ended,
    /// On its way, at this moment.
    Busy,
}

/// An iterator over entries of the map, in key order.
#[pyclass(frozen, module = "oocmap._oocmap")]
pub(crate) struct MapIterator {
    state: Mutex<State>,
    part: Part,
    access: Arc<Access>,
}

impl MapIterator {
    pub(crate) fn new(walk: Walk, part: Part, access: Arc<Access>) -> Self {
        Self { state: Mutex::new(State::Ready(Box::new(walk))), part, access }
    }

    /// The first that a new iterator gives.
    pub(crate) fn first<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.__next__(py)
    }

    /// Takes out where it stands, if it has not come to its end.
    fn take(&self) -> PyResult<Option<Box<Walk>>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Ended = *state {
            return Ok(None);
        }
        match std::mem::replace(&mut *state, State::Busy) {
            State::Ready(walk) => Ok(Some(walk)),
            // As generators do.
            _ => Err(PyValueError::new_err("the iterator is already executing")),
        }
    }

    fn step<'py>(&self, py: Python<'py>, walk: &mut Walk) -> PyResult<Option<Bound<'py, PyAny>>> {
        match walk {
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
                let value = || match read.open(&entry).or_raise()? {
                    Stored::Scalar(encoded) => scalar::decode(py, encoded),
                    stored => decode::stored(py, read, &self.access, stored, &entry.ordered().or_raise()?),
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
        let Some(mut walk) = self.take()? else { return Ok(None) };
        let result = self.step(py, &mut walk);
        let next = if let Ok(Some(_)) = result { State::Ready(walk) } else { State::Ended };
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = next;
        result
    }
}
