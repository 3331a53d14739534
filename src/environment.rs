//! Environments: opened maps, of which a process has one for each data file.

use std::path::{Path, PathBuf};

use crate::{
    error::{Error, Result},
    format::{
        header::{HEADER_KEY, Header},
        record::ObjectId,
    },
    load::{sorter::SortedEntries, store::Tell},
    object::{
        container::Hold,
        read_transaction::ReadTransaction,
        write_transaction::{WriteScope, WriteTransaction},
    },
    options::{Durability, Options},
    store::{Generations, HeldBack, PerProcess, Reader, Store, StoreOptions, Writer},
    sync::{Arc, Mutex, Weak},
    txn::{
        core::{Core, Resized, Terms},
        deferred::Room,
        patience::Patience,
        read::Pin,
        shared_write::SharedWrite,
        write::WriteState,
    },
    vacuum::{
        handles,
        worker::{Vacuum, Vacuums, end_marking_of_the_dead},
    },
};

/// The maps that this process has open.
static OPENED: PerProcess<Mutex<Vec<Opened>>> = PerProcess::new();

/// A map that is open.
struct Opened {
    core: Weak<Core>,
    /// Its vacuums, for as long as anyone has it open.
    vacuums: Arc<Mutex<Weak<Vacuums>>>,
}

impl Opened {
    fn new(core: &Arc<Core>) -> Self {
        let vacuums = Arc::<Mutex<Weak<Vacuums>>>::default();
        let reminded = Arc::clone(&vacuums);
        core.on_vacuum_due(Box::new(move || {
            let vacuums = reminded.lock().upgrade();
            if let Some(vacuums) = vacuums {
                vacuums.remind();
            }
        }));
        handles::exchange(core);
        Self { core: Arc::downgrade(core), vacuums }
    }

    /// The map, and its vacuums.
    fn share(&self, core: Arc<Core>) -> (Arc<Core>, Arc<Vacuums>) {
        let mut known = self.vacuums.lock();
        let vacuums = known.upgrade().unwrap_or_else(|| Arc::new(Vacuums::new(&core)));
        *known = Arc::downgrade(&vacuums);
        (core, vacuums)
    }
}

/// An opened map. Clones share it; it is closed with the last of them.
///
/// # Examples
///
/// ```
/// use oocmap::{Environment, Options, Value};
///
/// # fn main() -> Result<(), oocmap::Error> {
/// # let directory = tempfile::tempdir().expect("a temporary directory");
/// # let path = directory.path().join("people.ooc");
/// let environment = Environment::open(&path, &Options::default())?;
/// let mut write = environment.write()?;
/// write.put(&"ada".into(), &Value::from_iter([("born", Value::from(1815))]))?;
/// write.commit()?;
///
/// let read = environment.read()?;
/// let ada = read.get(&"ada".into())?.expect("it was just stored");
/// let oocmap::ValueRef::Container(ada) = ada else { panic!("it is a dict") };
/// let born = ada.get(&"born".into())?.expect("it has that key");
/// assert_eq!(born.to_value()?, Value::from(1815));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Environment {
    // First, so that a vacuum that is under way can still say that it is over.
    vacuums: Arc<Vacuums>,
    core: Arc<Core>,
    options: Options,
}

impl Environment {
    /// Opens a map, or makes one.
    ///
    /// # Errors
    ///
    /// `Io` when the file is missing, is a directory or may not be read; `Format` when it is no map, or one of a newer
    /// format; `Corrupted` when it is damaged; `InvalidOption` when `max_size` is too small to work with. The file is
    /// left as it was. `LockTimeout` when someone who opens it, or swaps its file, takes longer than the options allow.
    pub fn open(path: &Path, options: &Options) -> Result<Self> {
        Self::open_within(path, options, &mut Patience::new(options.lock_timeout))
    }

    /// As [`Environment::open`], with a wait that can be called off.
    ///
    /// # Errors
    ///
    /// As [`Environment::open`]; `Interrupted`.
    pub fn open_within(path: &Path, options: &Options, patience: &mut Patience<'_>) -> Result<Self> {
        let max_size = options.max_size.filter(|size| *size != 0);
        let path = &std::path::absolute(path)
            .map_err(|error| Error::io(format!("finding {}", path.display()), error))?;
        Store::check_max_size(max_size)?;
        let (core, vacuums) = open_core(path, options, max_size, patience)?;
        if core.generations.current().readonly() && !options.readonly {
            return Err(Error::io(
                format!("{}: the file may only be read; open it with readonly", path.display()),
                std::io::ErrorKind::PermissionDenied.into(),
            ));
        }
        Ok(Self { core, vacuums, options: Options { max_size, ..options.clone() } })
    }

