//! The objects that this process has handles to, which therefore outlive the places that referred to them.

use std::fmt;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::{
    format::record::ObjectId,
    store::{HomeProcess, fork_generation},
    sync::{Arc, AtomicBool, AtomicU64, AtomicUsize, Mutex, OnceLock, Ordering},
};

/// A place that an object was last seen in: the ordered bytes of an entry's key.
pub(crate) type Seen = Option<Arc<[u8]>>;

/// What the handles of one object share.
#[derive(Debug, Default)]
pub(crate) struct Token {
    handles: AtomicUsize,
    /// Whether the object was taken back with the transaction that made it.
    taken_back: AtomicBool,
}

impl Token {
    pub(crate) fn is_taken_back(&self) -> bool {
        self.taken_back.load(Ordering::Acquire)
    }
}

/// The handles of one map in this process.
#[derive(Default)]
pub(crate) struct Live {
    owner: HomeProcess,
    /// What is to happen when there is a first handle, until it has happened.
    first: OnceLock<Box<dyn Fn() + Send + Sync>>,
    had_first: AtomicBool,
    /// Tells whether other processes may have handles.
    others: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
    /// How many records have handles, so that writers needn't take the lock while there is none.
    records: AtomicUsize,
    handles: Mutex<Handles>,
    /// The first record of the write transaction that is open, or zero: whether it and what follows will ever be is open.
    pending: AtomicU64,
    /// The same of objects in older records.
    pending_slots: Mutex<Vec<ObjectId>>,
    /// How often something was taken back that a transaction had done.
    rollbacks: AtomicU64,
}

/// The slots of a record that have handles: mostly one, and two on the way from a container to what is in it.
type Slots = SmallVec<[(u32, Arc<Token>); 2]>;

#[derive(Debug, Default)]
struct Handles {
    /// The slots that have handles, by record.
    slots: FxHashMap<u64, Slots>,
    /// The slots that only handles keep, by record.
    orphans: FxHashMap<u64, Vec<(u32, Seen)>>,
    /// The keys of records that were moved out of their entries, and back when that was rolled back. Handles may have met
    /// them in between, under other keys or none.
    homes: FxHashMap<u64, Arc<[u8]>>,
    /// Those that no handle keeps any more, for the next writer to delete.
    dead: Vec<(ObjectId, Seen)>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("handles", &self.handles).finish_non_exhaustive()
    }
}

impl Live {
    /// Stands for all slots of a record.
    pub(crate) const WHOLE: u32 = u32::MAX;

    /// A write transaction begins, whose first record has this id.
    pub(crate) fn begin(&self, first_record: u64) {
        self.pending.store(first_record, Ordering::Release);
    }

    /// It makes objects in records that were there before.
    pub(crate) fn note_fresh(&self, fresh: impl IntoIterator<Item = ObjectId>) {
        self.pending_slots.lock().extend(fresh);
    }

    /// It ends.
    pub(crate) fn end(&self) {
        if self.pending.swap(0, Ordering::AcqRel) != 0 {
            self.pending_slots.lock().clear();
        }
    }

    /// Whether an object was made by the transaction that is open; that of a parent may be, when the process was forked.
    pub(crate) fn is_pending(&self, id: ObjectId) -> bool {
        match self.pending.load(Ordering::Acquire) {
            0 => false,
            first => {
                id.record >= first || self.pending_slots.try_lock().is_none_or(|slots| slots.contains(&id))
            }
        }
    }

    /// Says how to find out whether other processes may have handles.
    pub(crate) fn ask_of_others(&self, ask: Box<dyn Fn() -> bool + Send + Sync>) {
        let _ = self.others.set(ask);
    }

    /// Whether any process may have handles.
    pub(crate) fn may_be_any(&self) -> bool {
        !self.is_empty() || self.others.get().is_some_and(|ask| ask())
    }

    /// Does something when there is a first handle.
    pub(crate) fn on_first(&self, act: Box<dyn Fn() + Send + Sync>) {
        let _ = self.first.set(act);
    }

    /// The process that has the handles.
    pub(crate) fn owner(&self) -> HomeProcess {
        self.owner
    }

    /// Notes a handle. In a fork, which may find everything locked, that is for its own map to do.
    pub(crate) fn hold(&self, id: ObjectId) -> Arc<Token> {
        if self.owner.is_inherited() {
            return Arc::default();
        }
        if !self.had_first.load(Ordering::Relaxed)
            && let Some(act) = self.first.get()
            && !self.had_first.swap(true, Ordering::Relaxed)
        {
            act();
        }
        let mut handles = self.handles.lock();
        let slots = handles.slots.entry(id.record).or_default();
        let known = slots.iter().find(|(slot, _)| *slot == id.slot).map(|(_, token)| Arc::clone(token));
        let token = known.unwrap_or_else(|| {
            let token = Arc::new(Token::default());
            slots.push((id.slot, Arc::clone(&token)));
            token
        });
        token.handles.fetch_add(1, Ordering::Relaxed);
        self.records.store(handles.slots.len(), Ordering::Release);
        token
    }

    /// Notes that a handle is gone.
    pub(crate) fn let_go(&self, id: ObjectId, token: &Token) {
        let mut handles = self.handles.lock();
        if token.handles.fetch_sub(1, Ordering::Relaxed) > 1 || token.is_taken_back() {
            return;
        }
        let Some(slots) = handles.slots.get_mut(&id.record) else { return };
        if let Some(at) = slots.iter().position(|(slot, _)| *slot == id.slot) {
            slots.swap_remove(at);
        }
        if slots.is_empty() {
            handles.slots.remove(&id.record);
            handles.homes.remove(&id.record);
            self.records.store(handles.slots.len(), Ordering::Release);
        }
        handles.bury(id.record);
    }

