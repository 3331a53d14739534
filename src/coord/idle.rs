//! Decides when a cached snapshot has been unused for so long that it is let go.

use std::time::Duration;

use crate::sync::{AtomicBool, Condvar, Mutex, Ordering};

/// The longest wait while nothing is held; whoever holds something ends it.
const UNHELD: Duration = Duration::from_hours(1);

/// What the thread that lets go is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing was used for a whole interval: let go now.
    Release,
    /// The owner is gone: end.
    End,
}

#[derive(Debug, Default)]
struct State {
    held: bool,
    ended: bool,
}

/// Watches whether something is held, used and wanted.
///
/// Invariant: [`Idle::next`] answers `Release` only after a whole interval in which something was held and
/// [`Idle::touch`] was not called.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    state: Mutex<State>,
    changed: Condvar,
    used: AtomicBool,
}

impl Idle {
    /// Something is held from now on.
    pub(crate) fn hold(&self) {
        self.used.store(true, Ordering::Relaxed);
        self.state.lock().held = true;
        self.changed.notify_all();
    }

    /// What is held was used.
    #[inline]
    pub(crate) fn touch(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// No one will hold anything any more.
    pub(crate) fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits for the next thing to do.
    pub(crate) fn next(&self, interval: Duration) -> Step {
        let mut state = self.state.lock();
        loop {
            if state.ended {
                return Step::End;
            }
            if state.held && !self.used.swap(false, Ordering::Relaxed) {
                state.held = false;
                return Step::Release;
            }
            let limit = if state.held { interval } else { UNHELD };
            state = self.changed.wait_for(state, limit);
        }
    }
}
