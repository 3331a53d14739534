//! Turns the engine's errors into Python's.

use oocmap::Error;
use pyo3::{
    exceptions::{PyFileNotFoundError, PyKeyError, PyKeyboardInterrupt, PyOSError, PyValueError},
    prelude::*,
    sync::PyOnceLock,
    types::PyType,
};

/// The exception classes are Python code, since most have two bases: `oocmap/exceptions.py`.
fn class<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyType>>,
    name: &str,
) -> PyResult<Bound<'py, PyType>> {
    cell.import(py, "oocmap.exceptions", name).cloned()
}

macro_rules! exceptions {
    ($($function:ident => $name:literal),* $(,)?) => {
        $(
            pub(crate) fn $function(py: Python<'_>, text: impl Into<String>) -> PyErr {
                static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
                match class(py, &CLASS, $name) {
                    Ok(class) => PyErr::from_type(class, text.into()),
                    Err(error) => error,
                }
            }
        )*
    };
}

exceptions! {
    closed => "ClosedError",
    read_only => "ReadOnlyError",
    transaction_closed => "TransactionClosedError",
    transaction => "TransactionError",
    lock_timeout => "LockTimeoutError",
    unsupported => "UnsupportedTypeError",
    stale => "StaleObjectError",
    unsafe_pickle => "UnsafePickleError",
    snapshot_expired => "SnapshotExpiredError",
}

/// Whether an exception says that an object has no native form.
pub(crate) fn is_unsupported(py: Python<'_>, error: &PyErr) -> bool {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    class(py, &CLASS, "UnsupportedTypeError").is_ok_and(|class| error.is_instance(py, &class))
}

macro_rules! os_exceptions {
    ($($function:ident => $name:literal),* $(,)?) => {
        $(
            fn $function(py: Python<'_>, errno: Option<i32>, text: String) -> PyErr {
                static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
                match (class(py, &CLASS, $name), errno) {
                    (Ok(class), Some(errno)) => PyErr::from_type(class, (errno, text)),
                    (Ok(class), None) => PyErr::from_type(class, text),
                    (Err(error), _) => error,
                }
            }
        )*
    };
}

os_exceptions! {
    map_full => "MapFullError",
    corrupted => "CorruptedError",
    format => "FormatError",
    commit_outcome_unknown => "CommitOutcomeUnknownError",
}

/// An engine error as the exception that api.md promises.
pub(crate) fn to_python(error: Error) -> PyErr {
    raise(&error)
}

/// As [`to_python`], for an error that others are told of too.
pub(crate) fn raise(error: &Error) -> PyErr {
    Python::attach(|py| {
        let text = error.to_string();
        match error {
            Error::Closed => closed(py, text),
            Error::ReadOnly(_) => read_only(py, text),
            Error::TransactionClosed => transaction_closed(py, text),
            Error::Transaction(_) => transaction(py, text),
            Error::LockTimeout(_) => lock_timeout(py, text),
            // Whoever interrupted the wait has left the reason; see `pending`.
            Error::Interrupted => PyKeyboardInterrupt::new_err(text),
            Error::MapFull { .. } => map_full(py, Some(28), text),
            Error::Corrupted(_) => corrupted(py, None, text),
            Error::Format { .. } => format(py, None, text),
            Error::Unsupported(_) => unsupported(py, text),
            Error::Stale => stale(py, text),
            Error::SnapshotExpired => snapshot_expired(py, text),
            Error::InvalidKey(_) | Error::TooLarge(_) | Error::InvalidOption(_) | Error::Source(_) => {
                PyValueError::new_err(text)
            }
            Error::CommitOutcomeUnknown(source) => commit_outcome_unknown(py, source.raw_os_error(), text),
            Error::Io { source, .. } => match source.raw_os_error() {
                // OSError chooses the subclass, such as FileNotFoundError, by the number.
                Some(errno) => PyOSError::new_err((errno, text)),
                None if source.kind() == std::io::ErrorKind::NotFound => PyFileNotFoundError::new_err(text),
                None => PyErr::from(std::io::Error::new(source.kind(), text)),
            },
            _ => PyOSError::new_err(text),
        }
    })
}

/// What Python raises where there is no such key.
pub(crate) fn no_key(key: &Bound<'_, PyAny>) -> PyErr {
    PyKeyError::new_err((key.clone().unbind(),))
}

/// Lets `?` turn engine errors into Python's.
pub(crate) trait OrRaise<T> {
    /// The result, or the exception.
    fn or_raise(self) -> PyResult<T>;
}

impl<T> OrRaise<T> for oocmap::Result<T> {
    #[inline]
    fn or_raise(self) -> PyResult<T> {
        self.map_err(to_python)
    }
}

/// Warns of what nobody asked about and someone should know: see the functions that this calls.
pub(crate) fn warn_upkeep(py: Python<'_>, environment: &oocmap::Environment) -> PyResult<()> {
    warn_held_back(py, environment)?;
    warn_vacuum(py, environment)
}

/// Warns when a reader of an old version keeps more space from being used again than the map's handle allows.
fn warn_held_back(py: Python<'_>, environment: &oocmap::Environment) -> PyResult<()> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let Some(held) = environment.held_back() else { return Ok(()) };
    let age =
        held.reader.age.map_or_else(|| "an unknown time".into(), |age| format!("{:.0} s", age.as_secs_f64()));
    let text = format!(
        "{} MB of {} can't be used again because process {} (thread {}) has had a snapshot open for {age}; close it, or allow more with held_back_warning",
        held.bytes / 1_000_000,
        environment.path().display(),
        held.reader.process,
        held.reader.thread,
    );
    warn(py, class(py, &CLASS, "HeldBackWarning")?, text)
}

/// Warns when a vacuum failed that began by itself.
fn warn_vacuum(py: Python<'_>, environment: &oocmap::Environment) -> PyResult<()> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let Some(error) = environment.vacuum_failure() else { return Ok(()) };
    let text = format!(
        "a vacuum of {} that began by itself failed ({error}); nothing was lost, and another one begins later; mend what it says, or turn it off with configure_auto_vacuum(None)",
        environment.path().display(),
    );
    warn(py, class(py, &CLASS, "VacuumWarning")?, text)
}

fn warn(py: Python<'_>, category: Bound<'_, PyType>, text: String) -> PyResult<()> {
    let text = std::ffi::CString::new(text.replace('\0', " "))?;
    PyErr::warn(py, category.as_any(), &text, 1)
}
