//! The tasks of a thread in the background, which is started when there is something to do and ends when there is not.

use std::{collections::VecDeque, mem, time::Duration};

use crate::sync::{Arc, AtomicBool, AtomicU64, Condvar, Mutex, Ordering};

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended<R> {
    /// It was run; this is what came of it.
    Done(R),
    /// It was cancelled before anyone began it.
    Cancelled,
    /// Who ran it, or should have, is gone.
    Abandoned,
}

#[derive(Debug)]
enum Stage<R> {
    Waiting,
    Running,
    Ended(Ended<R>),
}

/// What those who wait for a task share with the worker.
///
/// Invariant: the stage goes forward only, so a task is run or cancelled, not both, and ends once.
#[derive(Debug)]
struct Shared<R> {
    stage: Mutex<Stage<R>>,
    ended: Condvar,
    cancelled: AtomicBool,
    progress: [AtomicU64; 3],
}

impl<R> Default for Shared<R> {
    fn default() -> Self {
        Self {
            stage: Mutex::new(Stage::Waiting),
            ended: Condvar::default(),
            cancelled: AtomicBool::new(false),
            progress: [0; 3].map(AtomicU64::new),
        }
    }
}

impl<R> Shared<R> {
    /// Whether the task is the caller's to run.
    fn begin(&self) -> bool {
        let mut stage = self.stage.lock();
        let waits = matches!(*stage, Stage::Waiting);
        if waits {
            *stage = Stage::Running;
        }
        waits
    }

    fn cancel(&self) {
        // Nothing else is told by it, so no order is needed.
        self.cancelled.store(true, Ordering::Relaxed);
        self.end_if(Ended::Cancelled, |stage| matches!(stage, Stage::Waiting));
    }

    /// Ends the task, unless it has ended.
    fn end(&self, ended: Ended<R>) {
        self.end_if(ended, |stage| !matches!(stage, Stage::Ended(_)));
    }

    fn end_if(&self, ended: Ended<R>, may_end: impl FnOnce(&Stage<R>) -> bool) {
        let mut stage = self.stage.lock();
        if may_end(&stage) {
            *stage = Stage::Ended(ended);
            drop(stage);
            self.ended.notify_all();
        }
    }
}

/// What tells of a task, and cancels it. Dropping it does neither.
#[derive(Clone, Debug)]
pub(crate) struct Ticket<R>(Arc<Shared<R>>);

impl<R: Clone> Ticket<R> {
    /// Waits for the end of the task, for at most so long. All who wait get the result.
    pub(crate) fn wait(&self, limit: Duration) -> Option<Ended<R>> {
        let mut stage = self.0.stage.lock();
        if !matches!(*stage, Stage::Ended(_)) {
            stage = self.0.ended.wait_for(stage, limit);
        }
        match &*stage {
            Stage::Ended(ended) => Some(ended.clone()),
            Stage::Waiting | Stage::Running => None,
        }
    }
}

impl<R> Ticket<R> {
    /// Ends the task if no one has begun it; otherwise whoever runs it is told, and says what came of it.
    pub(crate) fn cancel(&self) {
        self.0.cancel();
    }

    /// What was last [told](Task::tell); the three numbers may be of different moments.
    pub(crate) fn progress(&self) -> [u64; 3] {
        self.0.progress.each_ref().map(|number| number.load(Ordering::Relaxed))
    }
}

/// A task that the caller runs. It is abandoned when it is dropped without a result.
#[derive(Debug)]
#[must_use]
pub(crate) struct Task<J, R> {
    /// What is to be done.
    pub(crate) job: J,
    guard: Guard<R>,
}

#[derive(Debug)]
struct Guard<R>(Arc<Shared<R>>);

impl<R> Drop for Guard<R> {
    fn drop(&mut self) {
        self.0.end(Ended::Abandoned);
    }
}

impl<J, R> Task<J, R> {
    /// Whether it should end soon: it was cancelled, or [`Tasks::end`] was called.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.guard.0.cancelled.load(Ordering::Relaxed)
    }

    /// Tells how far it is.
    pub(crate) fn tell(&self, progress: [u64; 3]) {
        for (place, number) in self.guard.0.progress.iter().zip(progress) {
            place.store(number, Ordering::Relaxed);
        }
    }

    /// It is done.
    pub(crate) fn finish(self, result: R) {
        self.guard.0.end(Ended::Done(result));
    }
}

/// A task that was queued.
#[derive(Debug)]
#[must_use]
pub(crate) struct Submitted<J, R> {
    pub(crate) ticket: Ticket<R>,
    /// There was none: the caller has to give this one a thread.
    pub(crate) worker: Option<Worker<J, R>>,
}

#[derive(Debug)]
struct Queued<J, R> {
    job: J,
    shared: Arc<Shared<R>>,
    is_reminder: bool,
}

