//! Vacuums: who waits for them, and handles to those that run in the background.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use oocmap::{Error, VacuumProgress, VacuumStep, Vacuumed};
use pyo3::{
    PyTraverseError, PyVisit,
    exceptions::{PyTimeoutError, PyTypeError, PyValueError},
    prelude::*,
    sync::PyOnceLock,
    types::{PyBool, PyType},
};

use crate::{
    access::{Access, Opened},
    errors::{self, OrRaise},
    pending::seconds,
};

/// How often someone who waits tells how far it is, and looks whether Ctrl-C was pressed.
const POLL: Duration = Duration::from_millis(20);

/// A vacuum in the background, as ``OOCMap.vacuum`` begins it with ``wait=False``.
///
/// It goes on when nothing refers to this any more. It may be used from several threads at once, and belongs to the
/// process that began it.
#[pyclass(frozen, weakref, module = "oocmap")]
pub(crate) struct Vacuum {
    begun: oocmap::Vacuum,
    /// Keeps the map open, without which there is no vacuum.
    opened: Arc<Opened>,
    told: Option<Py<PyAny>>,
    /// Whether it was cancelled through this, and not because the map was closed.
    is_cancelled: AtomicBool,
    process: u32,
}

/// How a vacuum ended.
type Ended = Result<Vacuumed, Arc<Error>>;

impl Vacuum {
    /// Begins one.
    pub(crate) fn begin(
        py: Python<'_>,
        access: &Access,
        compact: bool,
        told: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        if told.as_ref().is_some_and(|told| !told.bind(py).is_callable()) {
            return Err(PyTypeError::new_err("progress has to be callable, or None"));
        }
        access.writer(py)?;
        let environment = access.opened().environment()?;
        let begun = py.detach(|| environment.vacuum(compact)).or_raise()?;
        errors::warn_upkeep(py, &environment)?;
        Ok(Self {
            begun,
            opened: Arc::clone(access.opened()),
            told,
            is_cancelled: AtomicBool::new(false),
            process: std::process::id(),
        })
    }

    /// Waits for its end; it is cancelled when the wait is interrupted.
    pub(crate) fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let ended = self.wait(py, None);
        if ended.is_err() {
            self.call_off();
        }
        match ended? {
            Some(ended) => self.report(py, ended),
            None => Err(errors::to_python(Error::Interrupted)),
        }
    }

    /// Waits for its end for at most so long, and tells how far it is.
    fn wait(&self, py: Python<'_>, limit: Option<Duration>) -> PyResult<Option<Ended>> {
        let since = Instant::now();
        let mut last = (0, 0);
        loop {
            let left = limit.map(|limit| limit.saturating_sub(since.elapsed()));
            let ended = py.detach(|| self.begun.wait(left.map_or(POLL, |left| left.min(POLL))));
            py.check_signals()?;
            let VacuumProgress { done, total, .. } = self.begun.progress();
            if let Some(told) = &self.told
                && (done, total) != last
                && !matches!(ended, Some(Err(_)))
            {
                last = (done, total);
                told.call1(py, last).inspect_err(|_| self.call_off())?;
            }
            if ended.is_some() || left.is_some_and(|left| left.is_zero()) {
                return Ok(ended);
            }
        }
    }

    fn call_off(&self) {
        if self.begun.wait(Duration::ZERO).is_none() {
            self.is_cancelled.store(true, Ordering::Relaxed);
        }
        self.begun.cancel();
    }

    /// What came of it, or why nothing did.
    fn report<'py>(&self, py: Python<'py>, ended: Ended) -> PyResult<Bound<'py, PyAny>> {
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        match ended {
            Ok(done) => CLASS.import(py, "oocmap._vacuum", "VacuumResult")?.call1((
                done.objects,
                done.bytes,
                done.size_before,
                done.size_after,
                done.duration.as_secs_f64(),
                done.longest_wait.as_secs_f64(),
                done.swap_wait.as_secs_f64(),
            )),
            Err(error) => match *error {
                Error::Interrupted if self.is_cancelled.load(Ordering::Relaxed) => Err(cancelled(py)),
                // Nobody else could have called it off.
                Error::Interrupted => Err(errors::to_python(Error::Closed)),
                ref other => Err(errors::raise(other)),
            },
        }
    }

    fn is_inherited(&self) -> bool {
        self.process != std::process::id()
    }

    /// Raises in a fork of the process that began it, where no one would ever tell of its end.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_inherited() {
            return Err(errors::transaction(
                py,
                format!(
                    "the vacuum belongs to process {}, which began it; begin another one here",
                    self.process
                ),
            ));
        }
        Ok(())
    }

    /// Whether it has ended, and how.
    fn ended(&self, py: Python<'_>) -> Option<Ended> {
        py.detach(|| self.begun.wait(Duration::ZERO))
    }
}

