//! Opening and creating data files.

mod env;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Identity, Waiting,
    control::{Control, Gate, lock_of, remove},
    examine::{Contents, Expected, examine, is_young},
    fault::translate,
    fork::PerProcess,
    identity,
    lmdb::{Registration, Store, page_size},
    map::RESERVATIONS,
};
use crate::{
    coord::{
        gate::Wait,
        generation::recover,
        registry::{Found, Registry},
    },
    error::{Error, Result},
    sync::{Arc, Ordering, Weak},
};

/// A smaller file has no room for the tables and a reserve.
const SMALLEST_MAX_SIZE: u64 = 256 << 10;

/// How often to open a path anew whose file is replaced at that moment.
const ATTEMPTS: u32 = 8;

/// The files that this process has open, by device and inode. It has no file open twice, since closing one of both
/// would drop the locks of the other.
pub(super) type Opened = Registry<Identity, Weak<Store>>;

static OPENED: PerProcess<Opened> = PerProcess::new();

/// The files that this process has open.
pub(super) fn opened() -> &'static Opened {
    OPENED.get()
}

/// Whether this process has a file open, or is opening or closing it.
pub(super) fn is_open_here(identity: Identity) -> bool {
    let found = opened().find(&identity, Weak::upgrade, || Wait::GiveUp);
    let is_absent = matches!(found, Some(Found::Absent));
    if is_absent {
        opened().gone(&identity);
    }
    !is_absent
}

/// How to open a store.
#[derive(Debug, Clone)]
pub(crate) struct StoreOptions {
    /// Whether the file must exist already, and may be one that we can't write.
    pub readonly: bool,
    /// Whether to make the file if there is none.
    pub create: bool,
    /// The largest size of the data file in bytes, at least 256 KiB.
    pub max_size: Option<u64>,
    /// The key and the value in [`Table::Header`] that make a new file ours.
    pub initial_header: (Vec<u8>, Vec<u8>),
    /// Says why a file with this value under that key can't be used, such as that it is of a newer format.
    pub check_header: fn(&[u8]) -> Result<(), String>,
}

impl Store {
    /// Refuses a cap that is too small to work with.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`].
    pub(crate) fn check_max_size(max_size: Option<u64>) -> Result<()> {
        match max_size.filter(|&size| size < SMALLEST_MAX_SIZE) {
            Some(max_size) => Err(Error::InvalidOption(format!(
                "max_size is {max_size} bytes and must be at least {SMALLEST_MAX_SIZE}"
            ))),
            None => Ok(()),
        }
    }

    /// Opens a data file, or makes one; what this process has open already is shared.
    ///
    /// A file that turns out not to be usable is left as it is, with nothing new beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is no such file or it may not be used, [`Error::Format`] if it is not a map of
    /// a known format or lies on a network, [`Error::Corrupted`] if it is damaged, [`Error::InvalidOption`]; that of
    /// `waiting`.
    pub(crate) fn open(path: &Path, options: &StoreOptions, waiting: &mut Waiting<'_>) -> Result<Arc<Self>> {
        Self::check_max_size(options.max_size)?;
        for _ in 0..ATTEMPTS {
            if let Some(store) = (Opening { path, options }).attempt(None, waiting)? {
                return Ok(store);
            }
        }
        Err(replaced(path))
    }

    /// Opens the generation that the path leads to by now, which may be this one.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub(super) fn reopen(self: &Arc<Self>, waiting: &mut Waiting<'_>) -> Result<Arc<Self>> {
        let options = StoreOptions { create: false, ..self.options().clone() };
        let opening = Opening { path: self.path(), options: &options };
        // What a parent has is of no use in a fork.
        let known = Some(self).filter(|store| !store.is_inherited());
        for _ in 0..ATTEMPTS {
            if let Some(store) = opening.attempt(known, waiting)? {
                return Ok(store);
            }
        }
        Err(replaced(self.path()))
    }
}

fn replaced(path: &Path) -> Error {
    Error::io(
        format!("opening {}: the file is replaced again and again", path.display()),
        ErrorKind::ResourceBusy.into(),
    )
}

struct Opening<'a> {
    path: &'a Path,
    options: &'a StoreOptions,
}

