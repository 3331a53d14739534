//! Read-only views of stored bytes, borrowed from the mapped pages.

use std::{
    ffi::{c_int, c_void},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use oocmap::{Location, ReadTransaction, Scalar};
use pyo3::{exceptions::PyBufferError, ffi, prelude::*, types::PyMemoryView};

use crate::{errors::OrRaise, lazy};

/// Counts the views that keep a snapshot from being closed.
pub(crate) type Borrows = Arc<AtomicUsize>;

/// A reader that views borrow from, with the count of those that do.
#[derive(Clone, Debug)]
pub(crate) struct Lender {
    pub(crate) read: ReadTransaction,
    pub(crate) borrows: Option<Borrows>,
}

/// Stored bytes that are borrowed from a pinned version, for `memoryview` to look at.
#[pyclass(frozen, module = "oocmap._oocmap")]
pub(crate) struct PageBuffer {
    lender: Lender,
    location: Location,
}

#[pymethods]
impl PageBuffer {
    #[expect(unsafe_code, reason = "the buffer protocol is made of raw pointers")]
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("there is no view to fill"));
        }
        if flags & ffi::PyBUF_WRITABLE != 0 {
            return Err(PyBufferError::new_err("stored bytes are read-only"));
        }
        let this = slf.get();
        let bytes = this.lender.read.at(this.location).or_raise()?;
        let (pointer, length) = (bytes.as_ptr().cast_mut().cast::<c_void>(), bytes.len().cast_signed());
        // SAFETY: the view is not null, and filled with bytes that stay mapped for as long as the object that it takes
        // a reference to: that keeps the read transaction, which keeps the version pinned and the file mapped.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), pointer, length, 1, flags) };
        if filled != 0 {
            return Err(
                PyErr::take(slf.py()).unwrap_or_else(|| PyBufferError::new_err("no view could be made"))
            );
        }
        Ok(())
    }
}

impl Drop for PageBuffer {
    fn drop(&mut self) {
        if let Some(borrows) = &self.lender.borrows {
            borrows.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A view of an encoded leaf that is a bytes object; what no reader lends is copied.
pub(crate) fn view<'py>(
    py: Python<'py>,
    lender: Option<Lender>,
    encoded: &[u8],
) -> PyResult<Bound<'py, PyMemoryView>> {
    let Scalar::Bytes(bytes) = Scalar::decode(encoded).or_raise()? else {
        return Err(lazy::not_viewable());
    };
    let place = lender.and_then(|lender| Some((lender.read.locate(&bytes)?, lender)));
    let Some((location, lender)) = place else { return lazy::copied_view(py, encoded) };
    if let Some(borrows) = &lender.borrows {
        borrows.fetch_add(1, Ordering::Relaxed);
    }
    let buffer = Bound::new(py, PageBuffer { lender, location })?;
    PyMemoryView::from(&buffer)
}
