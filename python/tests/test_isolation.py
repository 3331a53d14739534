"""Transactions are strictly serialisable: versions are their order, in every process and thread.

Processes and threads record what they did and saw (`isolation_history`); `isolation_check` finds what no order explains.
That it does find it is shown by histories in which one thing was changed.
"""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from isolation_check import Report, Write, check
from isolation_history import Kind, Record, Step, effects_of
from isolation_runs import THREADS, History, recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TRANSACTIONS = int(os.environ.get("OOCMAP_TRANSACTIONS", "200000"))
PROCESSES = 4


@pytest.mark.parametrize("durability", ["nometasync", "sync"])
def test_every_history_has_an_order(tmp_path: Path, durability: str) -> None:
    transactions = TRANSACTIONS if durability == "nometasync" else TRANSACTIONS // 10
    history = recorded(tmp_path, durability, PROCESSES, transactions)
    report = history.check()
    kinds = Counter(record.kind for record in history.records)
    print(
        f"{dict(kinds)}; {report.plain} plain writes made {report.versions} versions; {report.placed} have one version "
        f"only, which {report.shared} of these share; at most {report.widest} outcomes were possible at once"
    )
    made = sorted(
        (record.version or 0, record.process) for record in history.records if record.kind == "write"
    )
    turns = sum(first != second for (_, first), (_, second) in itertools.pairwise(made))
    print(f"{turns} of {len(made)} transactions followed one of another process")
    assert report.anomalies == []
    assert turns > len(made) // 2
    assert report.plain > report.versions, "no plain writes were committed together"
    assert len(history.records) >= transactions - PROCESSES * THREADS
    assert {"write", "rollback", "snapshot", "scan", "get", "put"} <= set(kinds)


