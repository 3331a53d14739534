//! The map itself.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf, sync::Arc};

use oocmap::{Durability, Environment, Options};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyDict, PyString, PyTuple, PyType},
};

use crate::{
    access::{Access, Opened},
    errors::{self, OrRaise},
    mapping::Mapping,
    names::Origin,
    pending::{seconds, waiting},
    vacuum::{Vacuum, threshold},
};

/// A dict on disk whose values are whole object graphs.
///
/// Parameters
/// ----------
/// path : str, bytes or os.PathLike
///     The data file; helper files beside it share its name as a prefix.
/// readonly : bool
///     Make every modification raise ``ReadOnlyError``; works on a read-only file.
/// create : bool
///     Make the file when it is missing.
/// max_size : int or None
///     The largest size of the data file, in bytes; ``None`` or 0 for as large as the disk.
/// durability : {"sync", "nometasync", "deferred"}
///     With ``"sync"`` what was committed survives a power cut. With ``"nometasync"`` a power cut may lose the last
///     commit; never more, and it never leaves an inconsistent map. With ``"deferred"`` plain writes of this process are
///     committed together, at the latest after ``flush_interval`` or at ``sync()``, ``close()`` and exit: this process sees
///     them at once, others when they are committed, and a crash loses those that were not, never a part of one.
///     Transactions are committed when they end.
/// flush_interval : float
///     For how many seconds deferred writes wait at most.
/// lock_timeout : float or None
///     Seconds to wait for another writer before ``LockTimeoutError``; ``None`` to wait for ever.
/// allow_pickle : bool
///     Store objects that have no native form with pickle, and read those that were. Unpickling runs whatever code the
///     file's author chose, so open only files that you trust so. Without it nothing is pickled or unpickled.
/// held_back_warning : int or None
///     Warn with ``HeldBackWarning`` when a snapshot, of any process, keeps more bytes of the file from being used again.
/// auto_vacuum : int or None
///     As ``configure_auto_vacuum``, with 0 for never; ``None`` to leave it as the map remembers it.
///
/// Raises
/// ------
/// FormatError
///     When the file is no map, or one of a newer format; it is left as it was.
/// CorruptedError
///     When the file is damaged; it is left as it was.
/// ReadOnlyError
///     When both ``readonly`` and ``auto_vacuum`` are given.
/// OSError
///     When the operating system refuses, such as ``FileNotFoundError`` or ``IsADirectoryError``.
#[pyclass(frozen, extends = Mapping, subclass, module = "oocmap")]
pub(crate) struct OOCMap;

