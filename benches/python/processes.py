"""The workloads that need processes of their own: several that read, and one that only imports."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from data import random_keys
from engine import Cannot, Engine
from engines import ENGINES
from reading import check_small
from timing import Figure, Run, read_each

READERS = 2
LONGEST = 1.5
"""How many seconds they read, all at the same time."""
AT_ONCE = 2_000
"""After so many reads each of them looks at the time."""


def two_readers(run: Run, engine: Engine) -> Figure:
    """Read small entries at random in two processes at once, and in one."""
    if not engine.keeps:
        raise Cannot
    engine.close()
    window = min(LONGEST, run.patience / 10)
    rates: dict[int, float] = {1: 0.0, READERS: 0.0}
    for readers in (1, READERS, 1, READERS):
        rates[readers] = max(rates[readers], _rate(run, engine.name, readers, window))
    return Figure(1 / rates[READERS], run.count, reference=1 / rates[1])


def _rate(run: Run, name: str, readers: int, window: float) -> float:
    """Return how many reads a second there were, of all readers together."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(readers)
    answers: Queue[float | str] = context.Queue()
    processes = [
        context.Process(target=_read, args=(name, run.directory, run.count, window, together, answers))
        for _ in range(readers)
    ]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    failed = [answer for answer in found if isinstance(answer, str)]
    if failed:
        raise Cannot(failed[0])
    return sum(float(answer) for answer in found)


def _read(
    name: str, directory: Path, count: int, window: float, together: Barrier, answers: Queue[float | str]
) -> None:
    try:
        engine = ENGINES[name](directory)
        engine.open(readonly=True)
        reader = engine.reader()
        check_small(engine, reader, count)
        action = read_each(reader)
        keys = random_keys(count, 50 * AT_ONCE)
        chunks = [keys[first : first + AT_ONCE] for first in range(0, len(keys), AT_ONCE)]
        start = time.perf_counter()
        for chunk in chunks:  # what is quick has then read all of it once
            action(chunk)
            if time.perf_counter() - start > window:
                break
        together.wait()
        done = 0
        start = time.perf_counter()
        while (spent := time.perf_counter() - start) < window:
            action(chunks[done % len(chunks)])
            done += 1
        answers.put(done * AT_ONCE / spent)
    except Exception as error:  # the other one must not wait for this one
        together.abort()
        answers.put(f"{type(error).__name__}: {error}")


def importing(run: Run, engine: Engine) -> Figure:
    """Import the package, in an interpreter that has imported nothing else."""
    if engine.module == "builtins":
        raise Cannot
    code = f"import time; t = time.perf_counter(); import {engine.module}; print(time.perf_counter() - t)"
    times = []
    for _ in range(run.reads):
        done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
        times.append(float(done.stdout))
    return Figure(min(times), run.reads)
