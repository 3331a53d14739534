"""What all this is about, with its defaults: every commit waits for the disk, but where a row says `"deferred"`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast

from engine import LIST, MappingEngine, Promise

if TYPE_CHECKING:
    from pathlib import Path

    from oocmap import OOCMap


class OocmapEngine(MappingEngine):
    """A map, read outside a transaction."""

    name = "oocmap"
    title = "oocmap"
    module = "oocmap"
    home = "own"
    promise = Promise("every commit", "at once", "yes, across processes", "is stored")
    m: OOCMap

    def open(self, *, readonly: bool = False) -> None:
        from oocmap import OOCMap

        self.path = self.directory / "data.ooc"
        self.m = OOCMap(self.path, readonly=readonly)

    def load_lines(self, lines: Path) -> None:
        from oocmap import bulk_load

        bulk_load(self.m, lines)

    def snapshot(self) -> Any:
        return self.m.snapshot()

    def whole(self, value: Any) -> Any:
        return value.eager(deep=True)

    def _defer(self) -> None:
        from oocmap import OOCMap

        self.m.close()
        self.m = OOCMap(self.path, durability="deferred")

    def writer(self) -> Any:
        self._defer()
        return self.m

    def settle(self) -> None:
        self.m.sync()

    def durable_writer(self) -> Callable[[int, str], None]:
        return self.m.__setitem__

    def thread_writer(self) -> Callable[[int, str], None]:
        return self.m.__setitem__

    def transaction(self) -> AbstractContextManager[object]:
        return self.m.transaction()

    def change(self, keys: Sequence[int], count: int) -> None:
        with self.m.transaction() as tx:
            for key in keys:
                tx[key]["items"][3]["count"] = count

    def store_list(self, elements: list[int]) -> None:
        self.m[LIST] = elements

    def list_reader(self) -> Any:
        return self.m[LIST]

    def list_elements(self) -> Iterator[int]:
        return iter(self.m[LIST])

    def list_appender(self) -> Callable[[int], object]:
        self._defer()
        return cast(Callable[[int], object], self.m[LIST].append)
