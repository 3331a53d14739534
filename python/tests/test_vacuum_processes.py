"""A vacuum of one process leaves alone what another has handles to, and waits for no one who is dead or stopped."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from oocmap import OOCMap, StaleObjectError
from vacuuming import EACH, PATIENCE, objects, strand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

SPAWN = multiprocessing.get_context("spawn")

LOST: dict[str, tuple[Callable[[OOCMap], Any], Any]] = {}
"""By name: what makes an object unreachable and returns a handle to it, and what is in that object."""


def lost(value: Any) -> Callable[[Callable[[OOCMap], Any]], Callable[[OOCMap], Any]]:
    """Note a way to lose an object to which one has a handle."""

    def note(lose: Callable[[OOCMap], Any]) -> Callable[[OOCMap], Any]:
        LOST[lose.__name__] = (lose, value)
        return lose

    return note


@lost([1, [2]])
def deleted(m: OOCMap) -> Any:
    m["a"] = [1, [2]]
    x = m["a"]
    del m["a"]
    return x


@lost([1, [2]])
def overwritten(m: OOCMap) -> Any:
    m["a"] = [1, [2]]
    x = m["a"]
    m["a"] = "something else"
    return x


@lost({"k": {1, 2}})
def had_two_names(m: OOCMap) -> Any:
    m["a"] = {"k": {1, 2}}
    m["b"] = m["a"]
    x = m["b"]
    del m["a"], m["b"]
    return x


@lost([2, [3]])
def nested(m: OOCMap) -> Any:
    m["a"] = [1, [2, [3]], [4]]
    x = m["a"][1]
    del m["a"]
    return x


@lost(bytearray(b"bytes"))
def nested_in_what_had_two_names(m: OOCMap) -> Any:
    m["a"] = {"k": [bytearray(b"bytes"), 1]}
    m["b"] = [m["a"]]
    x = m["b"][0]["k"][0]
    del m["a"], m["b"]
    return x


@lost([1])
def taken_out(m: OOCMap) -> Any:
    m["a"] = [[0], [1], [2]]
    m["b"] = m["a"]
    return m["a"].pop(1)


@lost([4999])
def in_a_long_list(m: OOCMap) -> Any:
    m["a"] = [[number] for number in range(5000)]
    m["b"] = m["a"]
    x = m["a"][4999]
    del m["a"], m["b"]
    return x


@lost(list(range(5000)))
def a_long_list(m: OOCMap) -> Any:
    m["a"] = list(range(5000))
    m["b"] = m["a"]
    x = m["a"]
    del m["a"], m["b"]
    return x


@lost([1])
def in_a_cycle(m: OOCMap) -> Any:
    m["a"] = {"x": [1]}
    m["b"] = {"a": m["a"]}
    m["a"]["b"] = m["b"]
    x = m["a"]["x"]
    del m["a"], m["b"]
    return x


def is_value_of(x: Any, value: Any) -> bool:
    """Whether a handle has what it had."""
    return bool(x == value) and x.eager(deep=True) == value


def lose(path: str, pipe: Connection) -> None:
    """Lose objects, keep handles to them, and do with those what one is told."""
    with OOCMap(path) as m:
        kept: dict[str, Any] = {}
        pipe.send("ready")
        while (order := pipe.recv())[0] != "end":
            what, *names = order
            try:
                match what:
                    case "lose":
                        for name in names:
                            kept[name] = LOST[name][0](m)
                        gc.collect()
                        answer: Any = None
                    case "look":
                        answer = [name for name, x in kept.items() if not is_value_of(x, LOST[name][1])]
                    case "store":
                        for name, x in kept.items():
                            m["stored", name] = x
                            assert m["stored", name].same_as(x)
                        answer = m.check()
                    case "drop":
                        kept.clear()
                        x = None  # of the loops over them
                        gc.collect()
                        m["a"] = answer = None
                    case "stale":
                        answer = []
                        for name, x in kept.items():
                            try:
                                answer.append((name, is_value_of(x, LOST[name][1])))
                                m["stored", name] = x
                                answer[-1] = (name, is_value_of(m["stored", name], LOST[name][1]))
                            except StaleObjectError:
                                answer.append((name, "stale"))
                    case "write":
                        number = 0
                        while not pipe.poll():
                            number += 1
                            m["number"] = [number]
                            x = m["number"]
                            del m["number"]
                            x.append(number)
                            assert x == [number, number]
                        answer = number
                    case _:
                        raise ValueError(what)
            except BaseException:
                answer = traceback.format_exc()
            pipe.send(answer)


class Other:
    """Another process that has handles."""

    def __init__(self, path: Path) -> None:
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=lose, args=(str(path), theirs), daemon=True)
        self.process.start()
        assert self.hear() == "ready"

    def hear(self) -> Any:
        assert self.pipe.poll(PATIENCE), "the other process does not answer"
        return self.pipe.recv()

    def tell(self, *order: str) -> Any:
        self.pipe.send(order)
        return self.hear()

    def signal(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)


@contextlib.contextmanager
def another(path: Path) -> Iterator[Other]:
    """Start another process, and end it afterwards."""
    other = Other(path)
    try:
        yield other
        if other.process.is_alive():
            other.pipe.send(("end",))
            other.process.join(PATIENCE)
            assert other.process.exitcode == 0
    finally:
        other.process.kill()
        other.process.join()


def test_handles_of_another_process_keep_their_objects(m: OOCMap, path: Path) -> None:
    with another(path) as other:
        assert other.tell("lose", *LOST) is None
        for _ in range(3):
            strand(m, 5)
            assert m.vacuum().objects >= 5 * EACH
            assert other.tell("look") == []
            assert m.check() == []
        assert other.tell("store") == []
        for name, (_, value) in LOST.items():
            assert is_value_of(m["stored", name], value)
        m.vacuum()
        assert other.tell("look") == []
        assert other.tell("drop") is None
        m.clear()
        m.vacuum()
        assert m.check() == []
        assert objects(m) == 0


@pytest.mark.parametrize("name", LOST)
def test_each_alone(m: OOCMap, path: Path, name: str) -> None:
    with another(path) as other:
        assert other.tell("lose", name) is None
        m.vacuum()
        assert other.tell("look") == []
        assert other.tell("store") == []
        assert is_value_of(m["stored", name], LOST[name][1])
        m.vacuum()
        assert other.tell("look") == []


def test_clearing_leaves_what_the_other_one_has_handles_to(m: OOCMap, path: Path) -> None:
    with another(path) as other:
        assert other.tell("lose", *LOST) is None
        m["k"] = 1
        m.clear()
        assert other.tell("look") == []


def test_the_other_one_lost_it_while_this_one_vacuumed(m: OOCMap, path: Path) -> None:
    """Objects go, and come back, while vacuums of two processes follow each other."""
    ended = threading.Event()
    problems: list[BaseException] = []

    def vacuum() -> None:
        try:
            while not ended.is_set():
                strand(m, 20)
                m.vacuum()
        except BaseException as error:
            problems.append(error)

    with another(path) as other:
        thread = threading.Thread(target=vacuum)
        thread.start()
        try:
            for _ in range(8):
                assert other.tell("lose", *LOST) is None
                assert other.tell("look") == []
                assert other.tell("store") == []
                assert other.tell("look") == []
                assert other.tell("drop") is None
                assert m.check() == []
        finally:
            ended.set()
            thread.join()
        assert problems == []


def test_what_a_killed_process_had_goes_with_the_next_vacuum(m: OOCMap, path: Path) -> None:
    with another(path) as other:
        assert other.tell("lose", *LOST) is None
        m.clear()
        m.vacuum()
        assert objects(m) > 0
        other.process.kill()
        other.process.join()
    begun = time.monotonic()
    assert m.vacuum().objects > len(LOST)
    assert time.monotonic() - begun < 5
    assert objects(m) == 0
    assert m.check() == []


def test_a_process_that_is_killed_while_it_vacuums(m: OOCMap, path: Path) -> None:
    for turn in range(5):
        strand(m, 2000)
        process = SPAWN.Process(target=vacuum_for_ever, args=(str(path),))
        process.start()
        while "vacuums" not in m:
            time.sleep(0.001)
        del m["vacuums"]
        time.sleep(turn / 100)
        process.kill()
        process.join()
        assert m.check() == []
        m["kept"] = [turn]
        m.vacuum()
        assert objects(m) == 0
        assert m["kept"] == [turn]


def vacuum_for_ever(path: str) -> None:
    """Vacuum, until one is killed."""
    with OOCMap(path) as m:
        m["vacuums"] = 1
        while True:
            m.vacuum()


def test_what_this_one_deletes_is_gone_for_the_other(m: OOCMap, path: Path) -> None:
    """Who deletes does not know of handles in another process; they tell so, and never have other data."""
    with another(path) as other:
        assert other.tell("lose", *LOST) is None
        assert other.tell("store") == []
        for _ in range(3):
            m.clear()
            m.vacuum()
            for number in range(50):
                m["new", number] = [[number], {"number": number}]
            answers = other.tell("stale")
            assert isinstance(answers, list), answers
            assert {name for name, _ in answers} == set(LOST)
            assert all(answer is True or answer == "stale" for _, answer in answers), answers
            assert all(m["new", number] == [[number], {"number": number}] for number in range(50))
            assert m.check() == []


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no process can be stopped here")
def test_a_stopped_process_is_waited_for_only_so_long(m: OOCMap, path: Path) -> None:
    """Ten seconds pass: a vacuum waits for so long for one that does not answer."""
    m["kept"] = [1]
    with another(path) as other:
        assert other.tell("lose", *LOST) is None
        other.signal(signal.SIGSTOP)
        # Not before it has stopped: in the midst of its answer it would hold up all who write.
        assert other.process.pid is not None
        os.waitpid(other.process.pid, os.WUNTRACED)
        begun = time.monotonic()
        try:
            m.vacuum()
            assert time.monotonic() - begun < 30
            # What it had may be something else by now.
            for number in range(50):
                m["new", number] = [[number], {"number": number}]
        finally:
            other.signal(signal.SIGCONT)
        for _ in range(2):
            answers = other.tell("stale")
            assert isinstance(answers, list), answers
            assert {name for name, _ in answers} == set(LOST)
            assert all(answer is True or answer == "stale" for _, answer in answers), answers
            m.vacuum()
        assert m["kept"] == [1]
        assert all(m["new", number] == [[number], {"number": number}] for number in range(50))
        assert m.check() == []


def test_a_process_that_writes_is_not_held_up(m: OOCMap, path: Path) -> None:
    with another(path) as other:
        other.pipe.send(("write",))
        for _ in range(20):
            strand(m, 100)
            result = m.vacuum()
            assert result.longest_wait < 5
        number = other.tell("look")
        assert isinstance(number, int), number
        assert number > 20
        assert other.hear() == []
    assert m.check() == []


def test_two_processes_ask_at_once(m: OOCMap, path: Path) -> None:
    strand(m, 1000)
    before = objects(m)
    processes = [SPAWN.Process(target=vacuum_once, args=(str(path),)) for _ in range(3)]
    for process in processes:
        process.start()
    mine = m.vacuum()
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0
    theirs = [m[key] for key in list(m)]
    assert len(theirs) == 3
    assert mine.objects + sum(theirs) == before == 1000 * EACH
    assert objects(m) == 0


def vacuum_once(path: str) -> None:
    """Vacuum, and store how many objects went."""
    with OOCMap(path) as m:
        m[os.getpid()] = m.vacuum().objects
