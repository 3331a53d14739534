//! Byte arrays.

use std::ffi::c_int;

use oocmap::Change;
use pyo3::{
    class::basic::CompareOp,
    exceptions::PyBufferError,
    ffi,
    prelude::*,
    types::{PyByteArray, PyBytes, PyDict, PyMemoryView, PyTuple},
};

use super::{
    bytes_change as change,
    handle::Handle,
    iterators::LazyIterator,
    memory,
    sequence::{Index, position},
};

/// A stored bytearray, read as far as it is used; what changes it changes what is stored.
///
/// It has the whole interface of ``bytearray``; slices, copies and the results of methods are plain. Buffers of it, such
/// as ``memoryview`` makes, are read-only copies.
// Immutable, so that it is no sequence to patterns, as `bytearray` isn't, although it is registered as one.
#[pyclass(frozen, weakref, immutable_type, module = "oocmap")]
pub(crate) struct LazyByteArray(pub(crate) Handle);

impl LazyByteArray {
    fn plain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        Ok(PyByteArray::new(py, &self.0.view(py)?.bytes()?))
    }

    /// Calls a method of the plain bytearray; some take bytearrays, but no other buffers.
    fn call_plain<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        arguments: &Bound<'py, PyTuple>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let plain = |argument: Bound<'py, PyAny>| match argument.cast::<Self>() {
            Ok(lazy) => lazy.get().plain(py).map(Bound::into_any),
            Err(_) => Ok(argument.clone()),
        };
        let arguments = arguments.iter().map(plain).collect::<PyResult<Vec<_>>>()?;
        self.plain(py)?.call_method(name, PyTuple::new(py, arguments)?, keywords)
    }
}

