"""A transactional object database: a dict on disk whose values are whole object graphs."""

from __future__ import annotations

import atexit as _atexit
import os as _os
from collections import abc as _abc

from oocmap._bulk import bulk_load
from oocmap._classes import register
from oocmap._oocmap import (
    ItemsView,
    KeysView,
    LazyByteArray,
    LazyDict,
    LazyFrozenSet,
    LazyList,
    LazySet,
    LazyTuple,
    MapRange,
    OOCMap,
    Snapshot,
    Transaction,
    Vacuum,
    ValuesView,
    __version__,
)
from oocmap._oocmap import flush_all as _flush_all
from oocmap._oocmap import settle_all as _settle_all
from oocmap._vacuum import VacuumProgress, VacuumResult
from oocmap.exceptions import (
    ClosedError,
    CommitOutcomeUnknownError,
    CorruptedError,
    Error,
    FormatError,
    HeldBackWarning,
    LockTimeoutError,
    MapFullError,
    ReadOnlyError,
    SnapshotExpiredError,
    StaleObjectError,
    TransactionClosedError,
    TransactionError,
    UnsafePickleError,
    UnsupportedTypeError,
    VacuumWarning,
)

__all__ = [
    "ClosedError",
    "CommitOutcomeUnknownError",
    "CorruptedError",
    "Error",
    "FormatError",
    "HeldBackWarning",
    "ItemsView",
    "KeysView",
    "LazyByteArray",
    "LazyDict",
    "LazyFrozenSet",
    "LazyList",
    "LazySet",
    "LazyTuple",
    "LockTimeoutError",
    "MapFullError",
    "MapRange",
    "OOCMap",
    "ReadOnlyError",
    "Snapshot",
    "SnapshotExpiredError",
    "StaleObjectError",
    "Transaction",
    "TransactionClosedError",
    "TransactionError",
    "UnsafePickleError",
    "UnsupportedTypeError",
    "Vacuum",
    "VacuumProgress",
    "VacuumResult",
    "VacuumWarning",
    "ValuesView",
    "__version__",
    "bulk_load",
    "register",
]

_abc.MutableMapping.register(OOCMap)
_abc.MutableMapping.register(Transaction)
_abc.Mapping.register(Snapshot)
_abc.Mapping.register(MapRange)
_abc.MutableMapping.register(LazyDict)
_abc.MutableSequence.register(LazyList)
_abc.MutableSequence.register(LazyByteArray)
_abc.Sequence.register(LazyTuple)
_abc.MutableSet.register(LazySet)
_abc.Set.register(LazyFrozenSet)
_abc.KeysView.register(KeysView)
_abc.ValuesView.register(ValuesView)
_abc.ItemsView.register(ItemsView)

# What was deferred is not lost at exit, and a forked child sees it.
_atexit.register(_flush_all)
if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(before=_settle_all)
