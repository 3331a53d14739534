"""One step with one engine, in a process of its own: told on standard input, answered on standard output, as JSON."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import large
from data import Pair, numbers, pairs
from engine import Cannot, Engine
from engines import ENGINES
from timing import FIRST, Figure, Run, seconds
from works import STORES, WORKS

FACTOR = 8


def load(engine: Engine, kind: str, count: int) -> float:
    """Store entries of a kind, made beforehand, and return how long that took."""
    if kind == "list":
        elements = numbers(count)
        return seconds(lambda: engine.store_list(elements))
    entries: list[Pair] = list(pairs(kind, count))
    return seconds(lambda: engine.load(entries))


def affordable(engine: type[Engine], run: Run, kind: str) -> int:
    """Return how many entries an engine can load in the time there is."""
    count, took, exponent = min(max(1, FIRST // FACTOR), run.count), 0.0, 1.0
    while True:
        with tempfile.TemporaryDirectory(dir=run.directory) as directory:
            tried = engine(Path(directory))
            tried.open()
            before, took = took, load(tried, kind, count)
            tried.close()
        if before:
            # With some engines each entry takes the longer, the more there are.
            exponent = min(2.0, max(1.0, math.log(took / before, FACTOR)))
        if count >= run.count or (before and took * FACTOR**2 > run.patience):
            break
        count *= FACTOR
        if count > run.count:
            return (
                run.count
            )  # which is less than what would have been tried next, and that would have been quick enough
    return min(run.count, max(FIRST, int(count * (run.patience / took) ** (1 / exponent))))


def prepare(engine: Engine, run: Run, store: str) -> None:
    """Make a store that is kept."""
    kind = STORES[store].kind
    engine.open()
    if kind == "pages":
        large.prepare(run, engine)
    elif kind == "list":
        engine.store_list(numbers(run.count))
    else:
        engine.load(pairs(kind, run.count, ascending=STORES[store].large), ascending=STORES[store].large)
    engine.close()


def measure(engine: Engine, run: Run, name: str) -> Figure:
    """Measure one row."""
    work = WORKS[name]
    engine.open()
    if work.store and not engine.keeps:
        load(engine, STORES[work.store].kind, run.count)
    return work.action(run, engine)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked."""
    kind = ENGINES[request["engine"]]
    run = Run(**{**request["run"], "directory": Path(request["run"]["directory"])})
    try:
        if request["step"] == "afford":
            return {"count": affordable(kind, run, request["what"])}
        engine = kind(run.directory)
        if request["step"] == "prepare":
            prepare(engine, run, request["what"])
            return {}
        return {"figure": asdict(measure(engine, run, request["what"]))}
    except Cannot as reason:
        return {"cannot": str(reason)}


if __name__ == "__main__":
    print("\n" + json.dumps(answer(json.load(sys.stdin))), flush=True)