#[derive(Debug)]
struct State<J, R> {
    waiting: VecDeque<Queued<J, R>>,
    /// What was begun last, and may have ended.
    begun: Option<Arc<Shared<R>>>,
    has_worker: bool,
    ended: bool,
}

/// The tasks that wait, and whether there is someone who runs them.
///
/// Invariant: while a task waits there is a worker, which takes it or abandons it; nothing waits after the end.
#[derive(Debug)]
pub(crate) struct Tasks<J, R> {
    state: Mutex<State<J, R>>,
    changed: Condvar,
}

impl<J, R> Default for Tasks<J, R> {
    fn default() -> Self {
        let state = State { waiting: VecDeque::new(), begun: None, has_worker: false, ended: false };
        Self { state: Mutex::new(state), changed: Condvar::default() }
    }
}

impl<J, R> Tasks<J, R> {
    /// Queues a task, unless the end has come.
    #[must_use]
    pub(crate) fn submit(self: &Arc<Self>, job: J) -> Option<Submitted<J, R>> {
        let shared = Arc::new(Shared::default());
        let queued = Queued { job, shared: Arc::clone(&shared), is_reminder: false };
        let (is_queued, worker) = self.queue(queued, |state| !state.ended);
        is_queued.then(|| Submitted { ticket: Ticket(shared), worker })
    }

    /// Queues a task that no one waits for, unless one such waits already or the end has come. A worker has to be given
    /// a thread.
    #[must_use]
    pub(crate) fn remind(self: &Arc<Self>, job: J) -> Option<Worker<J, R>> {
        let queued = Queued { job, shared: Arc::new(Shared::default()), is_reminder: true };
        self.queue(queued, |state| !state.ended && !state.waiting.iter().any(|queued| queued.is_reminder)).1
    }

    /// Queues a task if it may be; answers whether it was, and with a worker if there was none.
    fn queue(
        self: &Arc<Self>,
        queued: Queued<J, R>,
        is_wanted: impl FnOnce(&State<J, R>) -> bool,
    ) -> (bool, Option<Worker<J, R>>) {
        let mut state = self.state.lock();
        if !is_wanted(&state) {
            return (false, None);
        }
        state.waiting.push_back(queued);
        let has_worker = mem::replace(&mut state.has_worker, true);
        drop(state);
        self.changed.notify_all();
        (true, (!has_worker).then(|| Worker { tasks: Some(Arc::clone(self)) }))
    }

    /// Nothing is begun any more: the tasks that wait are cancelled, and whoever runs one is told.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        let cancelled = mem::take(&mut state.waiting);
        let begun = state.begun.clone();
        drop(state);
        self.changed.notify_all();
        for shared in cancelled.iter().map(|queued| &queued.shared).chain(&begun) {
            shared.cancel();
        }
    }

    /// Waits until there is no worker, for at most so long; answers whether there is none.
    pub(crate) fn worker_left(&self, limit: Duration) -> bool {
        let mut state = self.state.lock();
        if state.has_worker {
            state = self.changed.wait_for(state, limit);
        }
        !state.has_worker
    }

    /// There is no worker any more, and what waits is not run.
    fn abandon(&self) {
        let mut state = self.state.lock();
        state.has_worker = false;
        let abandoned = mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        for queued in &abandoned {
            queued.shared.end(Ended::Abandoned);
        }
    }
}

/// The right and the duty to run tasks. There is one at a time; when it is dropped early, what waits is abandoned.
#[derive(Debug)]
#[must_use]
pub(crate) struct Worker<J, R> {
    /// `None` once it has left.
    tasks: Option<Arc<Tasks<J, R>>>,
}

impl<J, R> Worker<J, R> {
    /// Waits for a task, for about so long, and begins it. The one before has to be finished or dropped.
    ///
    /// `None` is for ever: the end has come, or nothing else, and whoever submits something starts another worker.
    pub(crate) fn next(&mut self, idle_limit: Duration) -> Option<Task<J, R>> {
        let tasks = self.tasks.as_ref()?;
        // Jobs may do anything when they are dropped, so that comes after the lock.
        let mut cancelled = Vec::new();
        let mut waited = false;
        let mut state = tasks.state.lock();
        loop {
            while let Some(Queued { job, shared, .. }) = state.waiting.pop_front() {
                if shared.begin() {
                    state.begun = Some(Arc::clone(&shared));
                    return Some(Task { job, guard: Guard(shared) });
                }
                cancelled.push(job);
            }
            if state.ended || waited {
                state.has_worker = false;
                drop(state);
                tasks.changed.notify_all();
                self.tasks = None;
                return None;
            }
            state = tasks.changed.wait_for(state, idle_limit);
            waited = true;
        }
    }
}

impl<J, R> Drop for Worker<J, R> {
    fn drop(&mut self) {
        if let Some(tasks) = &self.tasks {
            tasks.abandon();
        }
    }
}
