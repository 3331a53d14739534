//! The control file of a map: who has it open, who may open or write, and which generation of its data file is current.
//!
//! It stands beside `x.ooc` as `x.ooc-lock`, and LMDB's own lock file as `x.ooc-<inode>-lock`, so that no lock file can
//! meet another data file than its own when a compacted one takes the name over. To make LMDB take that name, the data
//! file is opened through a hard link that exists for that moment only. Where there are no hard links, `x.ooc-lock` is
//! LMDB's, and the file is never swapped: what the file holds tells which of both it is.

mod holders;
mod page;
mod vacuum;
mod writers;

pub(crate) use self::holders::Holder;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use self::page::{
    FORMAT, FORMAT_AT, MAGIC, MAGIC_AT, NAMESPACE_AT, OLD_AT, OLD_GENERATIONS, Page, SEQUENCE_AT, SIZE,
};
use super::{
    Identity, Waiting,
    fork::LockFile,
    identity,
    lock::{Byte, Kind, is_locked, try_lock, unlock},
};
use crate::{
    error::{Error, Result},
    sync::{Arc, AtomicBool, AtomicU64, Mutex, MutexGuard, OnceLock, Ordering},
};

/// How often someone looks whether a lock is free whose holder may have died.
const POLL: Duration = Duration::from_millis(10);
/// The first pause of those who wait for what is mostly free again at once.
const FIRST_PAUSE: Duration = Duration::from_micros(50);

/// The count of swaps where the data file is never swapped under others.
static NEVER_SWAPPED: AtomicU64 = AtomicU64::new(0);

/// LMDB's lock files begin with this number.
const LMDB_MAGIC: u32 = 0xBEEF_C0DE;

/// The count of swaps of a map that was joined.
#[derive(Clone, Debug, Default)]
pub(super) struct Swaps(Option<Arc<Page>>);

impl Swaps {
    /// How many there have been, as [`Control::sequence`] has it.
    #[inline]
    pub(super) fn count(&self) -> u64 {
        self.word().load(Ordering::SeqCst)
    }

    /// The word that counts them.
    #[inline]
    pub(super) fn word(&self) -> &AtomicU64 {
        sequence_in(self.0.as_deref())
    }
}

/// The count of swaps in the page of a map that was joined, or the one that never changes.
#[inline]
fn sequence_in(page: Option<&Page>) -> &AtomicU64 {
    page.map_or(&NEVER_SWAPPED, |page| page.word(SEQUENCE_AT))
}

/// The control file, as this process has it open.
#[derive(Debug)]
pub(super) struct Control {
    file: LockFile,
    path: PathBuf,
    data_path: PathBuf,
    joined: OnceLock<Joined>,
    /// Keeps the threads of this process apart, which have one and the same lock.
    gate: Mutex<()>,
    /// Whether there was no such file before.
    is_new: bool,
    /// Whether this process has the right to write, which its own locks do not tell it.
    writes: AtomicBool,
    /// Whether this process has the right to vacuum.
    vacuums: AtomicBool,
}

#[derive(Debug)]
enum Joined {
    /// The lock files of LMDB are named after their data files.
    Linked(Arc<Page>),
    /// There is one lock file, LMDB's.
    Plain,
}

/// The right to open the map or to swap its file; others wait until it is dropped.
#[must_use]
pub(super) struct Gate<'a> {
    control: &'a Control,
    // Last, when the lock is given back.
    _alone: MutexGuard<'a, ()>,
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        if self.control.file.is_own() {
            unlock(self.control.file.file(), Byte::Gate);
        }
    }
}

