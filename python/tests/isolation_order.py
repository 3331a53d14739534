"""Search for an order of plain calls within the versions that are left to them, which explains every read."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from isolation_history import Effects, Record


class Call(NamedTuple):
    """A plain call, which does not say its version."""

    process: int
    begin: int
    grouped: bool
    """Whether it goes through a version of its process as writes do, even if it changed nothing."""
    low: int
    """The first version that a write may have made, or that something else may have read."""
    high: int
    reads: list[tuple[int, int | None]]
    writes: dict[int, int | None]
    after: list[int]
    """Of each thread, the last plain call that had ended before this one began."""


# The calls that are done, and what is elsewhere than `Order.values` has it.
State = tuple["frozenset[int]", "frozenset[tuple[int, int | None]]"]


class Unexplained(NamedTuple):
    """Where every order that was left has failed."""

    what: str
    record: int | None
    version: int


def plain_calls(
    records: list[Record], effects: list[Effects], windows: dict[int, tuple[int, int]]
) -> dict[int, Call]:
    """Return the plain calls of a history by their number, with what surely came before each of them."""
    threads: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i in sorted(windows, key=lambda i: records[i].begin):
        threads[records[i].process, records[i].thread].append(i)
    ended = [(calls, [records[i].end for i in calls]) for calls in threads.values()]
    found = {}
    for i, (low, high) in windows.items():
        record = records[i]
        counts = [(calls, bisect_left(ends, record.begin)) for calls, ends in ended]
        after = [calls[count - 1] for calls, count in counts if count]
        found[i] = Call(
            record.process,
            record.begin,
            record.kind == "put",
            low,
            high,
            effects[i].reads,
            effects[i].writes,
            [before for before in after if windows[before][1] >= low - 1],
        )
    return found


class Order:
    """All orders of the plain calls that are possible up to a version, one state for each outcome.

    Transactions write as what they say; each other version is made by at least one plain write, all of one process, one
    after the other. What reads without a version does so as soon as what it found is there, and everything that ended
    before it began is done: it changes nothing, so that no later moment could serve better.
    """

    def __init__(
        self,
        calls: dict[int, Call],
        commits: dict[int, dict[int, int | None]],
        observed: dict[int, list[tuple[int, list[tuple[int, int | None]]]]],
        silent: set[int],
    ) -> None:
        self.calls = calls
        self.commits = commits
        """What the transaction wrote that a version belongs to."""
        self.observed = observed
        """By version, who read it, and what they found."""
        self.silent = silent
        """The versions in which nothing need have changed."""
        self.values: dict[int, int | None] = {}
        self.deviating: set[int] = set()
        self.states: set[State] = {(frozenset(), frozenset())}
        self.finished: set[int] = set()
        """The calls that are done in all states."""
        self.widest = 1

    def search(self, before: int, after: int) -> Unexplained | None:
        """Go through all versions; return where no order is left."""
        writes: dict[int, list[int]] = defaultdict(list)
        reads: dict[int, list[int]] = defaultdict(list)
        due: dict[int, list[int]] = defaultdict(list)
        for i, call in self.calls.items():
            (writes if call.writes else reads)[call.low].append(i)
            due[call.high].append(i)
        writers: list[int] = []
        readers: list[int] = []
        for version in range(before, after + 1):
            writers = [i for i in (*writers, *writes[version]) if i not in self.finished]
            if version in self.commits:
                self.commit(self.commits[version])
            elif version > before:
                popping = [i for i in readers if self.calls[i].grouped and i not in self.finished]
                made = {new for state in self.states for new in self.groups(state, writers + popping)}
                self.states = made | (self.states if version in self.silent else set())
                if not self.states:
                    return Unexplained("a version that nobody made", None, version)
            for i in due[version]:
                if self.calls[i].writes and not self.is_done(i):
                    return Unexplained("no version is left for a plain write", i, version)
            self.tidy()
            new = [i for i in (*readers, *reads[version]) if i not in self.finished]
            readers = sorted(new, key=lambda i: self.calls[i].begin)
            for i in readers:
                self.let_read(i)
            for i in due[version]:
                if not self.is_done(i):
                    return Unexplained("no version is left for a plain read", i, version)
            for i, found in self.observed.get(version, ()):
                if not self.keep(found):
                    return Unexplained("a read that no order of plain writes explains", i, version)
            self.tidy()
        return None

    def is_done(self, number: int) -> bool:
        """Keep the states in which a call is done; whether there are any."""
        if number not in self.finished:
            self.states = {state for state in self.states if number in state[0]}
        return bool(self.states)

    def matches(self, state: State, found: Iterable[tuple[int, int | None]]) -> bool:
        """Whether this is what is there."""
        elsewhere = dict(state[1])
        return all(elsewhere.get(place, self.values.get(place)) == value for place, value in found)

    def is_ready(self, state: State, call: Call) -> bool:
        """Whether everything is done that ended before a call began."""
        return all(i in self.finished or i in state[0] for i in call.after)

    def commit(self, written: dict[int, int | None]) -> None:
        """Write what a transaction wrote."""
        self.values.update(written)
        if self.deviating & written.keys():
            self.states = {
                (done, frozenset(item for item in elsewhere if item[0] not in written))
                for done, elsewhere in self.states
            }
            self.deviating -= written.keys()

    def groups(self, state: State, calls: list[int]) -> set[State]:
        """Return what a version may leave: plain calls of one process in any order, one of them a write."""
        by_process: dict[int, list[int]] = defaultdict(list)
        for i in calls:
            if i not in state[0] and self.is_ready(state, self.calls[i]):
                by_process[self.calls[i].process].append(i)
        made: set[State] = set()
        for able in by_process.values():
            seen = {state}
            todo = [(state, False)]
            while todo:
                last, wrote = todo.pop()
                if wrote:
                    made.add(last)
                for i in able:
                    call = self.calls[i]
                    if i not in last[0] and self.matches(last, call.reads):
                        new = self.after(last, i, call)
                        if new not in seen:
                            seen.add(new)
                            todo.append((new, wrote or bool(call.writes)))
        return made

    def after(self, state: State, number: int, call: Call) -> State:
        """Return what a call leaves."""
        elsewhere = state[1]
        if call.writes:
            changed = {**dict(elsewhere), **call.writes}
            elsewhere = frozenset(item for item in changed.items() if self.values.get(item[0]) != item[1])
        return state[0] | {number}, elsewhere

    def let_read(self, number: int) -> None:
        """Let a call that changes nothing read what is there, if that is what it found."""
        call = self.calls[number]
        self.states = {
            (state[0] | {number}, state[1])
            if self.matches(state, call.reads) and self.is_ready(state, call)
            else state
            for state in self.states
        }
        if all(number in done for done, _ in self.states):
            self.finish({number})

    def keep(self, found: list[tuple[int, int | None]]) -> bool:
        """Keep the states in which this is what is there; whether there are any."""
        for place, value in found:
            if place in self.deviating:
                self.states = {state for state in self.states if self.matches(state, [(place, value)])}
            elif self.values.get(place) != value:
                return False
        return bool(self.states)

    def finish(self, calls: set[int] | frozenset[int]) -> None:
        """Forget calls that are done in all states."""
        self.finished |= calls
        self.states = {(done - calls, elsewhere) for done, elsewhere in self.states}

    def tidy(self) -> None:
        """Take what is the same in all states out of them."""
        self.widest = max(self.widest, len(self.states))
        done = frozenset.intersection(*(done for done, _ in self.states))
        if done:
            self.finish(done)
        same = frozenset.intersection(*(elsewhere for _, elsewhere in self.states))
        if same:
            self.values.update(same)
            self.states = {(done, elsewhere - same) for done, elsewhere in self.states}
        self.deviating = {place for _, elsewhere in self.states for place, _ in elsewhere}
