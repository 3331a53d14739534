//! Opening and creating data files.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::Path,
};

use heed::{CommitOrAbort, Env, EnvFlags, EnvOpenOptions, WithoutTls, types::Bytes};

use super::{
    examine::{Contents, Expected, examine, is_young},
    fault::translate,
    lmdb::{Environment, Store, Tables, WriteKind, page_size, usable},
    map::RESERVATIONS,
    reader_table::{ReaderTable, lock_path},
    table::Table,
};
use crate::{
    error::{Error, Result},
    sync::Arc,
};

/// A smaller file has no room for the tables and a reserve.
const SMALLEST_MAX_SIZE: u64 = 256 << 10;
const MAX_READERS: u32 = 1024;
const MAX_TABLES: u32 = 16;

/// How often to open a path anew whose file is replaced at that moment.
const ATTEMPTS: u32 = 8;

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

    /// Opens a data file, or makes one.
    ///
    /// A file that turns out not to be usable is left as it is, with nothing new beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is no such file or it may not be used, [`Error::Format`] if it is not a map of
    /// a known format or lies on a network, [`Error::Corrupted`] if it is damaged, [`Error::InvalidOption`].
    pub(crate) fn open(path: &Path, options: &StoreOptions) -> Result<Arc<Self>> {
        Self::check_max_size(options.max_size)?;
        for _ in 0..ATTEMPTS {
            if let Some(store) = (Opening { path, options }).attempt()? {
                return Ok(Arc::new(store));
            }
        }
        Err(Error::io(
            format!("opening {}: the file is replaced again and again", path.display()),
            ErrorKind::ResourceBusy.into(),
        ))
    }
}

struct Opening<'a> {
    path: &'a Path,
    options: &'a StoreOptions,
}

/// An advisory lock on the data file, under which files are created. LMDB doesn't know of it.
struct CreationLock<'a>(&'a File);

impl<'a> CreationLock<'a> {
    fn take(file: &'a File) -> io::Result<Self> {
        file.lock().map(|()| Self(file))
    }
}

