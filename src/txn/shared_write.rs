//! A write transaction that lives across calls and may be ended by any thread.

use super::{
    core::{Core, Terms, Turn, thread_token},
    deferred::GATHERER,
    patience::Patience,
    write::{Savepoint, WriteState},
};
use crate::{
    error::{Error, Result},
    store::{HomeProcess, Writer},
    sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering},
};

struct Open {
    state: WriteState<Writer>,
    /// The savepoints of the nested transactions that are open, with their numbers.
    nested: Vec<(u64, Savepoint)>,
    /// The number of the next nested transaction.
    next_nested: u64,
    turn: Turn,
}

/// Where a transaction stands.
enum Phase {
    Open(Box<Open>),
    /// The storage had no room, and everything was taken back. Whoever has the transaction has yet to see that, and until
    /// then nobody else writes: what follows in the same block must not be committed alone.
    Failed(Turn),
    Ended,
}

impl Phase {
    fn open(&mut self) -> Result<&mut Open> {
        match self {
            Self::Open(open) => Ok(open),
            Self::Failed(_) | Self::Ended => Err(Error::TransactionClosed),
        }
    }

    fn turn(&self) -> Option<&Turn> {
        match self {
            Self::Open(open) => Some(&open.turn),
            Self::Failed(turn) => Some(turn),
            Self::Ended => None,
        }
    }
}

/// A write transaction that begins on one thread and may end on another.
///
/// The calling thread *owns* it: plain operations of that thread take part in it. Dropping it rolls it back.
pub struct SharedWrite {
    owner: u64,
    /// What the owning thread was doing, when it does several things in turn; zero when it doesn't say.
    task: AtomicU64,
    terms: Terms,
    /// The version that the commit made, or zero.
    version: AtomicU64,
    /// Of the process that began it.
    home: HomeProcess,
    phase: Mutex<Phase>,
    /// Always ended: what a fork sees.
    ended: Mutex<Phase>,
}

