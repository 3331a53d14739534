"""Who writes is told when a snapshot keeps much space from being used again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from oocmap import HeldBackWarning, OOCMap

if TYPE_CHECKING:
    from pathlib import Path


def write_until_warned(m: OOCMap, limit: float = 30) -> list[warnings.WarningMessage]:
    """Overwrite much for so many seconds, or until there is a warning."""
    deadline = time.monotonic() + limit
    turn = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        while not caught and time.monotonic() < deadline:
            turn += 1
            with m.transaction() as tx:
                for key in range(100):
                    tx[key] = f"{turn} " * 500
    return caught


def test_a_snapshot_that_holds_much(path: Path) -> None:
    with OOCMap(path, durability="nometasync", held_back_warning=1 << 20) as m:
        m["a"] = 1
        with m.snapshot():
            (caught,) = write_until_warned(m)
            assert caught.category is HeldBackWarning
            text = str(caught.message)
            assert f"process {os.getpid()}" in text
            assert "held_back_warning" in text


def test_a_snapshot_of_another_process(path: Path) -> None:
    program = (
        "import sys, oocmap; s = oocmap.OOCMap(sys.argv[1]).snapshot(); print(flush=True); sys.stdin.read()"
    )
    with OOCMap(path, durability="nometasync", held_back_warning=1 << 20) as m:
        m["a"] = 1
        reader: Any = subprocess.Popen(
            [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with reader:
            reader.stdout.readline()
            (caught,) = write_until_warned(m)
            assert f"process {reader.pid}" in str(caught.message)
            reader.stdin.close()


@pytest.mark.parametrize("limit", [None, 1 << 40])
def test_silence(path: Path, limit: int | None) -> None:
    with OOCMap(path, durability="nometasync", held_back_warning=limit) as m:
        m["a"] = 1
        with m.snapshot():
            assert write_until_warned(m, 2.5) == []


def test_without_a_snapshot_nothing_is_held(path: Path) -> None:
    with OOCMap(path, durability="nometasync", held_back_warning=1 << 20) as m:
        assert write_until_warned(m, 2.5) == []
