//! The gate that admits one writer at a time, in the order of arrival, and knows who is inside.

use std::{collections::VecDeque, time::Duration};

use crate::sync::{Arc, Condvar, Mutex};

/// What a waiter wants to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Wait for at most so long, then be asked again.
    For(Duration),
    /// Leave the queue.
    GiveUp,
}

/// How an attempt to enter ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Entry {
    /// The caller is inside and has to leave.
    Entered,
    /// The caller is inside or waits already; waiting would never end.
    AlreadyInside,
    /// The caller gave up, or was dismissed.
    GaveUp,
}

#[derive(Debug)]
struct Waiter {
    owner: u64,
    /// What it wants to do inside, if another may do that for it.
    errand: Option<u64>,
    /// Rung when it is its turn, and when it needn't wait any more.
    bell: Arc<Condvar>,
}

#[derive(Debug, Default)]
struct State {
    /// Who is inside.
    owner: Option<u64>,
    /// Those who wait, first come first.
    queue: VecDeque<Waiter>,
}

impl State {
    fn waits(&self, owner: u64) -> bool {
        self.queue.iter().any(|waiter| waiter.owner == owner)
    }

    /// Whether someone is inside, or waits for that.
    fn has(&self, owner: u64) -> bool {
        self.owner == Some(owner) || self.waits(owner)
    }

    fn is_next(&self, owner: u64) -> bool {
        self.owner.is_none() && self.queue.front().is_some_and(|waiter| waiter.owner == owner)
    }

    /// Wakes the one who can go in.
    fn call_next(&self) {
        if self.owner.is_none()
            && let Some(waiter) = self.queue.front()
        {
            waiter.bell.notify_all();
        }
    }
}

/// Admits one owner at a time.
///
/// Invariant: only the waiter at the head of the queue goes in, and whoever leaves the queue or the gate wakes the one who
/// is at its head then, so that no one overtakes and no wake-up is lost. All others sleep on.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
}

impl Gate {
    /// Waits until the gate is free; `wait` is asked before every wait.
    pub(crate) fn enter(&self, owner: u64, wait: impl FnMut() -> Wait) -> Entry {
        self.enter_for(owner, None, wait)
    }

    /// As [`Gate::enter`], for one who needn't go in any more once someone has [dismissed](Self::dismiss) the errand.
    pub(crate) fn enter_for(&self, owner: u64, errand: Option<u64>, mut wait: impl FnMut() -> Wait) -> Entry {
        let mut state = self.state.lock();
        // Someone who waits can come a second time too: a signal handler runs while its thread waits.
        if state.has(owner) {
            return Entry::AlreadyInside;
        }
        if state.owner.is_none() && state.queue.is_empty() {
            state.owner = Some(owner);
            return Entry::Entered;
        }
        let bell = Arc::new(Condvar::default());
        state.queue.push_back(Waiter { owner, errand, bell: Arc::clone(&bell) });
        loop {
            if state.is_next(owner) {
                state.queue.pop_front();
                state.owner = Some(owner);
                return Entry::Entered;
            }
            if !state.waits(owner) {
                return Entry::GaveUp;
            }
            // The callback may take locks of its own (Python's, for one), so it never runs under this one.
            drop(state);
            let next = wait();
            state = self.state.lock();
            match next {
                Wait::For(_) if state.is_next(owner) || !state.waits(owner) => {}
                Wait::For(limit) => state = bell.wait_for(state, limit),
                Wait::GiveUp => {
                    state.queue.retain(|waiter| waiter.owner != owner);
                    // It may have been called a moment ago.
                    state.call_next();
                    return Entry::GaveUp;
                }
            }
        }
    }

    /// Sends those away who wait with one of these errands, given in ascending order, since they are done. Only who is inside
    /// may call it.
    pub(crate) fn dismiss(&self, errands: &[u64]) {
        let mut bells = Vec::new();
        self.state.lock().queue.retain(|waiter| {
            let is_done = waiter.errand.is_some_and(|errand| errands.binary_search(&errand).is_ok());
            if is_done {
                bells.push(Arc::clone(&waiter.bell));
            }
            !is_done
        });
        // Whoever wakes up wants the lock.
        for bell in bells {
            bell.notify_all();
        }
    }

    /// Whether someone is inside, or waits for that.
    pub(crate) fn has(&self, owner: u64) -> bool {
        self.state.lock().has(owner)
    }

    /// Whether someone waits.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.state.lock().queue.is_empty()
    }

    /// Lets the next one in.
    pub(crate) fn leave(&self) {
        let mut state = self.state.lock();
        state.owner = None;
        state.call_next();
    }
}
