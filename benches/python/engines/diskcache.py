"""diskcache.Index: pickled values in a table of SQLite, and large ones in files."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager

from data import Pair
from engine import MappingEngine, Promise


class DiskcacheEngine(MappingEngine):
    """Its defaults; one transaction for a load."""

    name = "diskcache"
    title = "diskcache.Index"
    module = "diskcache"
    promise = Promise("when SQLite makes a checkpoint", "at once", "yes, not nested", "is lost")

    def open(self, *, readonly: bool = False) -> None:
        from diskcache import Index

        self.m = Index(str(self.directory))

    def close(self) -> None:
        self.m.cache.close()

    def load(self, entries: Iterable[Pair], *, ascending: bool = False) -> None:
        with self.m.transact():
            self.m.update(entries)

    def transaction(self) -> AbstractContextManager[object]:
        block: AbstractContextManager[object] = self.m.transact()
        return block
