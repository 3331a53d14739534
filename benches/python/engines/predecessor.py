"""The predecessor, oocmap 0.3: the same idea over LMDB, and never a wait for the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from data import Pair
from engine import LIST, Cannot, MappingEngine, Promise


class PredecessorEngine(MappingEngine):
    """Its map has four operations; all else it has not."""

    name = "predecessor"
    title = "oocmap 0.3"
    module = "oocmap"
    home = "predecessor"
    promise = Promise("when the system writes it", "at once", "no", "is stored")

    def open(self, *, readonly: bool = False) -> None:
        from oocmap import OOCMap

        self.m = OOCMap(str(self.directory / "data"), max_size=1 << 36)

    def close(self) -> None:
        # It has no such method.
        del self.m

    def load(self, entries: Iterable[Pair], *, ascending: bool = False) -> None:
        m = self.m
        for key, value in entries:
            m[key] = value

    def getter(self) -> Callable[[int], Any]:
        raise Cannot

    def container(self) -> Any:
        raise Cannot

    def items(self) -> Iterable[Pair]:
        raise Cannot

    def whole(self, value: Any) -> Any:
        # Its `eager()` prints the list, and keeps a dict in memory for ever.
        kind = type(value).__name__
        if kind == "LazyDict":
            return {key: self.whole(inner) for key, inner in value.items()}
        if kind == "LazyList":
            return [self.whole(inner) for inner in value]
        return value

    def change(self, keys: Iterable[int], count: int) -> None:
        m = self.m
        for key in keys:
            m[key]["items"][3]["count"] = count

    def list_reader(self) -> Any:
        return self.m[LIST]

    def list_elements(self) -> Iterator[int]:
        return iter(self.m[LIST])

    def list_appender(self) -> Callable[[int], object]:
        return cast(Callable[[int], object], self.m[LIST].append)
