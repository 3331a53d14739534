//! The file that a copy is written to, and LMDB's environment on it.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use heed::{
    CommitOrAbort, Env, EnvFlags, EnvOpenOptions, MdbError, PutFlags, RwTxn, WithoutTls, types::Bytes,
};

use xattr::FileExt;

use super::{
    super::{
        control::{Control, remove},
        diff::Change,
        fault::{free_space, name_full_disk, translate},
        fork::{self, Own},
        lmdb::{Store, Tables},
        map::{RESERVATIONS, open_largest},
        table::{Entry, Table},
    },
    PIECE,
};
use crate::{
    error::{Error, Result},
    sync::Arc,
};

/// The tables of a copy, which only one thread at a time writes to.
pub(super) struct Target {
    env: PrivateEnv,
    tables: Tables,
    file: CopyFile,
    store: Arc<Store>,
}

impl Target {
    /// Makes the file beside that of a store, with room for about so many bytes.
    pub(super) fn new(store: &Arc<Store>, control: &Arc<Control>, size: u64) -> Result<Self> {
        check_room(store, size)?;
        for attempt in 0.. {
            let file = CopyFile::new(control, attempt).map_err(|error| failed(store, error))?;
            file.take_after(store)?;
            let env = match PrivateEnv::open(&file.path, size, store.page_size()) {
                // This process inherited one of that name.
                Err(heed::Error::EnvAlreadyOpened) => continue,
                opened => opened.map_err(|error| fault(store, error))?,
            };
            let file = file.renamed().map_err(|error| failed(store, error))?;
            let tables = new_tables(env.env()).map_err(|error| fault(store, error))?;
            return Ok(Self { env, tables, file, store: Arc::clone(store) });
        }
        Err(failed(store, ErrorKind::ResourceBusy.into()))
    }

    /// Whether another process, of which this one is a fork, makes the copy.
    pub(super) fn is_inherited(&self) -> bool {
        self.file.generation != fork::generation()
    }

    pub(super) fn begin(&self) -> Result<RwTxn<'_>> {
        self.env.env().write_txn().map_err(|error| self.fault(error))
    }

    /// Commits, to memory only.
    pub(super) fn commit(&self, txn: RwTxn<'_>) -> Result<()> {
        txn.commit().map_err(|error| self.fault(error))
    }

    /// Brings what was committed to the disk, so that nobody has to wait long for it later.
    pub(super) fn sync_data(&self) -> Result<()> {
        self.file.file.sync_data().map_err(|error| self.failed(error))
    }

    /// Stores an entry behind all others of its table.
    pub(super) fn append(&self, txn: &mut RwTxn<'_>, table: Table, (key, value): Entry<'_>) -> Result<()> {
        // The records of the named tables are there already, and may sort behind.
        let flags = if table == Table::Header { PutFlags::empty() } else { PutFlags::APPEND };
        match self.tables[table.place()].put_with_flags(txn, flags, key, value) {
            Err(heed::Error::Mdb(MdbError::KeyExist)) => {
                Err(Error::corrupted(format!("keys of the {} table are out of order", table.name())))
            }
            stored => stored.map_err(|error| self.fault(error)),
        }
    }

    pub(super) fn change(&self, txn: &mut RwTxn<'_>, table: Table, change: Change<'_>) -> Result<()> {
        let tree = self.tables[table.place()];
        match change {
            Change::Put(key, value) => tree.put(txn, key, value),
            Change::Delete(key) => tree.delete(txn, key).map(|_| ()),
        }
        .map_err(|error| self.fault(error))
    }

    /// Waits until all that was committed is on the disk, with the owner and the mode of the data file.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.take_after(&self.store)?;
        self.file.file.sync_all().map_err(|error| self.failed(error))
    }

    pub(super) fn file(&self) -> &File {
        &self.file.file
    }

    /// Closes the file, for one who gives it a name.
    pub(super) fn into_file(self) -> CopyFile {
        self.file
    }

    pub(super) fn failed(&self, source: io::Error) -> Error {
        failed(&self.store, name_full_disk(source, &self.file.file))
    }

    fn fault(&self, error: heed::Error) -> Error {
        match error {
            heed::Error::Io(source) => self.failed(source),
            error => fault(&self.store, error),
        }
    }

    #[cfg(test)]
    pub(super) fn reach(&self, point: crate::store::failpoint::Point) -> Result<()> {
        self.file.control.reach(point)
    }
}

pub(super) fn failed(store: &Store, source: io::Error) -> Error {
    Error::io(format!("compacting {}", store.path().display()), source)
}

fn fault(store: &Store, error: heed::Error) -> Error {
    translate(error, &format!("compacting {}", store.path().display()), RESERVATIONS[0] as u64)
}

/// Refuses to begin what the disk has no room for. Others may take it meanwhile, and then writing fails.
fn check_room(store: &Store, size: u64) -> Result<()> {
    let needed = size.saturating_add(size / 4).saturating_add(PIECE as u64);
    match free_space(store.file()) {
        Some(free) if free < needed => Err(Error::io(
            format!(
                "compacting {} takes about {needed} bytes of disk space and {free} are free",
                store.path().display()
            ),
            io::Error::from_raw_os_error(libc::ENOSPC),
        )),
        _ => Ok(()),
    }
}

