"""What processes and threads did to one map: recorded by them, and checked against every promise of isolation.

Every value is written once, so that whoever reads it names who wrote it.
"""

from __future__ import annotations

import marshal
import random
import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from heapq import heappop, heappush
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from oocmap import OOCMap, Transaction

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

# --- what is recorded ---

Kind = Literal["write", "rollback", "snapshot", "scan", "get", "put"]
# "r" a read, "w" a write, "(" begins a nested transaction, ")" commits it, "x" rolls it back.
# A value of None means that nothing is there.
Step = tuple[str, int, "int | None"]


class Record(NamedTuple):
    """One transaction: a block, a snapshot, or a single plain call."""

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
            if self.chance.random() < 0.1:
                time.sleep(0.005)  # other processes get a turn
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
            steps: list[Step] = [("r", place, popped)]
            if popped is not None:
                steps.append(("w", place, None))
            self.log("get" if popped is None else "put", begin, time.monotonic_ns(), None, steps)

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


# --- who checks ---


class Anomaly(NamedTuple):
    """A promise that was broken."""

    what: str
    record: Record | None
    details: str


class Write(NamedTuple):
    """A value that was committed at a place, in one of the versions from `low` to `high`."""

    low: int
    high: int
    value: int | None
    record: int


class Report(NamedTuple):
    """What a check found."""

    anomalies: list[Anomaly]
    writes: dict[int, list[Write]]
    plain: int
    """How many plain writes there were."""
    placed: int
    """How many of them could only have been one version."""


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


class Place:
    """What was at one place, version after version."""

    def __init__(self, writes: list[Write]) -> None:
        self.writes = sorted(writes, key=lambda write: write.high)
        self.highs = [write.high for write in self.writes]
        self.newest = list(accumulate((write.low for write in self.writes), max))
        self.of_value = {write.value: write for write in writes if write.value is not None}
        deletions = sorted(write for write in writes if write.value is None)
        self.deletion_lows = [write.low for write in deletions]
        self.deletion_highs = list(accumulate((write.high for write in deletions), max))

    def settled(self, version: int) -> int:
        """Return the version in which what is there in this version was written, at the earliest."""
        index = bisect_right(self.highs, version)
        return self.newest[index - 1] if index else -1

    def may_be(self, value: int | None, low: int, high: int) -> bool:
        """Whether the value may have been there in one of the versions from `low` to `high`."""
        if value is None:
            index = bisect_right(self.deletion_lows, high)
            return index > 0 and self.deletion_highs[index - 1] >= self.settled(low)
        write = self.of_value.get(value)
        return write is not None and write.low <= high and self.settled(low) <= write.high

    def expected(self, version: int) -> Write | None:
        """Return the last write that is surely in a version."""
        settled = self.settled(version)
        known = [w for w in self.writes[: bisect_right(self.highs, version)] if w.low == settled]
        return known[-1] if known else None


def check(records: list[Record], before: int, after: int) -> Report:
    """Find everything in a history that no order of its transactions, one after the other, explains.

    The map was empty in version `before`, and `after` is its version in the end. A transaction that wrote is one
    version; snapshots and transactions that only read are of a version. Plain calls have none: the versions that no
    transaction claims are theirs, one each, within what real time and the reads of others leave; a read of what they
    wrote is wrong when no version that is left explains it. Everything else is checked exactly.
    """
    return Check(records, before, after).report()


