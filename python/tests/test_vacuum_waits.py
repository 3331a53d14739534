"""A vacuum tells how far it is and what it did, can be called off, and holds up neither the process nor its end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import pickle
import re
import signal
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import oocmap
import pytest
from interrupting import needs_timers
from oocmap import ClosedError, OOCMap, ReadOnlyError, TransactionError, VacuumProgress, VacuumResult
from vacuuming import EACH, PATIENCE, objects, run_program, strand, writing

# --- what it tells ---


def test_the_result(m: OOCMap, path: Path) -> None:
    strand(m, 10, size=5000)
    before = path.stat().st_size
    begun = time.monotonic()
    result = m.vacuum()
    took = time.monotonic() - begun
    assert isinstance(result, VacuumResult)
    assert result.objects == 10 * EACH
    assert result.bytes >= 10 * 5000
    assert (result.size_before, result.size_after) == (before, path.stat().st_size)
    assert 0 < result.longest_wait <= result.seconds <= took
    assert 0 <= result.swap_wait <= result.seconds
    assert {type(value) for value in result} == {int, float}
    assert pickle.loads(pickle.dumps(result)) == result
    assert repr(result).startswith("VacuumResult(objects=20, bytes=")
    assert re.findall(r"(\w+)=", repr(result)) == list(VacuumResult._fields)


def test_stats_count_deletions_until_a_vacuum(m: OOCMap) -> None:
    assert m.stats()["deletions"] == 0
    m["a"] = 1
    m["a"] = 2
    del m["a"]
    assert m.stats()["deletions"] == 2
    m.vacuum()
    assert m.stats()["deletions"] == 0


def test_progress_is_told_on_the_thread_that_waits(m: OOCMap) -> None:
    strand(m, 5000)
    told: list[tuple[int, int]] = []
    threads = set()

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        threads.add(threading.get_ident())

    m.vacuum(progress=progress)
    assert threads == {threading.get_ident()}
    assert all(type(done) is type(total) is int and 0 <= done <= total for done, total in told)
    assert all(one != other for one, other in itertools.pairwise(told))
    assert told[-1][0] == told[-1][1] > 0


def test_what_progress_raises_ends_it(m: OOCMap) -> None:
    strand(m, 5000)

    def stop(*_: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        m.vacuum(progress=stop)
    assert m.check() == []
    strand(m, 5000)
    v = m.vacuum(wait=False, progress=stop)
    with pytest.raises(ZeroDivisionError):
        v.result()
    m.vacuum()
    assert objects(m) == 0
    assert m.check() == []


def test_progress_may_use_the_map(m: OOCMap) -> None:
    strand(m, 2000)
    told = []

    def progress(done: int, total: int) -> None:
        m["progress"] = [done, total]
        told.append(m["progress"].eager())
        assert m.check() == []

    m.vacuum(progress=progress)
    assert m["progress"] == told[-1]
    m.vacuum()
    assert objects(m) == 0


# --- in the background ---


def test_a_vacuum_in_the_background(m: OOCMap) -> None:
    strand(m, 10)
    with writing(m):
        v = m.vacuum(wait=False)
        assert isinstance(v, oocmap.Vacuum)
        assert not v.done()
        assert v.progress == ("waiting", 0, 0)
        assert isinstance(v.progress, VacuumProgress)
        assert repr(v) == f"<oocmap vacuum of '{m.path}', waiting>"
        for timeout in (0, 0.05):
            with pytest.raises(TimeoutError, match="has not ended"):
                v.result(timeout)
    result = v.result(PATIENCE)
    assert result.objects == 10 * EACH
    assert v.result() == v.result(0) == v.result(timeout=None) == result
    assert v.done()
    assert v.progress.step == "sweeping" or v.progress.step == "compacting"
    assert v.progress.done == v.progress.total
    assert repr(v) == f"<oocmap vacuum of '{m.path}', done, 20 objects deleted>"
    v.cancel()
    assert v.result() == result
    assert objects(m) == 0


def test_all_who_wait_get_the_result(m: OOCMap) -> None:
    strand(m, 10)
    told: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        with writing(m):
            v = m.vacuum(wait=False, progress=lambda *_: told.append(threading.get_ident()))
            waiting = [pool.submit(v.result) for _ in range(4)]
        results = [each.result(PATIENCE) for each in waiting]
    assert results == [v.result()] * 4
    assert len(set(told)) >= 4


def test_one_after_the_other(m: OOCMap) -> None:
    strand(m, 10)
    with writing(m):
        all_of_them = [m.vacuum(wait=False) for _ in range(5)]
    assert [v.result(PATIENCE).objects for v in all_of_them] == [10 * EACH, 0, 0, 0, 0]


def test_one_that_nobody_waits_for_goes_on(m: OOCMap) -> None:
    strand(m, 10)
    with writing(m):
        m.vacuum(wait=False)
        gc.collect()
    deadline = time.monotonic() + PATIENCE
    while objects(m):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_handle_keeps_the_map_open(path: Path) -> None:
    m = OOCMap(path)
    strand(m, 10)
    v = m.vacuum(wait=False)
    del m
    gc.collect()
    assert v.result(PATIENCE).objects == 10 * EACH


def test_cancelling(m: OOCMap) -> None:
    strand(m, 10)
    with writing(m):
        running, waits = m.vacuum(wait=False), m.vacuum(wait=False)
        for v in (waits, running):
            v.cancel()
            with pytest.raises(CancelledError, match="was cancelled"):
                v.result(PATIENCE)
            assert v.done()
            assert repr(v) == f"<oocmap vacuum of '{m.path}', cancelled>"
            v.cancel()
    assert objects(m) == 10 * EACH
    assert m.check() == []
    assert m.vacuum().objects == 10 * EACH


def test_cancelling_at_any_moment(m: OOCMap) -> None:
    strand(m, 3000)
    m["kept"] = [[1], {"a": 2}]
    for turn in range(30):
        v = m.vacuum(wait=False)
        time.sleep(turn / 1000)
        v.cancel()
        with contextlib.suppress(CancelledError):
            v.result(PATIENCE)
        assert m.check() == []
    m.vacuum()
    assert objects(m) == 0
    assert m["kept"] == [[1], {"a": 2}]


@needs_timers
@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals come there")
def test_ctrl_c(m: OOCMap) -> None:
    strand(m, 10)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with writing(m):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(KeyboardInterrupt):
                m.vacuum()
            v = m.vacuum(wait=False)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(KeyboardInterrupt):
                v.result(PATIENCE)
            assert not v.done()
    finally:
        signal.signal(signal.SIGALRM, before)
    # The first was cancelled; the other one was left alone.
    assert v.result(PATIENCE).objects == 10 * EACH


# --- where there can be none ---


def test_none_inside_a_transaction_of_the_same_thread(m: OOCMap) -> None:
    with m.transaction() as tx:
        tx["a"] = 1
        for wait in (True, False):
            with pytest.raises(TransactionError, match="write transaction open"):
                m.vacuum(wait=wait)
    assert m["a"] == 1
    assert m.vacuum().objects == 0


def test_none_in_a_task_while_another_one_writes(m: OOCMap) -> None:
    async def vacuum() -> None:
        for wait in (True, False):
            with pytest.raises(TransactionError, match="another task"):
                m.vacuum(wait=wait)

    async def both() -> None:
        with m.transaction() as tx:
            tx["a"] = 1
            await asyncio.create_task(vacuum())
        assert (await asyncio.to_thread(m.vacuum)).objects == 0

    asyncio.run(both())
    assert m["a"] == 1


def test_none_of_a_map_that_may_only_be_read(m: OOCMap, path: Path) -> None:
    strand(m)
    with OOCMap(path, readonly=True) as reader, pytest.raises(ReadOnlyError):
        reader.vacuum()
    assert m.vacuum().objects == EACH


def test_none_of_a_closed_map(path: Path) -> None:
    m = OOCMap(path)
    m.close()
    with pytest.raises(ClosedError):
        m.vacuum()
    with pytest.raises(ClosedError):
        OOCMap.__new__(OOCMap).vacuum()


def test_closing_the_map_ends_it(path: Path) -> None:
    with OOCMap(path) as m:
        strand(m, 10_000)
        running, waits = m.vacuum(wait=False), m.vacuum(wait=False)
        begun = time.monotonic()
    for v in (running, waits):
        with pytest.raises(ClosedError):
            v.result(PATIENCE)
        v.cancel()
        with pytest.raises(ClosedError):
            v.result()
        assert repr(v) == f"<oocmap vacuum of '{path}', ended with the map>"
    assert time.monotonic() - begun < PATIENCE / 2
    with OOCMap(path) as m:
        assert m.check() == []
        m.vacuum()
        assert objects(m) == 0


def test_another_handle_keeps_it_going(m: OOCMap, path: Path) -> None:
    other = OOCMap(path)
    strand(m, 10)
    with writing(m):
        v = other.vacuum(wait=False)
        other.close()
    assert v.result(PATIENCE).objects == 10 * EACH


@pytest.mark.parametrize("progress", [1, "text", object()])
def test_progress_has_to_be_callable(m: OOCMap, progress: Any) -> None:
    with pytest.raises(TypeError, match="progress has to be callable"):
        m.vacuum(progress=progress)


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_timeout_that_makes_no_sense(m: OOCMap, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout is"):
        m.vacuum(wait=False).result(timeout)


def test_a_vacuum_is_made_by_the_map_only() -> None:
    with pytest.raises(TypeError):
        oocmap.Vacuum()


# --- at exit, and after a fork ---


def at_exit(path: Path, program: str) -> None:
    """Run a program that ends while a vacuum runs: soon, and without a word."""
    begun = time.monotonic()
    run_program(f"m = oocmap.OOCMap(sys.argv[1])\nstrand(m, 3000)\n{program}", path)
    assert time.monotonic() - begun < PATIENCE / 2
    with OOCMap(path) as m:
        assert m.check() == []
        m.vacuum()
        assert objects(m) == 0


@pytest.mark.parametrize(
    "program",
    [
        "m.vacuum(wait=False)",
        "v = m.vacuum(wait=False); time.sleep(0.01)",
        "v = m.vacuum(wait=False); time.sleep(0.04)",
        "all_of_them = [m.vacuum(wait=False) for _ in range(5)]",
        "threading.Thread(target=m.vacuum, daemon=True).start(); time.sleep(0.01)",
        "threading.Thread(target=m.vacuum, kwargs={'progress': max}, daemon=True).start(); time.sleep(0.02)",
        "tx = m.transaction(); threading.Thread(target=m.vacuum, daemon=True).start(); time.sleep(0.1)",
        "v = m.vacuum(wait=False); m.close()",
    ],
)
def test_the_process_may_end_meanwhile(path: Path, program: str) -> None:
    at_exit(path, program)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_has_vacuums_of_its_own(m: OOCMap) -> None:
    strand(m, 10)
    with writing(m):
        running, waits = m.vacuum(wait=False), m.vacuum(wait=False)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(PATIENCE)
                for v in (running, waits):
                    for ask in (v.result, v.cancel, v.done, lambda v=v: v.progress):
                        with pytest.raises(TransactionError, match=f"belongs to process {os.getppid()}"):
                            ask()
                    assert f"of process {os.getppid()}" in repr(v)
                del running, waits, v, ask
                gc.collect()
                assert m.vacuum(wait=False).progress.step == "waiting"
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    assert running.result(PATIENCE).objects == 10 * EACH
    assert waits.result(PATIENCE).objects == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_vacuums(m: OOCMap) -> None:
    strand(m, 10)
    m.vacuum()
    strand(m, 10)
    m["kept"] = [1]
    x = m["kept"]
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(PATIENCE)
            assert m.vacuum().objects == 10 * EACH
            assert x == [1]
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert m.vacuum().objects == 0
    assert x == [1]
