"""The exceptions of oocmap, each also a builtin one where Python has it."""

from __future__ import annotations

import io

__all__ = [
    "ClosedError",
    "CommitOutcomeUnknownError",
    "CorruptedError",
    "Error",
    "FormatError",
    "HeldBackWarning",
    "LockTimeoutError",
    "MapFullError",
    "ReadOnlyError",
    "SnapshotExpiredError",
    "StaleObjectError",
    "TransactionClosedError",
    "TransactionError",
    "UnsafePickleError",
    "UnsupportedTypeError",
    "VacuumWarning",
]


class Error(Exception):
    """The root of all exceptions of oocmap."""


class MapFullError(Error, OSError):
    """The data file reached ``max_size``; the transaction was rolled back, and the map stays usable."""


class CorruptedError(Error, OSError):
    """The data file holds bytes that oocmap never writes."""


class FormatError(Error, OSError):
    """The file is no map, or one of a newer format."""


class LockTimeoutError(Error, TimeoutError):
    """Another writer kept the map for all of ``lock_timeout``."""


class ReadOnlyError(Error, io.UnsupportedOperation):
    """A modification was asked of a snapshot, or of a map that was opened with ``readonly=True``."""


class TransactionClosedError(Error, ValueError):
    """The transaction has ended."""


class ClosedError(Error, ValueError):
    """The map or the snapshot was closed."""


class TransactionError(Error, RuntimeError):
    """A transaction was asked to wait for something that could never happen."""


class CommitOutcomeUnknownError(Error, OSError):
    """The disk failed while committing, and left open whether the transaction happened."""


class UnsupportedTypeError(Error, TypeError, ValueError):
    """An object has no native form; the text names its type and says what to do."""


class StaleObjectError(Error, ReferenceError):
    """The object that a handle names is gone."""


class SnapshotExpiredError(Error, LookupError):
    """No one holds the version any more that a pickled snapshot is of."""


class UnsafePickleError(Error, ValueError):
    """Something was stored with pickle, and the map was opened without ``allow_pickle=True``."""


class HeldBackWarning(RuntimeWarning):
    """A snapshot of an old version keeps much space of the file from being used again."""


class VacuumWarning(RuntimeWarning):
    """A vacuum that began by itself failed; nothing was lost, and another one begins later."""


for _name in __all__:
    # They are known, and pickled, by the name under which users import them.
    globals()[_name].__module__ = "oocmap"