class Check:
    """One history, while it is checked."""

    def __init__(self, records: list[Record], before: int, after: int) -> None:
        self.records = records
        self.before = before
        self.after = after
        self.anomalies: list[Anomaly] = []
        self.effects = [effects_of(record) for record in records]
        self.bases: list[int | None] = [
            None
            if record.version is None
            else record.version - (record.kind == "write" and bool(effects.writes))
            for record, effects in zip(records, self.effects, strict=True)
        ]
        """The version that each transaction read, where it says so."""
        self.lows = [before] * len(records)
        self.highs = [after] * len(records)
        """What real time leaves for the version that a plain call read."""

    def report(self) -> Report:
        claimed = self.claim()
        self.order()
        plain = [
            i for i, record in enumerate(self.records) if record.kind == "put" and self.effects[i].writes
        ]
        bounds = self.place(plain, claimed)
        places = self.places(bounds)
        self.compare(places)
        return Report(
            self.anomalies,
            {number: place.writes for number, place in places.items()},
            len(plain),
            sum(low == high for low, high in bounds.values()),
        )

    def complain(self, what: str, record: int | None, details: str) -> None:
        self.anomalies.append(Anomaly(what, None if record is None else self.records[record], details))

    def claim(self) -> set[int]:
        """Each version is made by one transaction."""
        claimed: set[int] = set()
        for i, record in enumerate(self.records):
            if record.kind == "write" and self.effects[i].writes:
                if record.version is None or not self.before < record.version <= self.after:
                    self.complain("impossible version", i, f"{record.version}")
                elif record.version in claimed:
                    self.complain("two commits with one version", i, f"{record.version}")
                else:
                    claimed.add(record.version)
        return claimed

    def order(self) -> None:
        """Versions grow with real time."""
        records = self.records
        begins = sorted(range(len(records)), key=lambda i: records[i].begin)
        ends = sorted(range(len(records)), key=lambda i: records[i].end)
        floor, ended = self.before, 0
        for i in begins:
            while ended < len(ends) and records[ends[ended]].end < records[i].begin:
                done = ends[ended]
                made = records[done].kind == "put" and bool(self.effects[done].writes)
                floor = max(floor, records[done].version or self.lows[done] + made)
                ended += 1
            base = self.bases[i]
            if base is None:
                self.lows[i] = floor
            elif base < floor:
                self.complain(
                    "version goes backwards", i, f"it read version {base} after {floor} was acknowledged"
                )
        ceiling, begun = self.after, len(begins) - 1
        for i in reversed(ends):
            while begun >= 0 and records[begins[begun]].begin > records[i].end:
                later = begins[begun]
                base = self.bases[later]
                ceiling = min(ceiling, self.highs[later] if base is None else base)
                begun -= 1
            if self.bases[i] is None:
                self.highs[i] = ceiling - (records[i].kind == "put" and bool(self.effects[i].writes))

    def place(self, plain: list[int], claimed: set[int]) -> dict[int, tuple[int, int]]:
        """Find which versions are left for each plain write, so that each has one of its own."""
        free = [version for version in range(self.before + 1, self.after + 1) if version not in claimed]
        bounds = {i: (self.lows[i] + 1, self.highs[i] + 1) for i in plain}
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for base, effects in zip(self.bases, self.effects, strict=True):
            if base is not None:
                for _, value in effects.reads:
                    if value is not None:
                        first[value] = min(first.get(value, base), base)
                        last[value] = max(last.get(value, base), base)
        spots: dict[int, list[int]] = defaultdict(list)
        for i, effects in enumerate(self.effects):
            for spot in effects.writes:
                spots[spot].append(i)
        alone: set[int] = set()
        taken: set[int] = set()
        while True:
            before = dict(bounds)
            for spot, writers in spots.items():
                self.narrow(spot, writers, bounds, first, last)
            for i, (low, high) in bounds.items():
                if i not in alone:
                    start, stop = bisect_left(free, low), bisect_right(free, high)
                    if start < stop:
                        bounds[i] = (free[start], free[stop - 1])
                        if stop - start == 1 and free[start] not in taken:
                            alone.add(i)
                            taken.add(free[start])
            free = [version for version in free if version not in taken]
            if bounds == before:
                break
        self.match({i: bounds[i] for i in plain if i not in alone}, free)
        return bounds

    def narrow(
        self,
        spot: int,
        writers: list[int],
        bounds: dict[int, tuple[int, int]],
        first: dict[int, int],
        last: dict[int, int],
    ) -> None:
        """Bound the plain writes of one place by what snapshots and transactions saw there."""
        known = []
        for i in writers:
            value = self.effects[i].writes[spot]
            high = bounds[i][1] if i in bounds else self.records[i].version or 0
            known.append((high, -1 if value is None else last.get(value, -1)))
        known.sort()
        highs = [high for high, _ in known]
        seen = list(accumulate((last_seen for _, last_seen in known), max))
        for i in writers:
            if i in bounds:
                low, high = bounds[i]
                value = self.effects[i].writes[spot]
                if value is not None:
                    high = min(high, first.get(value, high))
                earlier = bisect_left(highs, low)
                if earlier:
                    low = max(low, seen[earlier - 1] + 1)
                bounds[i] = (low, high)

    def match(self, bounds: dict[int, tuple[int, int]], free: list[int]) -> None:
        """Give each version that nobody claimed to the plain write that can wait least."""
        waiting = sorted(bounds, key=lambda i: bounds[i], reverse=True)
        ready: list[tuple[int, int]] = []
        for version in free:
            while waiting and bounds[waiting[-1]][0] <= version:
                i = waiting.pop()
                heappush(ready, (bounds[i][1], i))
            while ready and ready[0][0] < version:
                self.complain("no version is left for a plain write", heappop(ready)[1], f"before {version}")
            if ready:
                heappop(ready)
            else:
                self.complain("a version that nobody made", None, f"{version}")
        for i in waiting + [i for _, i in ready]:
            self.complain("no version is left for a plain write", i, f"{bounds[i]}")

    def places(self, bounds: dict[int, tuple[int, int]]) -> dict[int, Place]:
        """Collect what was written where."""
        writes: dict[int, list[Write]] = defaultdict(list)
        for i, (record, effects) in enumerate(zip(self.records, self.effects, strict=True)):
            if effects.writes and (record.version is not None or i in bounds):
                low, high = bounds[i] if i in bounds else (cast("int", record.version),) * 2
                for spot, value in effects.writes.items():
                    writes[spot].append(Write(low, high, value, i))
        spots = set(writes).union(*({spot for spot, _ in effects.reads} for effects in self.effects))
        return {
            spot: Place([Write(self.before, self.before, None, -1), *writes.get(spot, [])]) for spot in spots
        }

    def compare(self, places: dict[int, Place]) -> None:
        """Each read is of what its version holds, and one transaction reads one version."""
        hidden = {
            value: "rolled back" if self.records[i].kind == "rollback" else "undone in its own transaction"
            for i, effects in enumerate(self.effects)
            for value in effects.hidden
        }
        for i, (base, effects) in enumerate(zip(self.bases, self.effects, strict=True)):
            for spot, wrote, found in effects.wrong:
                self.complain("own write not seen", i, f"at {spot}: {found}, not {wrote}")
            low, high = (self.lows[i], self.highs[i]) if base is None else (base, base)
            seen: dict[int, int | None] = {}
            for spot, value in effects.reads:
                if seen.setdefault(spot, value) != value:
                    snapshot = self.records[i].kind in ("snapshot", "scan")
                    what = "snapshot that moves" if snapshot else "read that does not repeat"
                    self.complain(what, i, f"at {spot}: {seen[spot]}, then {value}")
                elif not places[spot].may_be(value, low, high):
                    self.complain(*self.name(i, spot, value, places[spot], low, high, hidden))

    def name(
        self, i: int, spot: int, value: int | None, place: Place, low: int, high: int, hidden: dict[int, str]
    ) -> tuple[str, int, str]:
        """Say what is wrong with a read."""
        record, effects = self.records[i], self.effects[i]
        expected = place.expected(low)
        details = f"at {spot} in version {low}: {value}, not {expected}"
        if value is not None:
            if value in hidden:
                return f"value that was {hidden[value]}", i, details
            written = place.of_value.get(value)
            if written is None:
                return "value that nobody wrote there", i, details
            if written.low > high:
                return "value that was not committed yet", i, details
        if expected is not None and expected.record >= 0:
            also = self.effects[expected.record].writes
            if any(spot != p and v is not None and also.get(p) == v for p, v in effects.reads):
                return "half of a commit", i, details
        if record.kind == "scan" and (value is None or expected is None or expected.value is None):
            return "phantom in a scan", i, details
        if record.kind == "write" and effects.writes:
            return ("lost update" if spot in effects.writes else "write skew"), i, details
        if expected is None or expected.value is None:
            return "deleted value that came back", i, details
        return "stale read", i, details
