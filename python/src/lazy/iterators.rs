//! Iterators over lazy containers.

use std::{ptr, sync::OnceLock};

use pyo3::{
    PyTypeInfo,
    exceptions::{PySystemError, PyValueError},
    ffi,
    prelude::*,
};

use super::{
    exclusive::Exclusive,
    handle::Handle,
    walk::{Cursor, Part, Watched},
};

/// An iterator over a lazy container.
#[pyclass(frozen, module = "oocmap._oocmap")]
// Who comes while it is just used is told so: making Python objects may run finalizers, which may use this very iterator.
pub(crate) struct LazyIterator(Exclusive<State>);

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
        Ok(Self(Exclusive::new(state)))
    }

    /// An iterator over a dict or set.
    pub(crate) fn of_members(py: Python<'_>, handle: &Handle, part: Part, backward: bool) -> PyResult<Self> {
        Ok(Self(Exclusive::new(State::Watched(Watched::new(py, handle, part, backward)?))))
    }

    /// The next one, when it is an integer that was read already.
    #[inline]
    fn next_int(&self, py: Python<'_>) -> Option<i64> {
        let mut state = self.0.try_use(py)?;
        let State::Forward { cursor, next } = &mut *state else { return None };
        let int = cursor.int(*next)?;
        *next += 1;
        Some(int)
    }
}

/// What PyO3 made of [`LazyIterator::__next__`].
static NEXT: OnceLock<ffi::iternextfunc> = OnceLock::new();

/// Lets [`next_int`] come before [`LazyIterator::__next__`].
#[expect(unsafe_code, reason = "PyO3 has no classes with slots of one's own")]
pub(crate) fn hasten(py: Python<'_>) -> PyResult<()> {
    if NEXT.get().is_some() {
        return Ok(());
    }
    let class = LazyIterator::type_object_raw(py);
    // SAFETY: the class lives as long as the interpreter, which is attached, and nobody else has got to see it: the module
    // that has it is being made.
    let slot = unsafe { &mut (*class).tp_iternext };
    let next = slot.replace(next_int);
    let next = next.ok_or_else(|| PySystemError::new_err("iterators are made without a slot"))?;
    NEXT.get_or_init(|| next);
    Ok(())
}

/// Iterates over integers that were read already, which takes less than it takes to come to Rust by PyO3; for all else there
/// is [`NEXT`].
#[expect(unsafe_code, reason = "PyO3 has no classes with slots of one's own")]
unsafe extern "C" fn next_int(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls slots while it is attached.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: it is an object, which the caller keeps.
    let iterator = unsafe { Borrowed::from_ptr(py, object) };
    // SAFETY: slots are called with instances of their class, and this one can't have subclasses.
    let iterator = unsafe { iterator.cast_unchecked::<LazyIterator>() };
    if let Some(int) = iterator.get().next_int(py) {
        // SAFETY: the interpreter is attached. Where there is no memory, this says so in the way of slots.
        return unsafe { ffi::PyLong_FromLongLong(int) };
    }
    match NEXT.get() {
        // SAFETY: this has been called with what the slot is to be called with.
        Some(next) => unsafe { next(object) },
        None => ptr::null_mut(),
    }
}

impl State {
    #[inline]
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
        }
    }

    fn left(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(match self {
            Self::Forward { cursor, next } => cursor.len(py)?.saturating_sub(*next),
            Self::Backward { cursor, left } => {
                Some(*left).filter(|left| cursor.len(py).is_ok_and(|len| *left <= len)).unwrap_or(0)
            }
            Self::Watched(watched) => watched.left(),
            Self::Ended => 0,
        })
    }
}

#[pymethods]
impl LazyIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(mut state) = self.0.try_use(py) else {
            // As generators do.
            return Err(PyValueError::new_err("the iterator is already executing"));
        };
        let result = state.step(py);
        if !matches!(result, Ok(Some(_))) {
            let ended = std::mem::replace(&mut *state, State::Ended);
            drop(state);
            drop(ended);
        }
        result
    }

    fn __length_hint__(&self, py: Python<'_>) -> PyResult<usize> {
        self.0.try_use(py).map_or(Ok(0), |state| state.left(py))
    }
}
