"""A child that is forked while threads of its parent wait for locks uses many threads of its own."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from forking import expect_success, forked
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

                children = [forked(child, PATIENCE) for _ in range(2)]
                tx["turn"] = turn
            join(waiting)
            for pid in children:
                expect_success(pid)
        assert len(m.prefix(("child",))) == 5 * WAITING
        assert m.check() == []
