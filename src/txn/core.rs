//! What all handles, transactions and threads of one process share of an open map.

use std::time::Duration;

use super::{
    memory::Memory, patience::Patience, read::Pinned, shared_write::SharedWrite, thread::WriterThread,
    write::WriteState,
};
use crate::{
    coord::{
        gate::{Entry, Gate},
        idle::{Idle, Step},
    },
    error::{Error, Result},
    options::Durability,
    store::{Store, WriteKind, Writer},
    sync::{Arc, AtomicU64, Mutex, OnceLock, Ordering, Weak},
};

/// How long a snapshot that plain reads share may stay unused before it is let go.
const IDLE: Duration = Duration::from_millis(100);

/// An open map, as this process has it.
///
/// Lock order: the gate, then `active`, then `current`; no lock is held while waiting for another process.
pub(crate) struct Core {
    pub(crate) store: Arc<Store>,
    pub(crate) memory: Arc<Memory>,
    gate: Gate,
    /// The newest version that plain reads asked for.
    current: Mutex<Option<Arc<Pinned>>>,
    idle: Arc<Idle>,
    releaser: OnceLock<()>,
    writer_thread: OnceLock<WriterThread>,
    /// The thread that has a write transaction open across calls, or zero.
    active_owner: AtomicU64,
    active: Mutex<Weak<SharedWrite>>,
    /// Counts the insertions and deletions that each thread made in the map and in containers, so that its iterators
    /// notice.
    resized: Mutex<Vec<Resized>>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("path", &self.store.path()).finish_non_exhaustive()
    }
}

