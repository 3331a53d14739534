//! Versions that this process pins by slots in LMDB's table of readers, and lets go of.

use std::{
    ptr,
    time::{Duration, Instant},
};

use heed::{Env, MdbError, RoTxn, WithoutTls};

use super::{
    super::reader_table::{HeldBack, Slot},
    ATTEMPTS, Store,
    vacuum::is_vacuum,
};
use crate::{
    coord::idle::Step,
    error::{Error, Result},
    sync::{Arc, Ordering},
};

impl Store {
    /// Claims a slot in the table of readers.
    pub(in super::super) fn begin_read(self: &Arc<Self>) -> Result<Slot> {
        let mut is_swept = false;
        for _ in 0..ATTEMPTS {
            let table = self.environment.reader_table.as_ref();
            match Slot::claim(table, || self.with_lmdb_map(Self::read_txn))? {
                Ok(slot) => return Ok(slot),
                Err(heed::Error::Mdb(MdbError::ReadersFull)) if !is_swept => {
                    is_swept = true;
                    self.tidy();
                    self.sweep_readers()?;
                }
                Err(heed::Error::Mdb(MdbError::MapResized)) => self.follow_growth()?,
                Err(error) => return Err(self.fault(error, "beginning to read")),
            }
        }
        Err(self.fault(MdbError::MapResized.into(), "beginning to read"))
    }

