"""mmappickle: one pickle that grows, with arrays that can be mapped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from data import Pair
from engine import Cannot, Promise, TextKeys


class MmappickleEngine(TextKeys):
    """Its defaults. Each write looks through all entries."""

    name = "mmappickle"
    title = "mmappickle"
    module = "mmappickle"
    promise = Promise("when the system writes it", "at once", "no", "is lost, but in arrays")

    def open(self, *, readonly: bool = False) -> None:
        from mmappickle import mmapdict

        self.m = mmapdict(str(self.directory / "data.mmdpickle"), readonly=readonly or None)

    def close(self) -> None:
        del self.m

    def getter(self) -> Callable[[int], Any]:
        raise Cannot

    def items(self) -> Iterable[Pair]:
        m = self.m
        return ((int(key), m[key]) for key in list(m.keys()))
