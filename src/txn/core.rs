//! What all handles, transactions and threads of one process share of an open map.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rustc_hash::FxHashMap;

use super::{
    commit::Jobs, deferred::Batch, memory::Memory, pace::Pace, patience::Patience, read::Pinned,
    shared_write::SharedWrite, thread::WriterThread, write::WriteState,
};
use crate::{
    coord::{
        deferral::Deferral,
        gate::{Entry, Gate},
        idle::{Idle, Step},
    },
    error::{Error, Result},
    options::Durability,
    store::{Generations, HeldBack, Store, Writer},
    sync::{Arc, AtomicBool, AtomicU64, Mutex, OnceLock, Ordering, Weak},
};

/// How long a snapshot that plain reads share may stay unused before it is let go.
const IDLE: Duration = Duration::from_millis(100);

/// An open map, as this process has it.
///
/// Lock order: the gate, then `active`, then `current`; no lock is held while waiting for another process.
pub(crate) struct Core {
    pub(crate) generations: Arc<Generations>,
    /// The path that it was opened with.
    path: PathBuf,
    pub(crate) memory: Arc<Memory>,
    pub(super) gate: Gate,
    pub(super) jobs: Jobs,
    pub(super) pace: Pace,
    /// The writes of this process that wait for their commit, and whether there are any.
    pub(super) batch: Mutex<Option<Batch>>,
    pub(super) has_batch: AtomicBool,
    /// Held by the one who begins to gather, and by the one who commits what was gathered.
    pub(super) beginning: Mutex<()>,
    /// The thread that begins, or zero.
    pub(super) beginner: AtomicU64,
    pub(super) flushing: Mutex<()>,
    /// Why a commit in the background failed.
    pub(super) failed: Mutex<Option<Error>>,
    pub(super) deferral: Arc<Deferral>,
    pub(super) has_flusher: AtomicBool,
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
    resized: Mutex<FxHashMap<u64, (u64, u64)>>,
    /// Counts how often that was noted, so that iterators needn't take the lock while it was not.
    times_resized: AtomicU64,
    held_back: Mutex<Held>,
    /// What is called when so much was deleted that a vacuum is to begin.
    reminder: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// What is known of space that readers hold back.
#[derive(Debug, Default)]
struct Held {
    found: Option<HeldBack>,
    /// The process and the bytes that were told last.
    told: Option<(u32, u64)>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Core {
    pub(crate) fn new(generations: Generations) -> Self {
        Self {
            path: generations.current().path().to_owned(),
            generations: Arc::new(generations),
            memory: Arc::default(),
            gate: Gate::default(),
            jobs: Jobs::default(),
            pace: Pace::default(),
            batch: Mutex::default(),
            has_batch: AtomicBool::new(false),
            beginning: Mutex::default(),
            beginner: AtomicU64::new(0),
            flushing: Mutex::default(),
            failed: Mutex::default(),
            deferral: Arc::default(),
            has_flusher: AtomicBool::new(false),
            current: Mutex::default(),
            idle: Arc::default(),
            releaser: OnceLock::new(),
            writer_thread: OnceLock::new(),
            active_owner: AtomicU64::new(0),
            active: Mutex::default(),
            resized: Mutex::default(),
            times_resized: AtomicU64::new(0),
            held_back: Mutex::default(),
            reminder: OnceLock::new(),
        }
    }

    /// Says what is to be done when so much was deleted that a vacuum is to begin.
    pub(crate) fn on_vacuum_due(&self, remind: Box<dyn Fn() + Send + Sync>) {
        let _ = self.reminder.set(remind);
    }

    /// What a transaction wants that nobody asked for: it stays below the map's cap, and may be done again.
    pub(crate) fn upkeep(&self) -> Terms {
        Terms { durability: Durability::NoMetaSync, max_size: self.generations.current().max_size() }
    }

    /// Whether this process is a fork of the one that opened the map.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.generations.is_inherited()
    }

    /// The path that the map was opened with.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The newest committed version, shared by all plain reads until another is committed.
    #[inline]
    pub(crate) fn current(self: &Arc<Self>) -> Result<Arc<Pinned>> {
        if self.is_inherited() {
            return Err(Store::inherited());
        }
        self.flush()?;
        if let Some(pinned) = &*self.current.lock()
            && pinned.snapshot().is_newest()
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
        self.flush()?;
        self.pin_committed()
    }

    /// As [`Core::pin`], without what was deferred.
    pub(crate) fn pin_committed(&self) -> Result<Pinned> {
        let pinned = Pinned::new(self.generations.snapshot()?)?;
        self.memory.learn(pinned.snapshot(), pinned.header())?;
        Ok(pinned)
    }

