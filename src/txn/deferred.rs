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
    begun: Instant,
    interval: Duration,
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
        self.check_writable()?;
        self.check_deferred()?;
        // Waiting for a transaction of its own would never end, nor would that for a wait that a signal handler is in.
        if self.gate.has(thread_token()) || self.beginner.load(Ordering::Acquire) == thread_token() {
            return Err(Self::already_inside());
        }
        if !self.has_room(room, terms)? {
            // Should it fail for want of room, nothing else is lost with it.
            self.flush()?;
            return self.write_once(room.kind(), terms, patience, work);
        }
        loop {
            let transaction = self.batch(terms, interval, patience)?;
            let Some((result, resized)) = transaction.gather(|state| work(state, true)) else {
                // It was committed in between.
                continue;
            };
            if result.as_ref().is_err_and(Error::ends_transaction) {
                self.drop_batch(&transaction);
            } else {
                self.note_resized(thread_token(), resized);
                let full = self.note_bytes(room.most().unwrap_or(0));
                if full || interval.is_zero() || self.is_awaited() {
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
                    let begun = Instant::now();
                    let batch = Batch {
                        transaction: Arc::clone(&transaction),
                        terms,
                        begun,
                        interval,
                        bytes: 0,
                        changes: 0,
                    };
                    *self.batch.lock() = Some(batch);
                    self.has_batch.store(true, Ordering::Release);
                    self.deferral.pend();
                    self.flusher.get_or_init(|| self.start_flusher());
                    return Ok(transaction);
                }
            }
        }
    }

    fn start_flusher(self: &Arc<Self>) {
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
            self.flush_for_others();
        }
    }

    fn is_due(&self) -> bool {
        self.batch.lock().as_ref().is_some_and(|batch| batch.begun.elapsed() >= batch.interval)
    }

    /// Whether other threads or processes wait for their turn to write.
    fn is_awaited(&self) -> bool {
        self.gate.is_awaited() || self.generations.current().is_awaited()
    }

    /// Whether a change can't fail for want of room, which would take back all that was gathered.
    fn has_room(&self, room: Room, terms: Terms) -> Result<bool> {
        let Some(max_size) = terms.max_size else { return Ok(true) };
        let Some(most) = room.most() else { return Ok(false) };
        let gathered = self.batch.lock().as_ref().map_or(0, |batch| batch.bytes);
        Ok(self.generations.current().used_bytes()? + gathered + most <= max_size / 2)
    }

    /// Notes what a change took at most; answers whether that is enough for a commit.
    fn note_bytes(&self, bytes: u64) -> bool {
        self.batch.lock().as_mut().is_some_and(|batch| {
            batch.bytes += bytes;
            batch.changes += 1;
            batch.changes >= MOST_CHANGES || batch.bytes > MOST_BYTES + batch.changes * OVERHEAD
        })
    }

    /// Forgets a transaction that the storage has ended.
    fn drop_batch(&self, transaction: &Arc<SharedWrite>) {
        let _flushing = self.flushing.lock();
        // It has been taken back; this lets the next writer in.
        let _ = transaction.roll_back();
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
