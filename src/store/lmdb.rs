//! An open data file: its LMDB environment, which locks and writes, and our mapping of it, which reads.

mod environment;
mod pins;
mod vacuum;

pub(super) use self::environment::{Environment, Registration};
pub(crate) use self::vacuum::VACUUM_THREAD;

use std::{
    fmt,
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use heed::{Database, Env, EnvFlags, FlagSetMode, WithoutTls, types::Bytes};

use super::{
    Identity, Waiting,
    control::{Control, Gate, Swaps},
    fault::translate,
    fork::{self},
    identity,
    map::{Mapping, MetaPages, RESERVATIONS},
    open::StoreOptions,
    page::Meta,
    reader_table::{Reader, Slot},
    snapshot::Snapshot,
    table::Table,
    writer::Writer,
};
use crate::{
    coord::{generation::is_stable, idle::Idle},
    error::{Error, Result},
    sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, RwLock},
};

/// How often to begin again after another process has changed something.
const ATTEMPTS: u32 = 32;

/// The smallest and the largest room that a capped file keeps for transactions that free something.
const RESERVE: (u64, u64) = (64 << 10, 4 << 20);

/// Keys and values as LMDB has them.
pub(super) type Tables = [Database<'static, Bytes, Bytes>; Table::COUNT];

/// What a write transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum WriteKind {
    /// It may store something, and leaves a reserve of the largest size alone.
    Normal,
    /// It deletes something, for which a full file needs that reserve: a page is copied before it is changed.
    Freeing,
}

/// How large the file and the table of its readers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreStats {
    /// The size of the data file in bytes.
    pub file_size: u64,
    /// The size of a page in bytes.
    pub page_size: u32,
    /// How many bytes of the file are unused.
    pub free_bytes: u64,
    /// The readers of all processes, these statistics themselves not counted.
    pub(crate) readers: Vec<Reader>,
    /// How many can be.
    pub max_readers: u32,
}

/// The state of LMDB's own mapping.
struct LmdbMap {
    size: u64,
    /// Whether LMDB lost its mapping while changing its size, after which nothing can be begun any more.
    lost: bool,
}

/// An open data file. Dropping the last handle to it closes the file.
pub(crate) struct Store {
    /// Slots that are let go of when the writer's turn with this number has ended.
    lingering: Mutex<Vec<(Slot, u64)>>,
    tidier: Arc<Idle>,
    has_tidier: AtomicBool,
    /// Further descriptors of a lock file of LMDB's, which must not be closed before the environment.
    parked: Mutex<Vec<Arc<Control>>>,
    environment: Environment,
    control: Option<Arc<Control>>,
    swaps: Swaps,
    /// The number of swaps after which this was the current generation.
    seen: AtomicU64,
    file: File,
    path: PathBuf,
    options: StoreOptions,
    /// The cap of the present or last write transaction, or zero.
    max_size: AtomicU64,
    page_size: usize,
    id: u32,
    metas: MetaPages,
    /// A size that the file is known to have; it never gets shorter.
    known_size: AtomicU64,
    /// What new snapshots read through.
    mapping: RwLock<Arc<Mapping>>,
    /// Every begin of a transaction takes this shared, because it reads the meta pages through LMDB's
    /// mapping, and whoever replaces that mapping takes it alone. A write transaction reads through it until
    /// it ends; it is replaced only while there is none in this process.
    lmdb_map: RwLock<LmdbMap>,
    writing: AtomicBool,
    meta_sync: AtomicBool,
    /// When a writer of this process last freed the slots of dead readers.
    swept: Mutex<Instant>,
    /// Of the process that opened the store.
    generation: u64,
    // Last, when all is closed.
    registration: Registration,
}

impl Store {
    pub(super) fn new(
        environment: Environment,
        file: File,
        path: PathBuf,
        options: &StoreOptions,
        control: Option<Arc<Control>>,
        registration: Registration,
    ) -> Result<Self> {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let page_size = page_size();
        Ok(Self {
            lingering: Mutex::default(),
            tidier: Arc::default(),
            has_tidier: AtomicBool::new(false),
            parked: Mutex::default(),
            metas: MetaPages::new(&file, page_size)?,
            mapping: RwLock::new(Arc::new(Mapping::reserve(&file, 2 * page_size)?)),
            lmdb_map: RwLock::new(LmdbMap { size: environment.env().info().map_size as u64, lost: false }),
            environment,
            swaps: control.as_ref().map_or_else(Swaps::default, |control| control.swaps()),
            control,
            seen: AtomicU64::new(0),
            file,
            path,
            max_size: AtomicU64::new(options.max_size.unwrap_or(0)),
            options: options.clone(),
            page_size,
            id: OPENED.fetch_add(1, Ordering::Relaxed) as u32,
            known_size: AtomicU64::new(0),
            writing: AtomicBool::new(false),
            meta_sync: AtomicBool::new(true),
            swept: Mutex::new(Instant::now()),
            generation: fork::generation(),
            registration,
        })
    }