    #[cfg(test)]
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Whether this process is a fork of the one that opened the map, and has to open it again.
    #[inline]
    pub fn is_inherited(&self) -> bool {
        self.core.is_inherited()
    }

    /// Opens the map again, in a fork of the process that opened it.
    ///
    /// # Errors
    ///
    /// As [`Environment::open_within`].
    pub fn reopen(&self, patience: &mut Patience<'_>) -> Result<Self> {
        Self::open_within(self.core.path(), &Options { create: false, ..self.options.clone() }, patience)
    }

    /// Holds an object, in a fork of the process that held it.
    ///
    /// # Errors
    ///
    /// `Stale` when a transaction had made it that was not committed then.
    pub fn hold_again(&self, inherited: &Hold) -> Result<Hold> {
        inherited.again(&self.core.memory)
    }

    /// Pins the version that a snapshot of another process has, as [`ReadTransaction::hand_over`] named it.
    ///
    /// # Errors
    ///
    /// `SnapshotExpired` when nobody has it pinned any more; `Unsupported` when the bytes name none; as
    /// [`Environment::read`].
    pub fn follow(&self, handed: &[u8]) -> Result<ReadTransaction> {
        let pinned = Arc::new(self.core.follow(handed)?);
        Ok(ReadTransaction::new(Pin { core: Arc::clone(&self.core), pinned }))
    }

    /// The data file.
    pub fn path(&self) -> PathBuf {
        self.core.path().to_owned()
    }

    /// The options that this handle was opened with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Begins a read transaction on the newest committed version.
    ///
    /// # Errors
    ///
    /// `Io` when there are too many readers; `Corrupted` when the file is damaged.
    pub fn read(&self) -> Result<ReadTransaction> {
        let pinned = Arc::new(self.core.pin()?);
        Ok(ReadTransaction::new(Pin { core: Arc::clone(&self.core), pinned }))
    }

    /// The newest committed version, pinned once for all who ask until another is committed.
    ///
    /// # Errors
    ///
    /// As [`Environment::read`].
    #[inline]
    pub fn current(&self) -> Result<ReadTransaction> {
        let pinned = self.core.current()?;
        Ok(ReadTransaction::new(Pin { core: Arc::clone(&self.core), pinned }))
    }

    /// Lets go of the version that [`Environment::current`] keeps.
    pub fn release(&self) {
        self.core.release_current();
    }

    /// Begins a write transaction; waits for other writers as long as the options say.
    ///
    /// # Errors
    ///
    /// `ReadOnly`; `LockTimeout`; `Transaction` when this thread has one open already.
    pub fn write(&self) -> Result<WriteTransaction> {
        self.check_writable()?;
        WriteTransaction::begin(&self.core, self.terms(), &mut Patience::new(self.options.lock_timeout))
    }

