//! The thread that vacuums, and what it is asked to do.

use std::time::{Duration, Instant};

use super::{
    collector::{Collected, Collection, Supervisor},
    compact::{Bar, alive, compact},
    report::{VacuumProgress, VacuumStep, Vacuumed},
};
use crate::{
    coord::{
        collection::{Outcome, Phase, collect},
        tasks::{Ended, Task, Tasks, Ticket, Worker},
    },
    error::{Error, Result},
    format::header::Header,
    store::{HomeProcess, Store, StoreStats, VACUUM_THREAD},
    sync::{Arc, Mutex, Weak},
    txn::{
        core::{Core, Terms},
        patience::Patience,
    },
};

/// How long the thread waits for something to do before it ends.
const IDLE: Duration = Duration::from_secs(10);
/// How long one who closes the map waits for the thread to leave it alone.
const LEAVING: Duration = Duration::from_millis(500);
/// How often someone looks whether another process has ended its vacuum, or whether to go on.
const POLL: Duration = Duration::from_millis(10);
/// How long a vacuum that began by itself and failed is left alone, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(10));
/// How often a collection is done again at once, because what it let go of late may have led to something else.
const ROUNDS: u32 = 3;

/// What a vacuum is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Whether space is to be given back to the file system.
    pub(super) compact: bool,
    /// Whether nobody asked for it, and it is done only if no one else does it.
    pub(super) is_automatic: bool,
    pub(super) terms: Terms,
}

/// What came of a vacuum, for all who wait for it.
pub(super) type Report = Result<Vacuumed, Arc<Error>>;

/// A vacuum that was asked for. Dropping this leaves it alone.
#[derive(Clone, Debug)]
pub struct Vacuum(Ticket<Report>);

impl Vacuum {
    /// Waits for its end, for at most so long.
    ///
    /// # Errors
    ///
    /// Why it failed; nothing that anyone can reach is lost. `Interrupted` when it was cancelled, `Closed` when the map was
    /// closed.
    pub fn wait(&self, limit: Duration) -> Option<Result<Vacuumed, Arc<Error>>> {
        self.0.wait(limit).map(|ended| match ended {
            Ended::Done(report) => report,
            Ended::Cancelled => Err(Arc::new(Error::Interrupted)),
            Ended::Abandoned => Err(Arc::new(Error::Transaction(
                "the vacuum failed half way; nothing is lost, begin another one",
            ))),
        })
    }

    /// Calls it off. It ends soon, and what it has done until then stays done.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// How far it is.
    pub fn progress(&self) -> VacuumProgress {
        let [step, done, total] = self.0.progress();
        VacuumProgress { step: VacuumStep::from_number(step), done, total }
    }
}

/// The vacuums of a map for as long as it is open in this process: they end when nobody has it open any more.
#[derive(Debug)]
pub(crate) struct Vacuums {
    tasks: Arc<Tasks<Job, Report>>,
    core: Weak<Core>,
    automatic: Arc<Mutex<Automatic>>,
    /// The process that opened the map.
    home: HomeProcess,
}

impl Drop for Vacuums {
    fn drop(&mut self) {
        // A fork has none of the threads that would be told, and may have their locks for ever.
        if self.home.is_inherited() {
            return;
        }
        self.tasks.end();
        // So that nothing is written any more when the map was closed. It only takes longer when the disk does, for which
        // nobody who closes a map should wait for long.
        if std::thread::current().name() != Some(VACUUM_THREAD) {
            self.tasks.worker_left(LEAVING);
        }
    }
}

/// What became of the vacuums that began by themselves.
#[derive(Debug, Default)]
struct Automatic {
    /// Until when none is to begin.
    rest: Option<Instant>,
    pause: Duration,
    /// Why the last one failed, until someone is told.
    failure: Option<Arc<Error>>,
}

impl Automatic {
    fn note(&mut self, report: &Report) {
        match report {
            Err(error) if !matches!(**error, Error::Interrupted | Error::Closed) => {
                self.failure = Some(Arc::clone(error));
                self.pause = (self.pause * 2).clamp(RETRY.0, RETRY.1);
                self.rest = Some(Instant::now() + self.pause);
            }
            _ => (self.pause, self.rest) = (Duration::ZERO, None),
        }
    }
}

