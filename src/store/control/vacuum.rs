//! Who vacuums, how a copy takes the name of the data file, and what is left of those who died and of older generations.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{
    super::{
        Identity,
        lock::{Byte, Kind, is_locked, unlock},
        open::is_open_here,
    },
    Control, Gate, lock_of,
    page::Page,
    remove, suffixed,
};
#[cfg(test)]
use crate::store::failpoint::{Point, reach};
use crate::{
    error::{Error, Result},
    sync::{AtomicU64, Ordering},
};

/// As many names as a process may have ancestors that had the file open too.
const MOST_NAMES: u32 = 32;

impl Control {
    /// Takes the right to vacuum if nobody has it.
    pub(in super::super) fn try_lock_vacuum(&self) -> Result<bool> {
        // A lock is no obstacle to the descriptor that has it.
        if self.vacuums.swap(true, Ordering::SeqCst) {
            return Ok(false);
        }
        let locked = self.try_lock(Byte::Vacuum, Kind::Exclusive);
        if !matches!(locked, Ok(true)) {
            self.vacuums.store(false, Ordering::SeqCst);
        }
        locked
    }

    /// Gives the right to vacuum back.
    pub(in super::super) fn unlock_vacuum(&self) {
        if self.file.is_own() {
            unlock(self.file.file(), Byte::Vacuum);
        }
        self.vacuums.store(false, Ordering::SeqCst);
    }

    /// The data file, with no symbolic link on the way.
    pub(in super::super) fn data_path(&self) -> &Path {
        &self.data_path
    }

    /// The name of a copy that is being made; a fork of a process that makes one needs another.
    pub(in super::super) fn copy_path(&self, attempt: u32) -> PathBuf {
        let number = if attempt == 0 { String::new() } else { format!("+{attempt}") };
        suffixed(&self.data_path, &format!("-vac{number}"))
    }

    /// Removes the copies of those who died, for one who has the right to vacuum.
    pub(in super::super) fn remove_copies(&self) -> io::Result<()> {
        (0..MOST_NAMES).try_for_each(|attempt| remove(&self.copy_path(attempt)))
    }

    /// Removes the names that were left by processes that died while they opened a generation.
    pub(in super::super) fn remove_aliases(&self, inode: u64) -> io::Result<()> {
        for attempt in 0..MOST_NAMES {
            let alias = self.alias(inode, attempt);
            remove(&alias)?;
            if attempt > 0 {
                remove(&lock_of(&alias))?;
            }
        }
        Ok(())
    }

    /// Gives the name of the data file to a copy; the directory is not on the disk yet.
    pub(in super::super) fn give_name(&self, copy: &Path, _: &Gate<'_>) -> Result<()> {
        fs::rename(copy, &self.data_path)
            .map_err(|error| Error::io(format!("replacing {}", self.data_path.display()), error))
    }

    /// Waits until the names in the directory of the data file are on the disk.
    pub(in super::super) fn sync_directory(&self) -> Result<()> {
        let directory = self.data_path.parent().unwrap_or(Path::new("/"));
        #[cfg(test)]
        self.reach(Point::DirectorySyncing)?;
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| Error::io(format!("syncing {}", directory.display()), error))?;
        #[cfg(test)]
        let _ = self.reach(Point::DirectorySynced);
        Ok(())
    }

    /// Notes that a generation is about to be replaced, whose lock file has to go some time; `false` when too many are
    /// noted that are still open somewhere.
    pub(in super::super) fn note_generation(&self, inode: u64, _: &Gate<'_>) -> bool {
        let is_free = |word: &&AtomicU64| [0, inode].contains(&word.load(Ordering::Relaxed));
        let free = self.page().and_then(|page| page.old_generations().find(is_free));
        free.inspect(|word| word.store(inode, Ordering::SeqCst)).is_some()
    }

    /// Removes the lock files of older generations that nobody has open any more.
    pub(in super::super) fn remove_old_generations(&self, current: Identity, _: &Gate<'_>) {
        for word in self.page().into_iter().flat_map(Page::old_generations) {
            let inode = word.load(Ordering::Relaxed);
            // The number of a file that is gone may be that of the current one by now.
            if inode == 0 || inode != current.1 && !self.remove_generation((current.0, inode)) {
                continue;
            }
            word.store(0, Ordering::SeqCst);
        }
    }

    /// Removes the lock file of an older generation, unless someone has that open or it can't be removed.
    fn remove_generation(&self, identity: Identity) -> bool {
        // To close a descriptor of the file would drop the locks of this process.
        if is_open_here(identity) {
            return false;
        }
        let lock = self.lmdb_lock(identity.1);
        match File::open(&lock) {
            Ok(file) if matches!(is_locked(&file, Byte::Plain(0)), Ok(false)) => remove(&lock).is_ok(),
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Removes what the dead have left, as far as that may be done: it does no harm when it stays.
    pub(in super::super) fn remove_leftovers(&self, current: Identity, gate: &Gate<'_>) {
        let is_left = self.copy_path(0).symlink_metadata().is_ok();
        if is_left && matches!(self.try_lock_vacuum(), Ok(true)) {
            let _ = self.remove_copies();
            self.unlock_vacuum();
        }
        self.remove_old_generations(current, gate);
    }

    #[cfg(test)]
    pub(in super::super) fn reach(&self, point: Point) -> Result<()> {
        reach(point, self.sequence().load(Ordering::SeqCst))
            .map_err(|error| Error::io(format!("being tested at {point:?}"), error))
    }
}
