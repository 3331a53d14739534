"""Opens maps and snapshots again that were pickled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oocmap._oocmap import OOCMap, Snapshot, follow

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["reopen", "reopen_snapshot"]


def reopen(cls: type[OOCMap], path: str | PathLike[str], options: dict[str, Any]) -> OOCMap:
    """Open the map at ``path``, as an instance of ``cls``, whose own ``__init__`` is not called."""
    handle = cls.__new__(cls)
    OOCMap.__init__(handle, path, **options)
    return handle


def reopen_snapshot(path: str | PathLike[str], options: dict[str, Any], handed: bytes) -> Snapshot:
    """Open the version of the map at ``path`` that was ``handed`` over.

    Raises
    ------
    SnapshotExpiredError
        When nobody holds the version any more.
    """
    return follow(OOCMap(path, **options), handed)
