//! Waits for the right to write without holding Python up, and lets Ctrl-C end the wait.

use std::time::Duration;

use oocmap::{Error, Patience};
use pyo3::{exceptions::PyValueError, prelude::*};

use crate::errors::to_python;

/// Runs something that may wait, with the interpreter free for others.
pub(crate) fn waiting<R: Send>(
    py: Python<'_>,
    limit: Option<Duration>,
    work: impl FnOnce(&mut Patience<'_>) -> oocmap::Result<R> + Send,
) -> PyResult<R> {
    let mut raised = None;
    let result = py.detach(|| {
        let mut interrupted = || {
            Python::attach(|py| match py.check_signals() {
                Ok(()) => false,
                Err(error) => {
                    raised = Some(error);
                    true
                }
            })
        };
        work(&mut Patience::new(limit).until(&mut interrupted))
    });
    match (result, raised) {
        // What was asked may have been done all the same, by another thread.
        (Ok(_) | Err(Error::Interrupted), Some(error)) => Err(error),
        (result, _) => result.map_err(to_python),
    }
}

/// A time in seconds, as Python gives it for an argument.
pub(crate) fn seconds(name: &str, limit: Option<f64>) -> PyResult<Option<Duration>> {
    match limit {
        None => Ok(None),
        Some(limit) => Duration::try_from_secs_f64(limit).map(Some).map_err(|_| {
            PyValueError::new_err(format!("{name} is {limit}; give a number of seconds from 0 on"))
        }),
    }
}