lazy_class!(LazyByteArray, "bytearray", [
    capitalize "($self)";
    center "($self, width, fillchar=b' ', /)";
    copy "($self)";
    count "($self, sub, start=None, end=None, /)";
    decode "($self, encoding='utf-8', errors='strict')";
    endswith "($self, suffix, start=None, end=None, /)";
    expandtabs "($self, tabsize=8)";
    find "($self, sub, start=None, end=None, /)";
    hex "($self, sep=..., bytes_per_sep=1)";
    index "($self, sub, start=None, end=None, /)";
    isalnum "($self)";
    isalpha "($self)";
    isascii "($self)";
    isdigit "($self)";
    islower "($self)";
    isspace "($self)";
    istitle "($self)";
    isupper "($self)";
    join "($self, iterable_of_bytes, /)";
    ljust "($self, width, fillchar=b' ', /)";
    lower "($self)";
    lstrip "($self, chars=None, /)";
    partition "($self, sep, /)";
    removeprefix "($self, prefix, /)";
    removesuffix "($self, suffix, /)";
    replace "($self, old, new, count=-1, /)";
    rfind "($self, sub, start=None, end=None, /)";
    rindex "($self, sub, start=None, end=None, /)";
    rjust "($self, width, fillchar=b' ', /)";
    rpartition "($self, sep, /)";
    rsplit "($self, sep=None, maxsplit=-1)";
    rstrip "($self, chars=None, /)";
    split "($self, sep=None, maxsplit=-1)";
    splitlines "($self, keepends=False)";
    startswith "($self, prefix, start=None, end=None, /)";
    strip "($self, chars=None, /)";
    swapcase "($self)";
    title "($self)";
    translate "($self, table, /, delete=b'')";
    upper "($self)";
    zfill "($self, width, /)";
], {
    fn __getitem__<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let index = Index::of(index, "bytearray")?;
        let view = self.0.view(py)?;
        match index {
            Index::At(at) => view.item(py, position(at, view.len()?, "bytearray index out of range")?),
            Index::Slice(cut) => {
                let picked = cut.over(view.len()?);
                let positions = picked.increasing();
                let (Some(first), Some(last)) = (positions.first(), positions.last()) else {
                    return Ok(PyByteArray::new(py, b"").into_any());
                };
                let bytes = view.bytes_between(*first..last + 1)?;
                let picked: Vec<u8> = picked.positions().map(|at| bytes[at - first]).collect();
                Ok(PyByteArray::new(py, &picked).into_any())
            }
        }
    }

    fn __setitem__(
        &self,
        py: Python<'_>,
        index: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        change::assign(py, &self.0, index, Some(value))
    }

    fn __delitem__(&self, py: Python<'_>, index: &Bound<'_, PyAny>) -> PyResult<()> {
        change::assign(py, &self.0, index, None)
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<LazyIterator> {
        LazyIterator::of_sequence(py, &self.0, false)
    }

    fn __reversed__(&self, py: Python<'_>) -> PyResult<LazyIterator> {
        LazyIterator::of_sequence(py, &self.0, true)
    }

    fn __contains__(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.plain(py)?.contains(value)
    }

    /// Add a byte at the end.
    #[pyo3(signature = (item, /))]
    fn append(&self, py: Python<'_>, item: &Bound<'_, PyAny>) -> PyResult<()> {
        change::append(py, &self.0, item)
    }

    /// Add bytes at the end, of a buffer or of an iterable of integers.
    #[pyo3(signature = (iterable_of_ints, /))]
    fn extend(&self, py: Python<'_>, iterable_of_ints: &Bound<'_, PyAny>) -> PyResult<()> {
        change::extend(py, &self.0, iterable_of_ints)
    }

    /// Insert a byte before the position ``index``.
    #[pyo3(signature = (index, item, /))]
    fn insert(&self, py: Python<'_>, index: isize, item: &Bound<'_, PyAny>) -> PyResult<()> {
        change::insert(py, &self.0, index, item)
    }

    /// Delete the byte at ``index``, the last one if left out, and return it.
    #[pyo3(signature = (index=-1, /), text_signature = "($self, index=-1, /)")]
    fn pop(&self, py: Python<'_>, index: isize) -> PyResult<u8> {
        change::pop(py, &self.0, index)
    }

    /// Delete the first byte that is ``value``.
    #[pyo3(signature = (value, /))]
    fn remove(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        change::remove(py, &self.0, value)
    }

    /// Delete all bytes.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.0.change(py, &[Change::Clear])
    }

    /// Turn the order of the bytes round.
    fn reverse(&self, py: Python<'_>) -> PyResult<()> {
        change::reverse(py, &self.0)
    }

    /// Cut bytes off the end, or add zeros there, so that ``size`` are left.
    #[pyo3(signature = (size, /))]
    fn resize(&self, py: Python<'_>, size: isize) -> PyResult<()> {
        change::resize(py, &self.0, size)
    }

    fn __richcmp__<'py>(
        &self,
        py: Python<'py>,
        other: &Bound<'py, PyAny>,
        operator: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        if PyMemoryView::from(other).is_err() {
            return Ok(py.NotImplemented().into_bound(py));
        }
        self.plain(py)?.rich_compare(other, operator)
    }

    fn __add__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.plain(py)?.add(other)
    }

    fn __iadd__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        change::concat(py, &self.0, other)
    }

    fn __mul__<'py>(&self, py: Python<'py>, times: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.plain(py)?.mul(times)
    }

    fn __rmul__<'py>(&self, py: Python<'py>, times: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.plain(py)?.mul(times)
    }

    fn __imul__(&self, py: Python<'_>, times: &Bound<'_, PyAny>) -> PyResult<()> {
        change::repeat(py, &self.0, times)
    }

    fn __mod__<'py>(&self, py: Python<'py>, values: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.plain(py)?.rem(values)
    }

    /// Return a read-only view of the stored bytes, without copying them where they lie together.
    ///
    /// Returns
    /// -------
    /// memoryview
    ///     Of unsigned bytes, valid for as long as it lives, whatever changes meanwhile. Of a long bytearray, and inside
    ///     a write transaction, it is of a copy.
    fn view<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        memory::of_byte_array(py, &self.0)
    }

    #[expect(unsafe_code, reason = "the buffer protocol is made of raw pointers")]
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let py = slf.py();
        if view.is_null() {
            return Err(PyBufferError::new_err("there is no view to fill"));
        }
        let bytes = PyBytes::new(py, &slf.get().0.view(py)?.bytes()?);
        // SAFETY: the view is not null, and filled by the bytes object, which it keeps alive.
        let filled = unsafe { ffi::PyObject_GetBuffer(bytes.as_ptr(), view, flags) };
        if filled != 0 {
            return Err(PyErr::take(py).unwrap_or_else(|| PyBufferError::new_err("no view could be made")));
        }
        Ok(())
    }
});
