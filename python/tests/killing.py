"""Workers that are killed: each commits entries and acknowledges them, so that one knows what has to be there."""

from __future__ import annotations

import multiprocessing
import os
import signal
import struct
from itertools import count
from typing import TYPE_CHECKING, Any

import oocmap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    Role = Callable[[str, int, int], None]

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


def zygote(path: str, roles: Sequence[Role], orders: Connection, acknowledge: list[Any]) -> None:
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
                    roles[slot](path, worker, pipes[slot])
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
    """The workers that are alive, one for each role, and what each has acknowledged."""

    def __init__(self, path: Path, roles: Sequence[Role]) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.orders, theirs = spawn.Pipe()
        pairs = [spawn.Pipe(duplex=False) for _ in roles]
        self.hear = [hear for hear, _ in pairs]
        tell = [tell for _, tell in pairs]
        self.process = spawn.Process(target=zygote, args=(str(path), roles, theirs, tell))
        self.process.start()
        self.tell = tell
        for hear in self.hear:
            os.set_blocking(hear.fileno(), False)
        self.numbers = count(1)
        self.workers: list[tuple[int, int]] = [(0, 0)] * len(roles)
        self.last: list[int] = [-1] * len(roles)

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


def forget(m: oocmap.OOCMap, workers: Iterable[int]) -> None:
    """Delete what workers committed, which was looked at, so that the map stays small."""
    with m.transaction() as tx:
        for worker in workers:
            if ("inner", worker) in tx:
                tx["inner", worker] = None
            for key in [*tx.prefix(("mirror", -worker)), *tx.prefix(("entry", worker))]:
                del tx[key]