#[pymethods]
impl OOCMap {
    #[new]
    #[pyo3(
        signature = (*args, **kwargs),
        text_signature = "(path, *, readonly=False, create=True, max_size=None, durability='sync', flush_interval=0.05, lock_timeout=None, allow_pickle=False, held_back_warning=1 << 30, auto_vacuum=None)"
    )]
    fn new(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        // `__init__` opens, so that subclasses may have arguments of their own.
        let _ = (args, kwargs);
        PyClassInitializer::from(Mapping::unopened()).add_subclass(Self)
    }

    #[pyo3(signature = (path, *, readonly=false, create=true, max_size=None, durability="sync", flush_interval=0.05, lock_timeout=None, allow_pickle=false, held_back_warning=Some(1 << 30), auto_vacuum=None))]
    #[expect(clippy::too_many_arguments, reason = "the options of a map")]
    fn __init__(
        slf: Bound<'_, Self>,
        path: &Bound<'_, PyAny>,
        readonly: bool,
        create: bool,
        max_size: Option<&Bound<'_, PyAny>>,
        durability: &str,
        flush_interval: f64,
        lock_timeout: Option<f64>,
        allow_pickle: bool,
        held_back_warning: Option<u64>,
        auto_vacuum: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let auto_vacuum = auto_vacuum.map(|given| threshold("auto_vacuum", given)).transpose()?;
        if readonly && auto_vacuum.is_some() {
            return Err(errors::read_only(
                py,
                "a map that is opened with readonly=True can't remember auto_vacuum; leave one of them out",
            ));
        }
        let path = file_path(path)?;
        let options = Options {
            readonly,
            create,
            max_size: size(max_size)?,
            lock_timeout: seconds("lock_timeout", lock_timeout)?,
            flush_interval: seconds("flush_interval", Some(flush_interval))?.unwrap_or_default(),
            durability: durability_of(durability)?,
            held_back_limit: held_back_warning,
        };
        let environment = waiting(py, options.lock_timeout, |patience| {
            Environment::open_within(&path, &options, patience)
        })?;
        if let Some(threshold) = auto_vacuum {
            waiting(py, options.lock_timeout, |patience| {
                environment.configure_auto_vacuum(threshold, patience)
            })?;
        }
        if options.durability == Durability::Deferred {
            py.import("oocmap._exit")?.call_method0("arrange")?;
        }
        slf.as_super().get().open(Access::Live {
            opened: Arc::new(Opened::new(environment)),
            origin: Arc::new(Origin { allow_pickle, ..Origin::default() }),
        })
    }

    /// The path of the data file.
    #[getter]
    fn path(slf: &Bound<'_, Self>) -> PyResult<PathBuf> {
        Ok(slf.as_super().get().access()?.opened().path.clone())
    }

    /// Close the handle; what was read from it stays good, and other handles to the map stay open.
    ///
    /// A transaction that was begun through it and is still open is rolled back. Deferred writes are committed.
    ///
    /// Raises
    /// ------
    /// OSError
    ///     When the disk failed and deferred writes were lost; the handle is closed all the same.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(access) = slf.as_super().get().opened() else { return Ok(()) };
        let Some(environment) = access.opened().close() else { return Ok(()) };
        let begun = access.opened().begun();
        py.detach(move || {
            if let Some(transaction) = begun {
                // It may have ended a moment ago, which is as good.
                let _ = transaction.roll_back();
            }
            if environment.is_inherited() {
                return Ok(());
            }
            let flushed = environment.flush();
            environment.release();
            flushed
        })
        .or_raise()
    }

    /// Delete the objects that nothing leads to, and give their space back to the file system.
    ///
    /// Most objects are deleted with the last reference to them. What is left for a vacuum are those that several places
    /// referred to, cycles among them, and those of processes that died with handles to them. It runs on a thread in the
    /// background; everyone may go on reading and writing, and what any process has handles to stays. What it has done
    /// when it is cancelled, or when the process ends, stays done. There is one at a time; others wait for it.
    ///
    /// Parameters
    /// ----------
    /// compact : bool
    ///     Make the file smaller, too; without it the space stays in the file and is used again.
    /// progress : callable or None
    ///     Called with how much of the present step is done and how much there is to do, in entries and records, when that
    ///     has changed, on the thread that waits. What it raises cancels the vacuum.
    /// wait : bool
    ///     Wait for the end; Ctrl-C cancels it. Otherwise return at once.
    ///
    /// Returns
    /// -------
    /// VacuumResult or Vacuum
    ///     What it freed; with ``wait=False`` a handle that tells it later.
    ///
    /// Raises
    /// ------
    /// ReadOnlyError
    ///     When the map was opened with ``readonly=True``.
    /// TransactionError
    ///     When this thread has a write transaction open, for which it would wait.
    /// ClosedError
    ///     When the map is closed, now or before the end.
    #[pyo3(signature = (*, compact=true, progress=None, wait=true))]
    fn vacuum<'py>(
        slf: &Bound<'py, Self>,
        compact: bool,
        progress: Option<Py<PyAny>>,
        wait: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let vacuum = Vacuum::begin(py, slf.as_super().get().access()?, compact, progress)?;
        if wait { vacuum.finish(py) } else { Ok(Bound::new(py, vacuum)?.into_any()) }
    }

    /// Have a vacuum begin by itself, in the background, whenever so much was deleted.
    ///
    /// The map remembers it, for all processes. ``stats()`` tells it, and how many deletions there were. When such a vacuum
    /// fails, the next write transaction of the process warns with ``VacuumWarning``.
    ///
    /// Parameters
    /// ----------
    /// delete_threshold : int or None
    ///     After how many deletions and replacements of entries and elements; ``None`` or 0 for never.
    ///
    /// Raises
    /// ------
    /// ReadOnlyError
    ///     When the map was opened with ``readonly=True``.
    /// LockTimeoutError
    ///     When another writer kept the map for all of ``lock_timeout``.
    /// TransactionError
    ///     When this thread has a write transaction open.
    fn configure_auto_vacuum(slf: &Bound<'_, Self>, delete_threshold: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let access = slf.as_super().get().access()?;
        let threshold = threshold("delete_threshold", delete_threshold)?;
        access.writer(py)?;
        let environment = access.opened().environment()?;
        waiting(py, access.opened().options.lock_timeout, |patience| {
            environment.configure_auto_vacuum(threshold, patience)
        })
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.as_super().get().access()?.check(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc_value, traceback);
        Self::close(slf)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let name = slf.get_type().name()?;
        let Some(access) = slf.as_super().get().opened() else { return Ok(format!("<{name}, not open>")) };
        let path = access.opened().path.display();
        if access.check(py).is_err() {
            return Ok(format!("<{name} '{path}', closed>"));
        }
        let entries = slf.len()?;
        Ok(format!("<{name} '{path}', {entries} {}>", if entries == 1 { "entry" } else { "entries" }))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let access = slf.as_super().get().access()?;
        access.check(py)?;
        let reopen = py.import("oocmap._reopen")?.getattr("reopen")?;
        let state = slf.as_any().getattr("__dict__").ok();
        let (path, keywords) = reopening(py, access)?;
        (reopen, (slf.get_type(), path, keywords), state).into_pyobject(py)
    }

    #[classmethod]
    #[pyo3(signature = (item, /))]
    fn __class_getitem__(cls: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let alias = cls.py().import("types")?.getattr("GenericAlias")?;
        Ok(alias.call1((cls, item))?.unbind())
    }
}

