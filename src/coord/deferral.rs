//! Decides when writes that were gathered have waited long enough for their commit.

use std::{mem, time::Duration};

use crate::sync::{Condvar, Mutex};

/// The longest wait while nothing is pending; whatever comes ends it.
const NOTHING_PENDING: Duration = Duration::from_hours(1);

/// What the thread that commits is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something has waited for a whole interval: commit it now.
    Flush,
    /// The owner is gone: end.
    End,
}

#[derive(Debug, Default)]
struct State {
    pending: bool,
    ended: bool,
    /// How many batches there were.
    batch: u64,
}

/// Watches whether a batch of writes waits for its commit.
///
/// Invariant: [`Deferral::next`] answers `Flush` only for a batch that was pending for a whole interval, and a batch
/// that is not settled in its interval is flushed at the end of it. Each batch is settled once.
#[derive(Debug, Default)]
pub(crate) struct Deferral {
    state: Mutex<State>,
    changed: Condvar,
}

impl Deferral {
    /// Something waits for its commit from now on; what comes later goes with it.
    pub(crate) fn pend(&self) {
        let mut state = self.state.lock();
        if state.pending {
            return;
        }
        state.pending = true;
        state.batch += 1;
        drop(state);
        self.changed.notify_all();
    }

    /// Whether something was waiting; whoever is told so has to commit it.
    #[must_use]
    pub(crate) fn settle(&self) -> bool {
        mem::take(&mut self.state.lock().pending)
    }

    /// The thread is to end. What still waits, or comes later, is the caller's to settle.
    pub(crate) fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits for the next thing to do.
    pub(crate) fn next(&self, interval: Duration) -> Step {
        let mut state = self.state.lock();
        // The batch that was pending when the last wait began. That wait took a whole interval unless something was
        // notified: the end, or another batch.
        let mut waited = None;
        loop {
            if state.ended {
                return Step::End;
            }
            if state.pending && waited == Some(state.batch) {
                return Step::Flush;
            }
            waited = state.pending.then_some(state.batch);
            let limit = if state.pending { interval } else { NOTHING_PENDING };
            state = self.changed.wait_for(state, limit);
        }
    }
}