impl Core {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            memory: Arc::default(),
            gate: Gate::default(),
            current: Mutex::default(),
            idle: Arc::default(),
            releaser: OnceLock::new(),
            writer_thread: OnceLock::new(),
            active_owner: AtomicU64::new(0),
            active: Mutex::default(),
            resized: Mutex::default(),
        }
    }

    /// The newest committed version, shared by all plain reads until another is committed.
    #[inline]
    pub(crate) fn current(self: &Arc<Self>) -> Result<Arc<Pinned>> {
        if self.store.is_inherited() {
            return Err(Store::inherited());
        }
        let newest = self.store.newest_txn_id();
        if let Some(pinned) = &*self.current.lock()
            && pinned.snapshot().txn_id() == newest
        {
            self.idle.touch();
            return Ok(Arc::clone(pinned));
        }
        self.renew()
    }

    #[cold]
    fn renew(self: &Arc<Self>) -> Result<Arc<Pinned>> {
        let fresh = Arc::new(self.pin()?);
        let old = self.current.lock().replace(Arc::clone(&fresh));
        drop(old);
        self.idle.hold();
        self.releaser.get_or_init(|| self.start_releaser());
        Ok(fresh)
    }

    /// The newest committed version, pinned anew.
    pub(crate) fn pin(&self) -> Result<Pinned> {
        let pinned = Pinned::begin(&self.store)?;
        self.memory.learn(pinned.snapshot(), pinned.header())?;
        Ok(pinned)
    }

    /// Lets go of the version that plain reads share.
    pub(crate) fn release_current(&self) {
        if self.store.is_inherited() {
            return;
        }
        let old = self.current.lock().take();
        drop(old);
    }

    fn start_releaser(self: &Arc<Self>) {
        let idle = Arc::clone(&self.idle);
        let core = Arc::downgrade(self);
        let release = move || {
            while idle.next(IDLE) == Step::Release {
                if let Some(core) = core.upgrade() {
                    core.release_current();
                }
            }
        };
        // Without the thread an unused version stays pinned until the map is closed, which costs only space.
        let _ = std::thread::Builder::new().name("oocmap-release".into()).spawn(release);
    }

    /// Does something in a write transaction of its own, begun and ended by this thread.
    pub(crate) fn write_once<R>(
        self: &Arc<Self>,
        kind: WriteKind,
        terms: Terms,
        patience: &mut Patience<'_>,
        work: impl FnOnce(&mut WriteState<Writer>) -> Result<R>,
    ) -> Result<R> {
        let turn = self.take_turn(patience)?;
        let writer = self.store.begin_write(kind, terms.max_size)?;
        let mut state = WriteState::new(writer, Arc::clone(&self.memory)).map_err(|(error, _)| error)?;
        let worked = work(&mut state);
        let result = self.end(state, worked, |tables| tables.commit(terms.durability), Writer::abort);
        drop(turn);
        result
    }

    /// Commits when the work went well, or else aborts.
    pub(crate) fn end<R>(
        &self,
        mut state: WriteState<Writer>,
        worked: Result<R>,
        commit: impl FnOnce(Writer) -> Result<()>,
        abort: impl FnOnce(Writer),
    ) -> Result<R> {
        let prepared = worked.and_then(|result| Ok((result, state.prepare()?)));
        let resized = state.resized();
        let objects_resized = state.objects_resized();
        match prepared {
            Ok((result, true)) => {
                let (tables, learnt) = state.finish();
                if let Err(error) = commit(tables) {
                    learnt.forget();
                    return Err(error);
                }
                learnt.remember();
                self.note_resized(resized, objects_resized);
                Ok(result)
            }
            Ok((result, false)) => {
                abort(state.finish().0);
                Ok(result)
            }
            Err(error) => {
                abort(state.take_back());
                Err(error)
            }
        }
    }

    /// Waits until no other thread and no other process writes.
    pub(crate) fn take_turn(self: &Arc<Self>, patience: &mut Patience<'_>) -> Result<Turn> {
        if self.store.is_inherited() {
            return Err(Store::inherited());
        }
        if self.store.readonly() {
            return Err(Error::ReadOnly("the data file"));
        }
        match self.gate.enter(thread_token(), || patience.next()) {
            Entry::Entered => {}
            Entry::AlreadyInside => {
                return Err(Error::Transaction(
                    "this thread has a write transaction open on the map already, or waits for one; use that one, or end it first",
                ));
            }
            Entry::GaveUp => return Err(patience.error()),
        }
        let mut turn = Turn { core: Arc::clone(self), locked: false };
        patience.retry(|| self.store.try_lock_writer())?;
        turn.locked = true;
        // What is written makes it old, and as long as it is pinned no page that it uses can be used again.
        self.release_current();
        Ok(turn)
    }

    /// The thread on which transactions begin and end that live across calls.
    pub(crate) fn writer_thread(&self) -> Result<&WriterThread> {
        if let Some(thread) = self.writer_thread.get() {
            return Ok(thread);
        }
        let started = WriterThread::start(Arc::clone(&self.store))?;
        Ok(self.writer_thread.get_or_init(|| started))
    }

    /// The write transaction that this thread has open across calls.
    #[inline]
    pub(crate) fn participating(&self) -> Option<Arc<SharedWrite>> {
        if self.active_owner.load(Ordering::Acquire) != thread_token() || self.store.is_inherited() {
            return None;
        }
        self.active.lock().upgrade()
    }

    pub(crate) fn set_active(&self, transaction: &Arc<SharedWrite>) {
        *self.active.lock() = Arc::downgrade(transaction);
        self.active_owner.store(transaction.owner(), Ordering::Release);
    }

    pub(crate) fn clear_active(&self) {
        self.active_owner.store(0, Ordering::Release);
        *self.active.lock() = Weak::new();
    }

    /// Remembers how often this thread has changed the number of entries, and of elements, so far.
    pub(crate) fn resized(&self) -> Resized {
        self.times_resized(thread_token())
    }

    /// Whether that thread has changed the number of entries since.
    pub(crate) fn is_resized(&self, since: Resized) -> bool {
        self.times_resized(since.owner).entries != since.entries
    }

    /// Whether that thread has changed the number of elements in some container since.
    pub(crate) fn are_objects_resized(&self, since: Resized) -> bool {
        self.times_resized(since.owner).objects != since.objects
    }

    fn times_resized(&self, owner: u64) -> Resized {
        let resized = self.resized.lock();
        let found = resized.iter().find(|resized| resized.owner == owner);
        found.copied().unwrap_or(Resized { owner, entries: 0, objects: 0 })
    }

    /// Notes that this thread changed the number of entries and of elements so many times.
    fn note_resized(&self, entries: u64, objects: u64) {
        if entries == 0 && objects == 0 {
            return;
        }
        let owner = thread_token();
        let mut resized = self.resized.lock();
        match resized.iter_mut().find(|resized| resized.owner == owner) {
            Some(resized) => {
                resized.entries += entries;
                resized.objects += objects;
            }
            None => resized.push(Resized { owner, entries, objects }),
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // A fork has none of the threads that would be told, and may have their locks for ever.
        if !self.store.is_inherited() {
            self.idle.end();
        }
    }
}

/// What a handle wants of its write transactions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) durability: Durability,
    pub(crate) max_size: Option<u64>,
}

/// How often a thread had changed the number of entries, and of elements in containers, at some moment.
#[derive(Clone, Copy, Debug)]
pub struct Resized {
    owner: u64,
    entries: u64,
    objects: u64,
}

/// The right to write; others wait until it is dropped.
pub(crate) struct Turn {
    core: Arc<Core>,
    locked: bool,
}

impl Turn {
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.core.store.is_inherited() {
            // The parent still has the lock, which is one and the same for both.
            return;
        }
        if self.locked {
            self.core.store.unlock_writer();
        }
        self.core.gate.leave();
    }
}

/// A number that no other thread of this process has or will have; never zero.
#[inline]
pub(crate) fn thread_token() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static TOKEN: u64 = NEXT.fetch_add(1, Ordering::Relaxed));
    TOKEN.with(|token| *token)
}
