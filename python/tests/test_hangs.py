"""Whoever waits gets their turn, an error within their limit, or their Ctrl-C: nothing hangs for ever.

Transactions that are waited for in one process are in `test_transactions.py`, code that runs in the middle of an
operation in `test_reentrancy.py`, tasks in `test_asyncio.py`, forks in `test_fork.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from oocmap import LockTimeoutError, OOCMap, TransactionClosedError, TransactionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

SPAWN = multiprocessing.get_context("spawn")
PATIENCE = 60


def hold(path: str, pipe: Connection) -> None:
    """Hold the place of the writer from when it is told to until it is told again."""
    with OOCMap(path) as m:
        pipe.send("ready")
        while pipe.recv() == "hold":
            with m.transaction() as tx:
                tx["holder"] = tx.get("holder", 0) + 1
                pipe.send("held")
                pipe.recv()
            pipe.send("let go")


class Holder:
    """Another process that writes when told to."""

    def __init__(self, path: Path) -> None:
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=hold, args=(str(path), theirs))
        self.process.start()
        assert self.hear() == "ready"

    def hear(self) -> Any:
        assert self.pipe.poll(PATIENCE), "the other process does not answer"
        return self.pipe.recv()

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        self.pipe.send("hold")
        assert self.hear() == "held"
        try:
            yield
        finally:
            self.pipe.send("let go")
            assert self.hear() == "let go"


@pytest.fixture
def holder(m: OOCMap, path: Path) -> Iterator[Holder]:
    """Start another process that has the same map open."""
    m["k"] = 0
    other = Holder(path)
    yield other
    other.pipe.send("end")
    other.process.join(PATIENCE)
    assert other.process.exitcode == 0


def from_another_process(path: Path) -> None:
    """Check that another process can write at once."""
    program = "import sys, oocmap; oocmap.OOCMap(sys.argv[1], lock_timeout=5)['other'] = 1"
    subprocess.run([sys.executable, "-c", program, path], check=True, timeout=PATIENCE)


WRITES: dict[str, Callable[[OOCMap], Any]] = {
    "m[k] = v": lambda m: m.__setitem__("k", 1),
    "m.transaction()": lambda m: m.transaction(),
    "m.update": lambda m: m.update(k=1, other=2),
    "m.pop": lambda m: m.pop("k"),
    "a nested change": lambda m: m["nested"].append(1),
}


# --- waiting for another process ---


@pytest.mark.parametrize("write", WRITES)
def test_a_wait_for_another_process_ends_at_its_limit(
    path: Path, m: OOCMap, holder: Holder, write: str
) -> None:
    m["nested"] = []
    with OOCMap(path, lock_timeout=0.3) as limited:
        with holder.holding():
            started = time.monotonic()
            with pytest.raises(LockTimeoutError):
                WRITES[write](limited)
            assert 0.3 <= time.monotonic() - started < PATIENCE
        assert m == {"k": 0, "nested": [], "holder": 1}
        limited["k"] = 2  # and goes on when the place is free
    assert m["k"] == 2


def test_the_limit_of_a_transaction_overrides_that_of_the_map(path: Path, holder: Holder) -> None:
    with OOCMap(path, lock_timeout=1000) as patient, holder.holding():
        started = time.monotonic()
        with pytest.raises(LockTimeoutError):
            patient.transaction(lock_timeout=0.3)
        assert 0.3 <= time.monotonic() - started < PATIENCE


def test_every_thread_that_waits_has_a_limit_of_its_own(m: OOCMap, holder: Holder) -> None:
    waited: dict[float, float] = {}

    def wait(limit: float) -> None:
        started = time.monotonic()
        with pytest.raises(LockTimeoutError):
            m.transaction(lock_timeout=limit)
        waited[limit] = time.monotonic() - started

    limits = [0.1, 0.4, 0.2, 0.5, 0.3]
    threads = [threading.Thread(target=wait, args=(limit,)) for limit in limits]
    with holder.holding():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert sorted(waited) == sorted(limits)
    assert all(limit <= time_ < PATIENCE for limit, time_ in waited.items())
    m["k"] = 1


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("raised", ["by a timer", "by another thread"])
def test_ctrl_c_interrupts_a_wait_without_limit(m: OOCMap, holder: Holder, write: str, raised: str) -> None:
    m["nested"] = []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    try:
        with holder.holding():
            if raised == "by a timer":
                signal.setitimer(signal.ITIMER_REAL, 0.2)
            else:
                timer.start()
            with pytest.raises(KeyboardInterrupt):
                WRITES[write](m)
    finally:
        timer.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert m == {"k": 0, "nested": [], "holder": 1}
    with m.transaction(lock_timeout=5) as tx:  # who gave up does not get the place later, and keep it
        tx["k"] = 1
    with holder.holding():
        assert m["k"] == 1


@pytest.mark.parametrize("write", WRITES)
def test_ctrl_c_interrupts_a_wait_for_another_thread(m: OOCMap, write: str) -> None:
    m.update(k=0, nested=[])
    begun, ended = threading.Event(), threading.Event()

    def other() -> None:
        with m.transaction() as tx:
            tx["thread"] = 1
            begun.set()
            ended.wait(PATIENCE)

    thread = threading.Thread(target=other)
    thread.start()
    assert begun.wait(PATIENCE)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            WRITES[write](m)
    finally:
        timer.cancel()
        ended.set()
        thread.join(PATIENCE)
    assert m == {"k": 0, "nested": [], "thread": 1}
    with m.transaction(lock_timeout=5) as tx:
        tx["k"] = 1


def test_a_process_that_was_stopped_holds_others_up_until_their_limit(m: OOCMap, holder: Holder) -> None:
    with holder.holding():
        assert holder.process.pid is not None
        os.kill(holder.process.pid, signal.SIGSTOP)
        try:
            for _ in range(3):
                with pytest.raises(LockTimeoutError):
                    m.transaction(lock_timeout=0.2)
            assert m["k"] == 0  # readers do not care
            with m.snapshot() as s:
                assert "holder" not in s
        finally:
            os.kill(holder.process.pid, signal.SIGCONT)
    with m.transaction(lock_timeout=PATIENCE) as tx:
        assert tx["holder"] == 1
        tx["k"] = 1
    with holder.holding():
        pass
    assert m == {"k": 1, "holder": 2}


# --- transactions that nobody ends ---


def in_a_thread(function: Callable[[], Any]) -> Any:
    """Run a function in a thread that ends, and return what it returned or raised."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(function())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it hangs"
    return results[0]


