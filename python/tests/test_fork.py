"""A forked child works on its own map, and neither uses nor harms what its parent has open."""

from __future__ import annotations

import gc
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from forking import expect_success, forked
from oocmap import OOCMap, SnapshotExpiredError, StaleObjectError, TransactionClosedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]


def in_child(work: Callable[[], Any], meanwhile: Callable[[], Any] = lambda: None) -> None:
    """Run `work` in a forked child, which must come to its end by itself."""

    def work_and_collect() -> None:
        work()
        gc.collect()

    child = forked(work_and_collect, 60)
    meanwhile()
    expect_success(child)


def wait_for(end: int) -> None:
    """Wait for a byte through a pipe."""
    assert select.select([end], [], [], 60)[0]
    assert os.read(end, 1) == b"x"


def test_a_child_uses_what_its_parent_opened(path: Path) -> None:
    with OOCMap(path) as m:
        m["k"] = [1, {"n": 2}]
        handle = m["k"]

        def child() -> None:
            assert m["k"] == [1, {"n": 2}]
            m["child"] = os.getpid()
            handle.append("child")
            with m.transaction() as tx:
                tx["in"] = 1
            assert m.check() == []

        in_child(child)
        assert handle == [1, {"n": 2}, "child"]
        m["parent"] = 1
        assert set(m) == {"k", "child", "in", "parent"}


def test_a_snapshot_is_the_same_version_in_a_child(path: Path) -> None:
    with OOCMap(path) as m:
        m.update((key, [key] * 100) for key in range(100))
        with m.snapshot() as s:
            iterator = iter(s.items())
            next(iterator)

            def child() -> None:
                assert all(s[key] == [key] * 100 for key in range(100))
                assert [key for key, _ in iterator] == list(range(1, 100))
                for turn in range(300):
                    m[turn % 100] = [turn] * 200
                assert s[7] == [7] * 100
                s.close()

            in_child(child)
            assert s[7] == [7] * 100
            assert next(iterator)[0] == 1


def test_a_child_keeps_the_version_when_its_parent_has_let_go(path: Path) -> None:
    with OOCMap(path) as m:
        m.update((key, [key] * 100) for key in range(100))
        s = m.snapshot()
        ready, go = os.pipe(), os.pipe()

        def child() -> None:
            assert s[0] == [0] * 100
            os.write(ready[1], b"x")
            wait_for(go[0])
            assert all(s[key] == [key] * 100 for key in range(100))

        def parent() -> None:
            wait_for(ready[0])
            s.close()
            for turn in range(300):
                m[turn % 100] = [turn] * 200
            os.write(go[1], b"x")

        in_child(child, parent)
        for end in (*ready, *go):
            os.close(end)


def test_a_child_that_comes_too_late_gets_an_error(path: Path) -> None:
    with OOCMap(path) as m:
        m["k"] = 1
        s = m.snapshot()
        go = os.pipe()

        def child() -> None:
            wait_for(go[0])
            with pytest.raises(SnapshotExpiredError):
                s["k"]
            assert m["k"] == 99

        def parent() -> None:
            s.close()
            for turn in range(100):
                m["k"] = turn
            os.write(go[1], b"x")

        in_child(child, parent)
        for end in go:
            os.close(end)


def test_an_inherited_transaction_is_dead_in_the_child_alone(path: Path) -> None:
    with OOCMap(path) as m:
        m["k"] = [1]
        tx = m.transaction()
        tx["l"] = ["new"]
        new, old = tx["l"], tx["k"]

        def child() -> None:
            for end in (tx.commit, tx.rollback, lambda: tx["l"]):
                with pytest.raises(TransactionClosedError):
                    end()
            with pytest.raises(StaleObjectError):
                new.append(1)
            assert old == [1]
            assert "l" not in m

        in_child(child)
        tx["m"] = 2
        tx.commit()
        assert m == {"k": [1], "l": ["new"], "m": 2}
        assert new == ["new"]


def test_a_child_that_drops_everything_leaves_what_its_parent_has(path: Path) -> None:
    with OOCMap(path) as m:
        m.update((key, [key] * 100) for key in range(100))
        inherited: list[Any] = [m.snapshot(), m[1], iter(m), m.view, m.transaction()]

        def child() -> None:
            inherited.clear()
            gc.collect()
            m.close()

        in_child(child)
        inherited.pop().rollback()
        snapshot = inherited[0]
        for turn in range(300):  # what is not pinned would be overwritten
            m[turn % 100] = [turn] * 200
        assert all(snapshot[key] == [key] * 100 for key in range(100))
        assert list(snapshot) == list(range(100))


def test_what_a_child_holds_outlives_its_key_there(path: Path) -> None:
    with OOCMap(path) as m:
        m["k"] = {"inner": [1, 2]}
        inner = m["k"]["inner"]

        def child() -> None:
            assert inner == [1, 2]
            del m["k"]
            inner.append(3)
            assert inner == [1, 2, 3]

        in_child(child)
        assert "k" not in m
        assert m.check() == []


