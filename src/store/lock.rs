//! The lock that keeps writers of different processes apart before they come to LMDB's own, which no one can stop
//! waiting for.

use std::io;
use std::os::fd::AsRawFd;

use super::lmdb::Store;
use crate::error::{Error, Result};

/// Far behind the end of any file, so that no other lock on it is met.
const PLACE: i64 = 1 << 62;

impl Store {
    /// Takes the right to write if no other process has it; the system takes it back from a process that dies.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn try_lock_writer(&self) -> Result<bool> {
        match self.set_writer_lock(libc::F_WRLCK) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES | libc::EINTR)) => {
                Ok(false)
            }
            Err(error) => Err(Error::io(format!("locking {}", self.path().display()), error)),
        }
    }

    /// Gives the right to write back.
    pub(crate) fn unlock_writer(&self) {
        // It can only fail for a descriptor that is not open, and ours is.
        let _ = self.set_writer_lock(libc::F_UNLCK);
    }

    /// An open file description lock, which belongs to our descriptor alone and not to the whole process.
    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "the standard library has no locks of ranges")]
    fn set_writer_lock(&self, kind: libc::c_int) -> io::Result<()> {
        let lock = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: PLACE,
            l_len: 1,
            l_pid: 0,
        };
        // SAFETY: the descriptor is open for as long as the store, and the lock is a whole `flock` that is only read.
        let answer = unsafe { libc::fcntl(self.file().as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
        if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Elsewhere LMDB's own lock has to do.
    #[cfg(not(target_os = "linux"))]
    fn set_writer_lock(&self, _kind: libc::c_int) -> io::Result<()> {
        Ok(())
    }
}
