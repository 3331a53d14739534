"""Deferred writes are seen at once here and soon elsewhere, and are lost at most by a crash, each as a whole."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from interrupting import handle_while_waiting, needs_timers
from oocmap import LockTimeoutError, MapFullError, OOCMap, ReadOnlyError, TransactionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG = 3600.0  # nothing is committed before someone asks for it


def elsewhere(path: Path) -> dict[Any, Any]:
    """Return what another process sees."""
    program = "import sys, oocmap; print(repr({k: v for k, v in oocmap.OOCMap(sys.argv[1], readonly=True).items()}))"
    run = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True, timeout=60
    )
    seen = eval(run.stdout)
    assert isinstance(seen, dict)
    return seen


@pytest.fixture
def d(path: Path) -> Any:
    """Open an empty map whose writes wait until someone asks for them."""
    with OOCMap(path, durability="deferred", flush_interval=LONG) as opened:
        yield opened


@pytest.mark.parametrize("durability", ["sync", "nometasync", "deferred"])
def test_what_was_written_is_there_again(path: Path, durability: Any) -> None:
    with OOCMap(path, durability=durability) as m:
        m["a"] = [1]
        m["a"].append(2)
        with m.transaction() as tx:
            tx["b"] = 1
        m.update(c=1, d=2)
        del m["d"]
        assert m.pop("c") == 1
    with OOCMap(path) as m:
        assert m == {"a": [1, 2], "b": 1}
        assert m.check() == []


def test_another_name_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="deferred"):
        OOCMap(path, durability="later")  # type: ignore[arg-type]
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="flush_interval"):
            OOCMap(path, durability="deferred", flush_interval=wrong)


def test_this_process_sees_them_at_once_and_others_later(d: OOCMap, path: Path) -> None:
    d["a"] = 1
    d["l"] = [1, {"x": 2}]
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append((d["a"], "a" in d, "b" in d, d.get("b"))))
    thread.start()
    thread.join()
    assert seen == [(1, True, False, None)]
    assert elsewhere(path) == {}
    d.sync()
    assert elsewhere(path) == {"a": 1, "l": [1, {"x": 2}]}
    d["a"] = 2
    with OOCMap(path) as same:
        assert same["a"] == 2


LOOKS: list[Callable[[OOCMap], Any]] = [
    len,
    list,
    lambda d: list(d.items()),
    lambda d: list(reversed(d)),
    lambda d: dict(d.range("a", "b").items()),
    lambda d: d == {"a": [1]},
    lambda d: d.snapshot()["a"],
    lambda d: d["a"][0],
    lambda d: d["a"].eager(),
    lambda d: d.stats()["entries"],
    lambda d: d.copy(),
    lambda d: d.check(),
    repr,
]


@pytest.mark.parametrize("look", LOOKS)
def test_whatever_looks_sees_them(path: Path, d: OOCMap, look: Callable[[OOCMap], Any]) -> None:
    d["a"] = [1]
    found = look(d)
    found = found.eager() if hasattr(found, "eager") else found
    d.sync()
    with OOCMap(path) as plain:
        again = look(plain)
        assert found == (again.eager() if hasattr(again, "eager") else again)


def test_they_are_committed_after_the_interval(path: Path) -> None:
    with OOCMap(path, durability="deferred", flush_interval=0.05) as d:
        for key in range(10):
            d[key] = key
        deadline = time.monotonic() + 60
        while elsewhere(path) != {key: key for key in range(10)}:
            assert time.monotonic() < deadline


def test_many_share_a_commit(d: OOCMap) -> None:
    before = d.snapshot().version
    for key in range(1000):
        d[key] = {"n": key}
    for key in range(1000):
        d[key]["more"] = [key]
    d.sync()
    assert d.snapshot().version - before < 1100  # reading what was stored took a commit each
    before = d.snapshot().version
    for key in range(1000):
        d[key] = {"n": key}
    d.sync()
    assert d.snapshot().version == before + 1


def test_a_failed_operation_takes_nothing_else_back(d: OOCMap, path: Path) -> None:
    d["a"] = [1, 2]

    def entries() -> Any:
        yield "b", 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        d.update(entries())
    with pytest.raises(KeyError):
        del d["missing"]
    with pytest.raises(IndexError):
        d["a"].pop(7)
    d["c"] = 1
    d.close()
    with OOCMap(path) as m:
        assert m == {"a": [1, 2], "c": 1}


def test_transactions_come_after_what_was_deferred(d: OOCMap, path: Path) -> None:
    d["a"] = 1
    with d.transaction() as tx:
        assert tx["a"] == 1
        tx["b"] = 2
        d["c"] = 3
    assert elsewhere(path) == {"a": 1, "b": 2, "c": 3}
    d["a"] = 4
    with pytest.raises(ZeroDivisionError), d.transaction() as tx:
        tx["a"] = 5
        raise ZeroDivisionError
    assert d["a"] == 4


def test_a_handle_that_does_not_defer(d: OOCMap, path: Path) -> None:
    d["a"] = 1
    with OOCMap(path) as plain:
        plain["b"] = 2
        assert elsewhere(path) == {"a": 1, "b": 2}
        d["c"] = 3
        assert plain["c"] == 3
        assert elsewhere(path) == {"a": 1, "b": 2}


def test_changing_the_size_while_iterating(d: OOCMap) -> None:
    d.update(a=1, b=2)
    with pytest.raises(RuntimeError, match="changed size"):
        for key in d:
            d[key, "more"] = 1
    d["l"] = [1, 2]
    with pytest.raises(RuntimeError, match="changed size"):
        for _ in d.keys():
            del d["a"]


def test_a_reading_map_defers_nothing(path: Path) -> None:
    OOCMap(path).close()
    with (
        OOCMap(path, readonly=True, durability="deferred") as reader,
        pytest.raises(ReadOnlyError),
    ):
        reader["a"] = 1


def test_what_does_not_fit_takes_nothing_else_with_it(path: Path) -> None:
    with OOCMap(path, durability="deferred", flush_interval=LONG, max_size=1 << 20) as d:
        stored = {}
        for key in range(10_000):
            try:
                d[key] = "x" * 300
                stored[key] = "x" * 300
                if key % 10 == 0:
                    d["list"] = [1]
                    d["list"].append(key)
            except MapFullError:
                break
        assert len(stored) > 1000
        with pytest.raises(MapFullError):
            d["large"] = b"x" * (2 << 20)
        del d["list"]
        assert dict(d.items()) == stored
        for key in list(stored):
            del d[key]
        d["again"] = 1
    with OOCMap(path) as m:
        assert m == {"again": 1}
        assert m.check() == []


def test_others_get_their_turn(d: OOCMap, path: Path) -> None:
    """A batch that waits for an hour does not hold other writers up."""
    program = """
