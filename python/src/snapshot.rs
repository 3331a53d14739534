//! Snapshots.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use oocmap::ReadTransaction;
use pyo3::{
    exceptions::PyBufferError,
    prelude::*,
    types::{PyAny, PyBytes, PyTuple},
};

use crate::{
    access::{Access, Kept},
    errors::OrRaise,
    map::reopening,
    mapping::Mapping,
    names::Origin,
};

/// A snapshot: a read-only mapping of one committed version.
///
/// Everything reached through it belongs to that version, whatever is committed later. It may be used from several
/// threads at once, and closes itself when nothing refers to it any more.
#[pyclass(frozen, extends = Mapping, module = "oocmap")]
pub(crate) struct Snapshot {
    version: u64,
    kept: Arc<Kept>,
    borrows: Arc<AtomicUsize>,
}

impl Snapshot {
    pub(crate) fn new<'py>(
        py: Python<'py>,
        access: &Access,
        read: ReadTransaction,
    ) -> PyResult<Bound<'py, Self>> {
        let borrows = Arc::new(AtomicUsize::new(0));
        let version = read.version();
        let kept = Arc::new(Kept::new(read));
        let mapping = Mapping::new(Access::Version {
            opened: Arc::clone(access.opened()),
            origin: Arc::new(Origin {
                names: Arc::clone(&access.origin().names),
                borrows: Some(Arc::clone(&borrows)),
                allow_pickle: access.origin().allow_pickle,
            }),
            kept: Arc::clone(&kept),
        });
        Bound::new(py, PyClassInitializer::from(mapping).add_subclass(Self { version, kept, borrows }))
    }
}

#[pymethods]
impl Snapshot {
    /// The number of the version: it grows with every commit, and is the same in every process.
    #[getter]
    fn version(&self) -> u64 {
        self.version
    }

    /// Let go of the version.
    ///
    /// Raises
    /// ------
    /// BufferError
    ///     While memoryviews still borrow its pages.
    fn close(&self) -> PyResult<()> {
        let borrows = self.borrows.load(Ordering::Relaxed);
        if borrows > 0 {
            return Err(PyBufferError::new_err(format!(
                "{borrows} views still borrow pages of the snapshot; release them first"
            )));
        }
        self.kept.close();
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.as_super().get().access()?.check(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    fn __exit__(
        &self,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc_value, traceback);
        self.close()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let handed = slf.get().kept.read(py)?.hand_over();
        let reopen = py.import("oocmap._reopen")?.getattr("reopen_snapshot")?;
        let (path, keywords) = reopening(py, slf.as_super().get().access()?)?;
        (reopen, (path, keywords, PyBytes::new(py, &handed))).into_pyobject(py)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let state = if self.kept.read(py).is_err() { ", closed" } else { "" };
        format!("<oocmap snapshot of version {}{state}>", self.version)
    }
}

/// The version that a snapshot of another process has, as a snapshot of a map that is open here.
#[pyfunction]
#[pyo3(signature = (opened, handed, /))]
pub(crate) fn follow<'py>(
    py: Python<'py>,
    opened: &Bound<'py, Mapping>,
    handed: &[u8],
) -> PyResult<Bound<'py, Snapshot>> {
    let access = opened.get().access()?;
    let environment = access.opened().environment()?;
    let read = py.detach(|| environment.follow(handed)).or_raise()?;
    Snapshot::new(py, access, read)
}
