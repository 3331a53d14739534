//! Which asyncio task runs: the tasks of a thread take turns, so a transaction of one is none of another's.

use oocmap::SharedWrite;
use pyo3::{intern, prelude::*, types::PyDict};

/// A number for the running task; zero when none runs.
pub(crate) fn current(py: Python<'_>) -> PyResult<u64> {
    // Where asyncio was never imported, no task runs.
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    let Some(asyncio) = modules.cast::<PyDict>()?.get_item(intern!(py, "asyncio"))? else { return Ok(0) };
    // While another thread is just importing it, nothing may be there yet.
    let Some(running) = asyncio.getattr_opt(intern!(py, "_get_running_loop"))? else { return Ok(0) };
    let running = running.call0()?;
    if running.is_none() {
        return Ok(0);
    }
    let task = asyncio.call_method1(intern!(py, "current_task"), (running,))?;
    Ok(if task.is_none() { 0 } else { task.as_ptr() as u64 })
}

/// Whether what runs now is part of a transaction that this thread has open.
#[inline]
pub(crate) fn takes_part(py: Python<'_>, transaction: &SharedWrite) -> PyResult<bool> {
    match transaction.task() {
        0 => Ok(true),
        task => Ok(current(py)? == task),
    }
}
