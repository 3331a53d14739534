"""The workloads that read a store which is there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from data import document, random_keys, shuffled, small
from engine import Engine, as_function
from timing import FEWEST, Figure, Run, exhaust, find_each, per_operation, read_each, read_fields, seconds

SMALL_MAP = 10_000
"""How many entries the small map has that ten million are compared with."""


def expect(engine: Engine, found: object, wanted: object) -> None:
    """Raise an error unless an engine gave back what was stored."""
    if found != wanted:
        raise AssertionError(f"{engine.title} gave back {found!r} instead of {wanted!r}")


def check_small(engine: Engine, reader: Any, count: int) -> None:
    """Check that small entries are there."""
    read = as_function(reader)
    for key in (0, 7, count - 1):
        expect(engine, read(key), small(key))


def get(run: Run, engine: Engine) -> Figure:
    """Read small entries at random."""
    reader = engine.reader()
    check_small(engine, reader, run.count)
    return per_operation(run, read_each(reader), random_keys(run.count, run.reads))


def get_many(run: Run, engine: Engine) -> Figure:
    """Read small entries at random from a large map, and then from a small one."""
    figure = get(run, engine)
    engine.close()
    few = min(SMALL_MAP, run.count)
    directory = run.directory / "few"
    directory.mkdir(exist_ok=True)
    other = type(engine)(directory)
    fresh = not any(directory.iterdir())
    other.open()
    if fresh:
        other.load([(key, small(key)) for key in shuffled(few)])
    reader = other.reader()
    check_small(other, reader, few)
    figure.reference = per_operation(run, read_each(reader), random_keys(few, run.reads)).value
    return figure


def get_snapshot(run: Run, engine: Engine) -> Figure:
    """Read small entries at random through a snapshot."""
    reader = engine.snapshot()
    check_small(engine, reader, run.count)
    return per_operation(run, read_each(reader), random_keys(run.count, run.reads))


def missing(run: Run, engine: Engine) -> Figure:
    """Look for keys that are not there, with `get`."""
    getter = engine.getter()
    expect(engine, getter(7), small(7))
    expect(engine, getter(run.count), None)
    absent = [key + run.count for key in random_keys(run.count, run.reads)]
    figure = per_operation(run, read_each(getter), absent)
    figure.reference = get(run, engine).value
    return figure


def contains(run: Run, engine: Engine) -> Figure:
    """Ask whether keys are there; every second one is."""
    container = engine.container()
    holds = container if callable(container) else container.__contains__
    expect(engine, (holds(7), holds(run.count)), (True, False))
    keys = random_keys(run.count, run.reads)
    asked = [key + run.count if turn % 2 else key for turn, key in enumerate(keys)]
    figure = per_operation(run, find_each(container), asked)
    figure.reference = get(run, engine).value
    return figure


def items(run: Run, engine: Engine) -> Figure:
    """Walk through all small entries."""
    seen = dict(engine.items())
    expect(engine, (len(seen), seen[7]), (run.count, small(7)))
    del seen
    best = min(seconds(lambda: exhaust(engine.items())) for _ in range(3))
    return Figure(best / run.count, run.count, reduced=run.count < run.wanted)


def field(run: Run, engine: Engine) -> Figure:
    """Read one nested field of documents at random."""
    reader = engine.reader()
    expect(engine, as_function(reader)(7)["items"][3]["price"], 3.75)
    return per_operation(run, read_fields(reader), random_keys(run.count, run.reads))


def whole(run: Run, engine: Engine) -> Figure:
    """Read documents at random, as plain Python objects."""
    read, plain = as_function(engine.reader()), engine.whole
    expect(engine, plain(read(7)), document(7))
    own = type(engine).whole is not Engine.whole
    reader = engine.reader()

    def subscripts(keys: Sequence[int]) -> None:
        for key in keys:
            plain(reader[key])

    def calls(keys: Sequence[int]) -> None:
        for key in keys:
            plain(reader(key))

    action = read_each(reader) if not own else calls if callable(reader) else subscripts
    return per_operation(run, action, random_keys(run.count, run.reads))


def change(run: Run, engine: Engine) -> Figure:
    """Change one nested field of a thousand documents, in one transaction."""
    keys = random_keys(run.count, min(1000, run.reads))
    spent = 0.0
    times: list[float] = []
    counts = iter(range(100, 200))
    share = keys[:FEWEST]
    once = seconds(lambda: engine.change(share, next(counts))) / len(share)
    fitting = keys[: max(FEWEST, int(run.patience / once))]
    while len(times) < 5 and (not times or spent < run.patience):
        times.append(seconds(lambda: engine.change(fitting, next(counts))))
        spent += times[-1]
    read = as_function(engine.reader())
    expect(engine, read(fitting[0])["items"][3]["count"], next(counts) - 1)
    return Figure(min(times) / len(fitting), len(fitting), reduced=len(fitting) < len(keys))
