//! A write transaction that lives across calls and may be ended by any thread.

use super::{
    core::{Core, Terms, Turn, thread_token},
    patience::Patience,
    write::{Savepoint, WriteState},
};
use crate::{
    error::{Error, Result},
    store::Writer,
    sync::{Arc, Mutex, MutexGuard},
};

struct Open {
    state: WriteState<Writer>,
    /// The savepoints of the nested transactions that are open, with their numbers.
    nested: Vec<(u64, Savepoint)>,
    /// The number of the next nested transaction.
    next_nested: u64,
    turn: Turn,
}

/// A write transaction that begins on one thread and may end on another.
///
/// The calling thread *owns* it: plain operations of that thread take part in it. Dropping it rolls it back.
pub struct SharedWrite {
    owner: u64,
    terms: Terms,
    open: Mutex<Option<Box<Open>>>,
    /// Always empty: what a fork sees.
    closed: Mutex<Option<Box<Open>>>,
}

impl std::fmt::Debug for SharedWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedWrite").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl SharedWrite {
    /// Begins a transaction that this thread owns.
    pub(crate) fn begin(core: &Arc<Core>, terms: Terms, patience: &mut Patience<'_>) -> Result<Arc<Self>> {
        let turn = core.take_turn(patience)?;
        let thread = core.writer_thread()?;
        let writer = thread.begin(terms.max_size, patience)?;
        let state = WriteState::new(writer, Arc::clone(&core.memory))?;
        let open = Open { state, nested: Vec::new(), next_nested: 1, turn };
        let transaction = Arc::new(Self {
            owner: thread_token(),
            terms,
            open: Mutex::new(Some(Box::new(open))),
            closed: Mutex::new(None),
        });
        core.set_active(&transaction);
        Ok(transaction)
    }

    /// The thread that began it.
    pub(crate) fn owner(&self) -> u64 {
        self.owner
    }

    /// What is open; nothing is in a fork of the process that began it.
    fn lock(&self) -> MutexGuard<'_, Option<Box<Open>>> {
        let guard = self.open.lock();
        if guard.as_ref().is_none_or(|open| !open.turn.core().store.is_inherited()) {
            return guard;
        }
        drop(guard);
        self.closed.lock()
    }

    /// Whether it has neither been committed nor rolled back.
    pub fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    /// Looks at the transaction's state.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&WriteState<Writer>) -> Result<R>) -> Result<R> {
        look(&self.lock().as_ref().ok_or(Error::TransactionClosed)?.state)
    }

    /// Changes the transaction's state, wholly or not at all.
    ///
    /// What the storage could not take, because the disk or the map is full, ends the transaction: it is rolled back.
    pub(crate) fn write<R>(&self, work: impl FnOnce(&mut WriteState<Writer>) -> Result<R>) -> Result<R> {
        self.attempt(|state| {
            let savepoint = state.savepoint();
            let result = work(state);
            match &result {
                Ok(_) => state.release_savepoint(),
                Err(error) if ends_transaction(error) => {}
                Err(_) => state.roll_back_to(savepoint)?,
            }
            result
        })
    }

    /// Changes the state by a single step that does nothing when it fails.
    pub(crate) fn write_one<R>(&self, work: impl FnOnce(&mut WriteState<Writer>) -> Result<R>) -> Result<R> {
        self.attempt(work)
    }

    fn attempt<R>(&self, work: impl FnOnce(&mut WriteState<Writer>) -> Result<R>) -> Result<R> {
        let mut guard = self.lock();
        let result = work(&mut guard.as_mut().ok_or(Error::TransactionClosed)?.state);
        if let Err(error) = &result
            && ends_transaction(error)
            && let Some(open) = guard.take()
        {
            abandon(*open);
        }
        result
    }

    /// Begins a nested transaction; answers its number.
    ///
    /// # Errors
    ///
    /// `TransactionClosed` when this one has ended.
    pub fn nest(&self) -> Result<u64> {
        let mut guard = self.lock();
        let open = guard.as_mut().ok_or(Error::TransactionClosed)?;
        let number = open.next_nested;
        open.next_nested += 1;
        let savepoint = open.state.savepoint();
        open.nested.push((number, savepoint));
        Ok(number)
    }

    /// Whether a nested transaction has not ended.
    pub fn is_nested(&self, number: u64) -> bool {
        self.lock().as_ref().is_some_and(|open| open.nested.iter().any(|(nested, _)| *nested == number))
    }

    /// Ends a nested transaction, and all within it; what it did becomes part of its parent.
    ///
    /// # Errors
    ///
    /// `TransactionClosed` when it has ended.
    pub fn commit_nested(&self, number: u64) -> Result<()> {
        let mut guard = self.lock();
        let open = guard.as_mut().ok_or(Error::TransactionClosed)?;
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
        let mut guard = self.lock();
        let open = guard.as_mut().ok_or(Error::TransactionClosed)?;
        let depth = nested_depth(open, number)?;
        while open.nested.len() > depth {
            let Some((_, savepoint)) = open.nested.pop() else { break };
            if let Err(error) = open.state.roll_back_to(savepoint) {
                if let Some(open) = guard.take() {
                    abandon(*open);
                }
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
        let open = self.lock().take().ok_or(Error::TransactionClosed)?;
        let Open { state, turn, .. } = *open;
        let core = turn.core();
        core.clear_active();
        let thread = core.writer_thread()?;
        let result = core.end(
            state,
            Ok(()),
            |tables| thread.commit(tables, self.terms.durability),
            |tables| thread.abort(tables),
        );
        drop(turn);
        result
    }

    /// Takes everything back and ends the transaction.
    ///
    /// # Errors
    ///
    /// `TransactionClosed` when it has ended.
    pub fn roll_back(&self) -> Result<()> {
        let open = self.lock().take().ok_or(Error::TransactionClosed)?;
        abandon(*open);
        Ok(())
    }
}

/// Rolls a transaction back and lets the next writer in.
fn abandon(open: Open) {
    let Open { state, turn, .. } = open;
    turn.core().clear_active();
    if let Ok(thread) = turn.core().writer_thread() {
        thread.abort(state.finish().0);
    }
    drop(turn);
}

/// Whether the storage is in a state after an error that it only leaves by aborting.
fn ends_transaction(error: &Error) -> bool {
    matches!(
        error,
        Error::MapFull { .. } | Error::Io { .. } | Error::Corrupted(_) | Error::CommitOutcomeUnknown(_)
    )
}

fn nested_depth(open: &Open, number: u64) -> Result<usize> {
    open.nested.iter().position(|(nested, _)| *nested == number).ok_or(Error::TransactionClosed)
}

impl Drop for SharedWrite {
    fn drop(&mut self) {
        if let Some(open) = self.open.get_mut().take() {
            abandon(*open);
        }
    }
}