/// The path and the keywords with which another process opens the map of a mapping.
pub(crate) fn reopening<'py>(py: Python<'py>, access: &Access) -> PyResult<(PathBuf, Bound<'py, PyDict>)> {
    let Opened { options, path, .. } = &**access.opened();
    let keywords = PyDict::new(py);
    keywords.set_item("readonly", options.readonly)?;
    keywords.set_item("create", false)?;
    keywords.set_item("max_size", options.max_size)?;
    keywords.set_item("lock_timeout", options.lock_timeout.map(|limit| limit.as_secs_f64()))?;
    keywords.set_item("allow_pickle", access.origin().allow_pickle)?;
    keywords.set_item("durability", name_of(options.durability))?;
    keywords.set_item("held_back_warning", options.held_back_limit)?;
    keywords.set_item("flush_interval", options.flush_interval.as_secs_f64())?;
    Ok((std::path::absolute(path)?, keywords))
}

/// A path as Python gives it: text, bytes, or an object that knows its path.
fn file_path(path: &Bound<'_, PyAny>) -> PyResult<PathBuf> {
    let path = path.py().import("os")?.call_method1("fspath", (path,))?;
    if let Ok(path) = path.cast::<PyBytes>() {
        return no_nul(OsString::from_vec(path.as_bytes().to_vec()));
    }
    if path.is_instance_of::<PyString>() {
        return no_nul(path.extract()?);
    }
    Err(PyTypeError::new_err("path has to be a str, bytes or os.PathLike"))
}

fn no_nul(path: OsString) -> PyResult<PathBuf> {
    if path.as_encoded_bytes().contains(&0) {
        return Err(PyValueError::new_err("path has an embedded null character"));
    }
    Ok(path.into())
}

fn durability_of(name: &str) -> PyResult<Durability> {
    match name {
        "sync" => Ok(Durability::Sync),
        "nometasync" => Ok(Durability::NoMetaSync),
        "deferred" => Ok(Durability::Deferred),
        other => Err(PyValueError::new_err(format!(
            "durability is {other:?}; give \"sync\", \"nometasync\" or \"deferred\""
        ))),
    }
}

fn name_of(durability: Durability) -> &'static str {
    match durability {
        Durability::NoMetaSync => "nometasync",
        Durability::Deferred => "deferred",
        _ => "sync",
    }
}

fn size(size: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
    match size {
        None => Ok(None),
        Some(size) => match size.extract::<u64>() {
            Ok(size) => Ok(Some(size)),
            Err(error) if error.is_instance_of::<PyTypeError>(size.py()) => Err(error),
            Err(_) => {
                Err(PyValueError::new_err(format!("max_size is {size}; give a number of bytes from 0 on")))
            }
        },
    }
}

/// Commit what was deferred, of all maps of this process.
#[pyfunction]
pub(crate) fn flush_all(py: Python<'_>) -> PyResult<()> {
    py.detach(oocmap::flush_all).or_raise()
}

/// Commit what was deferred, of all maps of this process; an error is raised by the next write to the map.
#[pyfunction]
pub(crate) fn settle_all(py: Python<'_>) {
    py.detach(oocmap::settle_all);
}
