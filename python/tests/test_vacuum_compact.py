"""A vacuum makes the file smaller under everyone who has it open, and nobody notices."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import random
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from forking import expect_success, forked
from oocmap import OOCMap, SnapshotExpiredError
from vacuuming import EACH, PATIENCE, objects, strand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPAWN = multiprocessing.get_context("spawn")
COUNT = 20
SIZE = 100_000


def swell(m: OOCMap) -> None:
    """Store much, and delete all but a little of it."""
    with m.transaction() as tx:
        for number in range(COUNT):
            tx["swollen", number] = random.randbytes(SIZE)
    with m.transaction() as tx:
        for number in range(1, COUNT):
            tx.pop(("swollen", number), None)


def compact(m: OOCMap) -> None:
    """Vacuum a swollen file, which has to become smaller."""
    result = m.vacuum()
    assert result.size_after < result.size_before - COUNT * SIZE // 2
    assert result.swap_wait > 0


def inode(path: Path) -> int:
    """Return which file it is."""
    return path.stat().st_ino


def test_the_file_becomes_smaller(m: OOCMap, path: Path) -> None:
    m["kept"] = {"list": [1, 2, [3]], "bytes": b"x" * 50_000}
    for _ in range(3):
        swell(m)
        before = path.stat().st_size
        assert before > COUNT * SIZE
        compact(m)
        assert path.stat().st_size < before / 4
        assert m["kept"] == {"list": [1, 2, [3]], "bytes": b"x" * 50_000}
        assert m.check() == []
        m["after"] = [1]
        m["after"].append(2)
        assert m["after"] == [1, 2]
    m.close()
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < COUNT * SIZE
    with OOCMap(path) as again:
        assert again["after"] == [1, 2]
        assert again.check() == []


def test_it_stays_as_large_when_asked_to(m: OOCMap, path: Path) -> None:
    swell(m)
    before, file = path.stat().st_size, inode(path)
    result = m.vacuum(compact=False)
    assert path.stat().st_size >= before
    assert inode(path) == file
    assert result.swap_wait == 0


def test_little_is_left_alone(m: OOCMap, path: Path) -> None:
    m.update((number, b"x" * 1000) for number in range(1000))
    file = inode(path)
    del m[1]
    assert m.vacuum().swap_wait == 0
    assert inode(path) == file


def test_progress_gets_there(m: OOCMap) -> None:
    m.update((number, random.randbytes(100)) for number in range(20_000))
    with m.transaction() as tx:
        for number in range(5000, 20_000):
            del tx[number]
    v = m.vacuum(wait=False)
    assert v.result(PATIENCE).swap_wait > 0
    step, done, total = v.progress
    assert step == "compacting"
    assert done == total > 0


def test_all_that_was_read_before_stays_good(m: OOCMap) -> None:
    m["kept"] = {"list": [1, [2]], "set": {3}}
    m["bytes"] = random.randbytes(50_000)
    m["array"] = bytearray(m["bytes"])
    content = m["bytes"]
    m.update((("entry", number), [number]) for number in range(500))
    handle, nested, long = m["kept"], m["kept"]["list"][1], m["array"]
    keys = m.prefix(("entry",)).keys()
    with m.snapshot() as s:
        of_snapshot, iterator = s["kept"]["list"], iter(s.items())
        first = next(iterator)
        views = [m.view("bytes"), s.view("array"), long.view()]
        swell(m)
        compact(m)
        for _ in range(2):
            assert all(bytes(view) == content for view in views)
            assert s["kept"] == {"list": [1, [2]], "set": {3}}
            assert ("swollen", 0) not in s
            assert handle["set"] == {3}
            nested.append("new")
            handle["list"].append("also")
            long[0] = 7
            m["alias"] = nested
            assert m["alias"].same_as(m["kept"]["list"][1])
            assert of_snapshot == [1, [2]]
            assert s.check() == m.check() == []
            assert len(keys) == 500
            swell(m)
            compact(m)
        assert len([first, *iterator]) == len(s) == 503
    assert nested == [2, "new", "new"]
    assert long[0] == 7
    assert m["array"] == long
    for view in views:
        assert bytes(view) == content
        view.release()


def test_an_iteration_over_the_live_map_goes_on(m: OOCMap) -> None:
    m.update((("entry", number), [number]) for number in range(500))
    swell(m)
    found = []
    for key, value in m.prefix(("entry",)).items():
        found.append(key[1])
        assert value == [key[1]]
        if key[1] == 250:
            compact(m)
    assert found == list(range(500))


def test_a_transaction_comes_before_or_after(m: OOCMap) -> None:
    swell(m)
    for turn in range(5):
        with m.transaction() as tx:
            tx["turn"] = turn
            v = ThreadPoolExecutor(1).submit(m.vacuum)
            time.sleep(0.02)
            tx["list"] = [turn]
            tx["list"].append(turn)
            assert not v.done()
        v.result(PATIENCE)
        assert m["list"] == [turn, turn]
        swell(m)


def test_threads_go_on(m: OOCMap) -> None:
    m["n"] = 0
    m["list"] = []
    ended = threading.Event()

    def add(worker: int) -> int:
        number, handle = 0, m["list"]
        while not ended.is_set():
            number += 1
            if number % 2:
                with m.transaction() as tx:
                    tx["n"] += 1
            else:
                with m.transaction() as tx:
                    tx["n"] = tx["n"] + 1
                    nested = tx.transaction()
                    nested["n"] = -1
                    nested.rollback()
            m[worker] = [number]
            handle.append((worker, number))
            m["keep", worker, number % 100] = random.randbytes(2000)
            assert m[worker] == [number]
        return number

    def read() -> None:
        while not ended.is_set():
            with m.snapshot() as s:
                assert s["n"] >= len(s["list"])
                assert len(list(s.items())) == len(s)

    with ThreadPoolExecutor(3) as pool:
        workers = [pool.submit(add, worker) for worker in range(2)]
        reader = pool.submit(read)
        try:
            for _ in range(8):
                swell(m)
                m.vacuum()
                assert m.check() == []
        finally:
            ended.set()
        counts = [worker.result() for worker in workers]
        reader.result()
    assert m["n"] == sum(counts) == len(m["list"])
    for worker in range(2):
        assert [number for who, number in m["list"] if who == worker] == list(range(1, counts[worker] + 1))
    assert m.check() == []


def work(path: str, worker: int, seconds: float) -> int:
    """Add one to a counter again and again, with a handle and a snapshot that stay, and return how often."""
    deadline = time.monotonic() + seconds
    with OOCMap(path) as m, m.snapshot() as s:
        seen, number = dict(s), 0
        m["list", worker] = []
        handle = m["list", worker]
        while time.monotonic() < deadline:
            number += 1
            with m.transaction() as tx:
                tx["n"] += 1
            handle.append(number)
            m["x", worker] = random.randbytes(3000)
            if number % 50 == 0:
                assert seen == s
                assert m.check() == []
        assert handle == list(range(1, number + 1))
        return number


def test_processes_go_on(m: OOCMap, path: Path) -> None:
    m["n"] = 0
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        workers = [pool.submit(work, str(path), worker, 2) for worker in range(2)]
        swaps = 0
        while not all(worker.done() for worker in workers):
            swell(m)
            swaps += m.vacuum().swap_wait > 0
        counts = [worker.result() for worker in workers]
    assert swaps > 2
    assert m["n"] == sum(counts)
    assert [len(m["list", worker]) for worker in range(2)] == counts
    assert m.check() == []


def test_many_processes_make_it_smaller_at_once(m: OOCMap, path: Path) -> None:
    m["kept"] = [1]
    with ProcessPoolExecutor(3, mp_context=SPAWN) as pool:
        jobs = [pool.submit(swell_and_vacuum, str(path), worker) for worker in range(6)]
        for job in jobs:
            job.result()
    m.vacuum()
    assert m["kept"] == [1]
    assert {key[1] for key in m.prefix(("worker",)).keys()} == set(range(6))
    assert m.check() == []


def swell_and_vacuum(path: str, worker: int) -> None:
    """Vacuum several times."""
    with OOCMap(path) as m:
        for _ in range(3):
            swell(m)
            m["worker", worker] = [worker]
            m.vacuum()


def test_who_only_reads_follows(m: OOCMap, path: Path) -> None:
    m["k"] = [1]
    with OOCMap(path, readonly=True) as reader, ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        assert pool.submit(look, str(path)).result() == [1]
        swell(m)
        compact(m)
        m["k"].append(2)
        assert reader["k"] == [1, 2]
        assert pool.submit(look, str(path)).result() == [1, 2]
        assert reader.check() == []


def look(path: str, known: list[OOCMap] = []) -> Any:  # noqa: B006 - it stays open
    """Read from a map that stays open."""
    if not known:
        known.append(OOCMap(path, readonly=True))
    return known[0]["k"].eager(deep=True)


def test_a_snapshot_is_handed_over_afterwards(m: OOCMap) -> None:
    m["k"] = [1]
    swell(m)
    compact(m)
    with m.snapshot() as s, ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        m["k"] = [2]
        assert pool.submit(of_snapshot, pickle.dumps(s)).result() == (s.version, [1])
        assert pickle.loads(pickle.dumps(m))["k"] == [2]


def test_a_snapshot_from_before_is_refused_elsewhere_and_good_here(m: OOCMap) -> None:
    m["k"] = [1]
    with m.snapshot() as s, ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        m["k"] = [2]
        swell(m)
        compact(m)
        # Its file has no name any more by which another process could open it.
        with pytest.raises(SnapshotExpiredError):
            pool.submit(of_snapshot, pickle.dumps(s)).result()
        assert s["k"] == [1]


def of_snapshot(pickled: bytes) -> tuple[int, Any]:
    """Read from a snapshot of another process."""
    with pickle.loads(pickled) as s:
        return s.version, s["k"].eager(deep=True)


@pytest.fixture
def in_child() -> Iterator[Any]:
    """Run something in a forked child, which has to succeed."""
    children: list[int] = []

    def run(work: Any) -> None:
        children.append(forked(work, PATIENCE))

    yield run
    for child in children:
        expect_success(child)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_goes_on_too(m: OOCMap, in_child: Any) -> None:
    m["k"] = [1, [2]]
    handle = m["k"]
    swell(m)
    go, done = os.pipe(), os.pipe()

    def child() -> None:
        os.read(go[0], 1)
        handle[1].append("child")
        m["child"] = os.getpid()
        with m.snapshot() as s:
            swell(m)
            compact(m)
            assert m.check() == []
            assert s["k"] == [1, [2, "child"], "parent"]
        os.write(done[1], b"x")

    in_child(child)
    os.close(done[1])
    compact(m)
    handle.append("parent")
    os.write(go[1], b"x")
    assert os.read(done[0], 1) == b"x"
    assert m["k"] == [1, [2, "child"], "parent"]
    assert "child" in m
    assert m.check() == []
    for end in (*go, done[0]):
        os.close(end)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_goes_on_with_a_snapshot(m: OOCMap) -> None:
    m["k"] = [1]
    go = os.pipe()
    swell(m)
    with m.snapshot() as s:
        child = os.fork()
        if child == 0:
            os.read(go[0], 1)
            with contextlib.suppress(SnapshotExpiredError):
                os._exit(0 if s["k"] == [1] else 2)
            os._exit(1)
        compact(m)
        os.write(go[1], b"x")
        _, status = os.waitpid(child, 0)
        assert s["k"] == [1]
    for end in go:
        os.close(end)
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_process_that_is_killed_while_it_compacts(m: OOCMap, path: Path) -> None:
    m["kept"] = {"list": [1]}
    for turn in range(8):
        process = SPAWN.Process(target=compact_for_ever, args=(str(path),))
        process.start()
        while "compacts" not in m:
            time.sleep(0.001)
        time.sleep(random.random() / 10)
        process.kill()
        process.join()
        with m.transaction() as tx:
            tx.pop("compacts", None)
            tx["kept"]["list"].append(turn)
        assert m.check() == []
    assert m["kept"] == {"list": [1, *range(8)]}
    strand(m, 10)
    swell(m)
    assert m.vacuum().objects >= 10 * EACH
    assert objects(m) < 100
    assert path.stat().st_size < COUNT * SIZE
    m.close()
    with OOCMap(path) as again:
        again["k"] = 1
    beside = sum(file.stat().st_size for file in path.parent.iterdir() if file != path)
    assert beside < 1 << 20


def compact_for_ever(path: str) -> None:
    """Swell and vacuum, until one is killed."""
    with OOCMap(path) as m:
        swell(m)
        m["compacts"] = 1
        while True:
            m.vacuum()
            swell(m)
