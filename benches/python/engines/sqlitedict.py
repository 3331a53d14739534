"""sqlitedict: pickled values in a table of SQLite, which it tells not to wait for the disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from data import Pair
from engine import MappingEngine, Promise


class SqlitedictEngine(MappingEngine):
    """Its defaults: a commit when it is asked for."""

    name = "sqlitedict"
    title = "sqlitedict"
    module = "sqlitedict"
    promise = Promise("when the system writes it", "at once", "commit, no rollback", "is lost")

    def open(self, *, readonly: bool = False) -> None:
        from sqlitedict import SqliteDict

        self.m = SqliteDict(str(self.directory / "data.sqlite"), flag="r" if readonly else "c")

    def load(self, entries: Iterable[Pair], *, ascending: bool = False) -> None:
        self.m.update(entries)
        self.m.commit()

    def items(self) -> Iterable[Pair]:
        return ((int(key), value) for key, value in self.m.items())

    def settle(self) -> None:
        self.m.commit()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        yield
        self.m.commit()
