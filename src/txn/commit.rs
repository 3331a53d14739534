//! Small writes of several threads that wait at the same time are committed together, so that they share the wait for the
//! disk.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use super::{
    core::{Core, Terms, thread_token},
    patience::Patience,
    write::WriteState,
};
use crate::{
    coord::{
        gate::{Entry, Wait},
        group::{Group, Ticket, Withdrawn},
    },
    error::{Error, Result},
    store::{WriteKind, Writer},
    sync::Arc,
};

/// How many writes are committed together at most.
const MOST: usize = 256;
/// How often someone looks whether a write is done that can't be called off any more.
const POLL: Duration = Duration::from_millis(1);

/// What a small write does. It runs once, or again when what it was committed together with failed, and is told whether this
/// is the only time.
type Work<'a> = Box<dyn FnMut(&mut WriteState<Writer>, bool) -> Result<()> + Send + 'a>;

/// One small write.
pub(crate) struct Job {
    work: Work<'static>,
    kind: WriteKind,
    terms: Terms,
    /// The thread that wants it.
    owner: u64,
}

/// The small writes that wait.
pub(super) type Jobs = Group<Job, Result<()>>;

impl Job {
    /// # Safety
    ///
    /// The job is dropped before anything that `work` borrows.
    #[expect(unsafe_code, reason = "the write is done by another thread while its own waits")]
    unsafe fn new<'a>(work: Work<'a>, kind: WriteKind, terms: Terms) -> Self {
        // SAFETY: the two types differ in a lifetime only, which the caller answers for.
        let work = unsafe { std::mem::transmute::<Work<'a>, Work<'static>>(work) };
        Self { work, kind, terms, owner: thread_token() }
    }

    fn suits(&self, other: &Self) -> bool {
        self.kind == other.kind && self.terms == other.terms
    }

    /// Runs it; a panic becomes an error, so that those who wait for others of the group go on.
    fn run(&mut self, state: &mut WriteState<Writer>, is_only: bool) -> Result<()> {
        catch_unwind(AssertUnwindSafe(|| (self.work)(state, is_only)))
            .unwrap_or(Err(Error::Transaction("a write failed half way and was taken back")))
    }
}

/// A job that has been submitted, and is withdrawn in any case.
struct Submitted<'a> {
    jobs: &'a Jobs,
    ticket: Ticket,
    is_over: bool,
}

impl Submitted<'_> {
    /// Its result; waits while someone works on it. `None` when nobody had begun, and nobody will.
    fn fetch(&mut self) -> Option<Result<()>> {
        loop {
            match self.jobs.withdraw(self.ticket) {
                Withdrawn::Done(result) => {
                    self.is_over = true;
                    return Some(result);
                }
                Withdrawn::Job(job) => {
                    self.is_over = true;
                    drop(job);
                    return None;
                }
                Withdrawn::Running => std::thread::sleep(POLL),
            }
        }
    }
}

impl Drop for Submitted<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = self.fetch();
        }
    }
}

/// Jobs that were taken, each of which is finished in any case.
struct Taken<'a> {
    jobs: &'a Jobs,
    taken: Vec<(Ticket, Job)>,
}

impl Taken<'_> {
    /// Finishes the first.
    fn finish(&mut self, result: Result<()>) {
        if !self.taken.is_empty() {
            let (ticket, job) = self.taken.remove(0);
            // What it borrows may be gone as soon as its own thread knows the result.
            drop(job);
            self.jobs.finish(ticket, result);
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        while !self.taken.is_empty() {
            self.finish(Err(Error::Transaction("a write failed half way; look whether it was committed")));
        }
    }
}

