//! The table of readers in LMDB's lock file: who has pinned which version.
//!
//! A slot is a cache line, of which LMDB uses the first 24 bytes: the version (`u64`, all ones while there is none), the
//! process (`i32`, 0 for a free slot) and a number of the thread. It leaves the others alone, and we note there:
//!
//! | at | what |
//! |---|---|
//! | 24 | `u64` a number that the slot never had before, while its version is pinned for sure; 1 while it may not be, or not for long; 0 when nobody has it |
//! | 32 | `u64` when it was pinned, in nanoseconds of the system's monotonic clock |
//! | 40 | `u64` the system's number of the thread |
//! | 48 | `u64` who wrote this: the process in the lower half, and a random number, since LMDB clears nothing of it when a process has died |
//!
//! So a process can pin a version that is not the newest, as long as someone else has it pinned: it lowers the version of
//! its own slot, then finds another slot that has the same one for sure. LMDB's writer looks for the oldest version that is
//! still needed by going through the slots. It may have passed the one before it was lowered, and come to the other after
//! that was let go of; so a slot first loses its number, and is let go of when the write transaction that is under way at
//! that moment, if any, has ended. For the same reason only a writer frees the slots of dead processes.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind},
    mem::size_of,
    path::Path,
    time::Duration,
};

use heed::{RoTxn, WithoutTls};
use memmap2::{MmapOptions, MmapRaw};

use super::{
    fork::{self, LockFile, Own},
    lock::{Byte, Kind, is_locked, replace_classic, try_lock, unlock},
};
use crate::{
    error::{Error, Result},
    sync::{Arc, AtomicU32, AtomicU64, Mutex, OnceLock, Ordering, fence},
};

/// A version that is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reader {
    /// The process that reads it.
    pub process: u32,
    /// The system's number of the thread that began to.
    pub thread: u64,
    /// For how long it has been pinned, when that is known.
    pub age: Option<Duration>,
    /// How many versions have been committed since.
    pub behind: u64,
}

/// The number of a slot whose version nobody may rely on.
const UNSURE: u64 = 1;

/// Space that can't be used again because of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldBack {
    /// How much, in bytes.
    pub bytes: u64,
    /// The one that has the oldest version pinned.
    pub reader: Reader,
}

const VERSION_AT: usize = 0;
const PROCESS_AT: usize = 8;
const NUMBER_AT: usize = 24;
const SINCE_AT: usize = 32;
const THREAD_AT: usize = 40;
const OWNER_AT: usize = 48;

/// LMDB's lock file, through a descriptor and a mapping of our own.
///
/// Closing any descriptor of the file drops all locks that this process has on it, so this has to live until
/// LMDB has closed the environment.
#[derive(Debug)]
pub(super) struct ReaderTable {
    file: LockFile,
    table: MmapRaw,
    /// What the table was mapped with, which is not what locks: a mapping keeps the locks of its file, also in a fork.
    _mapped: Own<File>,
    slots: u32,
    process: u32,
    /// Held while a slot is claimed or freed, so that no other one of this process has the number 0.
    claiming: Mutex<()>,
}

impl ReaderTable {
    const CACHE_LINE: usize = 64;