# --- the check finds what is wrong ---


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Record a small history, in which there is nothing to find."""
    history = recorded(tmp_path_factory.mktemp("clean"), "nometasync", 2, 8_000)
    assert history.check().anomalies == []
    return history


@pytest.fixture(scope="module")
def report(clean: History) -> Report:
    return clean.check()


class Found(NamedTuple):
    """A read in a clean history."""

    number: int
    record: Record
    place: int
    value: int | None
    base: int
    past: list[Write]
    """What was at the place before, the oldest first, up to what was read."""
    future: list[Write]


def found(clean: History, report: Report, *kinds: str) -> Iterator[Found]:
    """Yield what snapshots and transactions read that was not their own, where all versions are known."""
    for index, record in enumerate(clean.records):
        if record.kind in kinds and record.version is not None:
            effects = effects_of(record)
            base = record.version - (record.kind == "write" and bool(effects.writes))
            for place, value in dict(effects.reads).items():
                writes = report.writes[place]
                if all(write.low == write.high for write in writes):
                    past = [write for write in writes if write.high <= base]
                    yield Found(index, record, place, value, base, past, writes[len(past) :])


def alone(clean: History, write: Write, kind: str = "write") -> bool:
    """Whether a write changed one place only."""
    record = clean.records[write.record]
    return write.record >= 0 and record.kind == kind and len(effects_of(record).writes) == 1


def with_read(record: Record, place: int, value: int | None) -> Record:
    """Return a record whose reads of a place gave another value."""
    return record._replace(
        steps=[(what, at, value if (what, at) == ("r", place) else was) for what, at, was in record.steps]
    )


Plant = tuple[int, Record]
Planter = tuple[str, "Callable[[History, Report], Iterator[Plant]]"]
PLANTS: dict[str, Planter] = {}


def plant(complaint: str) -> Callable[[Any], Any]:
    """Remember what makes an anomaly, and what is to be said about it."""

    def remember(function: Any) -> Any:
        PLANTS[function.__name__] = (complaint, function)
        return function

    return remember


def older(clean: History, report: Report, *kinds: str) -> Iterator[tuple[Found, Write]]:
    """Yield reads for which there is an older value, written over by someone who changed nothing else."""
    for read in found(clean, report, *kinds):
        if len(read.past) > 2 and alone(clean, read.past[-1]) and read.past[-2].value != read.value:
            yield read, read.past[-2]


@plant("lost update")
def lost_update(clean: History, report: Report) -> Iterator[Plant]:
    for read, write in older(clean, report, "write"):
        if read.place in effects_of(read.record).writes and write.value is not None:
            steps = [
                (w, p, write.value if (w, p, v) == ("r", read.place, read.value) else v)
                for w, p, v in read.record.steps
            ]
            yield read.number, read.record._replace(steps=steps)


@plant("write skew")
def write_skew(clean: History, report: Report) -> Iterator[Plant]:
    for read, write in older(clean, report, "write"):
        writes = effects_of(read.record).writes
        if writes and not any(step[:2] == ("w", read.place) for step in read.record.steps):
            yield read.number, with_read(read.record, read.place, write.value)


@plant("stale read")
def stale_read_after_an_acknowledged_commit(clean: History, report: Report) -> Iterator[Plant]:
    for read, write in older(clean, report, "snapshot"):
        acknowledged = clean.records[read.past[-1].record].end < read.record.begin
        if acknowledged and write.value is not None and read.value is not None:
            yield read.number, with_read(read.record, read.place, write.value)


@plant("stale read")
def stale_read_without_a_snapshot(clean: History, report: Report) -> Iterator[Plant]:
    for index, record in enumerate(clean.records):
        if record.kind == "get" and record.steps[0][2] is not None:
            place = record.steps[0][1]
            writes = report.writes[place]
            ended = [w for w in writes if w.record < 0 or clean.records[w.record].end < record.begin]
            if (
                len(ended) > 3
                and alone(clean, ended[-1])
                and ended[-1].value is not None
                and ended[-3].value is not None
                and ended == writes[: len(ended)]
                and all(clean.records[write.record].begin > record.end for write in writes[len(ended) :])
            ):
                yield index, with_read(record, place, ended[-3].value)


@plant("no version is left for a plain write")
def stale_read_after_an_acknowledged_plain_write(clean: History, report: Report) -> Iterator[Plant]:
    for read in found(clean, report, "snapshot"):
        if len(read.past) > 1 and alone(clean, read.past[-1], "put") and alone(clean, read.past[-2]):
            first, second = (clean.records[write.record] for write in read.past[-2:])
            in_turn = first.end < second.begin and second.end < read.record.begin
            if in_turn and read.past[-2].value is not None:
                yield read.number, with_read(read.record, read.place, read.past[-2].value)


@plant("deleted value that came back")
def deleted_value(clean: History, report: Report) -> Iterator[Plant]:
    for read, write in older(clean, report, "snapshot"):
        if read.value is None and write.value is not None:
            yield read.number, with_read(read.record, read.place, write.value)


@plant("phantom in a scan")
def phantom(clean: History, report: Report) -> Iterator[Plant]:
    for read, write in older(clean, report, "scan"):
        if (read.value is None) != (write.value is None):
            yield read.number, with_read(read.record, read.place, write.value)


@plant("half of a commit")
def torn_commit(clean: History, report: Report) -> Iterator[Plant]:
    for read in found(clean, report, "scan"):
        if len(read.past) > 2 and read.value is not None:
            other = effects_of(clean.records[read.past[-1].record]).writes.items()
            steps = {step[1:] for step in read.record.steps}
            if any(place != read.place and value and (place, value) in steps for place, value in other):
                yield read.number, with_read(read.record, read.place, read.past[-2].value)


@plant("value that was not committed yet")
def dirty_read(clean: History, report: Report) -> Iterator[Plant]:
    for read in found(clean, report, "snapshot", "scan"):
        if read.future and read.future[0].value is not None and alone(clean, read.future[0]):
            yield read.number, with_read(read.record, read.place, read.future[0].value)


def hidden(clean: History, kind: str) -> dict[int, int]:
    """Return by place what was written there and undone."""
    return {
        place: value
        for record in clean.records
        if record.kind == kind
        for what, place, value in record.steps
        if what == "w" and value is not None and value in effects_of(record).hidden
    }


@plant("value that was rolled back")
def rolled_back_value(clean: History, report: Report) -> Iterator[Plant]:
    values = hidden(clean, "rollback")
    for read in found(clean, report, "snapshot"):
        if read.place in values:
            yield read.number, with_read(read.record, read.place, values[read.place])


@plant("value that was undone in its own transaction")
def undone_value(clean: History, report: Report) -> Iterator[Plant]:
    values = hidden(clean, "write")
    for read in found(clean, report, "snapshot"):
        if read.place in values:
            yield read.number, with_read(read.record, read.place, values[read.place])


@plant("value that nobody wrote there")
def value_of_nobody(clean: History, report: Report) -> Iterator[Plant]:
    for read in found(clean, report, "snapshot"):
        yield read.number, with_read(read.record, read.place, -1_000_000)


@plant("snapshot that moves")
def moving_snapshot(clean: History, report: Report) -> Iterator[Plant]:
    for read in found(clean, report, "snapshot"):
        if read.future and read.future[0].value != read.value and len(read.record.steps) > 2:
            steps = list(read.record.steps)
            last = max(number for number, step in enumerate(steps) if step[1] == read.place)
            steps[last] = ("r", read.place, read.future[0].value)
            yield read.number, read.record._replace(steps=steps)


@plant("read that does not repeat")
def read_that_does_not_repeat(clean: History, report: Report) -> Iterator[Plant]:
    for read in found(clean, report, "write"):
        if len(read.past) > 1 and read.value not in (None, read.past[-2].value):
            steps = list(read.record.steps)
            first = steps.index(("r", read.place, read.value))
            steps.insert(first + 1, ("r", read.place, read.past[-2].value))
            yield read.number, read.record._replace(steps=steps)


@plant("own write not seen")
def own_write_not_seen(clean: History, _report: Report) -> Iterator[Plant]:
    for index, record in enumerate(clean.records):
        for number, (before, step) in enumerate(itertools.pairwise(record.steps)):
            if before[0] == "w" and step[0] == "r" and before[1:] == step[1:] and step[2] is not None:
                steps = list(record.steps)
                steps[number + 1] = ("r", step[1], None)
                yield index, record._replace(steps=steps)


def commits(clean: History) -> list[tuple[int, Record]]:
    """Return the transactions that made a version, by their place in the history."""
    return [(i, r) for i, r in enumerate(clean.records) if r.kind == "write" and effects_of(r).writes and i]


@plant("two commits with one version")
def one_version_twice(clean: History, _report: Report) -> Iterator[Plant]:
    made = commits(clean)
    for (_, first), (index, second) in itertools.pairwise(made):
        yield index, second._replace(version=first.version)


@plant("a version that nobody made")
def commit_that_was_not_asked_for(clean: History, _report: Report) -> Iterator[Plant]:
    within = bridged(clean)
    for index, record in commits(clean):
        if record.version not in within:  # or a plain write could have made it
            yield index, record._replace(kind="rollback", version=(record.version or 0) - 1)


@plant("impossible version")
def commit_that_is_not_there(clean: History, _report: Report) -> Iterator[Plant]:
    for index, record in commits(clean):
        yield index, record._replace(version=clean.after + 1)


@plant("version goes backwards")
def version_older_than_one_that_was_acknowledged(clean: History, _report: Report) -> Iterator[Plant]:
    versions = sorted((r.end, r.version) for _, r in commits(clean))
    for index, record in enumerate(clean.records):
        if record.kind == "snapshot" and record.begin > versions[20][0]:
            known = max(version or 0 for end, version in versions if end < record.begin)
            yield index, record._replace(version=known - 1)


@plant("version goes backwards")
def commit_before_one_that_it_followed(clean: History, _report: Report) -> Iterator[Plant]:
    made = commits(clean)
    for index, record in made:
        later = [other for _, other in made if other.begin > record.end]
        newest = max((other.version or 0 for other in later), default=0) - 1
        if newest > (record.version or 0):
            yield index, record._replace(version=newest)


@plant("no version is left for a plain write")
def plain_write_that_others_saw_before(clean: History, _report: Report) -> Iterator[Plant]:
    end = max(record.end for record in clean.records)
    for index, record in enumerate(clean.records):
        if record.kind == "put" and effects_of(record).writes:
            yield index, record._replace(begin=end + 1, end=end + 2)


@plant("no version is left for a plain write")
def plain_write_that_was_lost(clean: History, report: Report) -> Iterator[Plant]:
    """Acknowledge a plain write that made no version, where someone saw later that it is not there."""
    saw: dict[int, dict[int | None, int]] = {}
    for read in found(clean, report, "snapshot", "scan"):
        if read.value is not None and read.past[-1].value == read.value:
            times = saw.setdefault(read.place, {})
            times[read.value] = max(times.get(read.value, 0), read.record.begin)
    for index, record in enumerate(clean.records):
        lost = record._replace(kind="put", version=None)
        if record.kind == "rollback" and len(effects_of(lost).writes) == 1:
            for place in effects_of(lost).writes:
                past = [write for write in report.writes[place] if write.high <= (record.version or 0)]
                ended = clean.records[past[-1].record].end < record.begin
                if ended and saw.get(place, {}).get(past[-1].value, 0) > record.end:
                    yield index, lost


def plain_writes(clean: History) -> dict[int, set[int]]:
    """Return each plain write with the versions that may be its own, for all that its own thread knows."""
    free = set(range(clean.before + 1, clean.after + 1)) - {record.version for _, record in commits(clean)}
    free.discard(clean.records[0].version or 0)
    records = clean.records
    return {
        i: free.intersection(range((records[i - 1].version or 0) + 1, (records[i + 1].version or 0) + 1))
        for i, record in enumerate(records)
        if record.kind == "put" and effects_of(record).writes
    }


def bridged(clean: History) -> set[int]:
    """Return the versions between those that a thread knew before and after a plain write."""
    records = clean.records
    return {
        version
        for i in plain_writes(clean)
        for version in range((records[i - 1].version or 0) + 1, (records[i + 1].version or 0) + 1)
    }


@plant("plain writes of two processes in one version")
def group_of_two_processes(clean: History, _report: Report) -> Iterator[Plant]:
    """Put a plain write of another process into the version of a group."""
    certain: dict[int, list[int]] = {}
    for index, versions in plain_writes(clean).items():
        if len(versions) == 1:
            certain.setdefault(min(versions), []).append(index)
    for together in certain.values():
        for index in together[1:]:
            yield index, clean.records[index]._replace(process=9)


@plant("a version that nobody made")
def version_without_its_plain_write(clean: History, _report: Report) -> Iterator[Plant]:
    """Take away the only plain write of a version."""
    able: dict[int, list[int]] = {}
    for index, versions in plain_writes(clean).items():
        for version in versions:
            able.setdefault(version, []).append(index)
    for only in able.values():
        if len(only) == 1:
            yield only[0], clean.records[only[0]]._replace(steps=[])


@plant("no version is left for a plain write")
def write_lost_in_its_group(clean: History, report: Report) -> Iterator[Plant]:
    """Let a snapshot see what was there before the last write of a group for a place."""
    groups = Counter(min(versions) for versions in plain_writes(clean).values() if len(versions) == 1)
    for read in found(clean, report, "snapshot", "scan"):
        if len(read.past) > 1 and alone(clean, read.past[-1], "put"):
            before, last = read.past[-2:]
            if groups[last.low] > 1 and before.low < last.low and before.value is not None:
                yield read.number, with_read(read.record, read.place, before.value)


@pytest.mark.parametrize("kind", PLANTS)
def test_each_kind_of_anomaly_is_found(clean: History, report: Report, kind: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    complaint, planter = PLANTS[kind]
    plants = list(itertools.islice(planter(clean, report), 200))
    assert plants, "this history has no place for it"
    for index, record in random.Random(seed).sample(plants, min(3, len(plants))):
        assert record != clean.records[index]
        records = [*clean.records[:index], record, *clean.records[index + 1 :]]
        anomalies = check(records, clean.before, clean.after).anomalies
        assert complaint in {anomaly.what for anomaly in anomalies}, (clean.records[index], record, anomalies)


def test_a_commit_that_is_missing_is_found(clean: History) -> None:
    within = bridged(clean)
    for index, _ in random.sample([(i, r) for i, r in commits(clean) if r.version not in within], 3):
        records = [*clean.records[:index], *clean.records[index + 1 :]]
        whats = {anomaly.what for anomaly in check(records, clean.before, clean.after).anomalies}
        assert "a version that nobody made" in whats


# --- small histories: after version 1 all calls overlap, unless they say when they were ---

X, Y = 0, 8
NUMBERS = itertools.count()
"""Each call is in a thread of its own."""


def call(process: int, *steps: Step, begin: int = 10, end: int = 90, kind: Kind = "put") -> Record:
    return Record(process, next(NUMBERS), kind, begin, end, None, list(steps))


def put(process: int, place: int, value: int, begin: int = 10, end: int = 90) -> Record:
    return call(process, ("w", place, value), begin=begin, end=end)


def pop(process: int, place: int, value: int | None) -> Record:
    steps: list[Step] = [("r", place, value)]
    return call(process, *steps, *([("w", place, None)] if value is not None else []))


def get(place: int, value: int | None, begin: int, end: int) -> Record:
    return call(3, ("r", place, value), begin=begin, end=end, kind="get")


def seen(version: int, place: int, value: int | None, begin: int = 95) -> Record:
    return Record(3, 99, "snapshot", begin, begin + 1, version, [("r", place, value)])


def vacuumed(begin: int, end: int) -> Record:
    return call(4, begin=begin, end=end, kind="vacuum")


NOBODY = "a version that nobody made"
NO_ORDER = "a read that no order of plain writes explains"
NO_WRITE = "no version is left for a plain write"
NO_READ = "no version is left for a plain read"
TWO = "plain writes of two processes in one version"
SMALL: dict[str, tuple[int, list[Record], str | None]] = {
    "together": (2, [put(0, X, 5), put(0, Y, 6), seen(2, X, 5)], None),
    "apart": (3, [put(0, X, 5), put(0, Y, 6), seen(3, X, 5)], None),
    "of two processes": (2, [put(0, X, 5), put(1, Y, 6)], TWO),
    "of three processes in two": (3, [put(0, X, 5), put(1, Y, 6), put(2, X, 7)], NO_WRITE),
    "of two processes in two": (3, [put(0, X, 5), put(1, Y, 6), put(0, X, 7)], None),
    "two versions of one write": (3, [put(0, X, 5)], NOBODY),
    "one after the other": (2, [put(0, X, 5, 10, 20), put(0, Y, 6, 30, 40)], NO_WRITE),
    "the last wins": (2, [put(0, X, 5), put(0, X, 6), seen(2, X, 6)], None),
    "neither wins": (2, [put(0, X, 5), put(0, X, 6), seen(2, X, 1)], NO_WRITE),
    "what is popped in between": (2, [put(0, X, 5), pop(0, X, 5), put(0, X, 6), seen(2, X, 6)], None),
    "popped and there": (2, [put(0, X, 5), pop(0, X, 5), put(0, X, 6), seen(2, X, 5)], NO_ORDER),
    "popped twice": (2, [pop(0, X, 1), pop(0, X, 1)], NO_WRITE),
    "popped by nobody": (2, [put(0, Y, 6), pop(0, X, 1), seen(2, X, 1)], NO_WRITE),
    "nothing to pop": (2, [pop(0, X, 1), pop(0, X, None), put(0, X, 5), seen(2, X, 5)], None),
    "nothing, in another process": (2, [pop(0, X, 1), pop(1, X, None), put(0, X, 5), seen(2, X, 5)], NO_READ),
    "old, then new": (2, [put(0, X, 5), get(X, 1, 20, 30), get(X, 5, 40, 50)], None),
    "new, then old": (2, [put(0, X, 5), get(X, 5, 20, 30), get(X, 1, 40, 50)], NO_READ),
    "of a vacuum": (3, [put(0, X, 5, 30, 40), vacuumed(10, 50), seen(3, X, 5)], None),
    "of a vacuum before": (3, [vacuumed(10, 20), put(0, X, 5, 30, 40), seen(2, X, 5)], NOBODY),
    "after a vacuum": (3, [put(0, X, 5, 30, 40), seen(2, X, 5, 50), vacuumed(10, 45), seen(3, X, 5)], NOBODY),
    "popped by a vacuum": (2, [vacuumed(10, 20), seen(2, X, None)], "stale read"),
    "inside a group": (2, [put(0, X, 5), put(0, X, 6), get(X, 5, 20, 30), seen(2, X, 6)], NO_ORDER),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_history(name: str) -> None:
    after, records, complaint = SMALL[name]
    first = Record(-1, 0, "write", 0, 1, 1, [("w", X, 1), ("w", Y, 2)])
    anomalies = {anomaly.what for anomaly in check([first, *records], 0, after).anomalies}
    assert (complaint in anomalies) if complaint else not anomalies, anomalies
