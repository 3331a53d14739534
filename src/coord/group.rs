//! Small commits that wait together: whoever gets through the gate first commits them all.

use std::collections::VecDeque;

use crate::sync::Mutex;

/// What a caller asks for its job with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

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
}

/// The jobs that wait for someone who does them, and their results.
///
/// There is nothing to wait on here. Whoever has submitted a job waits at the gate until the job is done or the caller
/// is inside; whoever is inside takes jobs and finishes each of them before leaving, which wakes the others.
///
/// Invariant: a job is in the queue, with the one who took it, or replaced by its result, never in two of these places.
#[derive(Debug)]
pub(crate) struct Group<J, R> {
    state: Mutex<State<J, R>>,
}

impl<J, R> Default for Group<J, R> {
    fn default() -> Self {
        Self { state: Mutex::new(State { waiting: VecDeque::new(), done: Vec::new(), next_ticket: 0 }) }
    }
}

impl<J, R> Group<J, R> {
    /// Queues a job. The caller has to [withdraw](Self::withdraw) it, whatever becomes of it.
    pub(crate) fn submit(&self, job: J) -> Ticket {
        let mut state = self.state.lock();
        let ticket = Ticket(state.next_ticket);
        state.next_ticket += 1;
        state.waiting.push_back((ticket, job));
        ticket
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
