"""Opens a map again whose handle was pickled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oocmap._oocmap import OOCMap

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["reopen"]


def reopen(cls: type[OOCMap], path: str | PathLike[str], options: dict[str, Any]) -> OOCMap:
    """Open the map at ``path``, as an instance of ``cls``, whose own ``__init__`` is not called."""
    handle = cls.__new__(cls)
    OOCMap.__init__(handle, path, **options)
    return handle
