//! Has LMDB open a data file that was found to be ours, under a name that its lock file gets its own from.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use heed::{CommitOrAbort, Env, EnvFlags, EnvOpenOptions, WithoutTls, types::Bytes};

use super::{
    super::{
        control::{Control, lock_of, remove},
        examine::Contents,
        fork, identity as identity_of,
        lmdb::{Environment, Store, Tables, WriteKind, page_size, usable},
        map::{RESERVATIONS, open_largest},
        reader_table::ReaderTable,
        table::Table,
    },
    OpenFile, Opening,
};
#[cfg(test)]
use crate::store::failpoint::Point;
use crate::{
    error::{Error, Result},
    sync::Arc,
};

const MAX_READERS: u32 = 1024;
const MAX_TABLES: u32 = 16;

impl Opening<'_> {
    /// Gives the file to LMDB, unless the path leads to another one by now.
    pub(super) fn environment(
        &self,
        found: &OpenFile,
        contents: Contents,
        control: Option<&Arc<Control>>,
    ) -> Result<Option<Environment>> {
        let (can_write, identity) = (found.can_write, found.identity);
        let Some(env) = self.open_env(found, control)? else { return Ok(None) };
        // Whatever fails from here on closes it again, and that must not happen while the process is forked.
        let has_one_name = control.is_none_or(|control| !control.is_linked());
        let mut guarded = Environment::new(env, !can_write, has_one_name);
        let env = guarded.env();
        let opened = env
            .try_clone_inner_file()
            .and_then(|file| Ok(file.metadata()?))
            .map_err(|error| self.fault(error, "looking at"))?;
        if identity_of(&opened) != identity {
            return Ok(None);
        }
        // Only a writer may free slots, and whoever writes now does it when there are none left.
        if control.is_none_or(|control| matches!(control.try_lock_writer(), Ok(true))) {
            let swept = env.clear_stale_readers();
            control.inspect(|control| control.unlock_writer());
            swept.map_err(|error| self.fault(error, "looking for dead readers of"))?;
        }
        let tables = match contents {
            Contents::Blank => {
                let tables = self.new_tables(env)?;
                self.directory()?
                    .sync_all()
                    .map_err(|error| self.failed("syncing the directory of", error))?;
                tables
            }
            Contents::Map => match self.existing_tables(env)? {
                Some(tables) => tables,
                // The version that has the tables is in the file and LMDB does not count it yet: another
                // process creates the file and waits for the disk, or was killed there. A write transaction
                // comes after it and finds them.
                None if can_write => self.new_tables(env)?,
                None => return Err(Error::corrupted("its lock file belongs to an older version of it")),
            },
        };
        // LMDB takes the lock of this process now at the latest; `ReaderTable` has another in its place.
        drop(env.read_txn().map_err(|error| self.fault(error, "opening"))?);
        let lock = control.map_or_else(|| lock_of(self.path), |control| control.lmdb_lock(identity.1));
        let reader_table =
            ReaderTable::open(&lock).map_err(|error| self.failed("opening the lock file of", error))?;
        guarded.complete(tables, reader_table.map(Arc::new));
        Ok(Some(guarded))
    }

    /// Has LMDB open the file under a name of which its lock file gets its own; `None` when the file is gone.
    fn open_env(&self, found: &OpenFile, control: Option<&Arc<Control>>) -> Result<Option<Env<WithoutTls>>> {
        let Some(control) = control.filter(|control| control.is_linked()) else {
            return self
                .try_env(self.path, found.can_write)
                .map_err(|error| self.not_opened(error))
                .map(Some);
        };
        let data_path = self.data_path()?;
        let lock = control.lmdb_lock(found.identity.1);
        new_lock_file(&lock).map_err(|error| self.lock_refused(error))?;
        for attempt in 0.. {
            let alias = Alias::new(&data_path, &lock, control.alias(found.identity.1, attempt), attempt > 0);
            let alias = match alias {
                Ok(alias) => alias,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(self.not_linked(error)),
            };
            #[cfg(test)]
            let _ = control.reach(Point::Linked);
            match self.try_env(&alias.path, found.can_write) {
                // This process has it open under that name, inherited from the one that forked it.
                Err(heed::Error::EnvAlreadyOpened) => {}
                opened => return opened.map_err(|error| self.not_opened(error)).map(Some),
            }
        }
        Ok(None)
    }

    fn not_linked(&self, source: io::Error) -> Error {
        if source.kind() == ErrorKind::PermissionDenied {
            return self
                .failed("making a hard link, as whoever opens a map that others have open must, to", source);
        }
        self.failed("making a hard link to", source)
    }

    fn not_opened(&self, error: heed::Error) -> Error {
        match error {
            heed::Error::Io(error) if error.kind() == ErrorKind::PermissionDenied => self.lock_refused(error),
            // What is open here is found before it comes to this.
            heed::Error::EnvAlreadyOpened => Store::inherited(),
            error => self.fault(error, "opening"),
        }
    }

    fn try_env(&self, path: &Path, can_write: bool) -> Result<Env<WithoutTls>, heed::Error> {
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
        open_largest(sizes, |size| {
            env_options.map_size(size - size % page_size);
            let _whole = fork::hold_off();
            // SAFETY: LMDB trusts the file, which `examine` found to be ours, whole at its root and on a
            // local disk; the locks are LMDB's own. Nobody but this engine may write to the file, which its
            // users are told.
            unsafe { env_options.open(path) }
        })
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
}

/// Names for the data file and its lock file under which LMDB opens them, and which are gone again afterwards.
struct Alias {
    path: PathBuf,
    lock: Option<PathBuf>,
}

impl Alias {
    /// The lock file gets another name too when the one that it has does not go with that of the data file.
    fn new(data_path: &Path, lock: &Path, path: PathBuf, other_lock: bool) -> io::Result<Self> {
        // Whoever made these has died, or they would still have the gate.
        remove(&path)?;
        fs::hard_link(data_path, &path)?;
        let mut alias = Self { path, lock: None };
        if other_lock {
            let name = lock_of(&alias.path);
            remove(&name)?;
            fs::hard_link(lock, &name)?;
            alias.lock = Some(name);
        }
        Ok(alias)
    }
}

impl Drop for Alias {
    fn drop(&mut self) {
        // What stays is removed by the next one who opens the map.
        let _ = remove(&self.path);
        if let Some(lock) = &self.lock {
            let _ = remove(lock);
        }
    }
}

/// Makes an empty lock file if there is none. LMDB would make one that only its owner may use, whatever the umask.
///
/// An existing one is not even opened: closing it again would drop the locks that this process has on it.
fn new_lock_file(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