impl Core {
    /// Does something in a write transaction of its own, or in one with what other threads want at the same time.
    ///
    /// `work` may run again, on any thread, when something else that was to be committed with it failed; it is told
    /// whether this can't happen.
    pub(crate) fn write_once<R: Send>(
        self: &Arc<Self>,
        kind: WriteKind,
        terms: Terms,
        patience: &mut Patience<'_>,
        mut work: impl FnMut(&mut WriteState<Writer>, bool) -> Result<R> + Send,
    ) -> Result<R> {
        self.check_may_write()?;
        self.flush()?;
        let mut result = None;
        let job = Box::new(|state: &mut WriteState<Writer>, is_only: bool| {
            result = Some(work(state, is_only)?);
            Ok(())
        });
        #[expect(unsafe_code, reason = "the write is done by another thread while its own waits")]
        // SAFETY: `submitted` is dropped before `result` and `work`, and by then has either taken the job back or waited
        // until it was run and dropped.
        let job = unsafe { Job::new(job, kind, terms) };
        let mut submitted = Submitted { ticket: self.jobs.submit(job), jobs: &self.jobs, is_over: false };
        let outcome = self.wait_for(&mut submitted, patience);
        drop(submitted);
        outcome?;
        result.ok_or(Error::TransactionClosed)
    }

    /// Waits until someone has done the job, or for the turn to do it with all others that wait.
    fn wait_for(self: &Arc<Self>, submitted: &mut Submitted<'_>, patience: &mut Patience<'_>) -> Result<()> {
        let ticket = submitted.ticket;
        let wait = || {
            if self.jobs.is_done(ticket) {
                return Wait::GiveUp;
            }
            self.flush_for_others();
            patience.next()
        };
        match self.gate.enter_for(thread_token(), Some(ticket.number()), wait) {
            Entry::AlreadyInside => submitted.fetch().unwrap_or_else(|| Err(Self::already_inside())),
            Entry::GaveUp => submitted.fetch().unwrap_or_else(|| Err(patience.error())),
            Entry::Entered => {
                // Another thread may have done it before this one came to the gate.
                if self.jobs.is_done(ticket) {
                    self.gate.leave();
                    return submitted.fetch().unwrap_or(Err(Error::TransactionClosed));
                }
                // No other process waits meanwhile.
                if let Some(limit) = self.pace.patience() {
                    self.jobs.gather(limit);
                }
                let turn = self.turn(patience);
                if turn.is_ok() {
                    self.commit_waiting(ticket);
                }
                let refusal = turn.map(drop).err();
                submitted.fetch().unwrap_or_else(|| Err(refusal.unwrap_or(Error::Interrupted)))
            }
        }
    }

    /// Commits what waits, at least until one of it is done.
    fn commit_waiting(self: &Arc<Self>, until: Ticket) {
        while !self.jobs.is_done(until) {
            let mut first = None;
            let jobs = self.jobs.take(MOST, |job| {
                let (kind, terms) = *first.get_or_insert((job.kind, job.terms));
                job.kind == kind && job.terms == terms
            });
            if jobs.is_empty() {
                return;
            }
            self.commit_jobs(jobs);
        }
    }

    fn commit_jobs(self: &Arc<Self>, jobs: Vec<(Ticket, Job)>) {
        let errands: Vec<u64> = jobs.iter().map(|(ticket, _)| ticket.number()).collect();
        let mut taken = Taken { jobs: &self.jobs, taken: jobs };
        let alone = taken.taken.len() == 1;
        let outcome = if alone { Ok(Vec::new()) } else { self.commit_together(&mut taken.taken) };
        match outcome {
            Ok(results) if !alone => {
                self.jobs.expect(results.len());
                for result in results {
                    taken.finish(result);
                }
            }
            // Whether they are committed is open, so they can't be done again.
            Err(Error::CommitOutcomeUnknown(source)) => {
                while !taken.taken.is_empty() {
                    let source = io::Error::new(source.kind(), source.to_string());
                    taken.finish(Err(Error::CommitOutcomeUnknown(source)));
                }
            }
            // What one of them could not do must not harm the others.
            _ => {
                while let Some((_, job)) = taken.taken.first_mut() {
                    let result = self.commit_alone(job);
                    self.jobs.expect(taken.taken.len());
                    taken.finish(result);
                }
            }
        }
        // They go on at once; the next one to write waits until the turn ends.
        self.gate.dismiss(&errands);
    }

