//! Locks on single bytes of a file, far behind the end of any, which the system takes back from a process that dies.
//!
//! They are locks of an open file description: they belong to a descriptor, not to the process, so that nothing that
//! other code does with the file takes them away.

use std::{fs::File, io, os::fd::AsRawFd};

/// Behind the end of any file, so that no other lock is met.
const BASE: i64 = 1 << 62;

/// The bytes that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Byte {
    /// Shared by all processes that have the map open.
    Alive,
    /// Held while a map is opened or its file is swapped.
    Gate,
    /// Held by the one who vacuums.
    Vacuum,
    /// Held by the one who writes.
    Writer,
    /// Held by a process that waits in this place of the queue of writers.
    Waiter(u8),
    /// Held by a process that has handles to objects, in this place.
    Holder(u8),
    /// A byte of the file itself, of which LMDB locks the first and those with the numbers of processes.
    Plain(i64),
}

impl Byte {
    fn offset(self) -> i64 {
        match self {
            Self::Alive => BASE,
            Self::Gate => BASE + 1,
            Self::Vacuum => BASE + 2,
            Self::Writer => BASE + 3,
            Self::Waiter(place) => BASE + 64 + i64::from(place),
            Self::Holder(place) => BASE + 128 + i64::from(place),
            Self::Plain(offset) => offset,
        }
    }
}

/// How a byte is to be locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Shared,
    Exclusive,
}

/// Locks a byte, or changes its lock; `false` when others have it.
///
/// Where the system has no such locks everyone gets them: LMDB's own have to do there.
pub(super) fn try_lock(file: &File, byte: Byte, kind: Kind) -> io::Result<bool> {
    let kind = match kind {
        Kind::Shared => libc::F_RDLCK,
        Kind::Exclusive => libc::F_WRLCK,
    };
    match system::set(file, byte.offset(), kind) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES | libc::EINTR)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Gives a byte back.
pub(super) fn unlock(file: &File, byte: Byte) {
    // It can only fail for a descriptor that is not open.
    let _ = system::set(file, byte.offset(), libc::F_UNLCK);
}

/// Takes the place of a lock that this process has on a byte in the classic way, which is gone as soon as any code of the
/// process closes any descriptor of the file; `false` when someone else has one.
pub(super) fn replace_classic(file: &File, byte: Byte) -> io::Result<bool> {
    system::unlock_classic(file, byte.offset())?;
    try_lock(file, byte, Kind::Exclusive)
}

/// Whether a lock of someone else, of any kind, keeps this descriptor from locking a byte alone.
pub(super) fn is_locked(file: &File, byte: Byte) -> io::Result<bool> {
    system::is_locked(file, byte.offset())
}

#[cfg(target_os = "linux")]
mod system {
    use super::{AsRawFd, File, io};

    fn lock(offset: i64, kind: libc::c_int) -> libc::flock {
        libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: offset,
            l_len: 1,
            l_pid: 0,
        }
    }

    #[expect(unsafe_code, reason = "the standard library has no locks of ranges")]
    pub(super) fn set(file: &File, offset: i64, kind: libc::c_int) -> io::Result<()> {
        let lock = lock(offset, kind);
        // SAFETY: the descriptor is open for as long as the file, and the lock is a whole `flock` that is only read.
        let answer = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
        if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    #[expect(unsafe_code, reason = "the standard library has no locks of ranges")]
    pub(super) fn unlock_classic(file: &File, offset: i64) -> io::Result<()> {
        let lock = lock(offset, libc::F_UNLCK);
        // SAFETY: as for `set`.
        let answer = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) };
        if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    #[expect(unsafe_code, reason = "the standard library has no locks of ranges")]
    pub(super) fn is_locked(file: &File, offset: i64) -> io::Result<bool> {
        let mut lock = lock(offset, libc::F_WRLCK);
        // SAFETY: the descriptor is open for as long as the file, and the lock is a whole `flock` for the answer.
        let answer = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
        if answer == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(libc::c_int::from(lock.l_type) != libc::F_UNLCK)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{File, io};

    pub(super) fn set(_: &File, _: i64, _: libc::c_int) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn unlock_classic(_: &File, _: i64) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn is_locked(_: &File, _: i64) -> io::Result<bool> {
        Ok(false)
    }
}