import sys, oocmap
with oocmap.OOCMap(sys.argv[1], lock_timeout=30) as m:
    for turn in range(20):
        m["other"] = turn
"""
    d["a"] = 0
    run = subprocess.Popen([sys.executable, "-c", program, path])
    turn = 0
    while run.poll() is None:
        turn += 1
        d["a"] = turn
        time.sleep(0.001)
    assert run.returncode == 0
    assert d["other"] == 19
    assert d["a"] == turn


def test_threads_and_transactions_between_them(path: Path) -> None:
    with OOCMap(path, durability="deferred", flush_interval=0.002) as d:
        d["sum"] = 0

        def work(number: int) -> None:
            for turn in range(200):
                d[number, turn] = [turn]
                assert d[number, turn] == [turn]
                if turn % 10 == number:
                    with d.transaction() as tx:
                        tx["sum"] += 1
                if turn % 7 == 0:
                    assert len(d.prefix((number,))) == turn + 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert d["sum"] == 80
        assert len(d) == 801
        assert d.check() == []


def test_a_write_that_can_not_begin_ends_in_time(path: Path) -> None:
    with (
        OOCMap(path) as other,
        OOCMap(path, durability="deferred", lock_timeout=0.1) as d,
        other.transaction() as tx,
    ):
        tx["a"] = 1
        raised: list[BaseException] = []

        def write() -> None:
            try:
                d["b"] = 1
            except LockTimeoutError as error:
                raised.append(error)

        threads = [threading.Thread(target=write) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(raised) == 3


ENDS = {
    "end of the program": "",
    "an exception": "raise SystemExit(0)",
    "no name left": "del d; import gc; gc.collect()",
    "in a thread": "import threading; t = threading.Thread(target=lambda: d.update(a=2)); t.start(); t.join()",
}


@pytest.mark.parametrize("end", ENDS)
def test_exit_commits(path: Path, end: str) -> None:
    program = "\n".join(
        [
            "import sys, oocmap",
            f"d = oocmap.OOCMap(sys.argv[1], durability='deferred', flush_interval={LONG})",
            "d['a'] = 1",
            ENDS[end],
        ]
    )
    subprocess.run([sys.executable, "-c", program, path], check=True, timeout=60)
    with OOCMap(path) as m:
        assert m == {"a": 2 if end == "in a thread" else 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_sees_them(d: OOCMap) -> None:
    d["a"] = [1]
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert d["a"] == [1]
            d["child"] = 1
            d.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert d == {"a": [1], "child": 1}


def defer(path: Path, key: int) -> None:
    """Defer a write, and end."""
    OPENED[key] = OOCMap(path, durability="deferred", flush_interval=LONG)
    OPENED[key][key] = 1


OPENED: dict[int, OOCMap] = {}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_end_of_a_process_of_multiprocessing_commits(path: Path, d: OOCMap, method: str) -> None:
    """It ends without the hooks that other processes run."""
    context: Any = multiprocessing.get_context(method)
    d[0] = 1
    children = [context.Process(target=defer, args=(path, key)) for key in (1, 2, 3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert d == dict.fromkeys(range(4), 1)


@needs_timers
@pytest.mark.parametrize("durability", ["sync", "deferred"])
def test_a_signal_handler_that_writes_while_its_thread_waits_to_defer(path: Path, durability: Any) -> None:
    """It would wait for the thread that it interrupts."""
    raised: list[BaseException] = []
    with (
        OOCMap(path, durability="deferred", flush_interval=LONG) as d,
        OOCMap(path, durability=durability, flush_interval=LONG) as other,
    ):

        def handle() -> None:
            for write in (lambda: other.update(handler=1), lambda: other.transaction()):
                try:
                    write()
                except TransactionError as error:
                    raised.append(error)

        handle_while_waiting(d, "held", lambda: d.__setitem__("main", 1), handle)
        assert len(raised) == 2
        assert d == {"held": 1, "main": 1}


def test_the_shortest_interval_counts(path: Path) -> None:
    with (
        OOCMap(path, durability="deferred", flush_interval=LONG) as slow,
        OOCMap(path, durability="deferred", flush_interval=0.01) as fast,
    ):
        slow["slow"] = 1
        fast["fast"] = 1
        deadline = time.monotonic() + 60
        while elsewhere(path) != {"fast": 1, "slow": 1}:
            assert time.monotonic() < deadline


def test_threads_that_fill_a_map_together(path: Path) -> None:
    """Each had room for itself, and the last one took the others back."""
    with OOCMap(path, durability="deferred", flush_interval=LONG, max_size=4 << 20) as d:
        stored: list[int] = []
        barrier = threading.Barrier(9)

        def write(key: int) -> None:
            barrier.wait()
            try:
                d[key] = bytes(400_000)
            except MapFullError:
                return
            stored.append(key)

        threads = [threading.Thread(target=write, args=(key,)) for key in range(9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(d) == set(stored)
        assert len(stored) > 3
    with OOCMap(path) as m:
        assert set(m) == set(stored)


WRITER = textwrap.dedent(
    """
    import os, sys
    from oocmap import OOCMap

    d = OOCMap(sys.argv[1], durability="deferred", flush_interval=0.02)
    number = int(sys.argv[2])
    print("ready", flush=True)
    while True:
        number += 1
        d.update({("left", number): number, ("right", number): [number] * (number % 50), "last": number})
    """
)


def test_a_kill_loses_the_end_and_no_part_of_an_operation(path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    grown = 0
    with OOCMap(path) as m:
        m["last"] = 0
        for _ in range(25):
            before = m["last"]
            writer = subprocess.Popen(
                [sys.executable, "-c", WRITER, path, str(before)], stdout=subprocess.PIPE, bufsize=0
            )
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(chance.random() * 0.1)
            writer.send_signal(signal.SIGKILL)
            writer.stdout.close()
            writer.wait()
            m["ours"] = before  # whoever died half way through a commit is cleaned up after
            with m.snapshot() as s:
                last = s["last"]
                grown += last > before
                assert [key[1] for key in s.prefix(("left",))] == list(range(1, last + 1))
                rights = [(key[1], value.eager()) for key, value in s.prefix(("right",)).items()]
                assert rights == [(number, [number] * (number % 50)) for number in range(1, last + 1)]
        assert grown > 5
        assert m.check() == []