impl Vacuums {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self {
            tasks: Arc::default(),
            core: Arc::downgrade(core),
            automatic: Arc::default(),
            home: HomeProcess::default(),
        }
    }

    /// Asks for a vacuum.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub(crate) fn submit(&self, compact: bool, terms: Terms) -> Result<Vacuum> {
        let submitted =
            self.tasks.submit(Job { compact, is_automatic: false, terms }).ok_or(Error::Closed)?;
        if let Some(worker) = submitted.worker {
            self.start(worker)?;
        }
        Ok(Vacuum(submitted.ticket))
    }

    /// Begins a vacuum of which nobody asks, unless someone else is at it.
    pub(crate) fn remind(&self) {
        if self.automatic.lock().rest.is_some_and(|rest| Instant::now() < rest) {
            return;
        }
        let Some(terms) = self.core.upgrade().map(|core| core.upkeep()) else { return };
        if let Some(worker) = self.tasks.remind(Job { compact: true, is_automatic: true, terms }) {
            // Without a thread there is none until the next time.
            let _ = self.start(worker);
        }
    }

    /// Why the last vacuum failed that began by itself; told once.
    pub(crate) fn take_failure(&self) -> Option<Arc<Error>> {
        self.automatic.lock().failure.take()
    }

    fn start(&self, mut worker: Worker<Job, Report>) -> Result<()> {
        let (core, automatic) = (self.core.clone(), Arc::clone(&self.automatic));
        let run = move || {
            while let Some(task) = worker.next(IDLE) {
                let report = vacuum(&core, &task).map_err(Arc::new);
                if task.job.is_automatic {
                    automatic.lock().note(&report);
                }
                task.finish(report);
            }
        };
        std::thread::Builder::new()
            .name(VACUUM_THREAD.into())
            .spawn(run)
            .map(drop)
            .map_err(|error| Error::io("starting a thread for the vacuum", error))
    }
}

impl Supervisor for Task<Job, Report> {
    fn is_cancelled(&self) -> bool {
        self.is_cancelled()
    }

    fn tell(&self, step: VacuumStep, done: u64, total: u64) {
        Self::tell(self, [step as u64, done, total]);
    }
}

/// The right to vacuum, of all processes; others wait until it is dropped.
struct Right(Arc<Store>);

impl Drop for Right {
    fn drop(&mut self) {
        self.0.unlock_vacuum();
    }
}

/// Says that nobody marks any more, if a vacuum died while it did: otherwise all who write would go on taking notes.
pub(crate) fn end_marking_of_the_dead(core: &Arc<Core>) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(1);
    let store = core.generations.current();
    let is_marking = |header: &Header| header.phase == Phase::Marking;
    if store.readonly() || !is_marking(core.pin_committed()?.header()) || !store.try_lock_vacuum()? {
        return Ok(());
    }
    let _right = Right(store);
    core.write_alone(core.upkeep(), &mut Patience::new(Some(PATIENCE)), |state| {
        if is_marking(state.header()) {
            state.set_phase(Phase::Idle);
        }
        Ok(())
    })?;
    Ok(())
}

/// Waits until nobody else vacuums; `None` for one that nobody asked for, if it would have to.
fn take_right(core: &Weak<Core>, task: &Task<Job, Report>) -> Result<Option<Right>> {
    loop {
        let store = alive(core)?.generations.current();
        if store.try_lock_vacuum()? {
            return Ok(Some(Right(store)));
        }
        if task.job.is_automatic {
            return Ok(None);
        }
        if task.is_cancelled() {
            return Err(Error::Interrupted);
        }
        drop(store);
        std::thread::sleep(POLL);
    }
}

/// How large the file is that is the current one now.
fn stats(core: &Weak<Core>) -> Result<StoreStats> {
    let store = Arc::clone(alive(core)?.generations.snapshot()?.store());
    store.stats()
}

/// Whether so much was deleted that a vacuum begins by itself.
fn is_due(core: &Weak<Core>) -> Result<bool> {
    let header = *alive(core)?.pin_committed()?.header();
    Ok(header.is_vacuum_due())
}

/// Vacuums the map.
fn vacuum(core: &Weak<Core>, task: &Task<Job, Report>) -> Result<Vacuumed> {
    let begun = Instant::now();
    let Some(right) = take_right(core, task)? else { return Ok(Vacuumed::default()) };
    if task.job.is_automatic && !is_due(core)? {
        return Ok(Vacuumed::default());
    }
    let before = stats(core)?;
    let mut report = Vacuumed { size_before: before.file_size, ..Vacuumed::default() };
    for _ in 0..ROUNDS {
        let mut collection = Collection::new(core, task.job.terms, task);
        let outcome = collect(&mut collection, || task.is_cancelled());
        if outcome? == Outcome::Cancelled {
            return Err(Error::Interrupted);
        }
        let Collected { objects, longest, left_more } = collection.collected;
        report.objects += objects;
        report.longest_wait = report.longest_wait.max(longest);
        if !left_more {
            break;
        }
    }
    if task.job.compact {
        let bar = if task.job.is_automatic { Bar::AUTOMATIC } else { Bar::ASKED };
        compact(core, task.job.terms, bar, task, &mut report)?;
    }
    let after = stats(core)?;
    drop(right);
    report.size_after = after.file_size;
    let used = |size: u64, free: u64| size.saturating_sub(free);
    report.bytes =
        used(before.file_size, before.free_bytes).saturating_sub(used(after.file_size, after.free_bytes));
    report.duration = begun.elapsed();
    Ok(report)
}
