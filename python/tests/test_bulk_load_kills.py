"""Whenever a load is killed, the map is as before or complete, and no file is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from oocmap import OOCMap, bulk_load

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("OOCMAP_KILLS", "1000")) // 50
COUNT = 4000
LOAD = """
import sys, oocmap
path, lines, count = sys.argv[1:]
with oocmap.OOCMap(path, durability="nometasync") as m:
    print("open", flush=True)
    oocmap.bulk_load(m, lines, memory=1, workers=2)
    print("loaded", flush=True)
    oocmap.bulk_load(m, ((n, "again") for n in range(int(count))), memory=1)
    print("again", flush=True)
    sys.stdin.read()
"""


def content(m: OOCMap) -> str:
    values = set(m.values())
    assert len(values) <= 1
    assert len(m) in (0, COUNT)
    assert m.check() == []
    return values.pop() if values else "nothing"


@pytest.mark.skipif(os.name != "posix", reason="kills with a signal")
def test_a_load_that_is_killed_leaves_the_map_as_it_was_or_complete(path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    lines = path.with_name("lines.jsonl")
    order = list(range(COUNT))
    chance.shuffle(order)
    lines.write_text("".join(f'[{n}, "{"x" * 100}"]\n' for n in order))
    states = ["nothing", "x" * 100, "again"]
    longest = 0.0
    found = set()
    with OOCMap(path) as m:
        for kill in range(KILLS):
            m.clear()
            command = [sys.executable, "-c", LOAD, str(path), str(lines), str(COUNT)]
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as process:
                assert process.stdout is not None
                said = [process.stdout.readline()]
                begun = time.monotonic()
                if kill == 0:  # how long all of it takes
                    said += [process.stdout.readline(), process.stdout.readline()]
                    longest = time.monotonic() - begun
                else:
                    time.sleep(longest * chance.random())
                process.send_signal(signal.SIGKILL)
                said += process.stdout.read().split()
            state = content(m)
            found.add(state)
            done = len([word for word in said if word.strip()]) - 1
            assert state in states[done : done + 2]  # what was told is there, and at most one more
            left = [
                name.name for name in path.parent.iterdir() if not name.name.startswith((path.name, "lines"))
            ]
            assert left == []
            assert not [name.name for name in path.parent.glob("*-load*")]
        assert "again" in found
        assert bulk_load(m, lines) == COUNT
        assert content(m) == "x" * 100