fn new_tables(env: &Env<WithoutTls>) -> Result<Tables, heed::Error> {
    let txn = env.write_txn()?;
    let created = env.create_databases_and_commit(txn, |opener, txn| {
        let mut tables = [opener.create_database::<Bytes, Bytes>(txn, None)?; Table::COUNT];
        for table in Table::NAMED {
            tables[table.place()] = opener.create_database(txn, Some(table.name()))?;
        }
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(tables))
    })?;
    match created {
        CommitOrAbort::Commit(tables) => Ok(tables),
        CommitOrAbort::Abort(()) => Err(MdbError::BadTxn.into()),
    }
}

/// The file of a copy, which is removed unless it becomes the data file.
pub(in super::super) struct CopyFile {
    file: File,
    path: PathBuf,
    control: Arc<Control>,
    /// Of the process that makes the copy.
    generation: u64,
}

impl CopyFile {
    fn new(control: &Arc<Control>, attempt: u32) -> io::Result<Self> {
        let path = control.copy_path(attempt);
        // Until it gets the owner of the data file, nobody else may read it.
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { file, path, control: Arc::clone(control), generation: fork::generation() })
    }

    /// Gives it the name by which others find what is left of it.
    fn renamed(mut self) -> io::Result<Self> {
        let usual = self.control.copy_path(0);
        if self.path != usual {
            fs::rename(&self.path, &usual)?;
            self.path = usual;
        }
        Ok(self)
    }

    /// Gives it the owner, the group and the mode of the data file.
    fn take_after(&self, store: &Store) -> Result<()> {
        let failed = |error| failed(store, error);
        let (theirs, own) = (store.file().metadata().map_err(failed)?, self.file.metadata().map_err(failed)?);
        if (theirs.uid(), theirs.gid()) != (own.uid(), own.gid()) {
            fchown(&self.file, Some(theirs.uid()), Some(theirs.gid())).map_err(|error| {
                Error::io(
                    format!(
                        "compacting {}: the new file must get the owner and the group of the old one",
                        store.path().display()
                    ),
                    error,
                )
            })?;
        }
        let mode = theirs.mode() & 0o7777;
        if mode != own.mode() & 0o7777 {
            self.file.set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
        }
        self.take_attributes(store.file()).map_err(failed)
    }

    /// Gives it the access control lists and other extended attributes of a file, but for those of the system's own that
    /// only the system sets.
    fn take_attributes(&self, theirs: &File) -> io::Result<()> {
        let names = match theirs.list_xattr() {
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
            names => names?,
        };
        for name in names {
            let Some(value) = theirs.get_xattr(&name)? else { continue };
            let set = self.file.set_xattr(&name, &value);
            let name = name.as_encoded_bytes();
            if !name.starts_with(b"security.") && !name.starts_with(b"trusted.") {
                set?;
            }
        }
        Ok(())
    }

    pub(in super::super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the file alone, which has become the data file.
    pub(in super::super) fn keep(mut self) {
        self.generation = u64::MAX;
    }
}

impl Drop for CopyFile {
    fn drop(&mut self) {
        // What stays is removed by the next one who opens the map or vacuums it.
        if self.generation == fork::generation() {
            let _ = remove(&self.path);
        }
    }
}

/// An environment of which nobody else knows.
struct PrivateEnv {
    /// Empty only while it is dropped.
    env: Option<Own<Env<WithoutTls>>>,
}

impl PrivateEnv {
    #[expect(unsafe_code, reason = "LMDB trusts its files, and locks them unless it is told not to")]
    fn open(path: &Path, size: u64, page_size: usize) -> Result<Self, heed::Error> {
        let mut env_options = EnvOpenOptions::new().read_txn_without_tls();
        env_options.max_dbs(Table::COUNT as u32);
        // SAFETY: nobody else has the file, so there is nothing to lock, and nobody sees it before it was synced.
        unsafe { env_options.flags(EnvFlags::NO_SUB_DIR | EnvFlags::NO_LOCK | EnvFlags::NO_SYNC) };
        let needed = usize::try_from(size.saturating_mul(2)).unwrap_or(usize::MAX).max(PIECE * 4);
        let sizes = RESERVATIONS.into_iter().filter(|&size| size > needed).chain([needed]);
        let env = open_largest(sizes, |size| {
            env_options.map_size(size.next_multiple_of(page_size));
            let _whole = fork::hold_off();
            // SAFETY: the file is empty, and nobody else's.
            unsafe { env_options.open(path) }
        })?;
        Ok(Self { env: Some(Own::new(env)) })
    }

    fn env(&self) -> &Env<WithoutTls> {
        self.env.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for PrivateEnv {
    fn drop(&mut self) {
        let _whole = fork::hold_off();
        drop(self.env.take());
    }
}
