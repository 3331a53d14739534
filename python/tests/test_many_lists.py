"""Hundreds of thousands of lists never get mixed up, whoever stores them.

An older system gave its lists random 32-bit ids: of 400,000 one-element lists it mixed up 20, and all of them when
forked processes stored them at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING

import pytest
from oocmap import OOCMap

if TYPE_CHECKING:
    from pathlib import Path

LISTS = 400_000
CHILDREN = 4
BATCH = 10_000


def check_every_list(m: OOCMap, makers: int) -> None:
    """Check every list, and that changing some of them changes no other."""
    share = LISTS // makers
    with m.snapshot() as s:
        assert len(s) == LISTS
        for maker in range(makers):
            for number in range(share):
                stored = s[maker, number]
                assert len(stored) == 1
                assert stored[0] == maker * share + number
    changed = range(0, share, share // 100)
    with m.transaction():
        for maker in range(makers):
            for number in changed:
                m[maker, number].append("changed")
    with m.snapshot() as s:
        for maker in range(makers):
            for number in range(share):
                expected = (
                    [maker * share + number, "changed"] if number in changed else [maker * share + number]
                )
                assert s[maker, number] == expected
    assert m.check() == []


def test_one_process(path: Path) -> None:
    with OOCMap(path) as m:
        with m.transaction() as tx:
            tx.update(((0, number), [number]) for number in range(LISTS))
        check_every_list(m, 1)


def test_one_list_of_lists(path: Path) -> None:
    with OOCMap(path) as m:
        m["all"] = [[number] for number in range(LISTS)]
        with m.transaction():
            for number in range(0, LISTS, 5000):
                m["all"][number].append("changed")
        for number, stored in enumerate(m["all"]):
            assert stored == ([number] if number % 5000 else [number, "changed"])
        assert m.check() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_processes_at_once(path: Path) -> None:
    share = LISTS // CHILDREN

    def store(child: int) -> None:
        with OOCMap(path) as m:
            for start in range(0, share, BATCH):
                with m.transaction() as tx:
                    for number in range(start, start + BATCH):
                        tx[child, number] = [child * share + number]

    children = []
    for child in range(CHILDREN):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                store(child)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * CHILDREN
    with OOCMap(path) as m:
        check_every_list(m, CHILDREN)
