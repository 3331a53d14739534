//! What LMDB's errors mean to the engine.

use std::{
    fs::File,
    io::{self, ErrorKind},
    mem::MaybeUninit,
    os::fd::AsRawFd,
};

use heed::MdbError;

use crate::error::Error;

/// With less room than this, a disk counts as full when a write to it fails.
const FULL_BELOW: u64 = 1 << 20;

/// Translates an error that came while `doing` something, with a data file of at most `limit` bytes.
pub(super) fn translate(error: heed::Error, doing: &str, limit: u64) -> Error {
    let text = error.to_string();
    match error {
        heed::Error::Io(source) => Error::io(doing, source),
        heed::Error::Encoding(source) | heed::Error::Decoding(source) => {
            Error::io(doing, io::Error::other(source))
        }
        heed::Error::EnvAlreadyOpened => Error::io(doing, ErrorKind::ResourceBusy.into()),
        heed::Error::Mdb(error) => match error {
            MdbError::MapFull => Error::MapFull { max_size: limit },
            MdbError::Panic => Error::CommitOutcomeUnknown(io::Error::other(text)),
            MdbError::Corrupted
            | MdbError::PageNotFound
            | MdbError::Invalid
            | MdbError::VersionMismatch
            | MdbError::Incompatible
            | MdbError::CursorFull
            | MdbError::PageFull
            | MdbError::Problem => Error::corrupted(format!("{doing}: {text}")),
            MdbError::TxnFull => {
                Error::TooLarge("the transaction changes more pages than one can; split it".into())
            }
            MdbError::BadValSize => {
                Error::TooLarge("a key has no bytes or more than 511, or a value has too many".into())
            }
            MdbError::BadTxn => {
                Error::Transaction("a change of this transaction failed, so that it can only be aborted")
            }
            MdbError::ReadersFull => Error::io(
                format!("{doing}: all slots for readers are taken; end transactions or snapshots"),
                ErrorKind::ResourceBusy.into(),
            ),
            MdbError::KeyExist
            | MdbError::NotFound
            | MdbError::DbsFull
            | MdbError::TlsFull
            | MdbError::MapResized
            | MdbError::BadRslot
            | MdbError::BadDbi
            | MdbError::Other(_) => Error::io(doing, io::Error::other(text)),
        },
    }
}

/// Names a full disk, which LMDB reports as an I/O error when a write came out short.
pub(super) fn name_full_disk(source: io::Error, file: &File) -> io::Error {
    let is_full =
        source.raw_os_error() == Some(libc::EIO) && free_space(file).is_some_and(|free| free < FULL_BELOW);
    if is_full { io::Error::from_raw_os_error(libc::ENOSPC) } else { source }
}

/// How much room the file system of a file has for us.
pub(super) fn free_space(file: &File) -> Option<u64> {
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the descriptor is open and the buffer has the size that the call fills.
    if unsafe { libc::fstatvfs(file.as_raw_fd(), stat.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: the call succeeded, so it filled the buffer.
    let stat = unsafe { stat.assume_init() };
    stat.f_bavail.checked_mul(stat.f_frsize)
}
