//! Iterators over lazy containers.

use std::sync::{Mutex, PoisonError};

use pyo3::{exceptions::PyValueError, prelude::*};

use super::{
    handle::Handle,
    walk::{Cursor, Part, Watched},
};

/// An iterator over a lazy container.
#[pyclass(frozen, module = "oocmap._oocmap")]
pub(crate) struct LazyIterator(Mutex<State>);

/// Where an iterator is.
enum State {
    /// At an element of a sequence; each is looked for when its turn has come, as sequences may change meanwhile.
    Forward { cursor: Cursor, next: usize },
    /// Behind so many elements that are left.
    Backward { cursor: Cursor, left: usize },
    /// At an item of a dict or a member of a set, which keep the order and the size that they had.
    Watched(Watched),
    /// Nowhere: it has come to its end, or failed.
    Ended,
    /// Somewhere, at this moment.
    Busy,
}

impl LazyIterator {
    /// An iterator over a list, tuple or byte array.
    pub(crate) fn of_sequence(py: Python<'_>, handle: &Handle, backward: bool) -> PyResult<Self> {
        let cursor = Cursor::new(py, handle)?;
        let state = if backward {
            State::Backward { left: cursor.len(py)?, cursor }
        } else {
            State::Forward { cursor, next: 0 }
        };
        Ok(Self(Mutex::new(state)))
    }

    /// An iterator over a dict or set.
    pub(crate) fn of_members(py: Python<'_>, handle: &Handle, part: Part, backward: bool) -> PyResult<Self> {
        Ok(Self(Mutex::new(State::Watched(Watched::new(py, handle, part, backward)?))))
    }

    /// Takes the state out while Python objects are made: that may run finalizers, which may use this very iterator.
    fn replace(&self, state: State) -> State {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), state)
    }
}

impl State {
    fn step<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            Self::Forward { cursor, next } => {
                *next += 1;
                cursor.get(py, *next - 1)
            }
            Self::Backward { cursor, left } => {
                let Some(last) = left.checked_sub(1) else { return Ok(None) };
                *left = last;
                cursor.get(py, last)
            }
            Self::Watched(watched) => watched.next(py),
            Self::Ended => Ok(None),
            // As generators do.
            Self::Busy => Err(PyValueError::new_err("the iterator is already executing")),
        }
    }

    fn left(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(match self {
            Self::Forward { cursor, next } => cursor.len(py)?.saturating_sub(*next),
            Self::Backward { cursor, left } => {
                Some(*left).filter(|left| cursor.len(py).is_ok_and(|len| *left <= len)).unwrap_or(0)
            }
            Self::Watched(watched) => watched.left(),
            Self::Ended | Self::Busy => 0,
        })
    }
}

#[pymethods]
impl LazyIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut state = self.replace(State::Busy);
        if let State::Busy = state {
            return state.step(py);
        }
        let result = state.step(py);
        let after = if let Ok(Some(_)) = result { state } else { State::Ended };
        self.replace(after);
        result
    }

    fn __length_hint__(&self, py: Python<'_>) -> PyResult<usize> {
        let state = self.replace(State::Busy);
        let left = state.left(py);
        self.replace(state);
        left
    }
}