impl Control {
    /// Opens or makes the control file of a data file, whose path leads over no symbolic link; `None` on a file system
    /// where nothing can be written, so that nothing has to be kept apart.
    pub(super) fn open(data_path: &Path) -> io::Result<Option<Self>> {
        let path = lock_of(data_path);
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let (opened, is_new) = match LockFile::open(&path, options.clone().create_new(true)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                (LockFile::open(&path, options.create(true)), false)
            }
            created => (created, true),
        };
        match opened {
            Ok(file) => Ok(Some(Self {
                file,
                path,
                data_path: data_path.to_owned(),
                joined: OnceLock::new(),
                gate: Mutex::new(()),
                is_new,
                writes: AtomicBool::new(false),
                vacuums: AtomicBool::new(false),
            })),
            // Nothing that is read here would be kept from those who can write through another mount.
            Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => match File::open(&path) {
                Ok(file) if is_locked(&file, Byte::Alive)? => Err(ErrorKind::ResourceBusy.into()),
                _ => Ok(None),
            },
            Err(error) => Err(error),
        }
    }

    /// Removes the file again, if it was made for nothing.
    pub(super) fn leave_no_trace(&self, _: &Gate<'_>) {
        // Others may have it open by now, and it does no harm when it stays.
        if self.is_new && matches!(self.try_lock(Byte::Alive, Kind::Exclusive), Ok(true)) {
            let _ = remove(&self.path);
        }
    }

    /// The device and inode of the file, which stay the same when the data file is swapped.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.file.file().metadata().ok().map(|own| identity(&own))
    }

    /// The device and inode of the control file of a data file.
    pub(super) fn identity_beside(data_path: &Path) -> Option<Identity> {
        fs::metadata(lock_of(data_path)).ok().map(|beside| identity(&beside))
    }

    /// Waits until nobody else opens the map or swaps its file.
    pub(super) fn gate(&self, waiting: &mut Waiting<'_>) -> Result<Gate<'_>> {
        poll(waiting, POLL, || {
            let Some(alone) = self.gate.try_lock() else { return Ok(None) };
            let is_locked = self.try_lock(Byte::Gate, Kind::Exclusive)?;
            Ok(is_locked.then(|| Gate { control: self, _alone: alone }))
        })
    }

    /// Whether the file still stands where others look for it.
    pub(super) fn is_in_place(&self) -> bool {
        let own = self.identity();
        own.is_some() && own == Self::identity_beside(&self.data_path)
    }

    /// Takes this process in among those that have the map open. `can_link` says whether the data file can have hard
    /// links; it is asked when nobody else is there.
    pub(super) fn join(&self, _: &Gate<'_>, can_link: impl FnOnce() -> Result<bool>) -> Result<()> {
        if self.joined.get().is_some() {
            return Ok(());
        }
        let is_first = self.try_lock(Byte::Alive, Kind::Exclusive)?;
        if is_first {
            self.refuse_other_programs()?;
            if can_link()? {
                self.initialise()?;
            } else {
                self.file.file().set_len(0).map_err(|error| self.failed("writing", error))?;
            }
        }
        if !self.try_lock(Byte::Alive, Kind::Shared)? {
            return Err(self.failed("locking", ErrorKind::ResourceBusy.into()));
        }
        let joined = if self.is_ours()? {
            let page = self.map().map_err(|error| self.failed("mapping", error))?;
            self.check_namespace(&page)?;
            // LMDB takes a lock file for a new one whose first byte it can lock alone, and for a foreign one otherwise.
            if !self.try_lock(Byte::Plain(0), Kind::Shared)? {
                return Err(self.other_program());
            }
            Joined::Linked(Arc::new(page))
        } else {
            Joined::Plain
        };
        let _ = self.joined.set(joined);
        Ok(())
    }

    /// Whether LMDB's lock files are named after their data files.
    pub(super) fn is_linked(&self) -> bool {
        self.page().is_some()
    }

    /// Counts the swaps of the data file, and half ones: an odd number says that one is under way.
    pub(super) fn sequence(&self) -> &AtomicU64 {
        sequence_in(self.page())
    }

    /// The count of swaps, for those who look at it often.
    pub(super) fn swaps(&self) -> Swaps {
        match self.joined.get() {
            Some(Joined::Linked(page)) => Swaps(Some(Arc::clone(page))),
            _ => Swaps::default(),
        }
    }

    /// The name under which LMDB opens a generation of the data file; the second one of a process needs another.
    pub(super) fn alias(&self, inode: u64, attempt: u32) -> PathBuf {
        let number = if attempt == 0 { String::new() } else { format!("+{attempt}") };
        suffixed(&self.data_path, &format!("-{inode:x}{number}"))
    }

    /// LMDB's lock file for a generation of the data file.
    pub(super) fn lmdb_lock(&self, inode: u64) -> PathBuf {
        if self.is_linked() { lock_of(&self.alias(inode, 0)) } else { self.path.clone() }
    }

    /// Maps the file through a description of its own: a mapping keeps the locks of the one that it was made with, also
    /// in a fork, which would have them when this process has died.
    fn map(&self) -> io::Result<Page> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        if Some(identity(&file.metadata()?)) != self.identity() {
            return Err(ErrorKind::NotFound.into());
        }
        Page::map(&file)
    }

    fn page(&self) -> Option<&Page> {
        match self.joined.get() {
            Some(Joined::Linked(page)) => Some(page),
            _ => None,
        }
    }

    fn failed(&self, doing: &str, source: io::Error) -> Error {
        Error::io(format!("{doing} {}", self.path.display()), source)
    }

    fn try_lock(&self, byte: Byte, kind: Kind) -> Result<bool> {
        try_lock(self.file.file(), byte, kind).map_err(|error| self.failed("locking", error))
    }

    /// Whether someone else has a lock on a byte.
    fn is_locked(&self, byte: Byte) -> Result<bool> {
        is_locked(self.file.file(), byte).map_err(|error| self.failed("looking at", error))
    }

    /// Refuses a lock file of LMDB that someone uses who does not know of us.
    fn refuse_other_programs(&self) -> Result<()> {
        let is_lmdbs = self.read(0)? as u32 == LMDB_MAGIC;
        if is_lmdbs && self.is_locked(Byte::Plain(0))? { Err(self.other_program()) } else { Ok(()) }
    }

    fn other_program(&self) -> Error {
        Error::io(
            format!("another LMDB program has {} open; end it first", self.data_path.display()),
            ErrorKind::ResourceBusy.into(),
        )
    }

    fn is_ours(&self) -> Result<bool> {
        if self.read(MAGIC_AT)? != MAGIC {
            return Ok(false);
        }
        match self.read(FORMAT_AT)? {
            FORMAT => Ok(true),
            other => Err(Error::Format {
                path: self.data_path.clone(),
                reason: format!(
                    "another version of this program has it open (its control file has format {other})"
                ),
            }),
        }
    }

    /// One word of the file; zero when it ends before that.
    fn read(&self, word: usize) -> Result<u64> {
        let mut bytes = [0; 8];
        match self.file.file().read_exact_at(&mut bytes, 8 * word as u64) {
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(self.failed("reading", error)),
            _ => Ok(u64::from_ne_bytes(bytes)),
        }
    }

    /// Begins anew, with nobody else there. A swap that was under way is left to be seen, and what swaps have left.
    fn initialise(&self) -> Result<()> {
        let is_ours = self.read(MAGIC_AT)? == MAGIC && self.read(FORMAT_AT)? == FORMAT;
        let mut fresh = [0; SIZE];
        let mut set = |at: usize, word: u64| fresh[8 * at..][..8].copy_from_slice(&word.to_ne_bytes());
        for (at, word) in [(MAGIC_AT, MAGIC), (FORMAT_AT, FORMAT), (NAMESPACE_AT, namespace())] {
            set(at, word);
        }
        if is_ours {
            for at in [SEQUENCE_AT].into_iter().chain(OLD_AT..OLD_AT + OLD_GENERATIONS) {
                set(at, self.read(at)?);
            }
        }
        let file = self.file.file();
        file.set_len(SIZE as u64)
            .and_then(|()| file.write_all_at(&fresh, 0))
            .map_err(|error| self.failed("writing", error))
    }

    /// LMDB tells processes apart by their numbers, which mean something within one namespace only.
    fn check_namespace(&self, page: &Page) -> Result<()> {
        let (own, theirs) = (namespace(), page.word(NAMESPACE_AT).load(Ordering::Relaxed));
        if own == theirs || own == 0 || theirs == 0 {
            return Ok(());
        }
        Err(Error::io(
            format!(
                "{} is open in another container; let the containers share one namespace of process numbers, or close it there",
                self.data_path.display()
            ),
            ErrorKind::ResourceBusy.into(),
        ))
    }
}

/// Tries again and again until something comes of it, more and more slowly, with pauses of at most so long.
pub(super) fn poll<T>(
    waiting: &mut Waiting<'_>,
    longest: Duration,
    mut attempt: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(result) = attempt()? {
            return Ok(result);
        }
        std::thread::sleep(waiting()?.min(pause));
        pause = (pause * 2).min(longest);
    }
}

/// Where LMDB puts the lock file of what it opens under a path.
pub(super) fn lock_of(path: &Path) -> PathBuf {
    suffixed(path, "-lock")
}

/// Removes a file, if there is one.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The namespace of this process' number; zero when the system does not say.
fn namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |namespace| namespace.ino())
}