    /// Does something in a write transaction that nothing else is committed with; answers for how long others had to wait
    /// for it, too.
    pub(crate) fn write_alone<R>(
        self: &Arc<Self>,
        terms: Terms,
        patience: &mut Patience<'_>,
        work: impl FnOnce(&mut WriteState<Writer>) -> Result<R>,
    ) -> Result<(R, Duration)> {
        let turn = self.take_turn_for_others(patience)?;
        let begun = Instant::now();
        let ended = self.begin_and_end(WriteKind::Freeing, terms, work);
        drop(turn);
        Ok((ended?.0, begun.elapsed()))
    }

    /// Does something large in a write transaction that nothing else is committed with.
    pub(crate) fn write_large<R>(
        self: &Arc<Self>,
        terms: Terms,
        patience: &mut Patience<'_>,
        work: impl FnOnce(&mut WriteState<Writer>) -> Result<R>,
    ) -> Result<R> {
        let _turn = self.take_turn(patience)?;
        let (result, resized) = self.begin_and_end(WriteKind::Normal, terms, work)?;
        self.note_resized(thread_token(), resized);
        Ok(result)
    }

    /// Does something in a write transaction, for one who has the turn; answers how often that changed numbers of entries and
    /// of elements, too.
    fn begin_and_end<R>(
        &self,
        kind: WriteKind,
        terms: Terms,
        work: impl FnOnce(&mut WriteState<Writer>) -> Result<R>,
    ) -> Result<(R, (u64, u64))> {
        let mut state = self.begin(kind, terms)?;
        let worked = work(&mut state);
        Self::end(state, worked, |tables| tables.commit(terms.durability), Writer::abort)
    }

    fn begin(&self, kind: WriteKind, terms: Terms) -> Result<WriteState<Writer>> {
        let writer = self.generations.begin_write(kind, terms.max_size)?;
        WriteState::new(writer, Arc::clone(&self.memory)).map_err(|(error, _)| error)
    }

    fn commit_alone(&self, job: &mut Job) -> Result<()> {
        let mut state = self.begin(job.kind, job.terms)?;
        let worked = job.run(&mut state, true);
        let ((), resized) = self.finish(state, worked, job.terms)?;
        self.note_resized(job.owner, resized);
        Ok(())
    }

    /// Commits several, each of which happens or not for itself; an error means that none did.
    fn commit_together(&self, jobs: &mut [(Ticket, Job)]) -> Result<Vec<Result<()>>> {
        let Some((_, first)) = jobs.first() else { return Ok(Vec::new()) };
        let terms = first.terms;
        debug_assert!(jobs.iter().all(|(_, job)| job.suits(first)));
        let mut state = self.begin(first.kind, terms)?;
        let mut results = Vec::new();
        let mut resized = Vec::new();
        for (_, job) in &mut *jobs {
            let before = (state.resized(), state.objects_resized());
            let savepoint = state.savepoint();
            let worked = job.run(&mut state, false);
            let kept = match &worked {
                Ok(()) => {
                    state.release_savepoint();
                    Ok(())
                }
                Err(error) if error.ends_transaction() => Err(Error::TransactionClosed),
                Err(_) => state.roll_back_to(savepoint),
            };
            if let Err(error) = kept {
                state.take_back().abort();
                return Err(error);
            }
            let after = (state.resized(), state.objects_resized());
            resized.push((job.owner, (after.0 - before.0, after.1 - before.1)));
            results.push(worked);
        }
        self.finish(state, Ok(()), terms)?;
        for (owner, resized) in resized {
            self.note_resized(owner, resized);
        }
        Ok(results)
    }

    /// As [`Core::end`], and notes how long the commit takes.
    fn finish<R>(
        &self,
        state: WriteState<Writer>,
        worked: Result<R>,
        terms: Terms,
    ) -> Result<(R, (u64, u64))> {
        let commit = |tables: Writer| self.pace.measure(|| tables.commit(terms.durability));
        Self::end(state, worked, commit, Writer::abort)
    }
}