/// The data file, and whether it may be written.
struct OpenFile {
    file: File,
    can_write: bool,
    identity: Identity,
}

impl Opening<'_> {
    fn failed(&self, doing: &str, source: io::Error) -> Error {
        Error::io(format!("{doing} {}", self.path.display()), source)
    }

    fn fault(&self, error: heed::Error, doing: &str) -> Error {
        let limit = self.options.max_size.unwrap_or(RESERVATIONS[0] as u64);
        translate(error, &format!("{doing} {}", self.path.display()), limit)
    }

    /// Opens the file, unless its path leads to another one before LMDB has it.
    ///
    /// `known` is a generation of the same map that this process has open.
    fn attempt(&self, known: Option<&Arc<Store>>, waiting: &mut Waiting<'_>) -> Result<Option<Arc<Store>>> {
        // A first look, so that nothing is made beside a file that is refused.
        let first = self.existing_file()?;
        let missing = first.is_none();
        if let Some(found) = first {
            if known.is_none()
                && let Some(store) = Self::shared(&found, waiting)?
            {
                return Ok(Some(store));
            }
            self.check(&found, false)?;
        } else {
            self.refuse_network(&self.directory()?)?;
        }
        let data_path = self.data_path()?;
        let control = match known.and_then(|known| known.control()) {
            Some(control) => Some(Arc::clone(control)),
            None => Control::open(&data_path).map_err(|error| self.lock_refused(error))?.map(Arc::new),
        };
        let Some(control) = control else {
            let found =
                self.existing_file()?.ok_or_else(|| self.failed("opening", ErrorKind::NotFound.into()))?;
            return self.register(found, None, waiting);
        };
        let gate = control.gate(waiting)?;
        if !control.is_in_place() {
            return Ok(None);
        }
        let attempted = self.attempt_alone(&control, &gate, &data_path, missing, waiting);
        if attempted.is_err() && known.is_none() {
            control.leave_no_trace(&gate);
        }
        attempted
    }

    /// Opens the file while nobody else does.
    fn attempt_alone(
        &self,
        control: &Arc<Control>,
        gate: &Gate<'_>,
        data_path: &Path,
        missing: bool,
        waiting: &mut Waiting<'_>,
    ) -> Result<Option<Arc<Store>>> {
        let found = match self.existing_file()? {
            Some(found) => found,
            None if missing => self.new_file()?,
            None => return Ok(None),
        };
        self.check(&found, true)?;
        control.join(gate, || self.can_link(control, &found, data_path))?;
        self.refuse_other_names(control, &found)?;
        recover(control.sequence(), || control.sync_directory())?;
        control.remove_leftovers(found.identity, gate);
        self.register(found, Some((control, gate)), waiting)
    }

    /// The store of a file that this process has open.
    fn shared(found: &OpenFile, waiting: &mut Waiting<'_>) -> Result<Option<Arc<Store>>> {
        let store = Self::claim(found.identity, waiting)?;
        if store.is_none() {
            opened().gone(&found.identity);
        }
        Ok(store)
    }

    /// The store of a file that this process has open, or else the right and duty to open it.
    fn claim(identity: Identity, waiting: &mut Waiting<'_>) -> Result<Option<Arc<Store>>> {
        let mut refusal = None;
        let wait = || match waiting() {
            Ok(limit) => Wait::For(limit),
            Err(error) => {
                refusal = Some(error);
                Wait::GiveUp
            }
        };
        match opened().find(&identity, Weak::upgrade, wait) {
            Some(Found::Shared(store)) => Ok(Some(store)),
            Some(Found::Absent) => Ok(None),
            None => Err(refusal.unwrap_or(Error::Interrupted)),
        }
    }

    /// Opens a file that this process may have open.
    fn register(
        &self,
        found: OpenFile,
        control: Option<(&Arc<Control>, &Gate<'_>)>,
        waiting: &mut Waiting<'_>,
    ) -> Result<Option<Arc<Store>>> {
        let identity = found.identity;
        if let Some(store) = Self::claim(identity, waiting)? {
            if let Some((control, gate)) = control {
                store.seen_under(control, gate);
                store.park(control);
            }
            return Ok(Some(store));
        }
        // From here on it is this registration's duty to say that nothing came of it.
        let registration = Registration::new(identity);
        let sequence = control.map_or(0, |(control, _)| control.sequence().load(Ordering::SeqCst));
        let contents = self.check(&found, true)?;
        let control = control.map(|(control, _)| Arc::clone(control));
        let Some(environment) = self.environment(&found, contents, control.as_ref())? else {
            return Ok(None);
        };
        let OpenFile { file, .. } = found;
        let store = Arc::new(Store::new(
            environment,
            file,
            self.path.to_path_buf(),
            self.options,
            control,
            registration,
        )?);
        store.see(sequence);
        opened().made(&identity, Arc::downgrade(&store));
        Ok(Some(store))
    }

    /// Refuses what can't be used, and says what is there. Nobody else creates a file while the caller has the gate.
    fn check(&self, found: &OpenFile, has_gate: bool) -> Result<Contents> {
        self.refuse_network(&found.file)?;
        let contents = self.examine(&found.file);
        let young = is_young(&found.file, page_size()).map_err(|error| self.failed("looking at", error))?;
        let can_make = found.can_write && !self.options.readonly;
        let contents = match contents {
            // Whoever is making a map of the file right now has the gate.
            Err(_) if young && !has_gate && can_make => return Ok(Contents::Blank),
            other => other?,
        };
        if contents == Contents::Blank && !can_make {
            return Err(Error::Format {
                path: self.path.to_owned(),
                reason: "it is empty; open it for writing once to make a map of it".into(),
            });
        }
        Ok(contents)
    }

    fn examine(&self, file: &File) -> Result<Contents> {
        let expected =
            Expected { header_key: &self.options.initial_header.0, check_header: self.options.check_header };
        examine(file, self.path, page_size(), &expected)
    }

    /// The data file, unless there is none and it may be made.
    fn existing_file(&self) -> Result<Option<OpenFile>> {
        let creates = self.options.create && !self.options.readonly;
        match fs::metadata(self.path) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(self.failed("opening", ErrorKind::IsADirectory.into()));
            }
            Ok(metadata) if !metadata.is_file() => {
                return Err(Error::Format {
                    path: self.path.to_owned(),
                    reason: "it is not a regular file".into(),
                });
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound && creates => return Ok(None),
            Err(error) => return Err(self.failed("opening", error)),
        }
        match OpenOptions::new().read(true).write(true).open(self.path) {
            Ok(file) => self.found(file, true).map(Some),
            Err(error)
                if self.options.readonly
                    && matches!(
                        error.kind(),
                        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
                    ) =>
            {
                let file = File::open(self.path).map_err(|error| self.failed("opening", error))?;
                self.found(file, false).map(Some)
            }
            Err(error) if error.kind() == ErrorKind::NotFound && creates => Ok(None),
            Err(error) => Err(self.failed("opening", error)),
        }
    }

    fn found(&self, file: File, can_write: bool) -> Result<OpenFile> {
        let metadata = file.metadata().map_err(|error| self.failed("looking at", error))?;
        Ok(OpenFile { file, can_write, identity: identity(&metadata) })
    }

    /// Makes an empty file. LMDB would make one that only its owner may read, whatever the umask.
    fn new_file(&self) -> Result<OpenFile> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path)
            .map_err(|error| self.failed("creating", error))
            .and_then(|file| self.found(file, true))
    }

    /// The path with all symbolic links followed, for a file that may not be there yet.
    fn data_path(&self) -> Result<PathBuf> {
        match self.path.canonicalize() {
            Err(error) if error.kind() == ErrorKind::NotFound && !self.path.is_symlink() => {}
            found => return found.map_err(|error| self.failed("finding", error)),
        }
        let name =
            self.path.file_name().ok_or_else(|| self.failed("finding", ErrorKind::InvalidInput.into()))?;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).canonicalize();
        parent.map(|parent| parent.join(name)).map_err(|error| self.failed("finding", error))
    }

    fn lock_refused(&self, source: io::Error) -> Error {
        if source.kind() == ErrorKind::PermissionDenied {
            let lock = lock_of(self.path);
            return self.failed(&format!("writing to {}, as readers also must, for", lock.display()), source);
        }
        self.failed("opening the lock file of", source)
    }

    /// Refuses to write to a file that others may have open under another name, with other lock files.
    fn refuse_other_names(&self, control: &Control, found: &OpenFile) -> Result<()> {
        let links = || {
            found
                .file
                .metadata()
                .map(|metadata| metadata.nlink())
                .map_err(|error| self.failed("looking at", error))
        };
        if self.options.readonly || links()? < 2 {
            return Ok(());
        }
        if control.is_linked() {
            control
                .remove_aliases(found.identity.1)
                .map_err(|error| self.failed("cleaning up beside", error))?;
        }
        match links()? {
            0 | 1 => Ok(()),
            names => Err(Error::Format {
                path: self.path.to_owned(),
                reason: format!(
                    "the file has {names} names (hard links), which would each get locks of their own; keep one of them"
                ),
            }),
        }
    }

    /// Whether the data file can have hard links for a moment, which those who open it need.
    fn can_link(&self, control: &Control, found: &OpenFile, data_path: &Path) -> Result<bool> {
        /// The longest name that the usual file systems take.
        const NAME_LIMIT: usize = 255;
        let alias = control.alias(found.identity.1, 0);
        let longest = lock_of(&control.alias(found.identity.1, u32::MAX));
        if longest.file_name().is_none_or(|name| name.len() > NAME_LIMIT) {
            return Ok(false);
        }
        remove(&alias).map_err(|error| self.failed("cleaning up beside", error))?;
        match fs::hard_link(data_path, &alias) {
            Ok(()) => {
                remove(&alias).map_err(|error| self.failed("cleaning up beside", error))?;
                Ok(true)
            }
            // A file that is mounted by itself has another directory, and other lock files, for those outside.
            Err(error) if error.kind() == ErrorKind::CrossesDevices => Err(Error::Format {
                path: self.path.to_owned(),
                reason: "the file itself is mounted here; mount the directory that it is in".into(),
            }),
            Err(_) => Ok(false),
        }
    }

    /// The directory in which the file is to be.
    fn directory(&self) -> Result<File> {
        let parent =
            self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).map_err(|error| {
            Error::io(format!("creating {} in {}", self.path.display(), parent.display()), error)
        })
    }

    /// Refuses file systems on which neither mappings nor locks hold between machines.
    fn refuse_network(&self, file: &File) -> Result<()> {
        match network_name(file_system_magic(file).map_err(|error| self.failed("looking at", error))?) {
            None => Ok(()),
            Some(name) => Err(Error::Format {
                path: self.path.to_owned(),
                reason: format!(
                    "it is on a network file system ({name}), where maps would break; put it on a local disk"
                ),
            }),
        }
    }
}

