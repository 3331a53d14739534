//! Deferred writes: those of the whole process are gathered in one transaction, which a thread of ours commits soon, or
//! whoever can't wait.

use std::time::{Duration, Instant};

use super::{
    core::{Core, Terms, thread_token},
    patience::Patience,
    shared_write::SharedWrite,
    write::WriteState,
};
use crate::{
    coord::deferral::Step,
    error::{Error, Result},
    store::{WriteKind, Writer},
    sync::{Arc, Ordering},
};

/// The owner of the transaction, who is no thread.
pub(super) const GATHERER: u64 = u64::MAX;

/// How often the thread looks whether a batch is due.
const SLICE: Duration = Duration::from_millis(1);
/// What a change may take beside its own bytes, in bytes: the pages on the way to where it belongs.
const OVERHEAD: u64 = 256 << 10;
/// How much may be gathered, in bytes and in changes.
const MOST_BYTES: u64 = 64 << 20;
const MOST_CHANGES: u64 = 100_000;

/// How much room a change takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It deletes something, and may use the last bit that `max_size` leaves.
    Frees,
    /// So many bytes, about.
    Bytes(usize),
    /// Nobody knows.
    Unknown,
}

impl Room {
    pub(crate) fn kind(self) -> WriteKind {
        if self == Self::Frees { WriteKind::Freeing } else { WriteKind::Normal }
    }

    /// The most that it takes.
    fn most(self) -> Option<u64> {
        match self {
            Self::Frees => Some(OVERHEAD),
            Self::Bytes(bytes) => Some(4 * bytes as u64 + OVERHEAD),
            Self::Unknown => None,
        }
    }
}

/// What was gathered and waits for its commit.
pub(super) struct Batch {
    transaction: Arc<SharedWrite>,
    terms: Terms,
    /// When it is to be committed at the latest.
    due: Instant,
    /// The most that it takes so far.
    bytes: u64,
    changes: u64,
}

impl Core {
    /// Does something in the transaction that gathers the writes of this process.
    pub(crate) fn write_deferred<R: Send>(
        self: &Arc<Self>,
        room: Room,
        terms: Terms,
        interval: Duration,
        patience: &mut Patience<'_>,
        mut work: impl FnMut(&mut WriteState<Writer>, bool) -> Result<R> + Send,
    ) -> Result<R> {
        self.check_may_write()?;
        self.check_deferred()?;
        loop {
            let transaction = self.batch(terms, interval, patience)?;
            let Some(is_full) = self.reserve(&transaction, room, terms, interval)? else {
                // Should it fail for want of room, nothing else is lost with it.
                self.flush()?;
                return self.write_once(room.kind(), terms, patience, work);
            };
            let Some((result, resized)) = transaction.gather(|state| work(state, true)) else {
                // It was committed in between.
                continue;
            };
            if transaction.has_failed() {
                self.drop_batch(&transaction);
            } else {
                self.note_resized(thread_token(), resized);
                if is_full || interval.is_zero() || self.is_awaited() {
                    self.flush()?;
                }
            }
            return result;
        }
    }

    /// Whether something was gathered.
    #[inline]
    pub(crate) fn has_gathered(&self) -> bool {
        self.has_batch.load(Ordering::Acquire)
    }

    /// What is gathered at present, for those of this process who read.
    pub(crate) fn gathered(&self) -> Option<Arc<SharedWrite>> {
        if !self.has_gathered() {
            return None;
        }
        self.batch.lock().as_ref().map(|batch| Arc::clone(&batch.transaction))
    }

    /// Commits what was gathered.
    ///
    /// # Errors
    ///
    /// Any error of the storage: what was gathered is lost then.
    #[inline]
    pub(crate) fn flush(&self) -> Result<()> {
        if self.has_gathered() && !self.is_inherited() { self.flush_batch() } else { Ok(()) }
    }

    #[cold]
    fn flush_batch(&self) -> Result<()> {
        let _flushing = self.flushing.lock();
        let Some(transaction) = self.gathered() else { return Ok(()) };
        // Whoever reads waits for the lock, as long as this one is here.
        let committed = transaction.commit();
        self.forget_batch();
        committed.map_err(|error| match error {
            Error::Io { context, source } => {
                Error::io(format!("{context}: the writes that waited for their commit are lost"), source)
            }
            // Another thread's write has ended it a moment ago.
            Error::TransactionClosed => lost(),
            other => other,
        })
    }

