//! Write transactions.

use std::sync::Arc;

use oocmap::{Error, SharedWrite};
use pyo3::{prelude::*, types::PyAny};

use crate::{
    access::Access,
    errors::{self, OrRaise},
    mapping::Mapping,
};

/// A write transaction: a mapping whose changes happen together, when it is committed, or not at all.
///
/// It begins when it is made, and ends with ``commit``, ``rollback``, the end of its ``with`` block, or when nothing
/// refers to it any more, which rolls it back.
#[pyclass(frozen, extends = Mapping, module = "oocmap")]
pub(crate) struct Transaction {
    transaction: Arc<SharedWrite>,
    nested: Option<u64>,
}

impl Transaction {
    pub(crate) fn new<'py>(
        py: Python<'py>,
        access: &Arc<Access>,
        transaction: Arc<SharedWrite>,
        nested: Option<u64>,
    ) -> PyResult<Bound<'py, Self>> {
        let mapping = Mapping::new(Access::Write {
            live: Arc::clone(access.live()),
            transaction: Arc::clone(&transaction),
            nested,
        });
        Bound::new(py, PyClassInitializer::from(mapping).add_subclass(Self { transaction, nested }))
    }

    /// Warns of a reader that holds much space back, and of a vacuum that failed, after a commit.
    fn warn(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.as_super().get().access()?.opened().environment() {
            Ok(environment) => errors::warn_upkeep(slf.py(), &environment),
            // The map was closed meanwhile.
            Err(_) => Ok(()),
        }
    }

    fn is_open(&self) -> bool {
        self.transaction.is_open(self.nested)
    }

    fn end(&self, commit: bool) -> oocmap::Result<()> {
        match (self.nested, commit) {
            (None, true) => self.transaction.commit(),
            (None, false) => self.transaction.roll_back(),
            (Some(number), true) => self.transaction.commit_nested(number),
            (Some(number), false) => self.transaction.roll_back_nested(number),
        }
    }
}

#[pymethods]
impl Transaction {
    /// Make everything durable and visible to all, and end the transaction; a nested one becomes part of its parent.
    ///
    /// Raises
    /// ------
    /// TransactionClosedError
    ///     When it has ended.
    fn commit(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let own = slf.get();
        py.detach(|| own.end(true)).or_raise()?;
        Self::warn(slf)
    }

    /// The number of the version that the commit made; ``None`` until then. A transaction that changed nothing has that of
    /// the version that it read.
    #[getter]
    fn version(&self) -> Option<u64> {
        self.transaction.version()
    }

    /// Take everything back, and end the transaction.
    ///
    /// Raises
    /// ------
    /// TransactionClosedError
    ///     When it has ended.
    fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.end(false)).or_raise()
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        if slf.get().is_open() {
            return Ok(slf);
        }
        Err(errors::to_python(Error::TransactionClosed))
    }

    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_value, traceback);
        let (py, own) = (slf.py(), slf.get());
        // It may have been ended early, inside the block.
        let commit = exc_type.is_none();
        if own.is_open() {
            py.detach(|| own.end(commit)).or_raise()?;
            return if commit { Self::warn(slf) } else { Ok(()) };
        }
        if !own.transaction.has_failed() {
            return Ok(());
        }
        // Its exception was caught inside the block, which must not look as if it had gone well.
        let ended = if own.nested.is_none() { py.detach(|| own.transaction.roll_back()) } else { Ok(()) };
        if commit { Err(errors::to_python(Error::TransactionClosed)) } else { ended.or_raise() }
    }

    fn __repr__(&self) -> String {
        let state = if self.is_open() { "open" } else { "ended" };
        let kind = if self.nested.is_some() { "nested transaction" } else { "transaction" };
        format!("<oocmap {kind}, {state}>")
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.is_open() {
            let end = || self.end(false);
            // Not with Python's lock held: ending may wait for another thread.
            let ended = Python::try_attach(|py| py.detach(end)).unwrap_or_else(end);
            // Whatever went wrong, the whole transaction is rolled back by now.
            drop(ended);
        }
    }
}
