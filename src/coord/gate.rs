//! The gate that admits one writer at a time, in the order of arrival, and knows who is inside.

use std::{collections::VecDeque, time::Duration};

use crate::sync::{Condvar, Mutex};

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
    /// The caller gave up.
    GaveUp,
}

#[derive(Debug, Default)]
struct State {
    /// Who is inside.
    owner: Option<u64>,
    /// The tickets of those who wait, first come first.
    queue: VecDeque<u64>,
    /// Who they are.
    waiting: Vec<u64>,
    next_ticket: u64,
}

impl State {
    /// Whether someone is inside, or waits for that.
    fn has(&self, owner: u64) -> bool {
        self.owner == Some(owner) || self.waiting.contains(&owner)
    }
}

/// Admits one owner at a time.
///
/// Invariant: only the waiter at the head of the queue goes in, and whoever leaves the queue or the gate wakes the
/// others, so that no one overtakes and no wake-up is lost.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    /// Waits until the gate is free; `wait` is asked before every wait.
    pub(crate) fn enter(&self, owner: u64, mut wait: impl FnMut() -> Wait) -> Entry {
        let mut state = self.state.lock();
        // Someone who waits can come a second time too: a signal handler runs while its thread waits.
        if state.has(owner) {
            return Entry::AlreadyInside;
        }
        if state.owner.is_none() && state.queue.is_empty() {
            state.owner = Some(owner);
            return Entry::Entered;
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.queue.push_back(ticket);
        state.waiting.push(owner);
        loop {
            if state.owner.is_none() && state.queue.front() == Some(&ticket) {
                state.queue.pop_front();
                state.waiting.retain(|waiting| *waiting != owner);
                state.owner = Some(owner);
                return Entry::Entered;
            }
            // The callback may take locks of its own (Python's, for one), so it never runs under this one.
            drop(state);
            let next = wait();
            state = self.state.lock();
            match next {
                Wait::For(_) if state.owner.is_none() && state.queue.front() == Some(&ticket) => {}
                Wait::For(limit) => state = self.changed.wait_for(state, limit),
                Wait::GiveUp => {
                    state.waiting.retain(|waiting| *waiting != owner);
                    state.queue.retain(|waiting| *waiting != ticket);
                    self.changed.notify_all();
                    return Entry::GaveUp;
                }
            }
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
        self.state.lock().owner = None;
        self.changed.notify_all();
    }
}
