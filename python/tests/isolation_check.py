"""What a history of processes and threads on one map breaks of the promises of isolation."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from itertools import accumulate
from typing import NamedTuple, cast

from isolation_history import Record, effects_of
from isolation_order import Order, plain_calls


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
    versions: int
    """How many versions no transaction claims, all of which plain writes made."""
    placed: int
    """How many plain writes could only have been one version."""
    shared: int
    """How many of these were so together with another one."""
    widest: int
    """How many outcomes of plain calls were possible at once, at most."""


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
    """Find what a history has that no order of its transactions, one after the other, explains.

    The map was empty in version `before`, and `after` is its version in the end. A transaction that wrote is one
    version; snapshots and transactions that only read are of a version. Plain calls don't say theirs. Plain writes of
    one process that wait at the same time share one: so each version that no transaction claims is made by one plain
    write or more, all of one process, in some order; each of them is in one version, whole. A vacuum may make any of
    those between what was known before it and after it, which change nothing.

    First each promise is checked by itself, with bounds for what has no version, which gives anomalies their names. Then
    the order is searched for: a history without anomalies has at least one order of everything in it, plain calls
    included, that agrees with the versions, with real time in all processes, and with every read. What can't be seen is
    a fault that another such order hides: that two writes were committed apart instead of together, in which order they
    were in their version when they wrote different places, or that a value was lost which nobody could have seen.
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
        self.silent: set[int] = set()
        """The versions that may be a vacuum's."""

    def report(self) -> Report:
        claimed = self.claim()
        self.order()
        plain = [
            i for i, record in enumerate(self.records) if record.kind == "put" and self.effects[i].writes
        ]
        free = [v for v in range(self.before + 1, self.after + 1) if v not in claimed]
        self.silent = {
            version
            for i, record in enumerate(self.records)
            if record.kind == "vacuum"
            for version in range(self.lows[i] + 1, self.highs[i] + 1)
        }
        bounds = self.place(plain, free)
        places = self.places(bounds)
        self.compare(places)
        widest = 0 if self.anomalies else self.search(bounds, claimed)
        placed = [low for low, high in bounds.values() if low == high]
        return Report(
            self.anomalies,
            {number: place.writes for number, place in places.items()},
            len(plain),
            len(free),
            len(placed),
            sum(count for count in Counter(placed).values() if count > 1),
            widest,
        )

    def complain(self, what: str, record: int | None, details: str) -> None:
        self.anomalies.append(Anomaly(what, None if record is None else self.records[record], details))

    def claim(self) -> dict[int, int]:
        """No version is made by two transactions."""
        claimed: dict[int, int] = {}
        for i, record in enumerate(self.records):
            if record.kind == "write" and self.effects[i].writes:
                if record.version is None or not self.before < record.version <= self.after:
                    self.complain("impossible version", i, f"{record.version}")
                elif record.version in claimed:
                    self.complain("two commits with one version", i, f"{record.version}")
                else:
                    claimed[record.version] = i
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

    def place(self, plain: list[int], free: list[int]) -> dict[int, tuple[int, int]]:
        """Find which versions are left for each plain write, and that there is one for each version."""
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
        owners: dict[int, int] = {}
        processes = {self.records[i].process for i in plain}
        while True:
            before = dict(bounds), len(owners)
            for spot, writers in spots.items():
                self.narrow(spot, writers, bounds, first, last)
            left = {p: [v for v in free if owners.get(v, p) == p] for p in processes}
            for i, (low, high) in bounds.items():
                own = left[self.records[i].process]
                start, stop = bisect_left(own, low), bisect_right(own, high)
                if start < stop:
                    bounds[i] = (own[start], own[stop - 1])
                    if stop - start == 1:
                        owners.setdefault(own[start], self.records[i].process)
            if (bounds, len(owners)) == before:
                break
        made = [0] * (len(free) + 1)
        for i, (low, high) in bounds.items():
            start, stop = bisect_left(free, low), bisect_right(free, high)
            own = left[self.records[i].process]
            if start >= stop:
                self.complain("no version is left for a plain write", i, f"{low} to {high}")
            elif bisect_left(own, low) == bisect_right(own, high):
                self.complain("plain writes of two processes in one version", i, f"{free[start:stop]}")
            else:
                made[start] += 1
                made[stop] -= 1
        for version, count in zip(free, accumulate(made), strict=False):
            if not count and version not in self.silent:
                self.complain("a version that nobody made", None, f"{version}")
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

    def search(self, bounds: dict[int, tuple[int, int]], claimed: dict[int, int]) -> int:
        """Look for an order that explains every read; return how many outcomes were possible at once, at most."""
        windows = {
            i: bounds.get(i) or (self.lows[i], self.highs[i])
            for i, base in enumerate(self.bases)
            if base is None
        }
        observed: dict[int, list[tuple[int, list[tuple[int, int | None]]]]] = defaultdict(list)
        for i, base in enumerate(self.bases):
            if base is not None:
                observed[base].append((i, self.effects[i].reads))
        commits = {version: self.effects[i].writes for version, i in claimed.items()}
        order = Order(plain_calls(self.records, self.effects, windows), commits, observed, self.silent)
        unexplained = order.search(self.before, self.after)
        if unexplained is not None:
            self.complain(unexplained.what, unexplained.record, f"at version {unexplained.version}")
        return order.widest

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
            # A plain write sees what is before it in its own version, too.
            inside = base is None and bool(effects.writes)
            low, high = (self.lows[i], self.highs[i] + inside) if base is None else (base, base)
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
