"""shelve: pickled values in what `dbm` there is."""

from __future__ import annotations

import shelve
from collections.abc import Iterable
from typing import Any

from data import Pair
from engine import Promise, TextKeys


class ShelveEngine(TextKeys):
    """Its defaults: the database that `dbm` takes by itself."""

    name = "shelve"
    title = "shelve"
    module = "shelve"
    home = "own"
    promise = Promise("depends on dbm", "no", "no", "is lost")

    def open(self, *, readonly: bool = False) -> None:
        flag: Any = "r" if readonly else "c"
        self.m: shelve.Shelf[Any] = shelve.open(str(self.directory / "data"), flag, protocol=5)  # noqa: SIM115

    def load(self, entries: Iterable[Pair], *, ascending: bool = False) -> None:
        super().load(entries)
        self.m.sync()
