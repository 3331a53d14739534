"""Whatever happens between two elements of an iteration over a long list shows at the very next one.

Integers are given out by way of a few loads that tell that nothing has happened; each of these is something that they
have to notice, and which nothing else would tell.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from forking import expect_success, forked
from oocmap import ClosedError, OOCMap, StaleObjectError, Transaction

LENGTH = 5000
# In the middle of what is read at once.
HERE = 100

# Sets an element, in another process.
ASSIGN = """
import sys
from oocmap import OOCMap

with OOCMap(sys.argv[1]) as m:
    m["k"][int(sys.argv[2])] = -1
"""


def start(numbers: Any) -> Iterator[Any]:
    """Come to the middle of what is read at once."""
    iterator: Iterator[Any] = iter(numbers)
    assert [next(iterator) for _ in range(HERE)] == list(range(HERE))
    return iterator


@pytest.fixture
def m(path: Path) -> Iterator[OOCMap]:
    with OOCMap(path) as opened:
        opened["k"] = list(range(LENGTH))
        yield opened


@pytest.fixture
def other_thread() -> Iterator[Callable[..., Any]]:
    """Do something in another thread, always the same one, and wait for it."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda work, *arguments: pool.submit(work, *arguments).result()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_map_is_closed(m: OOCMap, other_thread: Callable[..., Any], elsewhere: bool) -> None:
    ours = start(m["k"])
    if elsewhere:
        other_thread(m.close)
    else:
        m.close()
    with pytest.raises(ClosedError):
        next(ours)


def test_another_handle_is_closed(m: OOCMap, path: Path) -> None:
    ours = start(m["k"])
    with OOCMap(path) as other:
        theirs = start(other["k"])
    assert next(ours) == HERE
    with pytest.raises(ClosedError):
        next(theirs)


def test_a_snapshot_is_closed(m: OOCMap) -> None:
    with m.snapshot() as snapshot:
        ours = start(snapshot["k"])
        m["k"][HERE] = -1
        assert next(ours) == HERE
    with pytest.raises(ClosedError):
        next(ours)


def test_this_thread_begins_a_transaction(m: OOCMap) -> None:
    ours = start(m["k"])
    with m.transaction() as tx:
        assert next(ours) == HERE
        m["k"][HERE + 1] = -1
        assert next(ours) == -1
        m["k"][HERE + 2 : HERE + 4] = [-2, -3]
        assert next(ours) == -2
        tx.rollback()
    assert next(ours) == HERE + 3


@pytest.mark.parametrize("begun", ["before", "meanwhile"])
def test_each_thread_finds_its_own(m: OOCMap, other_thread: Callable[..., Any], begun: str) -> None:
    """An iterator goes from hand to hand, and only one of the threads has a transaction open."""

    def begin() -> Transaction:
        tx = m.transaction()
        tx.__enter__()
        m["k"][HERE : HERE + 4] = [-1, -2, -3, -4]
        return tx

    if begun == "before":
        tx = other_thread(begin)
        ours = start(m["k"])
    else:
        ours = start(m["k"])
        tx = other_thread(begin)
    assert next(ours) == HERE
    assert other_thread(next, ours) == -2
    assert next(ours) == HERE + 2
    assert other_thread(next, ours) == -4
    other_thread(tx.__exit__, None, None, None)
    m["k"][HERE + 4] = -5
    assert next(ours) == -5
    assert other_thread(next, ours) == HERE + 5


def test_something_is_deferred(path: Path, other_thread: Callable[..., Any]) -> None:
    """What is deferred is no commit yet."""
    with OOCMap(path, durability="deferred") as m:
        m["k"] = list(range(LENGTH))
        m.sync()
        ours = start(m["k"])
        m["k"][HERE] = -1
        assert next(ours) == -1
        other_thread(m["k"].__setitem__, HERE + 1, -2)
        assert next(ours) == -2
        assert next(ours) == HERE + 2


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_file_is_swapped(m: OOCMap, path: Path, elsewhere: bool) -> None:
    """The old file stays as it is, and what happens from then on stands in the new one."""
    m["gone"] = ["x" * 1000] * 1000
    del m["gone"]
    inode = path.stat().st_ino
    begun: list[Iterator[Any]] = []
    vacuum = m.vacuum(wait=False)
    # It commits before it copies, which would show; so most of these begin while it copies.
    while not vacuum.done():
        begun.append(start(m["k"]))
    vacuum.result()
    assert path.stat().st_ino != inode
    if elsewhere:
        subprocess.run([sys.executable, "-c", ASSIGN, str(path), str(HERE)], check=True)
    else:
        m["k"][HERE] = -1
    assert begun
    for ours in begun:
        assert next(ours) == -1
        assert next(ours) == HERE + 1


def test_the_process_is_forked(m: OOCMap) -> None:
    ours = start(m["k"])

    def go_on() -> None:
        assert next(ours) == HERE
        with m.transaction():
            m["k"][HERE + 1] = -1
            assert next(ours) == -1
        m["k"][HERE + 2] = -2
        assert next(ours) == -2
        assert next(ours) == HERE + 3

    expect_success(forked(go_on, 60))
    assert [next(ours) for _ in range(4)] == [HERE, -1, -2, HERE + 3]


@pytest.mark.parametrize("nested", [False, True])
def test_what_was_read_is_rolled_back(m: OOCMap, nested: bool) -> None:
    """As many changes come after as were taken back, so that nothing but their number would be the same."""
    with m.transaction() if nested else nullcontext():
        ours = start(m["k"])
        with m.transaction() as tx:
            m["k"][HERE + 1] = -1
            assert next(ours) == HERE
            tx.rollback()
        m["k"][HERE + 2] = -2
        assert next(ours) == HERE + 1
        assert next(ours) == -2


def test_another_list_takes_the_place_of_one_that_was_rolled_back(m: OOCMap) -> None:
    with m.transaction() as tx:
        m["l"] = list(range(LENGTH))
        ours = start(m["l"])
        tx.rollback()
    m["l"] = list(range(1, LENGTH + 1))
    with pytest.raises(StaleObjectError):
        next(ours)
