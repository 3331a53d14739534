"""How time is taken: what a figure is, loops that are the same for all engines, and shares for the slow."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

PASSES = 3
"""How often what is quick is done in one process, after a first time that isn't counted."""
QUICK = 2.0
"""So many seconds is quick."""
FIRST = 200
"""So many entries every engine can load; how many more is tried."""
FEWEST = 5
"""At least so many operations are timed."""

_T = TypeVar("_T")


@dataclass
class Figure:
    """What one measurement has found: seconds or bytes for one operation."""

    value: float
    operations: int
    """Of how many it is the mean."""
    reference: float | None = None
    """The same of what the row compares it with, measured in the same process."""
    reduced: bool = False
    """Whether it was fewer than of others, because the engine is slow."""


@dataclass
class Run:
    """What a worker is told about a measurement."""

    directory: Path
    """Where the store is, or is to be made."""
    count: int
    """How many entries it has."""
    wanted: int
    """How many entries it was meant to have."""
    reads: int
    """How many operations are wanted."""
    patience: float
    """How many seconds a measurement may take; a slow engine does fewer operations."""


def seconds(action: Callable[..., object], *given: object) -> float:
    """Return how long an action takes, without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        action(*given)
        return time.perf_counter() - start
    finally:
        gc.enable()


def per_operation(
    run: Run, action: Callable[[Sequence[_T]], object], operands: Sequence[_T], passes: int = PASSES
) -> Figure:
    """Return the seconds of one operation, which an action does for each of the operands it is given."""
    few = operands[: max(FEWEST, len(operands) // 100)]
    once = 0.0
    tried = FEWEST
    # The slowest engines do one in tens of milliseconds, so the first look is at a handful.
    while True:
        once = seconds(action, few[:tried]) / min(tried, len(few))
        if tried >= len(few) or once * tried * 8 > run.patience / 10:
            break
        tried *= 8
    fitting = max(FEWEST, int(run.patience / once)) if once else len(operands)
    reduced = fitting < len(operands)
    operands = operands[:fitting]
    if once * len(operands) > QUICK:
        passes = 1
    else:
        action(operands)
    best = min(seconds(action, operands) for _ in range(passes))
    return Figure(best / len(operands), len(operands), reduced=reduced)


def in_parts(
    run: Run, action: Callable[[Sequence[_T]], object], operands: Sequence[_T], parts: int = 4
) -> Figure:
    """Return the seconds of one operation, each of which is done only once: the best of several parts."""
    few = operands[:FEWEST]
    once = seconds(action, few) / len(few)
    wanted = len(operands)
    operands = operands[FEWEST : FEWEST + max(FEWEST, int(run.patience / once))]
    size = max(1, len(operands) // parts)
    times = [seconds(action, operands[part * size :][:size]) for part in range(parts)]
    return Figure(min(times) / size, size * parts, reduced=len(operands) + FEWEST < wanted)


# One loop for each way to use an engine: the same few bytecodes around `m[k]` as around a call.


def read_each(reader: Any) -> Callable[[Sequence[int]], None]:
    """Return a loop that reads the values of keys."""

    def subscripts(keys: Sequence[int]) -> None:
        for key in keys:
            reader[key]

    def calls(keys: Sequence[int]) -> None:
        for key in keys:
            reader(key)

    return calls if callable(reader) else subscripts


def read_fields(reader: Any) -> Callable[[Sequence[int]], None]:
    """Return a loop that reads a nested field of documents."""

    def subscripts(keys: Sequence[int]) -> None:
        for key in keys:
            reader[key]["items"][3]["price"]

    def calls(keys: Sequence[int]) -> None:
        for key in keys:
            reader(key)["items"][3]["price"]

    return calls if callable(reader) else subscripts


def find_each(container: Any) -> Callable[[Sequence[int]], None]:
    """Return a loop that asks whether there are keys."""

    def members(keys: Sequence[int]) -> None:
        for key in keys:
            key in container  # noqa: B015

    def calls(keys: Sequence[int]) -> None:
        for key in keys:
            container(key)

    return calls if callable(container) else members


def write_each(writer: Any) -> Callable[[Sequence[tuple[int, Any]]], None]:
    """Return a loop that writes entries, one by one."""

    def assignments(entries: Sequence[tuple[int, Any]]) -> None:
        for key, value in entries:
            writer[key] = value

    def calls(entries: Sequence[tuple[int, Any]]) -> None:
        for key, value in entries:
            writer(key, value)

    return calls if callable(writer) else assignments


def exhaust(iterable: Any) -> None:
    """Walk through something."""
    for _ in iterable:
        pass
