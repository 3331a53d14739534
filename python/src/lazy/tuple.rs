//! Tuples.

use pyo3::{
    class::basic::CompareOp,
    prelude::*,
    types::{PyMemoryView, PyTuple, PyType},
};

use super::{
    Handle,
    sequence::{self, Index},
};
use crate::iterators::{LazyIterator, Part};

/// A stored tuple, read as far as it is used.
///
/// It compares, hashes, slices, adds and prints as a ``tuple`` does; slices and sums are plain tuples, whose nested
/// containers are lazy again.
#[pyclass(frozen, weakref, module = "oocmap")]
pub(crate) struct LazyTuple(pub(crate) Handle);

#[pymethods]
impl LazyTuple {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match sequence::index(index, self.0.len(), "tuple")? {
            Index::At(index) => self.0.item(py, index),
            Index::Slice(indices) => {
                Ok(PyTuple::new(py, sequence::slice(py, &self.0, &indices)?)?.into_any())
            }
        }
    }

    fn __iter__(&self) -> LazyIterator {
        LazyIterator::forward(self.0.clone(), Part::Items)
    }

    fn __reversed__(&self) -> LazyIterator {
        LazyIterator::backward(self.0.clone(), Part::Items)
    }

    fn __contains__(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(sequence::find(py, &self.0, value, None, None)?.is_some())
    }

    /// Return the position of the first element that equals ``value``.
    ///
    /// Raises
    /// ------
    /// ValueError
    ///     When there is none between ``start`` and ``stop``.
    #[pyo3(
        signature = (value, start=0, stop=isize::MAX, /),
        text_signature = "($self, value, start=0, stop=9223372036854775807, /)"
    )]
    fn index(&self, py: Python<'_>, value: &Bound<'_, PyAny>, start: isize, stop: isize) -> PyResult<usize> {
        sequence::index_of(py, &self.0, value, Some(start), Some(stop), "tuple")
    }

    /// Return how many elements equal ``value``.
    #[pyo3(signature = (value, /))]
    fn count(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<usize> {
        sequence::count(py, &self.0, value)
    }

    fn __richcmp__<'py>(
        &self,
        py: Python<'py>,
        other: &Bound<'py, PyAny>,
        operator: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        if other.is_instance_of::<PyTuple>() || other.is_instance_of::<LazyTuple>() {
            return sequence::compare(py, &self.0, other, operator);
        }
        Ok(py.NotImplemented().into_bound(py))
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        super::hash(py, &self.0)
    }

    fn __add__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match plain(other)? {
            Some(other) => self.0.eager(py, false)?.add(other),
            None => Ok(py.NotImplemented().into_bound(py)),
        }
    }

    fn __radd__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match plain(other)? {
            Some(other) => other.add(self.0.eager(py, false)?),
            None => Ok(py.NotImplemented().into_bound(py)),
        }
    }

    fn __mul__<'py>(&self, py: Python<'py>, times: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.0.eager(py, false)?.mul(times)
    }

    fn __rmul__<'py>(&self, py: Python<'py>, times: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.0.eager(py, false)?.mul(times)
    }

    /// Return the plain tuple, one level deep or, with ``deep``, all the way down.
    #[pyo3(signature = (*, deep=false))]
    fn eager<'py>(&self, py: Python<'py>, deep: bool) -> PyResult<Bound<'py, PyAny>> {
        self.0.eager(py, deep)
    }

    /// Tell whether ``other`` is a handle to the very same stored object.
    #[pyo3(signature = (other, /))]
    fn same_as(&self, other: &Bound<'_, PyAny>) -> bool {
        super::of(other).is_some_and(|other| other.is_same(&self.0))
    }

    /// Return a read-only view of the stored bytes at ``index``, without copying them.
    #[pyo3(signature = (index, /))]
    fn view<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyMemoryView>> {
        self.0.view(py, false, super::position(index, self.0.len(), "tuple")?)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        super::repr::repr(py, &self.0)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyType>, (Bound<'py, PyAny>,))> {
        Ok((py.get_type::<PyTuple>(), (self.0.eager(py, true)?,)))
    }
}

/// The plain tuple of something that can be added to one.
fn plain<'py>(other: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Ok(other) = other.cast::<LazyTuple>() {
        return other.get().0.eager(other.py(), false).map(Some);
    }
    Ok(other.is_instance_of::<PyTuple>().then(|| other.clone()))
}