impl Drop for CreationLock<'_> {
    fn drop(&mut self) {
        // The lock ends with the descriptor at the latest.
        let _ = self.0.unlock();
    }
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
    fn attempt(&self) -> Result<Option<Store>> {
        let (file, can_write) = self.data_file()?;
        self.refuse_network(&file)?;
        let mut contents = self.examine(&file);
        let mut creation = None;
        let young = is_young(&file, page_size()).map_err(|error| self.failed("looking at", error))?;
        if young || matches!(contents, Ok(Contents::Blank)) {
            // Whoever is making a map of the file right now is done when we have the lock.
            creation = Some(CreationLock::take(&file).map_err(|error| self.failed("locking", error))?);
            contents = self.examine(&file);
        }
        let contents = contents?;
        if contents == Contents::Blank && (self.options.readonly || !can_write) {
            return Err(Error::Format {
                path: self.path.to_owned(),
                reason: "it is empty; open it for writing once to make a map of it".into(),
            });
        }
        if contents == Contents::Map {
            creation = None;
        }
        let metadata = file.metadata().map_err(|error| self.failed("looking at", error))?;
        let identity = (metadata.dev(), metadata.ino());
        let Some(environment) = self.environment(can_write, contents, identity)? else {
            return Ok(None);
        };
        drop(creation);
        let Opening { path, options } = self;
        let readonly = environment.readonly;
        Store::new(environment, file, path.to_path_buf(), identity, readonly, options.max_size).map(Some)
    }

    fn examine(&self, file: &File) -> Result<Contents> {
        let expected =
            Expected { header_key: &self.options.initial_header.0, check_header: self.options.check_header };
        examine(file, self.path, page_size(), &expected)
    }

    /// Opens or makes the data file, and says whether it may be written.
    fn data_file(&self) -> Result<(File, bool)> {
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
            Err(error) if error.kind() == ErrorKind::NotFound && creates => return self.new_file(),
            Err(error) => return Err(self.failed("opening", error)),
        }
        match OpenOptions::new().read(true).write(true).open(self.path) {
            Ok(file) => Ok((file, true)),
            Err(error)
                if self.options.readonly
                    && matches!(
                        error.kind(),
                        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
                    ) =>
            {
                let file = File::open(self.path).map_err(|error| self.failed("opening", error))?;
                Ok((file, false))
            }
            Err(error) => Err(self.failed("opening", error)),
        }
    }

    /// Makes an empty file. LMDB would make one that only its owner may read, whatever the umask.
    fn new_file(&self) -> Result<(File, bool)> {
        self.refuse_network(&self.directory()?)?;
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path)
            .map(|file| (file, true))
            .map_err(|error| self.failed("creating", error))
    }

    /// The directory in which the file is to be.
    fn directory(&self) -> Result<File> {
        let parent =
            self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).map_err(|error| {
            Error::io(format!("creating {} in {}", self.path.display(), parent.display()), error)
        })
    }

    /// Gives the file to LMDB, unless the path leads to another one by now.
    fn environment(
        &self,
        can_write: bool,
        contents: Contents,
        identity: (u64, u64),
    ) -> Result<Option<Environment>> {
        if can_write {
            self.new_lock_file()?;
        }
        let env = self.open_env(can_write)?;
        let opened = env
            .try_clone_inner_file()
            .and_then(|file| Ok(file.metadata()?))
            .map_err(|error| self.fault(error, "looking at"))?;
        if (opened.dev(), opened.ino()) != identity {
            return Ok(None);
        }
        env.clear_stale_readers().map_err(|error| self.fault(error, "looking for dead readers of"))?;
        let tables = match contents {
            Contents::Blank => {
                let tables = self.new_tables(&env)?;
                self.directory()?
                    .sync_all()
                    .map_err(|error| self.failed("syncing the directory of", error))?;
                tables
            }
            Contents::Map => match self.existing_tables(&env)? {
                Some(tables) => tables,
                // The version that has the tables is in the file and LMDB does not count it yet: another
                // process creates the file and waits for the disk, or was killed there. A write transaction
                // comes after it and finds them.
                None if can_write => self.new_tables(&env)?,
                None => return Err(Error::corrupted("its lock file belongs to an older version of it")),
            },
        };
        let reader_table =
            ReaderTable::open(env.path()).map_err(|error| self.failed("opening the lock file of", error))?;
        Ok(Some(Environment { env, reader_table, tables, readonly: !can_write }))
    }

    /// Makes an empty lock file if there is none, for the same reason as the data file.
    ///
    /// An existing one is not even opened: closing it again would drop the locks that this process has on it.
    fn new_lock_file(&self) -> Result<()> {
        let failed = |error| self.failed("creating the lock file of", error);
        let data_path = self.path.canonicalize().map_err(failed)?;
        match OpenOptions::new().write(true).create_new(true).open(lock_path(&data_path)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(error)),
            _ => Ok(()),
        }
    }

    fn open_env(&self, can_write: bool) -> Result<Env<WithoutTls>> {
        let mut env_options = EnvOpenOptions::new().read_txn_without_tls();
        env_options.max_readers(MAX_READERS).max_dbs(MAX_TABLES);
        let mut flags = EnvFlags::NO_SUB_DIR;
        flags.set(EnvFlags::READ_ONLY, !can_write);
        // SAFETY: neither flag is one of those that give up locking or syncing.
        unsafe { env_options.flags(flags) };
        let page_size = page_size();
        let sizes = match self.options.max_size {
            Some(max_size) => vec![usable(max_size, WriteKind::Normal) as usize],
            None => RESERVATIONS.to_vec(),
        };
        let mut refusal = heed::Error::Io(ErrorKind::OutOfMemory.into());
        for size in sizes {
            env_options.map_size(size - size % page_size);
            // SAFETY: LMDB trusts the file, which `examine` found to be ours, whole at its root and on a
            // local disk; the locks are LMDB's own. Nobody but this engine may write to the file, which its
            // users are told.
            match unsafe { env_options.open(self.path) } {
                Ok(env) => return Ok(env),
                Err(heed::Error::Io(error)) if error.kind() == ErrorKind::OutOfMemory => {
                    refusal = heed::Error::Io(error);
                }
                Err(heed::Error::Io(error)) if error.kind() == ErrorKind::PermissionDenied => {
                    let lock = lock_path(self.path);
                    return Err(self.failed(
                        &format!("writing to {}, as readers also must, for", lock.display()),
                        error,
                    ));
                }
                Err(error) => return Err(self.fault(error, "opening")),
            }
        }
        Err(self.fault(refusal, "reserving address space for"))
    }

    /// Makes the tables and the header, all in the first commit, unless another process has.
    fn new_tables(&self, env: &Env<WithoutTls>) -> Result<Tables> {
        let (key, value) = &self.options.initial_header;
        let txn = env.write_txn().map_err(|error| self.fault(error, "creating"))?;
        env.create_databases_and_commit(txn, |opener, txn| {
            let header = opener.create_database::<Bytes, Bytes>(txn, None)?;
            if header.get(txn, key)?.is_none() {
                header.put(txn, key, value)?;
            }
            let mut tables = [header; Table::COUNT];
            for table in Table::NAMED {
                tables[table.place()] = opener.create_database(txn, Some(table.name()))?;
            }
            Ok(CommitOrAbort::<_, ()>::Commit(tables))
        })
        .and_then(|outcome| match outcome {
            CommitOrAbort::Commit(tables) => Ok(tables),
            CommitOrAbort::Abort(()) => Err(heed::MdbError::BadTxn.into()),
        })
        .map_err(|error| self.fault(error, "creating"))
    }

    /// The tables of the version that LMDB counts as the newest, if it has all of them.
    fn existing_tables(&self, env: &Env<WithoutTls>) -> Result<Option<Tables>> {
        let txn = env.read_txn().map_err(|error| self.fault(error, "opening"))?;
        env.open_databases_and_commit(txn, |opener, txn| {
            let Some(header) = opener.open_database::<Bytes, Bytes>(txn, None)? else {
                return Ok(CommitOrAbort::Abort(()));
            };
            let mut tables = [header; Table::COUNT];
            for table in Table::NAMED {
                let Some(named) = opener.open_database(txn, Some(table.name()))? else {
                    return Ok(CommitOrAbort::Abort(()));
                };
                tables[table.place()] = named;
            }
            Ok(CommitOrAbort::Commit(tables))
        })
        .map(|outcome| match outcome {
            CommitOrAbort::Commit(tables) => Some(tables),
            CommitOrAbort::Abort(()) => None,
        })
        .map_err(|error| self.fault(error, "opening"))
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
