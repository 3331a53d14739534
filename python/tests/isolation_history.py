"""Processes and threads that work on one map, and record what they did and saw.

Every value is written once, so that whoever reads it names who wrote it.
"""

from __future__ import annotations

import marshal
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from oocmap import OOCMap, Transaction

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

# --- what is recorded ---

Kind = Literal["write", "rollback", "snapshot", "scan", "get", "put", "vacuum"]
# "r" a read, "w" a write, "(" begins a nested transaction, ")" commits it, "x" rolls it back.
# A value of None means that nothing is there.
Step = tuple[str, int, "int | None"]


class Record(NamedTuple):
    """One transaction: a block, a snapshot, or a single plain call; or a vacuum, which is as many as it likes."""

    process: int
    thread: int
    kind: Kind
    begin: int
    """Nanoseconds of a clock that all processes share, before it was asked for."""
    end: int
    """The same, when its version was known to whoever did it."""
    version: int | None
    """What it committed as or was a snapshot of; what a rolled back one had read; None for a plain call."""
    steps: list[Step]


class Effects(NamedTuple):
    """What a transaction read that was not its own, what it wrote in the end, and what nobody may ever see."""

    reads: list[tuple[int, int | None]]
    writes: dict[int, int | None]
    hidden: list[int]
    wrong: list[tuple[int, int | None, int | None]]
    """Own writes that it did not see: the place, what it wrote, and what it read."""


def effects_of(record: Record) -> Effects:
    """Return what the steps of a transaction come to."""
    reads: list[tuple[int, int | None]] = []
    hidden: list[int] = []
    wrong: list[tuple[int, int | None, int | None]] = []
    levels: list[dict[int, int | None]] = [{}]
    for what, place, value in record.steps:
        if what == "r":
            own = next((level for level in reversed(levels) if place in level), None)
            if own is None:
                reads.append((place, value))
            elif own[place] != value:
                wrong.append((place, own[place], value))
        elif what == "w":
            before = levels[-1].get(place)
            if before is not None:
                hidden.append(before)
            levels[-1][place] = value
        elif what == "(":
            levels.append({})
        else:
            nested = levels.pop()
            if what == "x":
                hidden += [value for value in nested.values() if value is not None]
            else:
                hidden += [cast("int", levels[-1][p]) for p in nested if levels[-1].get(p) is not None]
                levels[-1].update(nested)
    if record.kind == "rollback":
        hidden += [value for value in levels[0].values() if value is not None]
        levels[0] = {}
    return Effects(reads, levels[0], hidden, wrong)


# --- who records ---

FIELDS = 4
PLAIN = range(40)
"""Keys whose value is a number."""
FIXED = range(40, 52)
"""Keys whose value is a dict that stays, and is changed in place."""
REPLACED = range(52, 64)
"""Keys whose value is a dict that is changed in place, replaced and deleted."""


def at(key: int, field: int = 0) -> int:
    """Return the number of a place."""
    return key * 8 + field


PLACES = [at(key) for key in PLAIN] + [
    at(key, field) for key in (*FIXED, *REPLACED) for field in range(FIELDS)
]
STEADY = [place for place in PLACES if place >> 3 not in REPLACED]
"""Places that are reached without a transaction: nobody takes the container away between the two calls."""


def fill(m: OOCMap) -> Record:
    """Store what is there first, in one transaction."""
    begin = time.monotonic_ns()
    with m.transaction() as tx:
        for key in PLAIN:
            tx[key] = -at(key) - 1
        for key in (*FIXED, *REPLACED):
            tx[key] = {field: -at(key, field) - 1 for field in range(FIELDS)}
    steps: list[Step] = [("w", place, -place - 1) for place in PLACES]
    return Record(-1, 0, "write", begin, time.monotonic_ns(), tx.version, steps)


def read(source: Any, place: int) -> Any:
    """Return what is at a place."""
    found = source.get(place >> 3)
    return found if place >> 3 in PLAIN or found is None else found.get(place & 7)


