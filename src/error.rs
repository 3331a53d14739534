//! The one error type of the engine.

use std::{fmt, io, path::PathBuf, time::Duration};

/// What can go wrong in the engine.
///
/// Every text says what happened, with the values, and what to do about it.
#[non_exhaustive]
#[derive(Debug)]
pub enum Error {
    /// The environment was closed.
    Closed,
    /// A modification was asked of something that was opened for reading only.
    ReadOnly(&'static str),
    /// The transaction has ended.
    TransactionClosed,
    /// A transaction was used in a way that could never work, such as beginning a second one in the same thread.
    Transaction(&'static str),
    /// Another writer held the map for the whole time that the caller was willing to wait.
    LockTimeout(Duration),
    /// The caller asked to stop waiting.
    Interrupted,
    /// The data file reached its largest allowed size, in bytes.
    MapFull {
        /// The cap that was reached, in bytes.
        max_size: u64,
    },
    /// The file holds bytes that the engine never writes.
    Corrupted(String),
    /// The file is not a map, or is one of a newer format.
    Format {
        /// The file.
        path: PathBuf,
        /// Why it was refused.
        reason: String,
    },
    /// An object that is gone: deleted, or made by a transaction that was rolled back.
    Stale,
    /// A version that nobody holds any more, so that its pages may have been used again.
    SnapshotExpired,
    /// A key that has no place in the order of keys, such as NaN.
    InvalidKey(String),
    /// A value that can't be stored.
    Unsupported(String),
    /// Something that was to be loaded holds no entry where one is expected.
    Source(String),
    /// Something is larger or nested more deeply than the format allows.
    TooLarge(String),
    /// An option has a value that makes no sense.
    InvalidOption(String),
    /// The commit failed in a way that leaves open whether it reached the disk.
    CommitOutcomeUnknown(io::Error),
    /// The operating system refused something.
    Io {
        /// What was being done.
        context: String,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The result of anything that the engine does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An operating system error, with what was being done when it came.
    pub(crate) fn io(context: impl Into<String>, source: io::Error) -> Self {
        Self::Io { context: context.into(), source }
    }

    /// Whether the storage is in a state after this that a write transaction only leaves by aborting.
    pub(crate) fn ends_transaction(&self) -> bool {
        matches!(
            self,
            Self::MapFull { .. } | Self::Io { .. } | Self::Corrupted(_) | Self::CommitOutcomeUnknown(_)
        )
    }

    /// A file that holds bytes that the engine never writes.
    pub(crate) fn corrupted(what: impl Into<String>) -> Self {
        Self::Corrupted(what.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the map is closed; open it again to use it"),
            Self::ReadOnly(what) => write!(f, "{what} is read-only"),
            Self::TransactionClosed => f.write_str("the transaction has ended; begin another one to go on"),
            Self::Transaction(what) => f.write_str(what),
            Self::LockTimeout(waited) => write!(
                f,
                "another writer held the map for all of {:.3} s; wait longer (lock_timeout) or end the other transaction",
                waited.as_secs_f64()
            ),
            Self::Interrupted => f.write_str("interrupted while waiting for another writer"),
            Self::MapFull { max_size } => write!(
                f,
                "the data file has reached max_size ({max_size} bytes) and the transaction was rolled back; delete something or open the map with a larger max_size"
            ),
            Self::Corrupted(what) => {
                write!(f, "the data file is damaged: {what}; restore it from a backup")
            }
            Self::Stale => f.write_str(
                "the object is gone: it was deleted, or made in a transaction that was rolled back; read it from the map again",
            ),
            Self::SnapshotExpired => f.write_str(
                "nobody holds the version of the snapshot any more; keep it open until all who got it have opened it",
            ),
            Self::Format { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::InvalidKey(what)
            | Self::Unsupported(what)
            | Self::Source(what)
            | Self::TooLarge(what)
            | Self::InvalidOption(what) => f.write_str(what),
            Self::CommitOutcomeUnknown(source) => write!(
                f,
                "the disk failed while committing ({source}); read the map again to see whether the transaction happened"
            ),
            Self::Io { context, source } => write!(f, "{context}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::CommitOutcomeUnknown(source) => Some(source),
            _ => None,
        }
    }
}
