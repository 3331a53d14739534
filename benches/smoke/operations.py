"""Do each of the main operations a few times, and print what was counted.

Nothing here may depend on time, chance or addresses: the same keys, the same order, no garbage collection. What plain
reads share is let go of after 100 ms, which may pass while one is counted: an iterator holds it. What takes several calls
is read through a snapshot.
"""

from __future__ import annotations

import gc
import json
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

from counting import Counter
from oocmap import OOCMap, _oocmap

from data import document, small

ENTRIES = 20_000
DOCUMENTS = 500
LENGTH = 100_000
AGAIN = 5000
"""So many entries are looked up again and again, until the version remembers where they are."""
TRIES = 50


class Operations:
    """What has been counted: for each operation, what one costs in each of its stretches."""

    def __init__(self, library: Path) -> None:
        self._counter = Counter(library, _oocmap.__file__)
        self.stretches: dict[str, list[list[float]]] = {}

    def count(
        self,
        name: str,
        action: Callable[[Any], object],
        keys: Iterator[Any],
        *,
        together: int = 1,
        times: int | None = None,
        stretches: int = 3,
        holding: Callable[[], object] = lambda: None,
    ) -> None:
        """Count an action on so many keys together, by which an operation is done so many times.

        Before each stretch the action is done once uncounted; what `holding` returns lives until the stretch is done.
        """

        def stretch(keys: list[Any]) -> None:
            for key in keys:
                action(key)

        rows = self.stretches[name] = []
        for _ in range(TRIES):
            stretch(list(islice(keys, 1)))
            held = holding()
            counted = self._counter.count(stretch, list(islice(keys, together)))
            del held
            if counted:
                rows.append([figure / (times or together) for figure in counted])
            if len(rows) == stretches:
                return
        raise RuntimeError(f"counting {name!r} was disturbed by other threads again and again")


def versions() -> str:
    """Return what the extension was made with and runs in."""
    compiler = re.search(rb"rustc version [\d.]+", Path(_oocmap.__file__).read_bytes())
    made = compiler.group().decode() if compiler else "an unknown compiler"
    return f"{platform.python_implementation()} {platform.python_version()}, {made}"


def shuffled(count: int, start: int = 0) -> Iterator[int]:
    """Return so many numbers over and over, in an order that is always the same."""
    numbers = list(range(start, start + count))
    Random(20261120).shuffle(numbers)
    return cycle(numbers)


def entries(path: Path, operations: Operations) -> None:
    """Read and write small entries."""
    count = operations.count
    with OOCMap(path) as m:
        m.update((number, small(number)) for number in islice(shuffled(ENTRIES), ENTRIES))
        keys = shuffled(ENTRIES)

        def held() -> object:
            iterator = iter(m)
            next(iterator)
            return iterator

        count("get", lambda key: m[key], keys, stretches=9, holding=held)
        count("in", lambda key: key in m, keys, stretches=9, holding=held)
        count("get, missing", lambda key: m.get(-1 - key), keys, stretches=9, holding=held)
        with m.snapshot() as s:
            count("get from a snapshot", lambda key: s[key], keys, together=3)
            again = shuffled(AGAIN)
            for key in islice(again, 4 * AGAIN):
                s[key]
            count("get from a snapshot, again", lambda key: s[key], again, together=3)
            count("entry of items()", lambda key: list(islice(s.range(key).items(), 10)), keys, times=10)
        with m.transaction() as tx:
            new = shuffled(ENTRIES, ENTRIES)
            count("put in a transaction", lambda key: tx.__setitem__(key, small(key)), new, together=5)
            count("get in a transaction", lambda key: tx[key], keys, together=3)
            count("delete in a transaction", lambda key: tx.__delitem__(key), keys, together=5)


def deferred(path: Path, operations: Operations) -> None:
    """Write small entries that are committed together, and never while it is counted."""
    with OOCMap(path, durability="deferred", flush_interval=3600) as m:
        m.update((number, small(number)) for number in islice(shuffled(ENTRIES), ENTRIES))
        new = shuffled(ENTRIES, ENTRIES)
        operations.count("put, deferred", lambda key: m.__setitem__(key, small(key)), new)


def documents(path: Path, operations: Operations) -> None:
    """Read, write and change nested documents."""
    count = operations.count
    keys = shuffled(DOCUMENTS)
    with OOCMap(path) as m:
        m.update((number, document(number)) for number in range(DOCUMENTS))
        with m.snapshot() as s:
            count("nested field", lambda key: s[key]["items"][3]["price"], keys, together=2)
            count("whole document", lambda key: s[key].eager(deep=True), keys)
        with m.transaction() as tx:
            made = {number: document(number) for number in range(DOCUMENTS)}

            def change(key: int) -> None:
                tx[key]["user"]["address"]["city"] = "Shelbyville"

            count("put a document", lambda key: tx.__setitem__(("new", key), made[key]), keys)
            count("change a nested field", change, keys)


def long_list(path: Path, operations: Operations) -> None:
    """Read a long list and append to it."""
    count = operations.count
    places = shuffled(LENGTH)
    with OOCMap(path) as m:
        m["list"] = list(range(LENGTH))
        with m.snapshot() as s:
            stored = s["list"]
            count("index a long list", lambda place: stored[place], places, together=3)
            count("element of a long list", lambda _: list(islice(stored, 40)), places, times=40)
        with m.transaction() as tx:
            changed = tx["list"]
            count("append to a long list", lambda number: changed.append(number), places, together=2)


def opening(path: Path, operations: Operations) -> None:
    """Open a map, with the threads that it starts."""
    opened: list[OOCMap] = []

    def after_closing() -> Iterator[None]:
        while True:
            while opened:
                opened.pop().close()
            yield

    operations.count("open", lambda _: opened.append(OOCMap(path)), after_closing())
    opened.pop().close()


def main() -> None:
    """Do all of it in a folder that is removed at the end."""
    gc.disable()
    operations = Operations(Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entries(folder / "entries.ooc", operations)
        deferred(folder / "deferred.ooc", operations)
        documents(folder / "documents.ooc", operations)
        long_list(folder / "list.ooc", operations)
        opening(folder / "entries.ooc", operations)
    print(json.dumps({"versions": versions(), "stretches": operations.stretches}))


if __name__ == "__main__":
    main()