    /// Notes that a record stands under a key again, which some handles may not know.
    pub(crate) fn note_home(&self, record: u64, key: &[u8]) {
        let mut handles = self.handles.lock();
        if handles.slots.contains_key(&record) {
            handles.homes.insert(record, key.into());
        }
    }

    /// The key of a record that a handle has lost.
    pub(crate) fn home(&self, record: u64) -> Option<Arc<[u8]>> {
        self.handles.lock().homes.get(&record).cloned()
    }

    /// Notes that objects never were: the records from this id on, and others.
    pub(crate) fn take_back(&self, from: u64, others: &[ObjectId]) {
        self.rollbacks.fetch_add(1, Ordering::AcqRel);
        if self.is_empty() {
            return;
        }
        let mut handles = self.handles.lock();
        handles.slots.retain(|record, slots| {
            slots.retain(|(slot, token)| {
                let is_gone = *record >= from || others.contains(&ObjectId { record: *record, slot: *slot });
                if is_gone {
                    token.taken_back.store(true, Ordering::Release);
                }
                !is_gone
            });
            !slots.is_empty()
        });
        self.records.store(handles.slots.len(), Ordering::Release);
    }

    /// A number that is another one after each rollback, and in a fork of the process, which knows nothing of those of its
    /// parent: what was read before may have been taken back, and something else may look like it.
    pub(crate) fn rollbacks(&self) -> u64 {
        self.rollbacks.load(Ordering::Acquire).wrapping_add(fork_generation() << 48)
    }

    /// The slots of a record that have handles; [`Live::WHOLE`] may be among them.
    pub(crate) fn slots(&self, record: u64) -> Vec<u32> {
        if record == 0 || self.is_empty() {
            return Vec::new();
        }
        let handles = self.handles.lock();
        handles
            .slots
            .get(&record)
            .map_or_else(Vec::new, |slots| slots.iter().map(|(slot, _)| *slot).collect())
    }

    /// All objects that have handles; a slot may be [`Live::WHOLE`].
    pub(crate) fn objects(&self) -> Vec<ObjectId> {
        ids(self.handles.lock().slots.iter().map(|(record, slots)| (*record, slots.as_slice())))
    }

    /// The objects that only handles keep.
    pub(crate) fn orphans(&self) -> Vec<ObjectId> {
        ids(self.handles.lock().orphans.iter().map(|(record, slots)| (*record, slots.as_slice())))
    }

    /// Whether an object has a handle.
    pub(crate) fn holds(&self, id: ObjectId) -> bool {
        !self.is_empty() && self.handles.lock().holds(id)
    }

    /// Whether there is no handle at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.load(Ordering::Acquire) == 0
    }

    /// Notes objects that only handles keep from now on.
    pub(crate) fn add_orphans(&self, orphans: impl IntoIterator<Item = (ObjectId, Seen)>) {
        let mut handles = self.handles.lock();
        for (id, seen) in orphans {
            handles.remove_orphan(id);
            handles.orphans.entry(id.record).or_default().push((id.slot, seen));
            handles.bury(id.record);
        }
    }

    /// Whether only handles keep an object.
    pub(crate) fn is_orphan(&self, id: ObjectId) -> bool {
        let handles = self.handles.lock();
        handles.orphans.get(&id.record).is_some_and(|slots| slots.iter().any(|(slot, _)| *slot == id.slot))
    }

    /// Notes that something else refers to objects again.
    pub(crate) fn adopt(&self, adopted: impl IntoIterator<Item = ObjectId>) {
        let mut handles = self.handles.lock();
        for id in adopted {
            handles.remove_orphan(id);
        }
    }

    /// The orphans that nothing keeps any more.
    pub(crate) fn take_dead(&self) -> Vec<(ObjectId, Seen)> {
        std::mem::take(&mut self.handles.lock().dead)
    }
}

impl Handles {
    fn holds(&self, id: ObjectId) -> bool {
        self.slots
            .get(&id.record)
            .is_some_and(|slots| slots.iter().any(|(slot, _)| *slot == id.slot || *slot == Live::WHOLE))
    }

    fn remove_orphan(&mut self, id: ObjectId) {
        if let Some(slots) = self.orphans.get_mut(&id.record) {
            slots.retain(|(slot, _)| *slot != id.slot);
            if slots.is_empty() {
                self.orphans.remove(&id.record);
            }
        }
    }

    /// Moves the orphans of a record that have no handle to the dead.
    fn bury(&mut self, record: u64) {
        if self.orphans.is_empty() {
            return;
        }
        let Some(slots) = self.orphans.remove(&record) else { return };
        let (kept, buried): (Vec<_>, Vec<_>) =
            slots.into_iter().partition(|(slot, _)| self.holds(ObjectId { record, slot: *slot }));
        self.dead.extend(buried.into_iter().map(|(slot, seen)| (ObjectId { record, slot }, seen)));
        if !kept.is_empty() {
            self.orphans.insert(record, kept);
        }
    }
}

/// The objects of slots that are known by record.
fn ids<'a, T: 'a>(slots: impl Iterator<Item = (u64, &'a [(u32, T)])>) -> Vec<ObjectId> {
    slots
        .flat_map(|(record, slots)| slots.iter().map(move |(slot, _)| ObjectId { record, slot: *slot }))
        .collect()
}