def test_a_child_opens_the_map_anew(path: Path) -> None:
    m = OOCMap(path)
    m["k"] = "parent"

    def child() -> None:
        with OOCMap(path) as mine:
            assert mine["k"] == "parent"
            mine["child"] = 1
            assert m["child"] == 1
        m.close()

    in_child(child)
    assert m["child"] == 1
    m["k"] = "again"
    assert m == {"k": "again", "child": 1}
    m.close()


def test_children_of_children(path: Path) -> None:
    with OOCMap(path) as m:
        m["k"] = list(range(10))
        s, handle = m.snapshot(), m["k"]

        def child() -> None:
            m["child"] = 1
            assert s["k"] == handle

            def grandchild() -> None:
                assert s["k"] == list(range(10))
                assert "child" not in s
                handle.append("grandchild")
                m["grandchild"] = 1

            in_child(grandchild)
            assert m["grandchild"] == 1
            assert s["k"] == list(range(10))

        in_child(child)
        assert m["k"][-1] == "grandchild"
        s.close()


def test_a_child_does_not_keep_its_parents_lock(path: Path) -> None:
    """The lock was shared with it, and stayed when the parent was killed while it wrote."""
    program = """
import os, signal, sys, oocmap
m = oocmap.OOCMap(sys.argv[1])
m["k"] = 1
tx = m.transaction()
tx["k"] = 2
if os.fork() == 0:
    os.close(0)
    print("forked", flush=True)
    os.close(1)
    os.close(2)
    signal.pause()
os.kill(os.getpid(), signal.SIGKILL)
"""
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, path], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"forked\n"
        parent.stdout.close()
        parent.wait()
        with OOCMap(path, lock_timeout=10) as m:
            assert m["k"] == 1
            m["k"] = 3
    finally:
        os.killpg(parent.pid, signal.SIGKILL)


def test_a_child_that_ends_does_not_let_others_write(path: Path) -> None:
    with OOCMap(path) as m:
        tx = m.transaction()
        tx["parent"] = 1
        in_child(lambda: None)
        # A process of its own: the lock is the operating system's.
        program = "import sys, oocmap; oocmap.OOCMap(sys.argv[1], lock_timeout=0.2)['other'] = 1"
        run = subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, text=True, check=False
        )
        assert "LockTimeoutError" in run.stderr
        tx.commit()
        assert m == {"parent": 1}


OPENED: dict[str, Any] = {}


def add(key: int) -> int:
    """Store something through what the parent opened."""
    m = OPENED["m"]
    m[key] = [os.getpid()]
    with m.transaction() as tx:
        tx["sum"] += key
    return len(OPENED["s"])


@pytest.mark.parametrize("kind", ["pool", "executor"])
def test_pools_of_forked_processes(path: Path, kind: str) -> None:
    context = multiprocessing.get_context("fork")
    with OOCMap(path) as m:
        m["sum"] = 0
        OPENED.update(m=m, s=m.snapshot())
        if kind == "pool":
            with context.Pool(4) as pool:
                seen = pool.map(add, range(100))
        else:
            with ProcessPoolExecutor(4, mp_context=context) as executor:
                seen = list(executor.map(add, range(100)))
        assert seen == [1] * 100
        assert m["sum"] == sum(range(100))
        assert len(m) == 101
        OPENED.pop("s").close()
        assert m.check() == []


def add_to(m: OOCMap, key: int) -> int:
    """Store something through a map that came as an argument."""
    m[key] = [os.getpid()]
    return key


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_ways_to_start_a_process(m: OOCMap, method: str) -> None:
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        assert list(executor.map(add_to, [m] * 10, range(10))) == list(range(10))
    assert list(m) == list(range(10))


def test_joblib(m: OOCMap) -> None:
    joblib = pytest.importorskip("joblib")
    done = joblib.Parallel(n_jobs=2)(joblib.delayed(add_to)(m, key) for key in range(10))
    assert done == list(range(10))
    assert list(m) == list(range(10))


def test_a_fork_while_threads_are_busy(path: Path) -> None:
    """What another thread had locked at that moment must not hold the child up."""
    import threading

    with OOCMap(path, durability="nometasync") as m:
        m.update((key, {"n": key}) for key in range(100))
        ended = threading.Event()

        def work(number: int) -> None:
            turn = 0
            while not ended.is_set():
                turn += 1
                m["busy", number] = {"turn": turn, f"key {turn % 1000}": [turn]}
                with m.snapshot() as s:
                    assert s["busy", number]["turn"] == turn
                with OOCMap(path.with_suffix(f".{number}")) as other:
                    other["k"] = turn

        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        try:
            for turn in range(30):
                time.sleep(0.005)

                def child(turn: int = turn) -> None:
                    assert m[turn]["n"] == turn
                    m["child", turn] = 1

                in_child(child)
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        assert len(m.prefix(("child",))) == 30
        assert m.check() == []
