"""Histories of processes on one map, with a vacuum in a loop if that is asked for."""

from __future__ import annotations

import marshal
import multiprocessing
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isolation_check import Report, check
from isolation_history import Record, at, fill, load, work
from oocmap import OOCMap

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized
    from multiprocessing.synchronize import Barrier, Event

SPAWN = multiprocessing.get_context("spawn")
THREADS = 4
PADDING = 100_000
"""Bytes that are left for each vacuum to find."""
OF_THE_VACUUM = at(64)
"""A place of which only the process that vacuums knows."""


class History(NamedTuple):
    """What was recorded, and the versions around it."""

    records: list[Record]
    before: int
    after: int
    swaps: int
    """How often the data file was another one after a vacuum."""

    def check(self) -> Report:
        return check(self.records, self.before, self.after)


def recorded(
    tmp_path: Path, durability: str, processes: int, transactions: int, *, vacuums: bool = False
) -> History:
    """Let processes with threads do so many transactions in total."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    path = tmp_path / "map.ooc"
    logs = [tmp_path / f"{process}.log" for process in range(processes + vacuums)]
    with OOCMap(path) as m:
        with m.snapshot() as s:
            before = s.version
        first = fill(m)
        start = SPAWN.Barrier(processes + vacuums)
        over = SPAWN.Event()
        swaps = SPAWN.Value("q", 0)
        each = transactions // (processes * THREADS)
        running = [
            SPAWN.Process(
                target=work, args=(str(path), durability, process, THREADS, each, seed, str(log), start)
            )
            for process, log in enumerate(logs[:processes])
        ]
        if vacuums:
            arguments = (str(path), processes, seed, str(logs[-1]), start, over, swaps)
            running.append(SPAWN.Process(target=vacuum, args=arguments))
        for process in running:
            process.start()
        for process in running[:processes]:
            process.join()
            assert process.exitcode == 0
        over.set()
        for process in running[processes:]:
            process.join()
            assert process.exitcode == 0
        with m.snapshot() as s:
            after = s.version
        assert m.check() == []
    records = [first, *(record for log in logs for record in load(log))]
    return History(records, before, after, swaps.value)


def vacuum(
    path: str, process: int, seed: int, log: str, start: Barrier, over: Event, swaps: Synchronized[int]
) -> None:
    """Be the process that vacuums until the others are done, and record it."""
    chance = random.Random(f"{seed} vacuum")
    records: list[Record] = []
    with OOCMap(path, durability="nometasync") as m:
        start.wait(60)
        while not over.is_set():
            value = (len(records) + 1) * 10_000 + process * 100
            begin = time.monotonic_ns()
            with m.transaction() as tx:  # something to find, and a file that is worth a copy
                tx[OF_THE_VACUUM >> 3] = {0: value}
                tx["a"], tx["b"] = [chance.randbytes(PADDING)], []
                a, b = tx["a"], tx["b"]
                a.append(b)
                b.append(a)
                del tx["a"], tx["b"], a, b
            end = time.monotonic_ns()
            records.append(Record(process, 0, "write", begin, end, tx.version, [("w", OF_THE_VACUUM, value)]))
            file = Path(path).stat().st_ino
            begin = time.monotonic_ns()
            m.vacuum(compact=chance.random() < 0.8)
            records.append(Record(process, 0, "vacuum", begin, time.monotonic_ns(), None, []))
            swaps.value += Path(path).stat().st_ino != file
            time.sleep(chance.random() * 0.05)
    Path(log).write_bytes(marshal.dumps([[tuple(record) for record in records]]))