class Worker:
    """One thread, and what it recorded."""

    def __init__(self, m: OOCMap, process: int, thread: int, seed: int) -> None:
        self.m = m
        self.process = process
        self.thread = thread
        self.written = 0
        self.chance = random.Random(f"{seed} {process} {thread}")
        self.records: list[Record] = []

    def value(self) -> int:
        """Return a number that nobody else has written or will."""
        self.written += 1
        return (self.written * 100 + self.process) * 100 + self.thread

    def log(self, kind: Kind, begin: int, end: int, version: int | None, steps: list[Step]) -> None:
        self.records.append(Record(self.process, self.thread, kind, begin, end, version, steps))

    def run(self, transactions: int) -> None:
        """Do and record so many transactions of all kinds."""
        while len(self.records) < transactions:
            what = self.chance.random()
            if what < 0.33:
                self.transaction()
            elif what < 0.40:
                place = self.chance.choice(STEADY)
                self.snapshot([place])  # one before and one after: they bound the version of what has none
                self.put(place)
                self.snapshot([place])
            elif what < 0.77:
                self.snapshot(self.chance.choices(PLACES, k=self.chance.randint(2, 5)))
            elif what < 0.99:
                self.get(self.chance.choice(STEADY))
            else:
                self.scan()

    def snapshot(self, places: list[int]) -> None:
        """Read some places twice."""
        begin = time.monotonic_ns()
        with self.m.snapshot() as s:
            end = time.monotonic_ns()
            steps: list[Step] = [("r", place, read(s, place)) for place in places]
            if len(places) > 1:
                if self.chance.random() < 0.05:
                    time.sleep(0.002)  # long enough for others to commit
                steps += [("r", place, read(s, place)) for place in places]
            version = s.version
        self.log("snapshot", begin, end, version, steps)

    def scan(self) -> None:
        """Read everything of a snapshot, whatever is there."""
        begin = time.monotonic_ns()
        with self.m.snapshot() as s:
            end = time.monotonic_ns()
            found = dict.fromkeys(PLACES)
            for key, value in s.items():
                if key in PLAIN:
                    found[at(key)] = value
                else:
                    found.update((at(key, field), inner) for field, inner in value.items())
            version = s.version
        self.log("scan", begin, end, version, [("r", place, value) for place, value in found.items()])

    def get(self, place: int) -> None:
        """Read a place without a snapshot."""
        begin = time.monotonic_ns()
        value = read(self.m, place)
        self.log("get", begin, time.monotonic_ns(), None, [("r", place, value)])

    def put(self, place: int) -> None:
        """Change a place without a transaction."""
        key, field = place >> 3, place & 7
        target, name = (self.m, key) if key in PLAIN else (self.m[key], field)
        if self.chance.random() < 0.75:
            value = self.value()
            begin = time.monotonic_ns()
            target[name] = value
            self.log("put", begin, time.monotonic_ns(), None, [("w", place, value)])
        else:
            begin = time.monotonic_ns()
            popped = target.pop(name, None)
            end = time.monotonic_ns()
            steps: list[Step] = [("r", place, popped)]
            if popped is not None:
                steps.append(("w", place, None))
            self.log("put", begin, end, None, steps)

    def transaction(self) -> None:
        """Read and write in a transaction, which may nest and may be rolled back."""
        steps: list[Step] = []
        chance = self.chance.random()
        seen: int | None = None
        begin = time.monotonic_ns()
        with self.m.transaction() as tx:
            if chance < 0.15:
                steps += [("r", place, read(tx, place)) for place in self.chance.choices(PLACES, k=4)]
            else:
                for _ in range(self.chance.randint(1, 3)):
                    if self.chance.random() < 0.1:
                        self.nest(tx, steps)
                    else:
                        self.change(tx, steps)
            if chance > 0.88:
                with self.m.snapshot() as s:  # nobody else commits now, so this is what it has read
                    seen = s.version
                tx.rollback()
        end = time.monotonic_ns()
        assert (tx.version is None) == (seen is not None)
        self.log("write" if seen is None else "rollback", begin, end, tx.version or seen, steps)

    def nest(self, tx: Transaction, steps: list[Step]) -> None:
        """Change something in a nested transaction."""
        steps.append(("(", 0, None))
        start = len(steps)
        with tx.transaction() as inner:
            self.change(inner, steps)
            undone = self.chance.random() < 0.5
            if undone:
                inner.rollback()
        steps.append(("x" if undone else ")", 0, None))
        steps += [("r", place, read(tx, place)) for _, place, _ in steps[start:-1]]

    def change(self, tx: Transaction, steps: list[Step]) -> None:
        """Read, write or delete some place, or a whole container."""
        what = self.chance.random()
        place = self.chance.choice(PLACES)
        key, field = place >> 3, place & 7
        if key in REPLACED and what > 0.7:
            inside = [at(key, field) for field in range(FIELDS)]
            if what > 0.85:
                if tx.pop(key, None) is not None:
                    steps += [("w", place, None) for place in inside]
            else:
                tx[key] = values = {
                    field: self.value() for field in range(FIELDS) if self.chance.random() < 0.7
                }
                steps += [("w", place, values.get(place & 7)) for place in inside]
            return
        if what < 0.7:  # most are told what was there, as an increment is
            steps.append(("r", place, read(tx, place)))
        if what < 0.2:
            return
        container = tx.get(key)
        if what > 0.85:
            popped = container
            if key in PLAIN:
                tx.pop(key, None)
            elif container is not None:
                popped = container.pop(field, None)
            steps.append(("r", place, popped))
            if popped is not None:
                steps.append(("w", place, None))
            return
        value = self.value()
        if key in PLAIN:
            tx[key] = value
        elif container is None:
            tx[key] = {field: value}
        else:
            container[field] = value
        steps.append(("w", place, value))
        if what > 0.6:
            steps.append(("r", place, read(tx, place)))


def work(
    path: str,
    durability: Any,
    process: int,
    threads: int,
    transactions: int,
    seed: int,
    log: str,
    start: Barrier,
) -> None:
    """Be one process of several: run so many transactions in each thread, and write them to a file."""
    with OOCMap(path, durability=durability) as m:
        workers = [Worker(m, process, thread, seed) for thread in range(threads)]
        start.wait(60)
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(worker.run, transactions) for worker in workers]:
                done.result()
    lists = [[tuple(record) for record in worker.records] for worker in workers]
    Path(log).write_bytes(marshal.dumps(lists))


def load(log: Path) -> list[Record]:
    """Return what a process has written to its file."""
    return [Record(*record) for records in marshal.loads(log.read_bytes()) for record in records]