def begin(m: OOCMap) -> Any:
    """Begin a transaction, and do something in it."""
    tx = m.transaction()
    tx["left"] = 1
    return tx


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_thread_that_has_ended_left_a_transaction_that_another_ends(
    m: OOCMap, path: Path, end: str
) -> None:
    tx = in_a_thread(lambda: begin(m))
    with pytest.raises(LockTimeoutError):
        m.transaction(lock_timeout=0.2)
    assert "left" not in m
    getattr(tx, end)()
    assert m == ({"left": 1} if end == "commit" else {})
    from_another_process(path)
    m["k"] = 1


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_transaction_is_ended_from_another_thread(m: OOCMap, path: Path, end: str) -> None:
    tx = begin(m)
    assert in_a_thread(getattr(tx, end)) is None
    with pytest.raises(TransactionClosedError):
        tx["k"]
    assert m == ({"left": 1} if end == "commit" else {})
    from_another_process(path)
    m["k"] = 1


def test_a_thread_that_has_ended_left_a_transaction_that_is_dropped(m: OOCMap, path: Path) -> None:
    tx = in_a_thread(lambda: begin(m))
    del tx
    gc.collect()
    from_another_process(path)
    with m.transaction(lock_timeout=5):
        assert m == {"other": 1}


@pytest.mark.parametrize("collected", ["here", "in another thread"])
def test_the_garbage_collector_ends_one_in_a_cycle(m: OOCMap, path: Path, collected: str) -> None:
    cycle: list[Any] = [begin(m)]
    cycle.append(cycle)
    del cycle
    if collected == "here":
        gc.collect()
    else:
        in_a_thread(gc.collect)
    from_another_process(path)
    with m.transaction(lock_timeout=5):
        assert m == {"other": 1}