    #[expect(
        unsafe_code,
        reason = "a snapshot keeps both the transaction and the store that it borrows from"
    )]
    fn read_txn(env: &Env<WithoutTls>) -> Result<RoTxn<'static, WithoutTls>, heed::Error> {
        let env: *const Env<WithoutTls> = ptr::from_ref(env);
        // SAFETY: the environment lies in the heap block of the `Arc` of a store, and every caller makes the transaction
        // a field of a snapshot, in front of its own `Arc` of the store, or drops it before it returns, or leaves it in
        // `lingering`, which is dropped before the environment.
        let env: &'static Env<WithoutTls> = unsafe { &*env };
        env.read_txn()
    }

    /// Claims a slot for an older version, as long as someone else has it pinned.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotExpired`]; as [`Store::snapshot`].
    pub(in super::super) fn begin_read_of(self: &Arc<Self>, version: u64) -> Result<Slot> {
        let own = {
            let mut lingering = self.lingering.lock();
            let place = lingering.iter().position(|(slot, _)| slot.txn_id() == version);
            place.map(|place| lingering.swap_remove(place).0)
        };
        if let Some(slot) = own {
            slot.reopen()?;
            return Ok(slot);
        }
        let mut slot = self.begin_read()?;
        let is_pinned =
            if slot.txn_id() == version { Ok(true) } else { slot.follow(version, || self.turn()) };
        match is_pinned {
            Ok(true) => Ok(slot),
            refused => {
                self.let_go(slot);
                Err(refused.err().map_or(Error::SnapshotExpired, |error| {
                    Error::io(format!("looking at the readers of {}", self.path().display()), error)
                }))
            }
        }
    }

    /// Whether someone has, or had when it was replaced, a version pinned of this generation, which is an older one; also in
    /// a fork.
    pub(in super::super) fn has_pinned(&self, version: u64) -> bool {
        self.environment.reader_table.as_ref().is_some_and(|table| table.has_pinned(version))
    }

    /// The turn of whoever writes.
    fn turn(&self) -> Option<u64> {
        self.control.as_ref().and_then(|control| control.turn())
    }

    /// Lets go of a version: at once, or when the write transaction that is under way has ended; the table of readers
    /// says why. Another slot that the writer sees, of a version as old, does for this one too.
    pub(in super::super) fn let_go(self: &Arc<Self>, slot: Slot) {
        slot.close();
        let turn = self.turn();
        let mut lingering = self.lingering.lock();
        lingering.retain(|(_, then)| Some(*then) == turn);
        let Some(turn) = turn else { return };
        if lingering.iter().any(|(other, _)| other.is_seen_in(turn) && other.txn_id() <= slot.txn_id()) {
            return;
        }
        if slot.is_seen_in(turn) {
            lingering.retain(|(other, _)| other.txn_id() < slot.txn_id());
        }
        lingering.push((slot, turn));
        drop(lingering);
        self.tidier.hold();
        self.start_tidier();
    }

    /// Lets go of what nobody relies on any more; answers whether nothing is left.
    pub(crate) fn tidy(&self) -> bool {
        let mut lingering = self.lingering.lock();
        if !lingering.is_empty() {
            let turn = self.turn();
            lingering.retain(|(_, then)| Some(*then) == turn);
        }
        lingering.is_empty()
    }

    /// Whether versions are pinned still that nobody needs.
    #[cfg(test)]
    pub(in super::super) fn lingers(&self) -> bool {
        !self.lingering.lock().is_empty()
    }

    /// Whether the writer sees a slot of a version that so many have been committed since.
    #[cfg(test)]
    pub(in super::super) fn pins_for_sure(&self, behind: u64) -> bool {
        let version = self.newest_txn_id() - behind;
        let turn = self.turn().unwrap_or_default();
        self.lingering.lock().iter().any(|(slot, _)| slot.txn_id() == version && slot.is_seen_in(turn))
    }

    /// Starts the thread that lets go of versions in a process that does nothing else.
    fn start_tidier(self: &Arc<Self>) {
        const INTERVAL: Duration = Duration::from_millis(10);
        if self.has_tidier.swap(true, Ordering::AcqRel) {
            return;
        }
        let (tidier, store) = (Arc::clone(&self.tidier), Arc::downgrade(self));
        let tidy = move || {
            while tidier.next(INTERVAL) == Step::Release {
                if let Some(store) = store.upgrade()
                    && !store.tidy()
                {
                    tidier.hold();
                }
            }
        };
        // Without the thread an unused version stays pinned until the next one is, which costs only space.
        let started = std::thread::Builder::new().name("oocmap-tidy".into()).spawn(tidy);
        self.has_tidier.store(started.is_ok(), Ordering::Release);
    }

    /// Waits a moment for the writer that may not have seen what others rely on, before everything is let go of.
    pub(super) fn tidy_for_good(&self) {
        const ATTEMPTS: u32 = 20;
        for _ in 0..ATTEMPTS {
            if self.tidy() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Frees the slots of readers whose processes have died, for a writer: nobody else may, as the table of readers says.
    pub(crate) fn clear_stale_readers(&self) -> Result<usize> {
        self.with_lmdb_map(Env::clear_stale_readers)?
            .map_err(|error| self.fault(error, "looking for dead readers of"))
    }

    /// As [`Store::clear_stale_readers`], now and then; answers whether it was time.
    pub(crate) fn clear_stale_readers_if_due(&self) -> Result<bool> {
        const INTERVAL: Duration = Duration::from_secs(1);
        let mut swept = self.swept.lock();
        if swept.elapsed() < INTERVAL {
            return Ok(false);
        }
        *swept = Instant::now();
        drop(swept);
        self.clear_stale_readers().map(|_| true)
    }

    /// Frees the slots of dead readers, unless someone writes.
    fn sweep_readers(&self) -> Result<()> {
        let Some(control) = &self.control else { return self.clear_stale_readers().map(|_| ()) };
        if control.try_lock_writer()? {
            let swept = self.clear_stale_readers();
            control.unlock_writer();
            swept?;
        }
        Ok(())
    }

    /// What the reader of the oldest version keeps from being used again, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Corrupted`].
    pub(crate) fn held_back(self: &Arc<Self>) -> Result<Option<HeldBack>> {
        let Some(table) = &self.environment.reader_table else { return Ok(None) };
        let newest = self.newest_txn_id();
        let readers = table.live(newest);
        // That a vacuum has a version open for a while nobody can do anything about.
        let others = readers.into_iter().filter(|reader| reader.behind > 1 && !is_vacuum(reader));
        let Some(reader) = others.max_by_key(|reader| reader.behind) else {
            return Ok(None);
        };
        let bytes = self.snapshot()?.held_bytes(newest - reader.behind)?;
        Ok(Some(HeldBack { bytes, reader }))
    }
}