#[pymethods]
impl Vacuum {
    /// Wait for its end and return what it did.
    ///
    /// It may be called several times, by several threads. The ``progress`` that the vacuum was begun with is called on
    /// the threads that wait here; what it raises cancels the vacuum and is raised here. Ctrl-C ends the wait, and leaves
    /// the vacuum alone.
    ///
    /// Parameters
    /// ----------
    /// timeout : float or None
    ///     How many seconds to wait at most; ``None`` for as long as it takes.
    ///
    /// Returns
    /// -------
    /// VacuumResult
    ///     What it freed, and how long it took.
    ///
    /// Raises
    /// ------
    /// TimeoutError
    ///     When it takes longer; it goes on.
    /// concurrent.futures.CancelledError
    ///     When it was cancelled.
    /// ClosedError
    ///     When the map was closed before its end.
    /// TransactionError
    ///     In a forked child of the process that began it, and without ``timeout`` in a write transaction, for whose end
    ///     the vacuum waits.
    #[pyo3(signature = (timeout=None))]
    fn result<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        self.check(py)?;
        let limit = seconds("timeout", timeout)?;
        if limit.is_none() && self.ended(py).is_none() && self.opened.environment()?.participating().is_some()
        {
            return Err(errors::transaction(
                py,
                "the vacuum waits for the write transaction that this thread has open; end that one first",
            ));
        }
        match self.wait(py, limit)? {
            Some(ended) => self.report(py, ended),
            None => Err(PyTimeoutError::new_err(format!(
                "the vacuum of {} has not ended within {:.3} s; wait longer, or cancel it",
                self.opened.path.display(),
                limit.unwrap_or_default().as_secs_f64(),
            ))),
        }
    }

    /// Call it off: it ends soon, and what it has done until then stays done. One that has ended stays as it is.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        py.detach(|| self.call_off());
        Ok(())
    }

    /// Return whether it has ended, in whatever way.
    fn done(&self, py: Python<'_>) -> PyResult<bool> {
        self.check(py)?;
        Ok(self.ended(py).is_some())
    }

    /// How far it is: a ``VacuumProgress``, which is a named tuple of ``step``, ``done`` and ``total``.
    #[getter]
    fn progress<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        self.check(py)?;
        let VacuumProgress { step, done, total, .. } = self.begun.progress();
        CLASS.import(py, "oocmap._vacuum", "VacuumProgress")?.call1((name_of(step), done, total))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let state = if self.is_inherited() {
            format!("of process {}", self.process)
        } else {
            match self.ended(py) {
                Some(Ok(Vacuumed { objects: 1, .. })) => "done, 1 object deleted".into(),
                Some(Ok(report)) => format!("done, {} objects deleted", report.objects),
                Some(Err(_)) if self.is_cancelled.load(Ordering::Relaxed) => "cancelled".into(),
                Some(Err(error)) if matches!(*error, Error::Interrupted | Error::Closed) => {
                    "ended with the map".into()
                }
                Some(Err(_)) => "failed".into(),
                None => match self.begun.progress() {
                    VacuumProgress { step: VacuumStep::Waiting, .. } => "waiting".into(),
                    VacuumProgress { step, done, total, .. } => {
                        format!("{}, {done} of {total}", name_of(step))
                    }
                },
            }
        };
        format!("<oocmap vacuum of '{}', {state}>", self.opened.path.display())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.told)
    }
}

fn name_of(step: VacuumStep) -> &'static str {
    match step {
        VacuumStep::Marking => "marking",
        VacuumStep::Sweeping => "sweeping",
        VacuumStep::Compacting => "compacting",
        _ => "waiting",
    }
}

fn cancelled(py: Python<'_>) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    match CLASS.import(py, "concurrent.futures", "CancelledError") {
        Ok(class) => PyErr::from_type(
            class.clone(),
            "the vacuum was cancelled; what it had done until then stays done, and the next one goes on",
        ),
        Err(error) => error,
    }
}

/// After how many deletions a vacuum begins by itself, as Python gives it; 0 for never.
pub(crate) fn threshold(name: &str, given: &Bound<'_, PyAny>) -> PyResult<u64> {
    if given.is_none() {
        return Ok(0);
    }
    if given.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err(format!("{name} has to be an int or None, not bool")));
    }
    match given.extract::<u64>() {
        Ok(threshold) if threshold <= 1 << 63 => Ok(threshold),
        Err(error) if error.is_instance_of::<PyTypeError>(given.py()) => Err(PyTypeError::new_err(format!(
            "{name} has to be an int or None, not {}",
            given.get_type().name()?
        ))),
        _ => Err(PyValueError::new_err(format!(
            "{name} is {given}; give a number of deletions from 1 to 2**63, or 0 for never"
        ))),
    }
}