def test_a_wait_ends_when_the_garbage_collector_ends_the_transaction(m: OOCMap) -> None:
    begun, waiting = threading.Event(), threading.Event()

    def leave() -> None:
        cycle: list[Any] = [begin(m)]
        cycle.append(cycle)
        del cycle
        begun.set()
        waiting.wait(PATIENCE)
        time.sleep(0.1)
        gc.collect()

    thread = threading.Thread(target=leave)
    gc.disable()
    try:
        thread.start()
        assert begun.wait(PATIENCE)
        waiting.set()
        with m.transaction(lock_timeout=PATIENCE) as tx:
            tx["k"] = 1
    finally:
        gc.enable()
        thread.join(PATIENCE)
    assert m == {"k": 1}


LEAVERS = {
    "as a global": "tx = begin()",
    "in a global cycle": "cycle = [begin()]; cycle.append(cycle)",
    "in a block that exits": "with m.transaction() as tx:\n    tx['left'] = 1\n    sys.exit(0)",
    "in a thread that has ended": textwrap.dedent(
        """
        left = []
        thread = threading.Thread(target=lambda: left.append(begin()))
        thread.start()
        thread.join()
        """
    ),
    "in a daemon thread": textwrap.dedent(
        """
        begun = threading.Event()

        def stay():
            tx = begin()
            begun.set()
            threading.Event().wait()

        threading.Thread(target=stay, daemon=True).start()
        begun.wait()
        """
    ),
    "while a daemon thread waits for it": textwrap.dedent(
        """
        tx = begin()
        threading.Thread(target=lambda: m.update(k=1), daemon=True).start()
        time.sleep(0.1)
        """
    ),
    "while daemon threads write all the time": textwrap.dedent(
        """
        def write():
            while True:
                m["loop"] = 1

        for _ in range(3):
            threading.Thread(target=write, daemon=True).start()
        time.sleep(0.1)
        """
    ),
    "for what runs at exit": "import atexit\natexit.register(lambda: m.update(late=1))\ntx = begin()",
}


@pytest.mark.parametrize("way", LEAVERS)
def test_a_process_that_exits_leaves_nothing_locked(m: OOCMap, path: Path, way: str) -> None:
    program = textwrap.dedent(
        """
        import sys, threading, time
        from oocmap import OOCMap

        m = OOCMap(sys.argv[1])

        def begin():
            tx = m.transaction()
            tx["left"] = 1
            return tx

        """
    )
    run = subprocess.run(
        [sys.executable, "-c", program + LEAVERS[way], path],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    with m.transaction(lock_timeout=5) as tx:
        assert "left" not in tx
        tx["k"] = 2
    assert m.check() == []


# --- exceptions at a bad moment ---


def test_the_end_of_a_block_ends_what_is_nested_in_it(m: OOCMap, path: Path) -> None:
    with m.transaction() as tx:
        nested = tx.transaction()
        nested["k"] = 1
    with pytest.raises(TransactionClosedError):
        nested["k"]
    from_another_process(path)
    with m.transaction(lock_timeout=5):
        assert m["other"] == 1


def test_a_block_whose_transaction_another_thread_ended_raises_and_ends(m: OOCMap, path: Path) -> None:
    with pytest.raises(TransactionClosedError), m.transaction() as tx:
        assert in_a_thread(tx.rollback) is None
        tx["k"] = 1
    assert m == {}
    from_another_process(path)
    with m.transaction(lock_timeout=5):
        assert m == {"other": 1}


def test_ctrl_c_again_and_again_leaves_nothing_locked(m: OOCMap, path: Path) -> None:
    """It comes anywhere: before the block, in it, while it ends, or in a nested one."""
    m.update(a=0, b=0)
    done = interrupted = 0
    armed = False
    ended = threading.Event()

    def handler(*_: Any) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    def interrupt() -> None:
        while not ended.wait(0.003):
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, handler)
    try:
        thread.start()
        while interrupted < 300:
            try:
                armed = True
                with m.transaction() as tx:
                    tx["a"] += 1
                    with tx.transaction() as nested:
                        nested["b"] += 1
                done += 1
                m["c"] = done
                armed = False
            except KeyboardInterrupt:
                interrupted += 1
    finally:
        armed = False
        ended.set()
        thread.join(PATIENCE)
        signal.signal(signal.SIGINT, before)
    gc.collect()
    assert 0 < done <= m["a"] == m["b"] <= done + interrupted
    from_another_process(path)
    with m.transaction(lock_timeout=5):
        assert m.check() == []


