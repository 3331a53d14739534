//! The table of readers in LMDB's lock file, read to count them.

use std::{
    fs::File,
    io,
    mem::size_of,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// A version that is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The process that reads it.
    pub process: u32,
    /// How many versions have been committed since.
    pub behind: u64,
}

/// LMDB's lock file, read through a descriptor of our own.
///
/// Closing any descriptor of the file drops all locks that this process has on it, so this has to live until
/// LMDB has closed the environment.
#[derive(Debug)]
pub(super) struct ReaderTable(Option<File>);

impl ReaderTable {
    const CACHE_LINE: usize = 64;

    /// Opens the lock file of a data file, if there is one, as there is none on a read-only file system.
    pub(super) fn open(data_path: &Path) -> io::Result<Self> {
        match File::open(lock_path(data_path)) {
            Ok(file) => Ok(Self(Some(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }

    /// The readers of all processes, when the newest version has this number.
    ///
    /// A slot is a cache line that begins with the version (`u64`, all ones while there is none) and the process
    /// (`i32`, 0 for a free slot).
    pub(super) fn live(&self, newest: u64) -> io::Result<Vec<Reader>> {
        let Some(file) = &self.0 else {
            return Ok(Vec::new());
        };
        let mut table = vec![0; file.metadata()?.len() as usize];
        file.read_exact_at(&mut table, 0)?;
        let slots = table.get(Self::slots_offset()..).unwrap_or_default();
        let reader = |slot: &[u8]| {
            let version = u64::from_ne_bytes(slot.get(..8)?.try_into().ok()?);
            let process = u32::from_ne_bytes(slot.get(8..12)?.try_into().ok()?);
            (process != 0).then_some(Reader { process, behind: newest.saturating_sub(version) })
        };
        Ok(slots.chunks_exact(Self::CACHE_LINE).filter_map(reader).collect())
    }

    /// Two mutexes of the system precede the slots: the first behind 24 bytes, both filled up to cache lines.
    const fn slots_offset() -> usize {
        let mutex = size_of::<libc::pthread_mutex_t>();
        (24 + mutex).next_multiple_of(Self::CACHE_LINE) + mutex.next_multiple_of(Self::CACHE_LINE)
    }
}

/// Where LMDB puts the lock file of a data file.
pub(super) fn lock_path(data_path: &Path) -> PathBuf {
    let mut path = data_path.as_os_str().to_owned();
    path.push("-lock");
    path.into()
}