    /// Changes something in a transaction of its own, or in one with what other threads want at the same time; with
    /// [`Durability::Deferred`] in one that is committed later.
    ///
    /// # Errors
    ///
    /// As [`Environment::write`]; that of `work`, and any of the storage, after which nothing has happened. With
    /// [`Durability::Deferred`] also that of an earlier commit in the background.
    ///
    /// `work` runs on any thread, and again when something failed that was to be committed with it.
    pub fn update<R: Send>(
        &self,
        room: Room,
        patience: &mut Patience<'_>,
        mut work: impl FnMut(&mut WriteScope<'_>) -> Result<R> + Send,
    ) -> Result<R> {
        self.check_writable()?;
        let terms = self.terms();
        let work = |state: &mut WriteState<Writer>, is_only| work(&mut WriteScope::new(state, is_only));
        if terms.durability == Durability::Deferred {
            return self.core.write_deferred(room, terms, self.options.flush_interval, patience, work);
        }
        self.core.write_once(room.kind(), terms, patience, work)
    }

    /// Stores sorted entries in one transaction of their own; answers how many there were. `tell` is told now and then how
    /// many are stored, and answers whether to go on.
    ///
    /// # Errors
    ///
    /// As [`Environment::write`]; `Interrupted` when `tell` said so; any error of the storage, after which nothing has
    /// happened.
    pub fn load(
        &self,
        entries: SortedEntries,
        patience: &mut Patience<'_>,
        tell: &mut Tell<'_>,
    ) -> Result<u64> {
        self.check_writable()?;
        self.core.write_large(self.terms(), patience, |state| entries.store(state, tell))
    }

    /// Commits what was deferred.
    ///
    /// # Errors
    ///
    /// Any error of the storage, now or of an earlier commit in the background: what was deferred then is lost.
    pub fn flush(&self) -> Result<()> {
        let flushed = self.core.flush();
        self.core.check_deferred().and(flushed)
    }

    /// Whether something was deferred and waits for its commit.
    #[inline]
    pub fn has_deferred(&self) -> bool {
        self.core.has_gathered()
    }

    /// What was deferred and waits for its commit, which this process sees.
    #[inline]
    pub fn deferred(&self) -> Option<Arc<SharedWrite>> {
        self.core.gathered()
    }

    /// Holds an object for as long as the answer lives.
    pub fn keep(&self, id: ObjectId) -> Hold {
        Hold::new(&self.core.memory, id)
    }

    /// Begins a write transaction that any thread may end.
    ///
    /// # Errors
    ///
    /// As [`Environment::write`].
    pub fn write_shared(&self, patience: &mut Patience<'_>) -> Result<Arc<SharedWrite>> {
        self.check_writable()?;
        SharedWrite::begin(&self.core, self.terms(), patience)
    }

    /// The transaction of [`Environment::write_shared`] that this thread has open.
    #[inline]
    pub fn participating(&self) -> Option<Arc<SharedWrite>> {
        self.core.participating()
    }

    /// Remembers how often this thread inserted or deleted entries, in transactions that are committed.
    pub fn resized(&self) -> Resized {
        self.core.resized()
    }

    /// Whether that thread has inserted or deleted entries since.
    pub fn is_resized(&self, since: &Resized) -> bool {
        self.core.is_resized(*since)
    }

    /// Whether that thread has changed the number of elements in some container since.
    pub fn are_objects_resized(&self, since: &Resized) -> bool {
        self.core.are_objects_resized(*since)
    }

    /// Makes sure that everything committed is on the disk.
    ///
    /// # Errors
    ///
    /// `Io` when the disk fails.
    pub fn sync(&self) -> Result<()> {
        self.flush()?;
        self.core.generations.current().sync()
    }

    /// What a reader of an old version holds back, when that has become more than the options allow. It is looked up by
    /// those who write, about once a second, and told once until it has doubled.
    pub fn held_back(&self) -> Option<HeldBack> {
        self.core.take_held_back(self.options.held_back_limit?)
    }

    /// Asks for a vacuum: what nothing leads to is deleted, and with `compact` its space given back to the file system. A
    /// thread in the background does it, while everyone goes on; it waits for another vacuum that is under way.
    ///
    /// # Errors
    ///
    /// `ReadOnly`; `Transaction` when this thread has a write transaction open, for which it would wait.
    pub fn vacuum(&self, compact: bool) -> Result<Vacuum> {
        self.check_writable()?;
        self.core.check_may_write()?;
        self.vacuums.submit(compact, self.terms())
    }

    /// Has a vacuum begin by itself after so many deletions and replacements of entries and elements; never with 0. The map
    /// remembers it, for all processes.
    ///
    /// # Errors
    ///
    /// As [`Environment::write`].
    pub fn configure_auto_vacuum(&self, threshold: u64, patience: &mut Patience<'_>) -> Result<()> {
        self.check_writable()?;
        if self.core.pin()?.header().threshold == threshold {
            return Ok(());
        }
        self.core.write_alone(self.terms(), patience, |state| {
            state.change_header(|header| header.threshold = threshold);
            Ok(())
        })?;
        Ok(())
    }

    /// Why the last vacuum failed that began by itself; told once.
    pub fn vacuum_failure(&self) -> Option<Arc<Error>> {
        self.vacuums.take_failure()
    }

    /// Figures about the map.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    pub fn stats(&self) -> Result<Stats> {
        // A reader of its own, which is gone before the readers are counted.
        let read = self.read()?;
        let (entries, objects, version) = (read.len()?, read.objects()?, read.version());
        let Header { removals, threshold, .. } = *read.header();
        drop(read);
        let store = self.core.generations.current().stats()?;
        Ok(Stats {
            entries,
            objects,
            file_size: store.file_size,
            free_bytes: store.free_bytes,
            readers: store.readers,
            version,
            removals,
            auto_vacuum: threshold,
            format: crate::format::header::FORMAT,
        })
    }