    /// The version that another process has named, pinned here too.
    pub(crate) fn follow(&self, handed: &[u8]) -> Result<Pinned> {
        if self.is_inherited() {
            return Err(Store::inherited());
        }
        let pinned = Pinned::follow(&self.generations, handed)?;
        self.memory.learn(pinned.snapshot(), pinned.header())?;
        Ok(pinned)
    }

    /// Lets go of the version that plain reads share.
    pub(crate) fn release_current(&self) {
        if self.is_inherited() {
            return;
        }
        let old = self.current.lock().take();
        drop(old);
        self.generations.current().tidy();
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

    /// Commits when the work went well, or else aborts; answers how often entries and elements were inserted and deleted.
    pub(crate) fn end<R>(
        mut state: WriteState<Writer>,
        worked: Result<R>,
        commit: impl FnOnce(Writer) -> Result<()>,
        abort: impl FnOnce(Writer),
    ) -> Result<(R, (u64, u64))> {
        let prepared = worked.and_then(|result| Ok((result, state.prepare()?)));
        match prepared {
            Ok((result, true)) => {
                let resized = (state.resized(), state.objects_resized());
                let (tables, learnt) = state.finish();
                if let Err(error) = commit(tables) {
                    learnt.forget();
                    return Err(error);
                }
                learnt.remember();
                Ok((result, resized))
            }
            Ok((result, false)) => {
                abort(state.take_back());
                Ok((result, (0, 0)))
            }
            Err(error) => {
                abort(state.take_back());
                Err(error)
            }
        }
    }

    fn check_writable(&self) -> Result<()> {
        if self.is_inherited() {
            return Err(Store::inherited());
        }
        if self.generations.current().readonly() {
            return Err(Error::ReadOnly("the data file"));
        }
        Ok(())
    }

    /// Refuses a write that could not be done, or that would wait for its own thread: for a transaction that is open, or for
    /// a wait that a signal handler has interrupted.
    pub(crate) fn check_may_write(&self) -> Result<()> {
        self.check_writable()?;
        let thread = thread_token();
        if self.beginner.load(Ordering::Acquire) == thread || self.gate.has(thread) {
            return Err(Self::already_inside());
        }
        Ok(())
    }

    /// What a thread is told that would wait for itself.
    pub(super) fn already_inside() -> Error {
        Error::Transaction(
            "this thread has a write transaction open on the map already, or waits for one; use that one, or end it first",
        )
    }

    /// Waits until no other thread and no other process writes.
    pub(crate) fn take_turn(self: &Arc<Self>, patience: &mut Patience<'_>) -> Result<Turn> {
        self.check_may_write()?;
        self.take_turn_as(thread_token(), patience)
    }

    /// As [`Core::take_turn`], for an owner who may be no thread.
    pub(super) fn take_turn_as(self: &Arc<Self>, owner: u64, patience: &mut Patience<'_>) -> Result<Turn> {
        self.flush()?;
        self.enter_gate(owner, patience)
    }

    /// As [`Core::take_turn_as`], for one whose own business is another: who writes next is told when deferred writes were
    /// lost.
    pub(crate) fn take_turn_for_others(self: &Arc<Self>, patience: &mut Patience<'_>) -> Result<Turn> {
        self.check_may_write()?;
        self.flush_for_others();
        self.enter_gate(thread_token(), patience)
    }

    fn enter_gate(self: &Arc<Self>, owner: u64, patience: &mut Patience<'_>) -> Result<Turn> {
        let wait = || {
            self.flush_for_others();
            patience.next()
        };
        match self.gate.enter(owner, wait) {
            Entry::Entered => self.turn(patience),
            Entry::AlreadyInside => Err(Self::already_inside()),
            Entry::GaveUp => Err(patience.error()),
        }
    }

    /// Waits until no other process writes, for a thread that has passed the gate.
    pub(super) fn turn(self: &Arc<Self>, patience: &mut Patience<'_>) -> Result<Turn> {
        let mut turn = Turn { core: Arc::clone(self), locked: None };
        let store = self.generations.current();
        store.lock_writer(&mut || patience.pause())?;
        turn.locked = Some(Arc::clone(&store));
        // Only a writer may do this, and before the transaction begins it holds no one up for long. What it finds is good to
        // know, and no reason not to write.
        if matches!(store.clear_stale_readers_if_due(), Ok(true)) {
            let _ = self.note_held_back(&store);
        }
        // What is written makes it old, and as long as it is pinned no page that it uses can be used again.
        self.release_current();
        Ok(turn)
    }

    /// Looks what the oldest reader holds back; once is enough until that has doubled.
    fn note_held_back(&self, store: &Arc<Store>) -> Result<()> {
        let found = store.held_back()?;
        let mut known = self.held_back.lock();
        let is_known = |found: &HeldBack| {
            known
                .told
                .is_some_and(|(process, bytes)| process == found.reader.process && found.bytes < 2 * bytes)
        };
        match found {
            None => *known = Held::default(),
            Some(found) if !is_known(&found) => known.found = Some(found),
            Some(_) => {}
        }
        Ok(())
    }

    /// What a reader holds back, when that is more than so many bytes and was not told before.
    pub(crate) fn take_held_back(&self, limit: u64) -> Option<HeldBack> {
        let mut known = self.held_back.lock();
        let found = known.found.take_if(|found| found.bytes > limit)?;
        known.told = Some((found.reader.process, found.bytes));
        Some(found)
    }

    /// The thread on which transactions begin and end that live across calls.
    pub(crate) fn writer_thread(&self) -> Result<&WriterThread> {
        if let Some(thread) = self.writer_thread.get() {
            return Ok(thread);
        }
        let started = WriterThread::start(Arc::clone(&self.generations))?;
        Ok(self.writer_thread.get_or_init(|| started))
    }

    /// Whether this thread has a write transaction open across calls, as far as the process that opened the map knows.
    #[inline]
    pub(crate) fn is_participating(&self) -> bool {
        let owner = self.active_owner.load(Ordering::Acquire);
        owner != 0 && owner == thread_token()
    }

    /// The write transaction that this thread has open across calls.
    #[inline]
    pub(crate) fn participating(&self) -> Option<Arc<SharedWrite>> {
        if !self.is_participating() || self.is_inherited() {
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
        self.resized_by(thread_token())
    }

    /// Whether that thread has changed the number of entries since; a fork has changed nothing here, and may find it locked.
    #[inline]
    pub(crate) fn is_resized(&self, since: Resized) -> bool {
        self.is_noted_since(since) && self.resized_by(since.owner).entries != since.entries
    }

    /// Whether that thread has changed the number of elements in some container since; as [`Core::is_resized`].
    pub(crate) fn are_objects_resized(&self, since: Resized) -> bool {
        self.is_noted_since(since) && self.resized_by(since.owner).objects != since.objects
    }

    /// Whether that was noted since, for any thread of this process.
    #[inline]
    fn is_noted_since(&self, since: Resized) -> bool {
        self.times_resized.load(Ordering::Acquire) != since.times && !self.is_inherited()
    }

    fn resized_by(&self, owner: u64) -> Resized {
        let resized = self.resized.lock();
        let (entries, objects) = resized.get(&owner).copied().unwrap_or_default();
        Resized { owner, times: self.times_resized.load(Ordering::Acquire), entries, objects }
    }

    /// Notes that a thread changed the number of entries and of elements so many times.
    pub(crate) fn note_resized(&self, owner: u64, (entries, objects): (u64, u64)) {
        if entries > 0 || objects > 0 {
            let mut resized = self.resized.lock();
            let times = resized.entry(owner).or_default();
            times.0 += entries;
            times.1 += objects;
            self.times_resized.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // A fork has none of the threads that would be told, and may have their locks for ever.
        if !self.is_inherited() {
            self.idle.end();
            self.deferral.end();
            self.generations.current().rouse_holder();
        }
    }
}

/// What a handle wants of its write transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) durability: Durability,
    pub(crate) max_size: Option<u64>,
}

/// How often a thread had changed the number of entries, and of elements in containers, at some moment.
#[derive(Clone, Copy, Debug)]
pub struct Resized {
    owner: u64,
    times: u64,
    entries: u64,
    objects: u64,
}

/// The right to write; others wait until it is dropped.
pub(crate) struct Turn {
    core: Arc<Core>,
    /// The store that was locked, when it was.
    locked: Option<Arc<Store>>,
}

impl Turn {
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.core.is_inherited() {
            // The parent still has the lock, which is one and the same for both.
            return;
        }
        if let Some(store) = &self.locked {
            store.unlock_writer();
        }
        self.core.gate.leave();
        if self.core.memory.take_vacuum_due()
            && let Some(remind) = self.core.reminder.get()
        {
            remind();
        }
    }
}

/// A number that no other thread of this process has or will have; never zero.
#[inline]
pub(crate) fn thread_token() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static TOKEN: u64 = NEXT.fetch_add(1, Ordering::Relaxed));
    TOKEN.with(|token| *token)
}