impl std::fmt::Debug for SharedWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedWrite").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl SharedWrite {
    /// Begins a transaction that this thread owns.
    pub(crate) fn begin(core: &Arc<Core>, terms: Terms, patience: &mut Patience<'_>) -> Result<Arc<Self>> {
        core.check_may_write()?;
        let transaction = Self::begin_as(thread_token(), core, terms, patience)?;
        core.set_active(&transaction);
        Ok(transaction)
    }

    /// Begins a transaction that gathers the writes of all threads.
    pub(super) fn begin_batch(
        core: &Arc<Core>,
        terms: Terms,
        patience: &mut Patience<'_>,
    ) -> Result<Arc<Self>> {
        Self::begin_as(GATHERER, core, terms, patience)
    }

    fn begin_as(
        owner: u64,
        core: &Arc<Core>,
        terms: Terms,
        patience: &mut Patience<'_>,
    ) -> Result<Arc<Self>> {
        let turn = core.take_turn_as(owner, patience)?;
        let thread = core.writer_thread()?;
        let (writer, turn) = thread.begin(terms.max_size, turn, patience)?;
        let state = match WriteState::new(writer, Arc::clone(&core.memory)) {
            Ok(state) => state,
            Err((error, writer)) => {
                thread.abort(writer);
                return Err(error);
            }
        };
        let open = Open { state, nested: Vec::new(), next_nested: 1, turn };
        Ok(Arc::new(Self {
            owner,
            task: AtomicU64::new(0),
            terms,
            version: AtomicU64::new(0),
            home: HomeProcess::default(),
            phase: Mutex::new(Phase::Open(Box::new(open))),
            ended: Mutex::new(Phase::Ended),
        }))
    }

    /// The thread that began it.
    pub(crate) fn owner(&self) -> u64 {
        self.owner
    }

    /// Whether this thread began it.
    #[inline]
    pub fn is_own(&self) -> bool {
        self.owner == thread_token()
    }

    /// Says which of the owning thread's tasks it belongs to: a number other than zero.
    pub fn belong_to(&self, task: u64) {
        self.task.store(task, Ordering::Relaxed);
    }

    /// The task that it belongs to; zero when it belongs to all of its thread's.
    pub fn task(&self) -> u64 {
        self.task.load(Ordering::Relaxed)
    }

    /// The version that it made when it was committed, or the one that it read when it changed nothing.
    pub fn version(&self) -> Option<u64> {
        Some(self.version.load(Ordering::Acquire)).filter(|version| *version != 0)
    }

    /// Where it stands; in a fork of the process that began it, it has ended.
    fn lock(&self) -> MutexGuard<'_, Phase> {
        // Not even the lock is touched in a fork: a thread that the fork does not have may hold it.
        if self.home.is_inherited() { self.ended.lock() } else { self.phase.lock() }
    }

    /// Whether it, or the nested one of this number, has neither been committed nor rolled back.
    pub fn is_open(&self, nested: Option<u64>) -> bool {
        self.lock().open().is_ok_and(|open| nested.is_none_or(|number| nested_depth(open, number).is_ok()))
    }

    /// Whether the storage had no room for it, so that everything was taken back; it still has to be ended.
    pub fn has_failed(&self) -> bool {
        matches!(&*self.lock(), Phase::Failed(_))
    }

    /// Looks at the transaction's state, after all that was appended was written.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&WriteState<Writer>) -> Result<R>) -> Result<R> {
        let mut phase = self.lock();
        if phase.open()?.state.has_appends()
            && let Err(error) = phase.open()?.state.write_appends()
        {
            fail(&mut phase);
            return Err(error);
        }
        look(&phase.open()?.state)
    }

    /// Looks at what the transaction counts, which what was appended is part of before it is written.
    #[inline]
    pub(crate) fn count(&self, look: impl FnOnce(&WriteState<Writer>) -> u64) -> Result<u64> {
        Ok(look(&self.lock().open()?.state))
    }

    /// Changes the transaction's state, wholly or not at all.
    ///
    /// What the storage could not take, because the disk or the map is full, ends the transaction: it is rolled back.
    pub(crate) fn write<R>(&self, work: impl FnOnce(&mut WriteState<Writer>) -> Result<R>) -> Result<R> {
        self.write_one(|state| {
            let savepoint = state.savepoint();
            let result = work(state);
            match &result {
                Ok(_) => state.release_savepoint(),
                Err(error) if error.ends_transaction() => {}
                Err(_) => state.roll_back_to(savepoint)?,
            }
            result
        })
    }

    /// As [`SharedWrite::write`], for a transaction that gathers the writes of all threads; answers too how often entries
    /// and elements were inserted and deleted. `None`, with nothing done, when it has ended.
    pub(super) fn gather<R>(
        &self,
        work: impl FnOnce(&mut WriteState<Writer>) -> Result<R>,
    ) -> Option<(Result<R>, (u64, u64))> {
        let mut phase = self.lock();
        let state = &mut phase.open().ok()?.state;
        let before = (state.resized(), state.objects_resized());
        let savepoint = state.savepoint();
        let result = work(state);
        let resized = (state.resized() - before.0, state.objects_resized() - before.1);
        let is_over = match &result {
            Ok(_) => {
                state.release_savepoint();
                false
            }
            // What was found to be damaged does no harm to what was written before.
            Err(error) => {
                error.ends_transaction() && !matches!(error, Error::Corrupted(_))
                    || state.roll_back_to(savepoint).is_err()
            }
        };
        if is_over {
            fail(&mut phase);
        }
        Some((result, resized))
    }

    /// Changes the state by a single step that does nothing when it fails.
    pub(crate) fn write_one<R>(&self, work: impl FnOnce(&mut WriteState<Writer>) -> Result<R>) -> Result<R> {
        let mut phase = self.lock();
        let result = work(&mut phase.open()?.state);
        if let Err(error) = &result
            && error.ends_transaction()
        {
            fail(&mut phase);
        }
        result
    }

    /// Begins a nested transaction; answers its number.
    ///
    /// # Errors
    ///
    /// `TransactionClosed` when this one has ended.
    pub fn nest(&self) -> Result<u64> {
        let mut phase = self.lock();
        let open = phase.open()?;
        let number = open.next_nested;
        open.next_nested += 1;
        let savepoint = open.state.savepoint();
        open.nested.push((number, savepoint));
        Ok(number)
    }

    /// Whether no nested transaction is open within this one, or within the nested one of this number.
    pub fn is_innermost(&self, number: Option<u64>) -> bool {
        self.lock().open().is_ok_and(|open| open.nested.last().map(|(nested, _)| *nested) == number)
    }

    /// Ends a nested transaction, and all within it; what it did becomes part of its parent.
    ///
    /// # Errors
    ///
    /// `TransactionClosed` when it has ended.
    pub fn commit_nested(&self, number: u64) -> Result<()> {
        let mut phase = self.lock();
        let open = phase.open()?;
        let depth = nested_depth(open, number)?;
        for _ in open.nested.drain(depth..) {
            open.state.release_savepoint();
        }
        Ok(())
    }

    /// Takes back what a nested transaction did, and all within it.
    ///
    /// # Errors
    ///
    /// `TransactionClosed` when it has ended; any error of the storage, after which the whole transaction is rolled
    /// back.
    pub fn roll_back_nested(&self, number: u64) -> Result<()> {
        let mut phase = self.lock();
        let open = phase.open()?;
        let depth = nested_depth(open, number)?;
        while open.nested.len() > depth {
            let Some((_, savepoint)) = open.nested.pop() else { break };
            if let Err(error) = open.state.roll_back_to(savepoint) {
                fail(&mut phase);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes everything durable and visible to all, and ends the transaction, also when it fails.
    ///
    /// # Errors
    ///
    /// `TransactionClosed` when it has ended; any error of the storage, after which nothing of it has happened unless
    /// the error is `CommitOutcomeUnknown`.
    pub fn commit(&self) -> Result<()> {
        let open = match self.take() {
            Phase::Open(open) => open,
            Phase::Failed(turn) => {
                turn.core().clear_active();
                return Err(Error::TransactionClosed);
            }
            Phase::Ended => return Err(Error::TransactionClosed),
        };
        let Open { state, turn, .. } = *open;
        let core = turn.core();
        core.clear_active();
        let thread = core.writer_thread()?;
        let version = state.next_version();
        let ended = Core::end(
            state,
            Ok(()),
            |tables| thread.commit(tables, self.terms.durability),
            |tables| thread.abort(tables),
        );
        let result = ended.map(|((), resized)| {
            if self.owner != GATHERER {
                core.note_resized(self.owner, resized);
            }
            self.version.store(version, Ordering::Release);
        });
        drop(turn);
        result
    }

    /// Takes everything back and ends the transaction.
    ///
    /// # Errors
    ///
    /// `TransactionClosed` when it has ended.
    pub fn roll_back(&self) -> Result<()> {
        match self.take() {
            Phase::Ended => Err(Error::TransactionClosed),
            phase => {
                abandon(phase);
                Ok(())
            }
        }
    }

    fn take(&self) -> Phase {
        std::mem::replace(&mut *self.lock(), Phase::Ended)
    }
}

/// Takes everything back, and keeps the turn until the transaction is ended.
fn fail(phase: &mut Phase) {
    if let Phase::Open(open) = std::mem::replace(phase, Phase::Ended) {
        let Open { state, turn, .. } = *open;
        abort(state, &turn);
        *phase = Phase::Failed(turn);
    }
}

/// Takes everything back and lets the next writer in.
fn abandon(phase: Phase) {
    match phase {
        Phase::Open(open) => {
            let Open { state, turn, .. } = *open;
            turn.core().clear_active();
            abort(state, &turn);
        }
        Phase::Failed(turn) => turn.core().clear_active(),
        Phase::Ended => {}
    }
}

fn abort(state: WriteState<Writer>, turn: &Turn) {
    if let Ok(thread) = turn.core().writer_thread() {
        thread.abort(state.take_back());
    }
}

fn nested_depth(open: &Open, number: u64) -> Result<usize> {
    open.nested.iter().position(|(nested, _)| *nested == number).ok_or(Error::TransactionClosed)
}

impl Drop for SharedWrite {
    fn drop(&mut self) {
        let phase = std::mem::replace(self.phase.get_mut(), Phase::Ended);
        if phase.turn().is_some_and(|turn| turn.core().is_inherited()) {
            // It is the parent's, whose threads may have had locks on what is inside.
            std::mem::forget(phase);
        } else {
            abandon(phase);
        }
    }
}
