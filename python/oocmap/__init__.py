"""A transactional object database: a dict on disk whose values are whole object graphs."""

from __future__ import annotations

from collections.abc import (
    ItemsView as _ItemsView,
    KeysView as _KeysView,
    Mapping as _Mapping,
    MutableMapping as _MutableMapping,
    Sequence as _Sequence,
    Set as _Set,
    ValuesView as _ValuesView,
)

from oocmap._oocmap import (
    ItemsView,
    KeysView,
    LazyDict,
    LazyFrozenSet,
    LazyList,
    LazySet,
    LazyTuple,
    MapRange,
    OOCMap,
    Snapshot,
    Transaction,
    ValuesView,
    __version__,
)
from oocmap.exceptions import (
    ClosedError,
    CommitOutcomeUnknownError,
    CorruptedError,
    Error,
    FormatError,
    LockTimeoutError,
    MapFullError,
    ReadOnlyError,
    SnapshotExpiredError,
    StaleObjectError,
    TransactionClosedError,
    TransactionError,
    UnsafePickleError,
    UnsupportedTypeError,
)

__all__ = [
    "ClosedError",
    "CommitOutcomeUnknownError",
    "CorruptedError",
    "Error",
    "FormatError",
    "ItemsView",
    "KeysView",
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
    "ValuesView",
    "__version__",
]

_MutableMapping.register(OOCMap)
_MutableMapping.register(Transaction)
_Mapping.register(Snapshot)
_Mapping.register(MapRange)
_Mapping.register(LazyDict)
_Sequence.register(LazyList)
_Sequence.register(LazyTuple)
_Set.register(LazySet)
_Set.register(LazyFrozenSet)
_KeysView.register(KeysView)
_ValuesView.register(ValuesView)
_ItemsView.register(ItemsView)
