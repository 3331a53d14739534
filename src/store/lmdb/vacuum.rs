//! Who may vacuum, and what the processes have handles to.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::{
    super::{
        Waiting,
        control::{Control, Holder, poll},
        reader_table::Reader,
    },
    Store,
};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;

/// The name of a thread that vacuums.
pub(crate) const VACUUM_THREAD: &str = "oocmap-vacuum";

/// Whether a version is pinned by a vacuum, of any process.
pub(super) fn is_vacuum(reader: &Reader) -> bool {
    let name = fs::read_to_string(format!("/proc/{}/task/{}/comm", reader.process, reader.thread));
    name.is_ok_and(|name| name.trim_end() == VACUUM_THREAD)
}

impl Store {
    /// Takes the right to vacuum if nobody has it; `false` also where nothing can be written.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn try_lock_vacuum(&self) -> Result<bool> {
        match &self.control {
            Some(control) if !self.environment.readonly => control.try_lock_vacuum(),
            _ => Ok(false),
        }
    }

    /// Gives the right to vacuum back.
    pub(crate) fn unlock_vacuum(&self) {
        if let Some(control) = &self.control {
            control.unlock_vacuum();
        }
    }

    /// Takes a place among the processes that have handles to objects, if they can be asked for them.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn hold(&self) -> Result<Option<Holder>> {
        self.control.as_ref().map_or(Ok(None), Control::hold)
    }

    /// Whether another process may have handles to objects.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn has_other_holders(&self) -> Result<bool> {
        self.control.as_ref().map_or(Ok(false), |control| control.has_other_holders())
    }

    /// Asks the other processes for their handles, and waits until they have answered; who takes too long is left out.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; that of `waiting`.
    pub(crate) fn ask_for_handles(&self, waiting: &mut Waiting<'_>) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let Some(control) = &self.control else { return Ok(()) };
        let (question, begun) = (control.ask(), Instant::now());
        poll(waiting, Duration::from_millis(5), || {
            let is_over = control.is_answered(question)? || begun.elapsed() > PATIENCE;
            Ok(is_over.then_some(()))
        })
    }

    /// Wakes the thread that waits for such questions, so that it looks whether to go on.
    pub(crate) fn rouse_holder(&self) {
        if let Some(control) = &self.control {
            control.rouse();
        }
    }
}