    pub(super) fn control(&self) -> Option<&Arc<Control>> {
        self.control.as_ref()
    }

    pub(super) fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// Counts the swaps of the map's data file.
    pub(super) fn sequence(&self) -> &AtomicU64 {
        self.swaps.word()
    }

    /// The same count, for those who look at it often.
    pub(super) fn swaps(&self) -> &Swaps {
        &self.swaps
    }

    /// How many swaps there had been when this was the current generation.
    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }

    pub(super) fn see(&self, sequence: u64) {
        self.seen.store(sequence, Ordering::Release);
    }

    /// Notes that the path leads to this generation, while nobody can swap it.
    pub(super) fn seen_under(&self, control: &Control, _: &Gate<'_>) {
        self.see(control.sequence().load(Ordering::SeqCst));
    }

    /// Keeps a control file open that turned out to be another descriptor of LMDB's lock file: closing it would drop all
    /// locks that this process has on it.
    pub(super) fn park(&self, control: &Arc<Control>) {
        let is_own = self.control.as_ref().is_some_and(|own| Arc::ptr_eq(own, control));
        if !is_own && !control.is_linked() {
            self.parked.lock().push(Arc::clone(control));
        }
    }

    /// Whether no other generation has come since.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        let seen = self.seen();
        is_stable(seen) && self.swaps.count() == seen
    }

    /// Waits until no other process writes to the map.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; that of `waiting`.
    pub(crate) fn lock_writer(&self, waiting: &mut Waiting<'_>) -> Result<()> {
        self.control.as_ref().map_or(Ok(()), |control| control.lock_writer(waiting))
    }

    /// Whether other processes wait for the right to write.
    pub(crate) fn is_awaited(&self) -> bool {
        self.control.as_ref().is_some_and(|control| control.is_awaited())
    }

    /// Gives the right to write back.
    pub(crate) fn unlock_writer(&self) {
        if let Some(control) = &self.control {
            control.unlock_writer();
        }
        self.tidy();
    }

    /// Whether this process is a fork of the one that opened the store.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    /// What a forked process is told that uses its parent's store.
    pub(crate) fn inherited() -> Error {
        Error::Transaction(
            "the map was opened before this process was forked; close the handle and open the map again in this process",
        )
    }

    /// The path that the store was opened with.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The device and the inode of the data file.
    pub(crate) fn identity(&self) -> Identity {
        self.registration.identity
    }

    /// Whether a path leads to this file, or to another generation of it.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        if self.is_inherited() {
            return false;
        }
        let there = std::fs::metadata(path).ok().map(|there| identity(&there));
        there == Some(self.identity()) || {
            let beside = path.canonicalize().ok().and_then(|path| Control::identity_beside(&path));
            beside.is_some() && beside == self.control_identity()
        }
    }

    /// Whether these are the same file, or generations of it.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        !self.is_inherited()
            && !other.is_inherited()
            && (self.identity() == other.identity()
                || self.control_identity().is_some_and(|own| Some(own) == other.control_identity()))
    }

    fn control_identity(&self) -> Option<Identity> {
        self.control.as_ref().and_then(|control| control.identity())
    }

    /// Whether the file may only be read by this process.
    pub(crate) fn readonly(&self) -> bool {
        self.environment.readonly
    }

    /// The cap of the present or last write transaction.
    pub(crate) fn max_size(&self) -> Option<u64> {
        Some(self.max_size.load(Ordering::Relaxed)).filter(|max_size| *max_size != 0)
    }

    /// The newest version in the file.
    ///
    /// It is there some time before a snapshot gets it: the disk has yet to confirm it, and may refuse.
    #[inline]
    pub(crate) fn newest_txn_id(&self) -> u64 {
        self.metas.newest()
    }

    /// Pins the newest version.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if all slots for readers are taken, [`Error::Corrupted`].
    pub(crate) fn snapshot(self: &Arc<Self>) -> Result<Snapshot> {
        Snapshot::begin(self)
    }

    /// Begins to write, after any writer of another process, and lets the file grow to so many bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Transaction`] if this process is writing already, [`Error::ReadOnly`] if the file may not be
    /// written.
    pub(crate) fn begin_write(self: &Arc<Self>, kind: WriteKind, max_size: Option<u64>) -> Result<Writer> {
        Writer::begin(self, kind, max_size)
    }

    /// Waits until everything that was committed is on the disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn sync(&self) -> Result<()> {
        if self.environment.readonly {
            return Ok(());
        }
        self.with_lmdb_map(Env::force_sync)?.map_err(|error| self.fault(error, "syncing"))
    }

    /// How large the file is.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn file_size(&self) -> Result<u64> {
        let metadata = self.file.metadata();
        let metadata =
            metadata.map_err(|error| Error::io(format!("looking at {}", self.path.display()), error))?;
        Ok(metadata.len())
    }

    /// How large the file and the table of its readers are.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Corrupted`].
    pub(crate) fn stats(self: &Arc<Self>) -> Result<StoreStats> {
        self.tidy();
        let table = self.environment.reader_table.as_ref();
        let readers = table.map_or_else(Vec::new, |table| table.live(self.newest_txn_id()));
        Ok(StoreStats {
            file_size: self.file_size()?,
            page_size: self.page_size as u32,
            free_bytes: self.snapshot()?.free_bytes()?,
            readers,
            max_readers: self.environment.env().max_readers(),
        })
    }

    /// Tells the data files apart that this process has opened.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn page_size(&self) -> usize {
        self.page_size
    }

    pub(super) fn metas(&self) -> &MetaPages {
        &self.metas
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Sets whether LMDB waits for the disk once more after it has written the page that makes a commit count; only
    /// the one writer of this process may call this.
    #[expect(unsafe_code, reason = "heed leaves it to us that no two threads do this at once")]
    pub(super) fn set_meta_sync(&self, wanted: bool) -> Result<()> {
        if self.meta_sync.swap(wanted, Ordering::Relaxed) == wanted {
            return Ok(());
        }
        let mode = if wanted { FlagSetMode::Disable } else { FlagSetMode::Enable };
        // SAFETY: no other thread is calling it, since the caller is the only writer.
        unsafe { self.environment.env().set_flags(EnvFlags::NO_META_SYNC, mode) }
            .map_err(|error| self.fault(error, "configuring"))
    }

    /// Whether this process has a write transaction.
    pub(super) fn writing(&self) -> &AtomicBool {
        &self.writing
    }

    /// Translates an error of LMDB.
    pub(super) fn fault(&self, error: heed::Error, doing: &str) -> Error {
        let limit = match self.max_size.load(Ordering::Relaxed) {
            0 => self.lmdb_map.read().size,
            max_size => max_size,
        };
        translate(error, &format!("{doing} {}", self.path.display()), limit)
    }

    /// Does something during which LMDB's mapping must stay.
    pub(super) fn with_lmdb_map<'s, T>(&'s self, act: impl FnOnce(&'s Env<WithoutTls>) -> T) -> Result<T> {
        if self.is_inherited() {
            return Err(Self::inherited());
        }
        let map = self.lmdb_map.read();
        if map.lost {
            return Err(Error::io(
                format!("{} lost its address space; close it and open it again", self.path.display()),
                ErrorKind::OutOfMemory.into(),
            ));
        }
        Ok(act(self.environment.env()))
    }

    /// How many bytes the newest version occupies.
    pub(crate) fn used_bytes(&self) -> Result<u64> {
        let newest = self.metas.newest();
        // A writer may be changing the other page, never the newest one. Two commits may come in between, and
        // then the copy is that of a newer version or torn; whoever needs more than it says finds that out
        // when beginning.
        Meta::parse(&self.metas.copy(newest)).map(|meta| meta.used_bytes())
    }

    /// Gives LMDB a mapping that covers what another process has added to the file.
    fn follow_growth(&self) -> Result<()> {
        let mut map = self.lmdb_map.write();
        let used = self.used_bytes()?;
        // While this process has a write transaction, nobody else adds anything, and it began with all there
        // was.
        if used > map.size && !self.writing.load(Ordering::Acquire) {
            return self.remap(&mut map, used);
        }
        drop(map);
        std::thread::sleep(Duration::from_micros(50));
        Ok(())
    }

    /// Gives LMDB a mapping of the size that a write transaction of a kind may use.
    ///
    /// Called with `writing` set and no transaction begun.
    pub(super) fn fit_lmdb_map(&self, kind: WriteKind, max_size: Option<u64>) -> Result<()> {
        self.max_size.store(max_size.unwrap_or(0), Ordering::Relaxed);
        let used = self.used_bytes()?;
        let size = self.lmdb_map.read().size;
        let wanted = match max_size {
            Some(max_size) => self.round_down(limit(max_size, used, kind)).max(used),
            // It came out small where there was no room for more, or is that of another handle with a cap.
            None if used > size / 2 || size < RESERVATIONS[RESERVATIONS.len() - 1] as u64 => RESERVATIONS
                .into_iter()
                .find(|&room| room as u64 > used && Mapping::new(&self.file, room).is_ok())
                .map_or(size.max(used * 4), |room| room as u64),
            None => size,
        };
        if wanted == size {
            return Ok(());
        }
        let mut map = self.lmdb_map.write();
        if wanted > map.size && Mapping::new(&self.file, wanted as usize).is_err() {
            // There is no such room: better a full file than none.
            return if used > map.size { self.remap(&mut map, used) } else { Ok(()) };
        }
        self.remap(&mut map, wanted)
    }

    fn round_down(&self, size: u64) -> u64 {
        size - size % self.page_size as u64
    }

    /// Replaces LMDB's mapping. The caller holds the lock alone, and this process has no write transaction.
    fn remap(&self, map: &mut LmdbMap, size: u64) -> Result<()> {
        let env = self.environment.env();
        // SAFETY: heed and LMDB ask that this process has no transaction. No write transaction is begun, as
        // the callers see to with `writing`, and none can begin while the lock is held. Read transactions may
        // exist: they are only ours, we never read through them, and LMDB ends them without a look at the
        // mapping.
        let resized = unsafe { env.resize(size as usize) };
        match resized {
            Ok(()) => {
                map.size = env.info().map_size as u64;
                Ok(())
            }
            Err(error) => {
                map.lost = true;
                Err(translate(error, &format!("resizing {}", self.path.display()), size))
            }
        }
    }

    /// A mapping in which a version can be read, and how many of the version's pages the file has.
    pub(super) fn mapping_for(&self, meta: &Meta) -> Result<(Arc<Mapping>, u64)> {
        let used = meta.used_bytes();
        let mut size = self.known_size.load(Ordering::Relaxed);
        if used > size {
            let metadata = self
                .file
                .metadata()
                .map_err(|error| Error::io(format!("looking at {}", self.path.display()), error))?;
            size = metadata.len();
            self.known_size.fetch_max(size, Ordering::Relaxed);
        }
        // The file may end before the last pages if those are unused.
        let size = self.round_down(used.min(size));
        let mapping = Arc::clone(&self.mapping.read());
        let mapping =
            if mapping.len() as u64 >= size { mapping } else { self.larger_mapping(size as usize)? };
        Ok((mapping, size / self.page_size as u64))
    }

    fn larger_mapping(&self, needed: usize) -> Result<Arc<Mapping>> {
        let mut mapping = self.mapping.write();
        if mapping.len() < needed {
            let roomy = needed.saturating_mul(2);
            *mapping = Arc::new(match Mapping::new(&self.file, roomy) {
                Ok(mapping) => mapping,
                Err(_) => Mapping::reserve(&self.file, needed)?,
            });
        }
        Ok(Arc::clone(&mapping))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // A fork has none of the threads that would be told, and may have their locks for ever.
        if !self.is_inherited() {
            self.tidier.end();
            self.tidy_for_good();
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .field("readonly", &self.readonly())
            .finish_non_exhaustive()
    }
}

/// How much of a capped size a write transaction may use.
pub(super) fn usable(max_size: u64, kind: WriteKind) -> u64 {
    match kind {
        WriteKind::Normal => max_size - (max_size / 8).clamp(RESERVE.0, RESERVE.1),
        WriteKind::Freeing => max_size,
    }
}

/// The size to give to LMDB's mapping for a write transaction, which is as for the others as long as there is
/// room.
fn limit(max_size: u64, used: u64, kind: WriteKind) -> u64 {
    let normal = usable(max_size, WriteKind::Normal);
    let reserve = max_size - normal;
    if used + reserve <= normal { normal } else { usable(max_size, kind) }
}

/// The size of the system's pages, which LMDB gives to the files that it makes.
pub(super) fn page_size() -> usize {
    // SAFETY: the call only returns a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