/// The name of a network file system, from the number that Linux gives to its kind.
pub(super) fn network_name(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517B => "SMB",
        0xFF53_4D42 => "CIFS",
        0xFE53_4D42 => "SMB2",
        0x0102_1997 => "9p",
        0x5346_414F => "AFS",
        0x7375_7245 => "Coda",
        0x564C => "NCP",
        _ => return None,
    })
}

#[cfg(target_os = "linux")]
fn file_system_magic(file: &File) -> io::Result<u32> {
    let mut stat = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the descriptor is open and the buffer has the size that the call fills.
    if unsafe { libc::fstatfs(file.as_raw_fd(), stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it filled the buffer.
    let stat = unsafe { stat.assume_init() };
    #[expect(clippy::cast_sign_loss, reason = "the numbers have 32 bits, whose meaning is no number")]
    Ok(stat.f_type as u32)
}

#[cfg(not(target_os = "linux"))]
fn file_system_magic(_: &File) -> io::Result<u32> {
    Ok(0)
}

/// Waits for so long at most, for what takes others no time unless they are stopped.
pub(super) fn briefly() -> impl FnMut() -> Result<Duration> {
    const LIMIT: Duration = Duration::from_secs(30);
    let begun = std::time::Instant::now();
    move || {
        if begun.elapsed() < LIMIT { Ok(Duration::from_millis(20)) } else { Err(Error::LockTimeout(LIMIT)) }
    }
}
