"""A forked child can neither use nor harm what its parent has open."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from oocmap import OOCMap, TransactionClosedError, TransactionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def in_child(work: Callable[[], Any]) -> None:
    """Run `work` in a forked child, which must come to its end by itself."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            gc.collect()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_everything_inherited_is_refused(path: Path) -> None:
    with OOCMap(path) as m:
        m["k"] = [1, 2]
        handle = m["k"]
        snapshot = m.snapshot()
        iterator = iter(m.items())
        tx = m.transaction()
        tx["l"] = 1

        def child() -> None:
            uses: list[Callable[[], Any]] = [
                lambda: m["k"],
                lambda: m.update(x=1),
                m.transaction,
                lambda: snapshot["k"],
                lambda: handle[0],
                lambda: next(iterator),
            ]
            for use in uses:
                with pytest.raises(TransactionError, match="forked"):
                    use()
            for end in (tx.commit, tx.rollback, lambda: tx["l"]):
                with pytest.raises(TransactionClosedError):
                    end()

        in_child(child)
        tx["m"] = 2
        tx.commit()
        assert m == {"k": [1, 2], "l": 1, "m": 2}
        snapshot.close()


def test_a_child_that_drops_everything_leaves_the_parents_snapshot(path: Path) -> None:
    with OOCMap(path) as m:
        m.update((key, [key] * 100) for key in range(100))
        inherited: list[Any] = [m.snapshot(), m[1], iter(m), m.transaction()]

        def child() -> None:
            inherited.clear()
            gc.collect()

        in_child(child)
        inherited.pop().rollback()
        snapshot = inherited[0]
        for turn in range(300):  # what is not pinned would be overwritten
            m[turn % 100] = [turn] * 200
        assert all(snapshot[key] == [key] * 100 for key in range(100))
        assert list(snapshot) == list(range(100))


def test_a_child_opens_the_map_anew_after_closing_what_it_inherited(path: Path) -> None:
    m = OOCMap(path)
    m["k"] = "parent"

    def child() -> None:
        m.close()
        with OOCMap(path) as mine:
            assert mine["k"] == "parent"
            mine["child"] = 1

    in_child(child)
    assert m["child"] == 1
    m["k"] = "again"
    assert m == {"k": "again", "child": 1}
    m.close()


def test_a_child_opens_what_was_not_open(path: Path) -> None:
    OOCMap(path).close()

    def child() -> None:
        with OOCMap(path) as mine:
            mine["child"] = 1

    in_child(child)
    with OOCMap(path) as m:
        assert m == {"child": 1}


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
