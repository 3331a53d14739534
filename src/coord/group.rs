//! Small commits that wait together: whoever gets through the gate first commits them all.

use std::{collections::VecDeque, time::Duration};

use crate::sync::{Condvar, Mutex};

/// How often waiting for others is left out, at most, after it was in vain.
const MOST_LEFT_OUT: u32 = 63;

/// What a caller asks for its job with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Ticket {
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// What has become of a job.
#[derive(Debug)]
#[must_use]
pub(crate) enum Withdrawn<J, R> {
    /// No one has begun it; it is the caller's again.
    Job(J),
    /// Someone works on it: wait, then ask again.
    Running,
    /// It is done.
    Done(R),
}

#[derive(Debug)]
struct State<J, R> {
    /// The jobs that no one has begun, first come first.
    waiting: VecDeque<(Ticket, J)>,
    /// The results that no one has fetched.
    done: Vec<(Ticket, R)>,
    next_ticket: u64,
    /// How many wait as soon as all have come again who were there last.
    expected: usize,
    /// Whether someone waits for them.
    is_gathering: bool,
    /// How often the next ones go on without waiting for them, and how often that was after the last wait in vain.
    left_out: u32,
    leave_out: u32,
}

impl<J, R> State<J, R> {
    fn is_complete(&self) -> bool {
        self.waiting.len() >= self.expected
    }
}

/// The jobs that wait for someone who does them, and their results.
///
/// Nobody waits for a result here. Whoever has submitted a job waits at the gate until the job is done or the caller
/// is inside; whoever is inside takes jobs and finishes each of them before leaving, which wakes the others.
///
/// Invariant: a job is in the queue, with the one who took it, or replaced by its result, never in two of these places.
#[derive(Debug)]
pub(crate) struct Group<J, R> {
    state: Mutex<State<J, R>>,
    complete: Condvar,
}

impl<J, R> Default for Group<J, R> {
    fn default() -> Self {
        let state = State {
            waiting: VecDeque::new(),
            done: Vec::new(),
            next_ticket: 0,
            expected: 0,
            is_gathering: false,
            left_out: 0,
            leave_out: 0,
        };
        Self { state: Mutex::new(state), complete: Condvar::default() }
    }
}

impl<J, R> Group<J, R> {
    /// Queues a job. The caller has to [withdraw](Self::withdraw) it, whatever becomes of it.
    pub(crate) fn submit(&self, job: J) -> Ticket {
        let mut state = self.state.lock();
        let ticket = Ticket(state.next_ticket);
        state.next_ticket += 1;
        state.waiting.push_back((ticket, job));
        if state.is_gathering && state.is_complete() {
            self.complete.notify_all();
        }
        ticket
    }

    /// So many jobs that were taken will be finished now: those who wanted them may soon want something again, and join
    /// those who wait already.
    pub(crate) fn expect(&self, finished: usize) {
        let mut state = self.state.lock();
        state.expected = state.waiting.len() + finished;
    }

    /// Waits until as many jobs wait as are expected, for at most so long, and not at all where that was in vain lately.
    /// Only the one who takes jobs may call it.
    pub(crate) fn gather(&self, limit: Duration) {
        let mut state = self.state.lock();
        if state.is_complete() {
            return;
        }
        if state.left_out > 0 {
            state.left_out -= 1;
            return;
        }
        let found = state.waiting.len();
        state.is_gathering = true;
        state = self.complete.wait_for(state, limit);
        state.is_gathering = false;
        let is_in_vain = state.waiting.len() <= found;
        state.leave_out = if is_in_vain { MOST_LEFT_OUT.min(2 * state.leave_out + 1) } else { 0 };
        state.left_out = state.leave_out;
    }

    /// Takes jobs in the order of arrival up to the first that does not suit, and no more than so many. Whoever takes
    /// them has to [finish](Self::finish) each. `suits` runs under the lock.
    pub(crate) fn take(&self, most: usize, mut suits: impl FnMut(&J) -> bool) -> Vec<(Ticket, J)> {
        let mut state = self.state.lock();
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(job) = state.waiting.pop_front_if(|(_, job)| suits(job))
        {
            taken.push(job);
        }
        taken
    }

    /// A job that was taken is done.
    pub(crate) fn finish(&self, ticket: Ticket, result: R) {
        self.state.lock().done.push((ticket, result));
    }

    /// Whether there is a result to fetch.
    pub(crate) fn is_done(&self, ticket: Ticket) -> bool {
        self.state.lock().done.iter().any(|(done, _)| *done == ticket)
    }

    /// Fetches the result, or takes the job back as long as no one has begun it.
    pub(crate) fn withdraw(&self, ticket: Ticket) -> Withdrawn<J, R> {
        let mut state = self.state.lock();
        if let Some(place) = state.done.iter().position(|(done, _)| *done == ticket) {
            return Withdrawn::Done(state.done.swap_remove(place).1);
        }
        let place = state.waiting.iter().position(|(waiting, _)| *waiting == ticket);
        match place.and_then(|place| state.waiting.remove(place)) {
            Some((_, job)) => Withdrawn::Job(job),
            None => Withdrawn::Running,
        }
    }
}
