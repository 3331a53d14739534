"""Nothing is lost and nothing left behind when processes change a graph that is vacuumed and swapped all the time.

Each process reads, writes, aliases, unlinks, builds cycles and keeps handles in transactions (`graph_writer`), while its
snapshots are compared with what the transactions said of themselves (`graph_shadow`).
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import random
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graph_shadow import PROCESSES, difference, shadow, walk
from graph_writer import Writer
from oocmap import OOCMap, SnapshotExpiredError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

SPAWN = multiprocessing.get_context("spawn")
SECONDS = float(os.environ.get("OOCMAP_VACUUM_SECONDS", "12"))
PATIENCE = 60


class Work:
    """One process: threads that write, read, and follow handed snapshots; the first has one that vacuums."""

    def __init__(self, path: str, process: int, seed: int, give: Connection, take: Connection) -> None:
        self.path = Path(path)
        self.process = process
        self.seed = seed
        self.give, self.take = give, take
        durability: Any = ("nometasync", "sync", "nometasync", "deferred")[process]
        self.m = OOCMap(path, durability=durability)
        self.ended = threading.Event()
        self.counted: Counter[str] = Counter()

    def chance(self, what: str) -> random.Random:
        return random.Random(f"{self.seed} {what} {self.process}")

    def file(self) -> int:
        """Return the number of the data file, which is another one after a swap."""
        return self.path.stat().st_ino

    def run(self, seconds: float) -> Counter[str]:
        over = time.monotonic() + seconds
        jobs = [self.write, self.read, self.follow, *([self.vacuum] if self.process == 0 else [])]
        with self.m, ThreadPoolExecutor(len(jobs)) as pool:
            running = [pool.submit(job) for job in jobs]
            while time.monotonic() < over and not any(job.done() for job in running):
                time.sleep(0.05)
            self.ended.set()
            for job in running:
                job.result()
        return self.counted

    def write(self) -> None:
        writer, chance = Writer(self.m, self.process, self.seed), self.chance("write")
        while not self.ended.is_set():
            writer.transaction()
            if chance.random() < 0.1:
                writer.plain_calls()
            if chance.random() < 0.005:
                self.m.vacuum(compact=chance.random() < 0.5)
        self.counted.update(writer.done)

    def vacuum(self) -> None:
        """Vacuum in a loop; some are called off."""
        chance = self.chance("vacuum")
        while not self.ended.is_set():
            before = self.file()
            v = self.m.vacuum(compact=chance.random() < 0.7, wait=False)
            if chance.random() < 0.2:
                time.sleep(chance.random() * 0.01)
                v.cancel()
            with contextlib.suppress(CancelledError):
                self.counted["objects deleted"] += v.result(PATIENCE).objects
                self.counted["vacuums"] += 1
            self.counted["swaps"] += self.file() != before

    def read(self) -> None:
        """Go through snapshots: they are what their shadow says, and stay so; another process gets some of them."""
        chance = self.chance("read")
        while not self.ended.is_set():
            before = self.file()
            with self.m.snapshot() as s:
                swapped_meanwhile = self.file() != before
                first = walk(s)
                assert first == shadow(s), f"version {s.version}: {difference(first, shadow(s))}"
                if chance.random() < 0.3:
                    self.give.send((pickle.dumps(s), s.version, first))
                    assert self.give.poll(PATIENCE), "the next process does not answer"
                    if self.give.recv() == "expired":
                        assert swapped_meanwhile or self.file() != before, "it expired though it was kept"
                        self.counted["expired"] += 1
                    else:
                        self.counted["handed"] += 1
                time.sleep(chance.uniform(0.1, 1) * min(1, SECONDS / 20))
                again = walk(s)
                assert again == first, f"version {s.version} has changed: {difference(first, again)}"
                self.counted["snapshots"] += 1
                self.counted["snapshots held over a swap"] += self.file() != before
                if chance.random() < 0.1:
                    assert s.check() == []

    def follow(self) -> None:
        """Read the snapshots of the process before this one, which expects an answer to each."""
        while not self.ended.is_set():
            if self.take.poll(0.05):
                self.answer(*self.take.recv())
        with contextlib.suppress(EOFError):  # one may still wait for an answer
            while self.take.poll(1):
                self.answer(*self.take.recv())

    def answer(self, handed: bytes, version: int, expected: Any) -> None:
        try:
            s = pickle.loads(handed)
        except SnapshotExpiredError:
            self.take.send("expired")
            return
        with s:
            found = walk(s)
            assert (s.version, found) == (version, expected), difference(expected, found)
        self.take.send("same")


def work(path: str, process: int, seed: int, seconds: float, pipes: tuple[Any, ...], told: Any) -> None:
    """Be one of the processes."""
    told.send(Work(path, process, seed, *pipes).run(seconds))


def test_a_graph_under_four_processes_and_a_vacuum_in_a_loop(path: Path, m: OOCMap) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    ring = [SPAWN.Pipe() for _ in range(PROCESSES)]
    hear, tell = SPAWN.Pipe(duplex=False)
    running = []
    for process in range(PROCESSES):
        pipes = (ring[process][0], ring[process - 1][1])
        running.append(SPAWN.Process(target=work, args=(str(path), process, seed, SECONDS, pipes, tell)))
        running[-1].start()
    for each in running:
        each.join(SECONDS + PATIENCE)
        assert each.exitcode == 0, f"seed {seed}"
    done = Counter[str]()
    for _ in running:
        done.update(hear.recv())
    print(dict(done))
    assert m.check() == []
    m.vacuum()
    assert m.check() == []
    found = walk(m)
    assert found == shadow(m), difference(found, shadow(m))
    assert m.vacuum().objects == 0
    m.clear()
    gc.collect()
    m.vacuum()
    assert m.stats()["objects"] == 0
    assert m.check() == []
    assert min(done[what] for what in ("came back", "stale", "handed", "snapshots held over a swap")) > 0
    assert done["lost"] <= 3 + done["came back"] // 200
    assert done["swaps"] > SECONDS
    assert done["objects deleted"] > done["vacuums"]
