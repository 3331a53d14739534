"""The limit: an extension over LMDB that does nothing but look a key up and make the text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from data import Pair
from engine import Cannot, MappingEngine, Promise


class LimitEngine(MappingEngine):
    """Reads in one transaction that is never renewed; takes texts only."""

    name = "limit"
    title = "limit"
    module = "oocmap_limit"
    promise = Promise("every commit", "no", "one for a load", "–")

    def open(self, *, readonly: bool = False) -> None:
        from oocmap_limit import Limit

        self.m = Limit(self.directory)

    def close(self) -> None:
        # It stays open until the process ends; each of its commits is on disk.
        del self.m

    def load(self, entries: Iterable[Pair], *, ascending: bool = False) -> None:
        try:
            self.m.load(entries, ascending=ascending)
        except TypeError as error:
            raise Cannot from error

    def snapshot(self) -> Any:
        return self.m

    def items(self) -> Iterable[Pair]:
        raise Cannot

    def writer(self) -> Any:
        raise Cannot

    def durable_writer(self) -> Callable[[int, str], None]:
        put: Callable[[int, str], None] = self.m.put
        return put
