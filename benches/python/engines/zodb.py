"""ZODB: a B-tree of objects in a file that is only appended to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from data import Pair
from engine import MappingEngine, Promise


class ZodbEngine(MappingEngine):
    """Its defaults: `LOBTree` in a `FileStorage`."""

    name = "zodb"
    title = "ZODB"
    module = "ZODB"
    promise = Promise("every commit", "with a server", "yes", "is lost, but in classes of its own")

    def open(self, *, readonly: bool = False) -> None:
        import transaction
        import ZODB
        from BTrees.LOBTree import LOBTree
        from ZODB.FileStorage import FileStorage

        self.database = ZODB.DB(FileStorage(str(self.directory / "data.fs"), read_only=readonly))
        self.manager = transaction.manager
        root = self.database.open().root()
        if "map" not in root:
            root["map"] = LOBTree()
            self.manager.commit()
        self.m = root["map"]

    def close(self) -> None:
        self.manager.abort()
        self.database.close()

    def load(self, entries: Iterable[Pair], *, ascending: bool = False) -> None:
        self.m.update(list(entries))
        self.manager.commit()

    def snapshot(self) -> Any:
        # What is read until the next transaction is one version.
        return self.m

    def settle(self) -> None:
        self.manager.commit()

    def durable_writer(self) -> Callable[[int, str], None]:
        m, commit = self.m, self.manager.commit

        def write(key: int, value: str) -> None:
            m[key] = value
            commit()

        return write

    @contextmanager
    def transaction(self) -> Iterator[None]:
        yield
        self.manager.commit()
