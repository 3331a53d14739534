"""Whoever is killed, at whatever moment: the others go on, and what was acknowledged is there, once."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import struct
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import oocmap
import pytest

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

KILLS = int(os.environ.get("OOCMAP_KILLS", "1000"))
ALIVE = 3
KEPT = 8
"""How many of its entries a worker keeps."""
NUMBER = struct.Struct("<q")


def one(m: oocmap.OOCMap, worker: int, number: int) -> None:
    """Commit the next entry of a worker in one of the ways that there are."""
    way = number % 4
    if way == 0:  # a single call
        m["plain", worker] = number
    elif way == 1:  # a single call that changes what is nested
        m["inner", worker]["entries"].append(number)
    elif way == 2:  # a transaction over several keys, which are far from each other
        with m.transaction() as tx:
            tx["entry", worker, number] = {"padding": ["x" * 37] * (number % 50)}
            tx["mirror", -worker, number] = number
            tx.pop(("entry", worker, number - 4 * KEPT), None)
            tx["count", worker] = tx["count", worker] + 1
            tx["total"] += 1
    else:  # a transaction with nested ones, over nested containers
        with m.transaction() as tx:
            inner = tx["inner", worker]
            inner["log"][number] = [number] * (number % 50)
            with tx.transaction() as undone:
                undone["count", worker] = -1
                undone["inner", worker]["log"].clear()
                undone.rollback()
            with tx.transaction() as nested:
                inner["log"].pop(number - 4 * KEPT, None)
                nested["count", worker] += 1
            tx["total"] += 1


def commit(path: str, worker: int, acknowledge: int) -> None:
    """Be a worker: commit one entry after the other, and acknowledge each, until killed."""
    with oocmap.OOCMap(path, durability="nometasync" if worker % 2 else "sync", lock_timeout=60) as m:
        with m.transaction() as tx:
            tx["plain", worker] = -1
            tx["inner", worker] = {"entries": [], "log": {}}
            tx["count", worker] = 0
        for number in count():
            os.write(acknowledge, NUMBER.pack(number))  # all before this one are committed
            one(m, worker, number)


def zygote(path: str, orders: Connection, acknowledge: list[Any]) -> None:
    """Fork a worker for each order: a process that has imported everything and opened nothing."""
    pipes = [connection.fileno() for connection in acknowledge]
    while (order := orders.recv()) is not None:
        what, argument = order
        if what == "start":
            slot, worker = argument
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    commit(path, worker, pipes[slot])
                except BaseException:
                    import traceback

                    traceback.print_exc()
                finally:
                    os._exit(status)
            orders.send(pid)
        else:
            os.kill(argument, signal.SIGKILL)
            _, status = os.waitpid(argument, 0)
            orders.send(os.waitstatus_to_exitcode(status))


class Team:
    """The workers that are alive, and what each has acknowledged."""

    def __init__(self, path: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.orders, theirs = spawn.Pipe()
        pairs = [spawn.Pipe(duplex=False) for _ in range(ALIVE)]
        self.hear = [hear for hear, _ in pairs]
        tell = [tell for _, tell in pairs]
        self.process = spawn.Process(target=zygote, args=(str(path), theirs, tell))
        self.process.start()
        self.tell = tell
        for hear in self.hear:
            os.set_blocking(hear.fileno(), False)
        self.numbers = count(1)
        self.workers: list[tuple[int, int]] = [(0, 0)] * ALIVE
        self.last: list[int] = [-1] * ALIVE

    def ask(self, *order: Any) -> int:
        self.orders.send(order)
        assert self.orders.poll(60), "the zygote does not answer"
        return int(self.orders.recv())

    def start(self, slot: int) -> None:
        worker = next(self.numbers)
        self.last[slot] = -1
        self.workers[slot] = (worker, self.ask("start", (slot, worker)))

    def listen(self, slot: int) -> int:
        """Return the number of the entry that a worker was committing when it was last heard of, or -1."""
        while True:
            try:
                data = os.read(self.hear[slot].fileno(), NUMBER.size * 4096)
            except BlockingIOError:
                return self.last[slot]
            (self.last[slot],) = NUMBER.unpack(data[-NUMBER.size :])

    def kill(self, slot: int) -> tuple[int, int]:
        """Kill a worker, and return its number and what it was committing."""
        worker, pid = self.workers[slot]
        assert self.ask("kill", pid) == -signal.SIGKILL, "it ended before it was killed"
        return worker, self.listen(slot)

    def end(self) -> None:
        self.orders.send(None)
        self.process.join(60)
        assert self.process.exitcode == 0


def entries(numbers: range, way: int) -> list[int]:
    """Return those numbers that are committed in one of the ways."""
    return [number for number in numbers if number % 4 == way]


def verify(s: Any, worker: int, current: int) -> int:
    """Everything before the current entry is there, once and wholly; the current one may be. Return how many are."""
    if current < 0:  # killed before it began to number; what it prepared is there wholly or not at all
        there = {("plain", worker) in s, ("inner", worker) in s, ("count", worker) in s}
        assert len(there) == 1
        return 0
    inner = s["inner", worker].eager(deep=True)
    way = current % 4
    seen = {
        0: s["plain", worker] == current,
        1: inner["entries"][-1:] == [current],
        2: ("entry", worker, current) in s,
        3: current in inner["log"],
    }[way]
    done = range(current + seen)
    plain = entries(done, 0)
    assert s["plain", worker] == (plain[-1] if plain else -1)
    assert inner["entries"] == entries(done, 1)
    wide, nested = entries(done, 2), entries(done, 3)
    assert [key[2] for key in s.prefix(("entry", worker)).keys()] == wide[-KEPT:]
    assert [value for _, value in s.prefix(("mirror", -worker)).items()] == wide
    assert all(s["entry", worker, number]["padding"] == ["x" * 37] * (number % 50) for number in wide[-KEPT:])
    assert list(inner["log"]) == nested[-KEPT:]
    assert inner["log"] == {number: [number] * (number % 50) for number in nested[-KEPT:]}
    assert s["count", worker] == len(wide) + len(nested)
    return len(wide) + len(nested)


def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with oocmap.OOCMap(path, durability="nometasync", lock_timeout=10) as m:
        m["total"] = ours = 0
        team = Team(path)
        dead: dict[int, int] = {}
        tidy: set[int] = set()
        counted = acknowledged = begun = late = 0
        try:
            for slot in range(ALIVE):
                team.start(slot)
            for kill in range(KILLS):
                time.sleep(chance.random() ** 2 * 0.04)
                slot = chance.randrange(ALIVE)
                if kill % 8 == 0:
                    tx = m.transaction()  # those who wait are killed, too
                    tx["ours"] = ours = ours + 1
                    worker, current = team.kill(slot)
                    tx.commit()
                else:
                    worker, current = team.kill(slot)
                with m.snapshot() as s:
                    before = verify(s, worker, current)
                m["ours"] = ours = ours + 1  # this process goes on
                with m.snapshot() as s:
                    dead[worker] = verify(s, worker, current)
                    # What it was committing may be found by the next who writes only: it was not acknowledged.
                    assert before <= dead[worker] <= before + 1
                    late += dead[worker] - before
                counted += dead[worker]
                acknowledged += max(current, 0)
                begun += current > 0
                assert m["ours"] == ours
                team.start(slot)
                if kill % 10 == 9:  # and so does another
                    other = (slot + 1) % ALIVE
                    before, patience = team.listen(other), time.monotonic() + 10
                    while team.listen(other) <= before:
                        assert time.monotonic() < patience, "another process does not go on"
                        time.sleep(0.001)
                if kill % 50 == 49:
                    with m.transaction() as tx:  # keep it small; what a worker committed was looked at
                        for gone in dead.keys() - tidy:
                            if ("inner", gone) in tx:
                                tx["inner", gone] = None
                            for key in [*tx.prefix(("mirror", -gone)), *tx.prefix(("entry", gone))]:
                                del tx[key]
                    tidy.update(dead)
            for slot in range(ALIVE):
                worker, current = team.kill(slot)
                m["ours"] = ours = ours + 1
                with m.snapshot() as s:
                    dead[worker] = verify(s, worker, current)
                counted += dead[worker]
        finally:
            team.end()
        print(f"{acknowledged} acknowledged commits of {begun} workers, {late} seen late")
        assert begun > KILLS // 4
        assert m["total"] == counted
        assert {worker: m.get(("count", worker), 0) for worker in dead} == dead
        assert m.check() == []
    with oocmap.OOCMap(path) as again:
        assert again["ours"] == ours
