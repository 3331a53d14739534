"""The workloads on one long list of integers."""

from __future__ import annotations

from collections.abc import Sequence

from data import numbers, random_keys
from engine import Engine, as_function
from reading import expect
from timing import Figure, Run, exhaust, in_parts, per_operation, read_each, seconds


def store(run: Run, engine: Engine) -> Figure:
    """Store the list."""
    elements = numbers(run.count)
    took = seconds(lambda: engine.store_list(elements))
    expect(engine, as_function(engine.list_reader())(7), elements[7])
    return Figure(took / run.count, run.count, reduced=run.count < run.wanted)


def index(run: Run, engine: Engine) -> Figure:
    """Read elements at random."""
    reader = engine.list_reader()
    expect(engine, as_function(reader)(7), numbers(run.count)[7])
    return per_operation(run, read_each(reader), random_keys(run.count, run.reads))


def iterate(run: Run, engine: Engine) -> Figure:
    """Iterate over the list."""
    expect(engine, list(engine.list_elements()), numbers(run.count))
    best = min(seconds(lambda: exhaust(engine.list_elements())) for _ in range(3))
    return Figure(best / run.count, run.count, reduced=run.count < run.wanted)


def append(run: Run, engine: Engine) -> Figure:
    """Append one element at a time, without waiting for the disk."""
    appender = engine.list_appender()

    def each(elements: Sequence[int]) -> None:
        for element in elements:
            appender(element)

    appended = numbers(run.reads)
    figure = in_parts(run, each, appended)
    engine.settle()
    expect(engine, as_function(engine.list_reader())(run.count), appended[0])
    return figure
