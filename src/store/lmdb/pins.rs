//! Versions that this process pins by slots in LMDB's table of readers, and lets go of.

use std::{
    ptr,
    time::{Duration, Instant},
};

use heed::{Env, MdbError, RoTxn, WithoutTls};

use super::{
    super::reader_table::{HeldBack, Slot},
    ATTEMPTS, Store,
};
use crate::{
    error::{Error, Result},
    sync::Arc,
};

impl Store {
    /// Claims a slot in the table of readers.
    pub(in super::super) fn begin_read(self: &Arc<Self>) -> Result<Slot> {
        let mut is_swept = false;
        for _ in 0..ATTEMPTS {
            let mut refusal = None;
            let claimed = Slot::claim(self.environment.reader_table.as_ref(), || {
                self.with_lmdb_map(Self::read_txn)?.map_err(|error| {
                    let fault = Error::Transaction("no slot was claimed");
                    refusal = Some(error);
                    fault
                })
            });
            match (claimed, refusal) {
                (_, Some(heed::Error::Mdb(MdbError::ReadersFull))) if !is_swept => {
                    is_swept = true;
                    self.tidy();
                    self.sweep_readers()?;
                }
                (_, Some(heed::Error::Mdb(MdbError::MapResized))) => self.follow_growth()?,
                (_, Some(error)) => return Err(self.fault(error, "beginning to read")),
                (claimed, None) => return claimed,
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
        let mut slot = self.begin_read()?;
        let is_pinned = if slot.txn_id() == version { Ok(true) } else { slot.follow(version) };
        match is_pinned {
            Ok(true) => Ok(slot),
            refused => {
                self.let_go(slot);
                Err(refused.err().map_or(Error::SnapshotExpired, |error| {
                    Error::io(format!("looking at the readers of {}", self.path.display()), error)
                }))
            }
        }
    }

    /// Lets go of a version: at once, or when the write transaction that is under way has ended; the table of readers
    /// says why. The slot of one that is as old or older does for this one too.
    pub(in super::super) fn let_go(&self, slot: Slot) {
        slot.close();
        let Some(turn) = self.control.as_ref().and_then(|control| control.turn()) else { return };
        let mut lingering = self.lingering.lock();
        let covered =
            lingering.as_ref().is_some_and(|(other, then)| *then == turn && other.txn_id() <= slot.txn_id());
        if !covered {
            *lingering = Some((slot, turn));
        }
    }

    /// Whether a version is pinned still that nobody needs.
    pub(crate) fn lingers(&self) -> bool {
        self.lingering.lock().is_some()
    }

    /// Lets go of what nobody relies on any more.
    pub(crate) fn tidy(&self) {
        let mut lingering = self.lingering.lock();
        if let Some((_, then)) = &*lingering
            && self.control.as_ref().and_then(|control| control.turn()) != Some(*then)
        {
            *lingering = None;
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
        let Some(reader) =
            readers.into_iter().filter(|reader| reader.behind > 1).max_by_key(|reader| reader.behind)
        else {
            return Ok(None);
        };
        let bytes = self.snapshot()?.held_bytes(newest - reader.behind)?;
        Ok(Some(HeldBack { bytes, reader }))
    }
}