    /// An error that no one was told of, of a commit in the background.
    pub(crate) fn check_deferred(&self) -> Result<()> {
        match self.failed.lock().take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// As [`Core::flush`], for one whose own business is another: the next one who writes is told of an error.
    pub(crate) fn flush_for_others(&self) {
        if let Err(error) = self.flush() {
            *self.failed.lock() = Some(error);
        }
    }

    /// The transaction that gathers, begun if there is none.
    fn batch(
        self: &Arc<Self>,
        terms: Terms,
        interval: Duration,
        patience: &mut Patience<'_>,
    ) -> Result<Arc<SharedWrite>> {
        loop {
            let known = self
                .batch
                .lock()
                .as_ref()
                .map(|batch| (batch.terms == terms, Arc::clone(&batch.transaction)));
            match known {
                Some((true, transaction)) if transaction.is_open(None) => return Ok(transaction),
                Some(_) => self.flush()?,
                None => {
                    // One begins; the others come again when it has begun.
                    let Some(_beginning) = self.beginning.try_lock() else {
                        std::thread::sleep(patience.pause()?.min(SLICE));
                        continue;
                    };
                    if self.has_gathered() {
                        continue;
                    }
                    self.beginner.store(thread_token(), Ordering::Release);
                    let begun = SharedWrite::begin_batch(self, terms, patience);
                    self.beginner.store(0, Ordering::Release);
                    let transaction = begun?;
                    let due = later(interval);
                    let batch =
                        Batch { transaction: Arc::clone(&transaction), terms, due, bytes: 0, changes: 0 };
                    *self.batch.lock() = Some(batch);
                    self.has_batch.store(true, Ordering::Release);
                    self.deferral.pend();
                    self.start_flusher();
                    return Ok(transaction);
                }
            }
        }
    }

    fn start_flusher(self: &Arc<Self>) {
        if self.has_flusher.swap(true, Ordering::AcqRel) {
            return;
        }
        let deferral = Arc::clone(&self.deferral);
        let core = Arc::downgrade(self);
        let flush = move || {
            while deferral.next(SLICE) == Step::Flush {
                if let Some(core) = core.upgrade()
                    && (core.is_due() || core.is_awaited())
                {
                    core.flush_for_others();
                }
            }
        };
        if std::thread::Builder::new().name("oocmap-flush".into()).spawn(flush).is_err() {
            // Without the thread nothing can wait.
            self.has_flusher.store(false, Ordering::Release);
            self.flush_for_others();
        }
    }

    fn is_due(&self) -> bool {
        self.batch.lock().as_ref().is_some_and(|batch| Instant::now() >= batch.due)
    }

    /// Whether other threads or processes wait for their turn to write.
    fn is_awaited(&self) -> bool {
        self.gate.is_awaited() || self.generations.current().is_awaited()
    }

    /// Lets a change be gathered; answers whether that is enough for a commit, or nothing when the change could fail for want
    /// of room, which would take back all that was gathered.
    fn reserve(
        &self,
        transaction: &Arc<SharedWrite>,
        room: Room,
        terms: Terms,
        interval: Duration,
    ) -> Result<Option<bool>> {
        let most = room.most();
        let limit = match (terms.max_size, most) {
            (None, _) => None,
            (Some(_), None) => return Ok(None),
            (Some(max_size), Some(_)) => {
                Some((max_size / 2).saturating_sub(self.generations.current().used_bytes()?))
            }
        };
        let mut batch = self.batch.lock();
        let Some(batch) = batch.as_mut().filter(|batch| Arc::ptr_eq(&batch.transaction, transaction)) else {
            // It was committed in between, as whoever uses it is told.
            return Ok(Some(false));
        };
        let bytes = batch.bytes + most.unwrap_or(OVERHEAD);
        if limit.is_some_and(|limit| bytes > limit) {
            return Ok(None);
        }
        batch.bytes = bytes;
        batch.changes += 1;
        batch.due = batch.due.min(later(interval));
        Ok(Some(batch.changes >= MOST_CHANGES || batch.bytes > MOST_BYTES + batch.changes * OVERHEAD))
    }

    /// Forgets a transaction that the storage has ended.
    fn drop_batch(&self, transaction: &Arc<SharedWrite>) {
        let _flushing = self.flushing.lock();
        // It has been taken back; this lets the next writer in.
        let _ = transaction.roll_back();
        let others = self.batch.lock().as_ref().is_some_and(|batch| batch.changes > 1);
        if others {
            *self.failed.lock() = Some(lost());
        }
        if self.gathered().is_some_and(|known| Arc::ptr_eq(&known, transaction)) {
            self.forget_batch();
        }
    }

    fn forget_batch(&self) {
        let _ = self.deferral.settle();
        *self.batch.lock() = None;
        self.has_batch.store(false, Ordering::Release);
    }
}

fn lost() -> Error {
    Error::io(
        "the storage failed while writes waited for their commit, and they are lost",
        std::io::ErrorKind::Other.into(),
    )
}

/// A moment so far ahead.
fn later(interval: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(interval).unwrap_or(now + Duration::from_hours(24))
}
