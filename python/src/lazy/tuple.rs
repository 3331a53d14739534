//! Tuples.

use pyo3::{
    class::basic::CompareOp,
    prelude::*,
    types::{PyMemoryView, PyTuple},
};

use super::{
    handle::Handle,
    iterators::LazyIterator,
    memory,
    sequence::{self, Index, Limit, position},
};

/// A stored tuple, read as far as it is used.
///
/// It has the whole interface of ``tuple``, and compares, hashes and prints as one. Slices and sums are plain tuples,
/// whose nested containers are lazy.
#[pyclass(frozen, weakref, module = "oocmap")]
pub(crate) struct LazyTuple(pub(crate) Handle);

lazy_class!(LazyTuple, "tuple", {
    fn __getitem__<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let index = Index::of(index, "tuple")?;
        let view = self.0.view(py)?;
        match index {
            Index::At(at) => view.item(py, position(at, view.len()?, "tuple index out of range")?),
            Index::Slice(cut) => Ok(PyTuple::new(py, cut.over(view.len()?).items(py, &view)?)?.into_any()),
        }
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<LazyIterator> {
        LazyIterator::of_sequence(py, &self.0, false)
    }

    fn __reversed__(&self, py: Python<'_>) -> PyResult<LazyIterator> {
        LazyIterator::of_sequence(py, &self.0, true)
    }

    fn __contains__(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        sequence::contains(py, &self.0, value)
    }

    /// Return the position of the first element that equals ``value``.
    ///
    /// Raises
    /// ------
    /// ValueError
    ///     When there is none between ``start`` and ``stop``.
    #[pyo3(
        signature = (value, start=Limit::FIRST, stop=Limit::LAST, /),
        text_signature = "($self, value, start=0, stop=9223372036854775807, /)"
    )]
    fn index(&self, py: Python<'_>, value: &Bound<'_, PyAny>, start: Limit, stop: Limit) -> PyResult<usize> {
        sequence::index_of(py, &self.0, value, &start, &stop, "tuple")
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
            Some(other) => super::eager(py, &self.0, false)?.add(other),
            None => Ok(py.NotImplemented().into_bound(py)),
        }
    }

    fn __radd__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match plain(other)? {
            Some(other) => other.add(super::eager(py, &self.0, false)?),
            None => Ok(py.NotImplemented().into_bound(py)),
        }
    }

    fn __mul__<'py>(&self, py: Python<'py>, times: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        super::eager(py, &self.0, false)?.mul(times)
    }

    fn __rmul__<'py>(&self, py: Python<'py>, times: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        super::eager(py, &self.0, false)?.mul(times)
    }

    /// Return a read-only view of the stored bytes at ``index``, without copying them.
    #[pyo3(signature = (index, /))]
    fn view<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyMemoryView>> {
        let view = self.0.view(py)?;
        memory::of_element(py, &view, position(index, view.len()?, "tuple index out of range")?)
    }
});

/// The plain tuple of something that can be added to one.
fn plain<'py>(other: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Ok(handle) = other.cast::<LazyTuple>() {
        return super::eager(other.py(), &handle.get().0, false).map(Some);
    }
    Ok(other.is_instance_of::<PyTuple>().then(|| other.clone()))
}