    /// Opens the lock file, if there is one, as there is none on a read-only file system.
    ///
    /// LMDB shows that a process lives by a lock on the byte with its number, which it takes once, before its first read
    /// transaction. That is over by now, and the lock is replaced by one that lasts.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match LockFile::open(path, OpenOptions::new().read(true).write(true)) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ReadOnlyFilesystem) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // Whoever would make the file anew, because LMDB's own lock was lost, is kept from it.
        if !try_lock(file.file(), Byte::Plain(0), Kind::Shared)? {
            return Err(ErrorKind::ResourceBusy.into());
        }
        let process = std::process::id();
        if !replace_classic(file.file(), Byte::Plain(i64::from(process)))? {
            return Err(ErrorKind::ResourceBusy.into());
        }
        let mapped = Own::new(OpenOptions::new().read(true).write(true).open(path)?);
        let len = mapped.metadata()?.len() as usize;
        let slots = len.saturating_sub(Self::slots_offset()) / Self::CACHE_LINE;
        let table = MmapOptions::new().len(len).map_raw(&*mapped)?;
        Ok(Some(Self {
            file,
            table,
            _mapped: mapped,
            slots: slots as u32,
            process,
            claiming: Mutex::new(()),
        }))
    }

    /// The readers of all processes, when the newest version has this number.
    pub(super) fn live(&self, newest: u64) -> Vec<Reader> {
        let now = monotonic();
        let readers = (0..self.slots).filter_map(|index| {
            let (process, version) = (self.process(index), self.version(index));
            let number = self.number(index).load(Ordering::Acquire);
            let since = self.word(index, SINCE_AT).load(Ordering::Relaxed);
            let is_known = number != 0 && self.is_marked_by(index, process);
            (process != 0 && version != u64::MAX).then(|| Reader {
                process,
                thread: if is_known { self.word(index, THREAD_AT).load(Ordering::Relaxed) } else { 0 },
                age: is_known.then(|| Duration::from_nanos(now.saturating_sub(since))),
                behind: newest.saturating_sub(version),
            })
        });
        readers.collect()
    }

    /// Pins an older version with a slot, if someone else has pinned it for sure; else the slot is as it was.
    fn follow(&self, own: u32, version: u64) -> io::Result<bool> {
        let (number, slot) = (self.number(own), self.word(own, VERSION_AT));
        // Nobody may rely on it before it is sure.
        let own_number = number.swap(UNSURE, Ordering::SeqCst);
        let before = slot.swap(version, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let is_pinned = self.is_pinned(version);
        if !matches!(is_pinned, Ok(true)) {
            slot.store(before, Ordering::SeqCst);
        }
        number.store(own_number, Ordering::SeqCst);
        is_pinned
    }

    /// Whether some slot has a version pinned for sure.
    fn is_pinned(&self, version: u64) -> io::Result<bool> {
        for index in 0..self.slots {
            let number = self.number(index).load(Ordering::SeqCst);
            if number > UNSURE
                && self.is_marked_by(index, self.process(index))
                && self.version(index) == version
                && self.is_alive(self.process(index))?
                && self.number(index).load(Ordering::SeqCst) == number
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether some slot has a version pinned in a generation that nobody writes to any more. It needs no process that lives:
    /// only writers free the slots of the dead, so the version stayed pinned until the last of them was gone.
    pub(super) fn has_pinned(&self, version: u64) -> bool {
        (0..self.slots).any(|index| {
            let process = self.process(index);
            process != 0
                && self.number(index).load(Ordering::SeqCst) > UNSURE
                && self.version(index) == version
                && self.is_marked_by(index, process)
        })
    }

    /// Whether a process lives that has the environment open: LMDB locks the byte with its number.
    fn is_alive(&self, process: u32) -> io::Result<bool> {
        Ok(process == self.process || is_locked(self.file.file(), Byte::Plain(i64::from(process)))?)
    }

    /// Whether a process wrote the number of a slot, and not one that had it before and died.
    fn is_marked_by(&self, index: u32, process: u32) -> bool {
        self.word(index, OWNER_AT).load(Ordering::SeqCst) as u32 == process
    }

    /// Two mutexes of the system precede the slots: the first behind 24 bytes, both filled up to cache lines.
    const fn slots_offset() -> usize {
        let mutex = size_of::<libc::pthread_mutex_t>();
        (24 + mutex).next_multiple_of(Self::CACHE_LINE) + mutex.next_multiple_of(Self::CACHE_LINE)
    }

    fn address(&self, index: u32, at: usize) -> *mut u8 {
        debug_assert!(index < self.slots);
        let offset = Self::slots_offset() + index as usize * Self::CACHE_LINE + at;
        self.table.as_mut_ptr().wrapping_add(offset)
    }

    #[expect(unsafe_code, reason = "other processes have the same words")]
    fn word(&self, index: u32, at: usize) -> &AtomicU64 {
        // SAFETY: slots are cache lines of a mapping that `self` keeps, and all that use its words do so in one step.
        unsafe { AtomicU64::from_ptr(self.address(index, at).cast()) }
    }

    fn number(&self, index: u32) -> &AtomicU64 {
        self.word(index, NUMBER_AT)
    }

    fn version(&self, index: u32) -> u64 {
        self.word(index, VERSION_AT).load(Ordering::SeqCst)
    }

    #[expect(unsafe_code, reason = "other processes have the same words")]
    fn process(&self, index: u32) -> u32 {
        // SAFETY: as for `word`.
        unsafe { AtomicU32::from_ptr(self.address(index, PROCESS_AT).cast()) }.load(Ordering::SeqCst)
    }
}

impl Drop for ReaderTable {
    fn drop(&mut self) {
        // A process that is being forked at this moment has the descriptor too, and LMDB may want its own lock back.
        if self.file.is_own() {
            unlock(self.file.file(), Byte::Plain(i64::from(self.process)));
        }
    }
}

/// A read transaction of LMDB, which pins a version by its slot. Dropping it lets go of the version.
pub(super) struct Slot {
    /// Empty only while it is dropped.
    txn: Option<Own<RoTxn<'static, WithoutTls>>>,
    version: u64,
    /// The turn of the writer that may not have seen it when it went to an older version.
    followed: Option<u64>,
    /// Where it stands, unless the file system has no lock file.
    place: Option<(Arc<ReaderTable>, u32)>,
}

impl Slot {
    /// Begins a read transaction and notes who has it.
    pub(super) fn claim(
        table: Option<&Arc<ReaderTable>>,
        begin: impl FnOnce() -> Result<heed::Result<RoTxn<'static, WithoutTls>>>,
    ) -> Result<heed::Result<Self>> {
        let slot = |txn: Own<RoTxn<'static, WithoutTls>>, place| {
            Ok(Ok(Self { version: txn.id() as u64, txn: Some(txn), followed: None, place }))
        };
        let claiming = table.map(|table| table.claiming.lock());
        let txn = match begin()? {
            Ok(txn) => Own::new(txn),
            Err(error) => return Ok(Err(error)),
        };
        let Some(table) = table else { return slot(txn, None) };
        let owner = numbers()?.owner(table.process);
        let own = (0..table.slots).find(|&index| {
            table.process(index) == table.process
                && table.version(index) != u64::MAX
                && (table.number(index).load(Ordering::Relaxed) == 0
                    || table.word(index, OWNER_AT).load(Ordering::Relaxed) != owner)
        });
        let Some(index) = own else {
            return Err(Error::corrupted("a reader has no slot in the lock file; close the map everywhere"));
        };
        let number = numbers()?.next();
        table.number(index).store(0, Ordering::SeqCst);
        table.word(index, OWNER_AT).store(owner, Ordering::Relaxed);
        table.word(index, SINCE_AT).store(monotonic(), Ordering::Relaxed);
        table.word(index, THREAD_AT).store(thread(), Ordering::Relaxed);
        table.number(index).store(number, Ordering::Release);
        drop(claiming);
        slot(txn, Some((Arc::clone(table), index)))
    }

    /// The version that it pins.
    pub(super) fn txn_id(&self) -> u64 {
        self.version
    }

    /// Pins an older version instead, if someone else has pinned it; `false` when nobody has. `turn` is that of the writer
    /// that is under way.
    pub(super) fn follow(&mut self, version: u64, turn: impl FnOnce() -> Option<u64>) -> io::Result<bool> {
        let Some((table, index)) = &self.place else { return Ok(false) };
        let is_pinned = table.follow(*index, version)?;
        if is_pinned {
            self.version = version;
            self.followed = turn();
        }
        Ok(is_pinned)
    }

    /// Whether the writer of a turn sees this slot, so that it keeps what it pins, and all later versions, for others too.
    pub(super) fn is_seen_in(&self, turn: u64) -> bool {
        self.followed != Some(turn)
    }

    /// Lets nobody rely on it any more; it has to be dropped when no write transaction is left that is under way now.
    pub(super) fn close(&self) {
        self.set_number(UNSURE);
    }

    /// Lets others rely on it again.
    pub(super) fn reopen(&self) -> Result<()> {
        self.set_number(numbers()?.next());
        Ok(())
    }

    fn set_number(&self, number: u64) {
        if let Some((table, index)) = &self.place
            && self.txn.as_ref().is_some_and(Own::is_own)
        {
            table.number(*index).store(number, Ordering::SeqCst);
            fence(Ordering::SeqCst);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.txn.as_ref().is_some_and(Own::is_own) {
            // Its locks may be held by threads that a child does not have.
            return;
        }
        // Nobody looks for the slot that was just claimed while this one has no number and is not free yet.
        let table = self.place.as_ref().map(|(table, _)| Arc::clone(table));
        let _claiming = table.as_ref().map(|table| table.claiming.lock());
        self.set_number(0);
        drop(self.txn.take());
    }
}

/// The numbers that this process gives to its slots.
struct Numbers {
    first: u64,
    drawn: AtomicU64,
}

impl Numbers {
    /// A number that no slot has or had.
    fn next(&self) -> u64 {
        self.first.wrapping_add(self.drawn.fetch_add(1, Ordering::Relaxed)).max(UNSURE + 1)
    }

    /// What tells this process apart from others, also from one that had its number before.
    fn owner(&self, process: u32) -> u64 {
        self.first & !u64::from(u32::MAX) | u64::from(process)
    }
}

fn numbers() -> Result<&'static Numbers> {
    static NUMBERS: fork::PerProcess<OnceLock<Numbers>> = fork::PerProcess::new();
    let known = NUMBERS.get();
    if let Some(numbers) = known.get() {
        return Ok(numbers);
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random)
        .map_err(|error| Error::io("drawing a random number", io::Error::other(error)))?;
    Ok(known.get_or_init(|| Numbers { first: u64::from_ne_bytes(random), drawn: AtomicU64::new(0) }))
}

/// Nanoseconds of a clock that all processes of the machine share.
fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "the standard library's clock tells no number")]
    // SAFETY: the time is written into a whole `timespec`.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    if answer != 0 {
        return 0;
    }
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// The system's number of this thread.
fn thread() -> u64 {
    #[cfg(target_os = "linux")]
    {
        #[expect(unsafe_code, reason = "the standard library has other numbers")]
        // SAFETY: the call only answers a number.
        let number = unsafe { libc::gettid() };
        u64::from(number.cast_unsigned())
    }
    #[cfg(not(target_os = "linux"))]
    0
}
