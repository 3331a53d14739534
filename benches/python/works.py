"""The rows of the report: what is measured, with which engines, and how good it has to be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import large
import lists
import processes
import reading
import writing
from engine import Engine
from timing import Figure, Run

Unit = Literal["time", "ms", "bytes", "MB"]


@dataclass(frozen=True)
class Bar:
    """What the figure of oocmap has to reach.

    `times`: so many times as fast (or small) as another engine; `most`: at most so many times as slow (or large);
    `itself`: so many times as fast as what is measured beside it; `below`: an absolute figure in the row's unit.
    """

    kind: Literal["times", "most", "itself", "slower", "below"]
    bound: float
    against: str = ""


@dataclass(frozen=True)
class Share:
    """How much of a thing there is: of 200,000 small entries, and at most and at least so many."""

    of_all: float
    least: int = 10

    def of(self, count: int) -> int:
        """Return how many there are when there are `count` small entries."""
        return max(self.least, round(count * self.of_all))


@dataclass(frozen=True)
class Store:
    """A store that is made once for each engine, and read in all rounds by the rows that need it."""

    kind: str
    entries: Share
    large: bool = False


@dataclass(frozen=True)
class Work:
    """One row."""

    name: str
    title: str
    action: Callable[[Run, Engine], Figure]
    section: str
    bars: tuple[Bar, ...] = ()
    store: str | None = None
    """The name of the store that it reads. Otherwise it makes one of its own each time."""
    kind: str | None = None
    """What it stores, for a row that loads: slow engines get fewer."""
    entries: Share = Share(1)
    reads: Share = Share(1)
    engines: tuple[str, ...] | None = None
    unit: Unit = "time"
    rounds: int | None = None
    beside: str = ""
    """What the reference of its figures is."""
    spent: str = ""
    """Where the time goes, when a bar is missed."""


COUNT = 200_000
"""How many small entries there are, in a whole run."""
LIST_LENGTH = Share(5, 1000)
MANY = Share(50)

STORES = {
    "small": Store("small", Share(1)),
    "many": Store("small", MANY, large=True),
    "documents": Store("documents", Share(0.1)),
    "list": Store("list", LIST_LENGTH),
    "large": Store("pages", Share(12.5, 500), large=True),
}

CHANGE_FIELD = """
Two thirds of the time (`perf record`) go to LMDB and the kernel, which find the entry, copy its page, write it and
sync it, with pickle as without: LMDB that stores the very bytes that it has read is only 3.4 times as fast as with
pickle. The record is copied once for all steps on the way to the field, patched in place and stored, which took a
quarter of the instructions off; a cursor that is kept from the look-up to the change would take off about 5 % more.
""".strip()
WRITE_DURABLE = """
It makes the calls that LMDB makes (`strace`): the pages, one `fdatasync`, and the synchronous write of the meta page.
There is one page more, with what the map counts, and the lock of the map. The disk decides the rest: 0.90, 0.92, 0.93
and 1.00 in four runs of 12, 12, 20 and 40 turns.
""".strip()
LIST_STORE = """
A tenth of the time is waited for the disk, which oocmap 0.3 does not do, and a fifth to a half is the kernel's
(`getrusage`): it writes 5 MB, and gives 3,100 pages of memory (8 MB of numbers, 5 MB of LMDB's pages) that are touched
for the first time. Leaves are written as they are packed since 14.1 was measured, which made it 15.0; of the 170
instructions that an integer takes, 64 are Python's own to read it.
""".strip()
LIST_ITERATE = """
The bar is what `array("q")` of Python itself takes, which makes nothing but the integers. The rest is to look, at
each element, whether somebody has changed the list meanwhile; one count for all that this process does, instead of
one for each map, would spare 6 %, and has been left out.
""".strip()

WORKS: dict[str, Work] = {
    work.name: work
    for work in (
        Work(
            "get",
            "`m[k]`, random, small entries",
            reading.get,
            "reads",
            (
                Bar("times", 1.1, "limit"),
                Bar("times", 0.5, "dict"),
                Bar("times", 3, "lmdb"),
                Bar("times", 1.5, "predecessor"),
            ),
            store="small",
        ),
        Work(
            "get-snapshot",
            "the same through a snapshot",
            reading.get_snapshot,
            "reads",
            (Bar("times", 1, "limit"),),
            store="small",
        ),
        Work(
            "get-missing",
            "`m.get(k)`, missing keys",
            reading.missing,
            "reads",
            (Bar("itself", 1),),
            store="small",
            beside="`m[k]`",
        ),
        Work(
            "contains",
            "`k in m`, every second one is",
            reading.contains,
            "reads",
            (Bar("itself", 1),),
            store="small",
            beside="`m[k]`",
        ),
        Work(
            "items",
            "`items()` over small entries",
            reading.items,
            "reads",
            (Bar("times", 1.5, "lmdb"),),
            store="small",
        ),
        Work(
            "processes",
            "2 processes reading at random",
            processes.two_readers,
            "reads",
            (Bar("itself", 1.8),),
            store="small",
            rounds=2,
            beside="one process",
        ),
        Work(
            "get-10m",
            "`m[k]`, random, fifty times as many entries (10 million)",
            reading.get_many,
            "reads",
            (Bar("times", 1, "limit"), Bar("slower", 6)),
            store="many",
            engines=("oocmap", "limit"),
            beside="10,000 entries",
        ),
        Work(
            "field",
            "one nested field of a random document",
            reading.field,
            "documents",
            (Bar("times", 4, "lmdb"), Bar("times", 2, "predecessor")),
            store="documents",
        ),
        Work(
            "document",
            "a whole random document",
            reading.whole,
            "documents",
            (Bar("times", 1.5, "lmdb"), Bar("times", 12, "predecessor")),
            store="documents",
            reads=Share(0.1),
        ),
        Work(
            "change-field",
            "change one nested field, in a transaction of 1,000",
            reading.change,
            "documents",
            (Bar("times", 3, "lmdb"),),
            store="documents",
            spent=CHANGE_FIELD,
        ),
        Work(
            "load-documents",
            "load documents",
            writing.load_documents,
            "documents",
            (Bar("times", 1.3, "lmdb"),),
            kind="documents",
            entries=Share(0.1),
        ),
        Work(
            "load-random",
            "load small entries, random order, one transaction",
            writing.load_random,
            "writes",
            (Bar("times", 1.3, "lmdb"),),
            kind="small",
        ),
        Work(
            "load-sorted",
            "load small entries, sorted order, one transaction",
            writing.load_sorted,
            "writes",
            (Bar("times", 2, "lmdb"),),
            kind="small",
        ),
        Work(
            "load-lines",
            "10 million lines of JSON, random order, with `bulk_load`",
            writing.load_lines,
            "writes",
            (Bar("itself", 3),),
            entries=MANY,
            engines=("oocmap",),
            rounds=1,
            beside="one transaction",
        ),
        Work(
            "write-durable",
            "one durable write",
            writing.write_durable,
            "writes",
            (Bar("times", 0.95, "lmdb"),),
            reads=Share(0.004, 40),
            spent=WRITE_DURABLE,
        ),
        Work(
            "write-threads",
            "durable writes, 8 threads together",
            writing.write_threads,
            "writes",
            (Bar("itself", 4),),
            reads=Share(0.008, 80),
            beside="one thread",
        ),
        Work(
            "write-deferred",
            "plain writes that don't wait for the disk",
            writing.write_deferred,
            "writes",
            (Bar("times", 1, "predecessor"),),
        ),
        Work(
            "list-store",
            "store a list of 1 million ints",
            lists.store,
            "lists",
            (Bar("times", 20, "predecessor"),),
            kind="list",
            entries=LIST_LENGTH,
            spent=LIST_STORE,
        ),
        Work(
            "list-index",
            "its elements at random",
            lists.index,
            "lists",
            (Bar("times", 1.2, "predecessor"),),
            store="list",
        ),
        Work(
            "list-iterate",
            "iterate over it",
            lists.iterate,
            "lists",
            (Bar("times", 5, "predecessor"),),
            store="list",
            spent=LIST_ITERATE,
        ),
        Work(
            "list-append",
            "append one, without waiting for the disk",
            lists.append,
            "lists",
            (Bar("times", 1, "predecessor"),),
            store="list",
            reads=Share(0.1),
        ),
        Work(
            "size-documents",
            "bytes on disk: a document",
            writing.size_documents,
            "sizes",
            (Bar("most", 0.9, "lmdb"),),
            kind="documents",
            unit="bytes",
            rounds=1,
        ),
        Work(
            "size-small",
            "bytes on disk: a small entry",
            writing.size_small,
            "sizes",
            (Bar("below", 70),),
            kind="small",
            unit="bytes",
            rounds=1,
        ),
        Work(
            "size-repeated",
            "bytes on disk: a text of 400 bytes that repeats",
            writing.size_repeated,
            "sizes",
            (Bar("below", 30),),
            kind="repeated",
            unit="bytes",
            rounds=1,
        ),
        Work(
            "open",
            "open a map of 10 GB",
            large.opening,
            "start",
            (Bar("below", 2),),
            store="large",
            engines=("oocmap",),
            unit="ms",
        ),
        Work(
            "memory",
            "memory of its own while reading through 10 GB at random",
            large.memory,
            "start",
            (Bar("below", 64),),
            store="large",
            engines=("oocmap",),
            reads=Share(12.5, 500),
            unit="MB",
            rounds=1,
        ),
        Work(
            "import",
            "import the package",
            processes.importing,
            "start",
            (Bar("below", 30),),
            reads=Share(0.00005, 2),
            unit="ms",
        ),
    )
}


def chosen(patterns: str, names: Iterable[str]) -> list[str]:
    """Return those of some names that a list of names and patterns means: `get,load-*`."""
    names = list(names)
    found: set[str] = set()
    for pattern in patterns.split(","):
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if not matching:
            raise ValueError(f"there is no {pattern!r}, but {', '.join(names)}")
        found.update(matching)
    return [name for name in names if name in found]
