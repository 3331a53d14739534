//! Dicts.

use oocmap::{ContainerKind, find};
use pyo3::{
    class::basic::CompareOp,
    exceptions::PyKeyError,
    prelude::*,
    types::{PyDict, PyMapping, PyMemoryView, PyType},
};

use super::{Handle, sequence::same_or_equal};
use crate::{
    convert::{decode, key},
    errors::OrRaise,
    iterators::{LazyIterator, Part},
    views::{ItemsView, KeysView, ValuesView, Viewed},
};

/// A stored dict, read as far as it is used.
///
/// It keeps the order of insertion, and compares and prints as a ``dict`` does.
#[pyclass(frozen, weakref, mapping, module = "oocmap")]
pub(crate) struct LazyDict(pub(crate) Handle);

/// The position of a key in a dict or of a member in a set.
pub(crate) fn position(handle: &Handle, member: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    let Some(member) = key::look_up_key(member)? else { return Ok(None) };
    let record = handle.source.held.record().or_raise()?;
    match find(&*handle.source.held, record, handle.container, &member) {
        // Keys that can't be stored are in no container.
        Err(oocmap::Error::TooLarge(_) | oocmap::Error::InvalidKey(_)) => Ok(None),
        found => found.or_raise(),
    }
}

impl LazyDict {
    fn lookup<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match position(&self.0, key)? {
            Some(index) => self.0.value(py, index).map(Some),
            None => Ok(None),
        }
    }
}

#[pymethods]
impl LazyDict {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.lookup(py, key)?.ok_or_else(|| PyKeyError::new_err((key.clone().unbind(),)))
    }

    /// Return the value under ``key``, or ``default`` when there is none.
    #[pyo3(signature = (key, default=None, /))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.lookup(py, key)?.or(default))
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(position(&self.0, key)?.is_some())
    }

    fn __iter__(&self) -> LazyIterator {
        LazyIterator::forward(self.0.clone(), Part::Items)
    }

    fn __reversed__(&self) -> LazyIterator {
        LazyIterator::backward(self.0.clone(), Part::Items)
    }

    /// Return a set-like view of the keys.
    fn keys(&self) -> KeysView {
        KeysView(Viewed::Lazy(self.0.clone()))
    }

    /// Return a view of the values.
    fn values(&self) -> ValuesView {
        ValuesView(Viewed::Lazy(self.0.clone()))
    }

    /// Return a set-like view of the pairs of key and value.
    fn items(&self) -> ItemsView {
        ItemsView(Viewed::Lazy(self.0.clone()))
    }

    fn __richcmp__<'py>(
        &self,
        py: Python<'py>,
        other: &Bound<'py, PyAny>,
        operator: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        let equal = match operator {
            CompareOp::Eq => true,
            CompareOp::Ne => false,
            _ => return Ok(py.NotImplemented().into_bound(py)),
        };
        let Ok(mapping) = other.cast::<PyMapping>() else { return Ok(py.NotImplemented().into_bound(py)) };
        let answer = self.equals(py, mapping)? == equal;
        Ok(pyo3::types::PyBool::new(py, answer).to_owned().into_any())
    }

    fn __or__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match plain(other)? {
            Some(other) => self.0.eager(py, false)?.bitor(other),
            None => Ok(py.NotImplemented().into_bound(py)),
        }
    }

    fn __ror__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match plain(other)? {
            Some(other) => other.bitor(self.0.eager(py, false)?),
            None => Ok(py.NotImplemented().into_bound(py)),
        }
    }

    /// Return a plain dict, with lazy values.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.eager(py, false)
    }

    /// Return the plain dict, one level deep or, with ``deep``, all the way down.
    #[pyo3(signature = (*, deep=false))]
    fn eager<'py>(&self, py: Python<'py>, deep: bool) -> PyResult<Bound<'py, PyAny>> {
        if deep { decode::deep(py, &self.0) } else { decode::shallow(py, &self.0) }
    }

    /// Tell whether ``other`` is a handle to the very same stored object.
    #[pyo3(signature = (other, /))]
    fn same_as(&self, other: &Bound<'_, PyAny>) -> bool {
        super::of(other).is_some_and(|other| other.is_same(&self.0))
    }

    /// Return a read-only view of the stored bytes under ``key``, without copying them.
    #[pyo3(signature = (key, /))]
    fn view<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyMemoryView>> {
        match position(&self.0, key)? {
            Some(index) => self.0.view(py, true, index),
            None => Err(PyKeyError::new_err((key.clone().unbind(),))),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        super::repr::repr(py, &self.0)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyType>, (Bound<'py, PyAny>,))> {
        Ok((py.get_type::<PyDict>(), (self.0.eager(py, true)?,)))
    }

    #[classattr]
    const __hash__: Option<Py<PyAny>> = None;
}

impl LazyDict {
    fn equals(&self, py: Python<'_>, other: &Bound<'_, PyMapping>) -> PyResult<bool> {
        if super::of(other).is_some_and(|other| other.is_same(&self.0)) {
            return Ok(true);
        }
        if other.len()? != self.0.len() {
            return Ok(false);
        }
        for index in 0..self.0.len() {
            let key = self.0.item(py, index)?;
            if !other.contains(&key)? {
                return Ok(false);
            }
            if !same_or_equal(&self.0.value(py, index)?, &other.get_item(&key)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The plain dict of something that can be merged with one.
fn plain<'py>(other: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    match super::of(other) {
        Some(handle) if handle.container.kind == ContainerKind::Dict => {
            handle.eager(other.py(), false).map(Some)
        }
        _ => Ok(other.is_instance_of::<PyDict>().then(|| other.clone())),
    }
}
