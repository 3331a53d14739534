"""A child that is forked while threads of its parent wait for locks uses many threads of its own."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from oocmap import OOCMap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]

WAITING = 12
PATIENCE = 60


def at_once(work: Callable[[int], Any]) -> list[threading.Thread]:
    """Start many threads."""
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(WAITING)]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    """Wait for threads, which have to come to their end."""
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def forked(work: Callable[[], Any]) -> int:
    """Run `work` in a forked child, which is killed when it takes too long."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(PATIENCE)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


def test_a_fork_while_threads_wait(path: Path) -> None:
    """Those who waited in the parent stood in a table that all locks shared, which the child's own threads went through.

    The memory of those who waited belonged to the child's threads by then, so it crashed, or waited for ever.
    """
    with OOCMap(path, durability="nometasync") as m:
        m["k"] = {"n": 1}
        handle = m["k"]

        def write(number: int) -> None:
            m["parent", number] = number

        for turn in range(5):
            with m.transaction() as tx:
                waiting = at_once(write)
                time.sleep(0.05)

                def use(number: int, turn: int = turn) -> None:
                    for step in range(5):
                        m["child", turn, number] = step
                        with m.snapshot() as s:
                            assert s["child", turn, number] == step

                def child() -> None:
                    assert handle == {"n": 1}
                    join(at_once(use))
                    m.vacuum(compact=False)
                    m.close()

                children = [forked(child) for _ in range(2)]
                tx["turn"] = turn
            join(waiting)
            for pid in children:
                _, status = os.waitpid(pid, 0)
                assert os.waitstatus_to_exitcode(status) == 0
        assert len(m.prefix(("child",))) == 5 * WAITING
        assert m.check() == []
