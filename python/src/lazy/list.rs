//! Lists.

use oocmap::Change;
use pyo3::{
    class::basic::CompareOp,
    prelude::*,
    types::{PyList, PyMemoryView},
};

use super::{
    handle::Handle,
    iterators::LazyIterator,
    list_change as change, memory,
    sequence::{self, Index, Limit, position},
};
use crate::{convert::decode, errors::OrRaise};

/// What is said of an index that leads nowhere.
const OUTSIDE: &str = "list index out of range";

/// A stored list, read as far as it is used; what changes it changes what is stored.
///
/// It has the whole interface of ``list``. Slices, sums and copies are plain lists, whose nested containers are lazy.
#[pyclass(frozen, weakref, module = "oocmap")]
pub(crate) struct LazyList(pub(crate) Handle);

lazy_class!(LazyList, "list", {
    fn __getitem__<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match Index::of(index, "list")? {
            Index::At(at) => self.0.look(
                py,
                |glance| {
                    let at = position(at, glance.container.len(), OUTSIDE)?;
                    let item = glance.record.item(glance.container, at).or_raise()?;
                    decode::glanced(py, glance, item).map(Some)
                },
                |view| view.item(py, position(at, view.len()?, OUTSIDE)?),
            ),
            Index::Slice(cut) => {
                let view = self.0.view(py)?;
                Ok(PyList::new(py, cut.over(view.len()?).items(py, &view)?)?.into_any())
            }
        }
    }

    fn __setitem__(
        &self,
        py: Python<'_>,
        index: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        change::assign(py, &self.0, index, value)
    }

    fn __delitem__(&self, py: Python<'_>, index: &Bound<'_, PyAny>) -> PyResult<()> {
        change::delete(py, &self.0, index)
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
        sequence::index_of(py, &self.0, value, &start, &stop, "list")
    }

    /// Return how many elements equal ``value``.
    #[pyo3(signature = (value, /))]
    fn count(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<usize> {
        sequence::count(py, &self.0, value)
    }

    /// Add an element at the end.
    #[pyo3(signature = (value, /))]
    fn append(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        change::append(py, &self.0, value)
    }

    /// Add all elements of an iterable at the end, in one transaction; if the iterable fails, none.
    #[pyo3(signature = (iterable, /))]
    fn extend(&self, py: Python<'_>, iterable: &Bound<'_, PyAny>) -> PyResult<()> {
        change::extend(py, &self.0, iterable)
    }

    /// Insert an element before the position ``index``.
    #[pyo3(signature = (index, value, /))]
    fn insert(&self, py: Python<'_>, index: isize, value: &Bound<'_, PyAny>) -> PyResult<()> {
        change::insert(py, &self.0, index, value)
    }

    /// Delete the element at ``index``, the last one if left out, and return it.
    ///
    /// Raises
    /// ------
    /// IndexError
    ///     When there is no such element.
    #[pyo3(signature = (index=-1, /), text_signature = "($self, index=-1, /)")]
    fn pop<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyAny>> {
        change::pop(py, &self.0, index)
    }

    /// Delete the first element that equals ``value``.
    ///
    /// Raises
    /// ------
    /// ValueError
    ///     When there is none.
    #[pyo3(signature = (value, /))]
    fn remove(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        change::remove(py, &self.0, value)
    }

    /// Delete all elements.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.0.change(py, &[Change::Clear])
    }

    /// Turn the order of the elements round.
    fn reverse(&self, py: Python<'_>) -> PyResult<()> {
        change::reverse(py, &self.0)
    }

    /// Sort the elements, equal ones in the order that they had; if comparing fails, nothing is changed.
    ///
    /// Parameters
    /// ----------
    /// key : callable or None
    ///     What makes of an element that by which it is sorted.
    /// reverse : bool
    ///     Put the largest first.
    #[pyo3(signature = (*, key=None, reverse=None), text_signature = "($self, *, key=None, reverse=False)")]
    fn sort(
        &self,
        py: Python<'_>,
        key: Option<&Bound<'_, PyAny>>,
        reverse: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        change::sort(py, &self.0, key, reverse)
    }

    /// Return a plain list, with lazy elements.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        super::eager(py, &self.0, false)
    }

    fn __richcmp__<'py>(
        &self,
        py: Python<'py>,
        other: &Bound<'py, PyAny>,
        operator: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        if other.is_instance_of::<PyList>() || other.is_instance_of::<LazyList>() {
            return sequence::compare(py, &self.0, other, operator);
        }
        Ok(py.NotImplemented().into_bound(py))
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

    fn __iadd__(&self, py: Python<'_>, iterable: &Bound<'_, PyAny>) -> PyResult<()> {
        change::extend(py, &self.0, iterable)
    }

    fn __mul__<'py>(&self, py: Python<'py>, times: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        super::eager(py, &self.0, false)?.mul(times)
    }

    fn __rmul__<'py>(&self, py: Python<'py>, times: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        super::eager(py, &self.0, false)?.mul(times)
    }

    fn __imul__(&self, py: Python<'_>, times: &Bound<'_, PyAny>) -> PyResult<()> {
        change::repeat(py, &self.0, times)
    }

    /// Return a read-only view of the stored bytes at ``index``, without copying them.
    #[pyo3(signature = (index, /))]
    fn view<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyMemoryView>> {
        let view = self.0.view(py)?;
        memory::of_element(py, &view, position(index, view.len()?, OUTSIDE)?)
    }

    #[classattr]
    const __hash__: Option<Py<PyAny>> = None;
});

/// The plain list of something that can be added to one.
fn plain<'py>(other: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Ok(handle) = other.cast::<LazyList>() {
        return super::eager(other.py(), &handle.get().0, false).map(Some);
    }
    Ok(other.is_instance_of::<PyList>().then(|| other.clone()))
}