    /// Whether two handles are of one map.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }

    fn terms(&self) -> Terms {
        Terms { durability: self.options.durability, max_size: self.options.max_size }
    }

    fn check_writable(&self) -> Result<()> {
        if self.options.readonly { Err(Error::ReadOnly("the map")) } else { Ok(()) }
    }
}

/// Figures about a map.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many entries there are.
    pub entries: u64,
    /// How many records and parts of long containers stand outside of the entries.
    pub objects: u64,
    /// The size of the data file, in bytes.
    pub file_size: u64,
    /// How much of it is free for new data, in bytes.
    pub free_bytes: u64,
    /// The versions that readers of all processes have pinned.
    pub readers: Vec<Reader>,
    /// The version that these figures are of.
    pub version: u64,
    /// How many entries and elements were deleted or replaced that no vacuum has looked for yet.
    pub removals: u64,
    /// After how many of those a vacuum begins by itself; 0 for never.
    pub auto_vacuum: u64,
    /// The format of the file.
    pub format: u16,
}

/// Finds the map among those that are open, or opens it.
fn open_core(
    path: &Path,
    options: &Options,
    max_size: Option<u64>,
    patience: &mut Patience<'_>,
) -> Result<(Arc<Core>, Arc<Vacuums>)> {
    let find = |opened: &mut Vec<Opened>, is_it: &dyn Fn(&Generations) -> bool| {
        opened.retain(|known| known.core.strong_count() > 0);
        opened.iter().find_map(|known| {
            let core = known.core.upgrade().filter(|core| is_it(&core.generations))?;
            Some(known.share(core))
        })
    };
    if let Some(found) = find(&mut OPENED.get().lock(), &|known| known.is_at(path)) {
        return Ok(found);
    }
    let store_options = StoreOptions {
        readonly: options.readonly,
        create: options.create,
        max_size,
        initial_header: (HEADER_KEY.to_vec(), Header::new(new_identity()?).encode().to_vec()),
        check_header: |bytes| Header::decode(bytes).map(|_| ()),
    };
    // It may wait, so the others are not locked out.
    let generations = Generations::open(path, &store_options, &mut || patience.pause())?;
    let mut opened = OPENED.get().lock();
    if let Some(found) = find(&mut opened, &|known| known.is_same(&generations)) {
        return Ok(found);
    }
    let core = Arc::new(Core::new(generations));
    let fresh = Opened::new(&core);
    let found = fresh.share(core);
    opened.push(fresh);
    // What follows may wait, too.
    drop(opened);
    if !options.readonly {
        // It can be done later as well, by the next vacuum.
        let _ = end_marking_of_the_dead(&found.0);
    }
    Ok(found)
}

/// The maps that this process has open.
fn opened() -> Vec<Arc<Core>> {
    OPENED.get().lock().iter().filter_map(|known| known.core.upgrade()).collect()
}

/// Commits what was deferred, of all maps of this process.
///
/// # Errors
///
/// The first that comes; the others are committed all the same.
pub fn flush_all() -> Result<()> {
    let mut outcome = Ok(());
    for core in opened() {
        let flushed = core.flush();
        outcome = outcome.and(core.check_deferred()).and(flushed);
    }
    outcome
}

/// As [`flush_all`], for one whose own business is another: an error is told to the next one who writes to the map.
pub fn settle_all() {
    for core in opened() {
        core.flush_for_others();
    }
}

/// A random number that tells maps apart.
fn new_identity() -> Result<[u8; 16]> {
    let mut identity = [0; 16];
    getrandom::fill(&mut identity)
        .map_err(|error| Error::io("drawing a random number", std::io::Error::other(error)))?;
    Ok(identity)
}
