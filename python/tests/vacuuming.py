"""What the tests of vacuums share: objects that nothing leads to, and a writer for whom a vacuum has to wait."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oocmap import OOCMap

PATIENCE = 60
EACH = 2
"""How many objects each call of `strand` leaves behind."""


def strand(m: OOCMap, count: int = 1, size: int = 0) -> None:
    """Leave `count` pairs of lists that lead to each other, with `size` bytes each, and to which nothing leads."""
    chance = random.Random()
    with m.transaction() as tx:
        for number in range(count):
            tx["left", number] = [number, chance.randbytes(size)]
            tx["right", number] = [number]
            left, right = tx["left", number], tx["right", number]
            left.append(right)
            right.append(left)
    with m.transaction() as tx:
        for number in range(count):
            del tx["left", number], tx["right", number]


def run_program(program: str, path: Path) -> None:
    """Run a program on a map in an interpreter of its own, which ends well and without a word."""
    preamble = f"""
import sys, threading, time
import oocmap
sys.path.insert(0, {str(Path(__file__).parent)!r})
from vacuuming import strand
"""
    ended = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-c", preamble + program, path],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def objects(m: OOCMap) -> int:
    """Return how many records stand outside of entries."""
    return m.stats()["objects"]


@contextlib.contextmanager
def writing(m: OOCMap) -> Iterator[None]:
    """Have another thread write, for which a vacuum has to wait."""
    begun, ended = threading.Event(), threading.Event()

    def write() -> None:
        with m.transaction() as tx:
            tx["writing"] = True
            begun.set()
            ended.wait(PATIENCE)

    thread = threading.Thread(target=write)
    thread.start()
    assert begun.wait(PATIENCE)
    try:
        yield
    finally:
        ended.set()
        thread.join()