def test_ctrl_c_in_the_block_rolls_back(m: OOCMap, path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), m.transaction() as tx:
        tx["k"] = 1
        with tx.transaction() as nested:
            nested["l"] = 1
            signal.raise_signal(signal.SIGINT)
    assert m == {}
    from_another_process(path)


# --- one thread that waits for itself ---


def test_a_generator_that_leaves_a_transaction_open(m: OOCMap, path: Path) -> None:
    """What it began holds up the write that it is for, which is of the same thread and takes part."""
    left: list[Any] = []

    def pairs() -> Iterator[tuple[str, int]]:
        left.append(m.transaction())
        left[0]["inside"] = 1
        yield "k", 1

    def update() -> None:
        m.update(pairs())
        left[0].rollback()

    result = in_a_thread(update)
    assert result is None or isinstance(result, TransactionError)
    left.clear()
    gc.collect()
    assert m == {}
    from_another_process(path)


def test_a_task_that_was_cancelled_in_its_transaction_lets_others_write(m: OOCMap, path: Path) -> None:
    async def stay() -> None:
        with m.transaction() as tx:
            tx["left"] = 1
            await asyncio.sleep(PATIENCE)

    async def cancel() -> None:
        task = asyncio.create_task(stay())
        await asyncio.sleep(0.05)
        with pytest.raises(TransactionError, match="another task"):
            m["k"] = 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        m["k"] = 2

    asyncio.run(cancel())
    assert m == {"k": 2}
    from_another_process(path)


# --- everybody's turn ---


def loop(path: str, number: int, running: Any, threads: int) -> None:
    """Write without a pause, in several threads."""
    with OOCMap(path, durability="nometasync") as m:

        def write(thread: int) -> None:
            turn = 0
            while running.is_set():
                turn += 1
                m["loop", number, thread] = turn

        writers = [threading.Thread(target=write, args=(thread,)) for thread in range(threads)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()


@pytest.mark.parametrize(("processes", "threads"), [(4, 1), (1, 8), (2, 4)])
def test_everybody_gets_a_turn(m: OOCMap, path: Path, processes: int, threads: int) -> None:
    running = SPAWN.Event()
    running.set()
    loops = [
        SPAWN.Process(target=loop, args=(str(path), number, running, threads)) for number in range(processes)
    ]
    for process in loops:
        process.start()
    try:
        patience = time.monotonic() + PATIENCE
        while len(m) < processes * threads:
            assert time.monotonic() < patience, "some never write"
            time.sleep(0.01)
        with OOCMap(path, lock_timeout=30) as patient:
            for turn in range(10):
                patient["plain"] = turn
                with patient.transaction() as tx:
                    tx["turns"] = turn
    finally:
        running.clear()
        for process in loops:
            process.join(PATIENCE)
    assert [process.exitcode for process in loops] == [0] * processes
    assert m["turns"] == m["plain"] == 9


WAITER = "import sys, oocmap; m = oocmap.OOCMap(sys.argv[1]); print('open', flush=True); m['waiter'] = 1"


def test_a_process_that_was_stopped_while_it_waits_holds_no_one_up(m: OOCMap, path: Path) -> None:
    """It was the first in the queue, and nobody took the lock that was free."""
    control = path.with_name(path.name + "-lock")
    with m.transaction() as tx:
        tx["held"] = 1
        waiter = subprocess.Popen([sys.executable, "-c", WAITER, path], stdout=subprocess.PIPE)
        assert waiter.stdout is not None
        assert waiter.stdout.readline() == b"open\n"
        deadline = time.monotonic() + 60
        # Words 8 to 71 are the tickets of those who wait.
        while not any(control.read_bytes()[64 : 72 * 8]):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        waiter.send_signal(signal.SIGSTOP)
    try:
        from_another_process(path)
        with m.transaction(lock_timeout=30) as tx:
            tx["after"] = 1
    finally:
        waiter.send_signal(signal.SIGCONT)
    assert waiter.wait(60) == 0
    waiter.stdout.close()
    assert m["waiter"] == 1
