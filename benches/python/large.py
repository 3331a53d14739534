"""The workloads on a map that is larger than one wants in memory, made of texts of a page each."""

from __future__ import annotations

import shutil
from pathlib import Path

from data import page, random_keys
from engine import Cannot, Engine, as_function
from reading import expect
from timing import Figure, Run, seconds

AT_ONCE = 50_000
"""How many of them are stored in one transaction."""


def prepare(run: Run, engine: Engine) -> None:
    """Make the map, or say that there is no room for it."""
    wanted = run.count * 5000  # a page each, some for the tree, and some to spare
    free = shutil.disk_usage(run.directory).free
    if free < wanted:
        raise Cannot(
            f"needs {wanted / 1e9:.1f} GB in the scratch directory, which has {free / 1e9:.1f} GB left"
        )
    for first in range(0, run.count, AT_ONCE):
        last = min(first + AT_ONCE, run.count)
        engine.load(((number, page(number)) for number in range(first, last)), ascending=True)


def opening(run: Run, engine: Engine) -> Figure:
    """Open the map."""
    engine.close()
    again = type(engine)(run.directory)
    took = seconds(again.open)
    expect(again, as_function(again.reader())(7), page(7))
    return Figure(took, 1)


def memory(run: Run, engine: Engine) -> Figure:
    """Tell by how many bytes of its own a process has grown at most while it reads through the map at random."""
    keys = random_keys(run.count, run.reads)
    read = as_function(engine.reader())
    most = start = anonymous()
    share = max(1, len(keys) // 50)
    for first in range(0, len(keys), share):
        for key in keys[first : first + share]:
            read(key)
        most = max(most, anonymous())
    expect(engine, read(7), page(7))
    return Figure(float(most - start), len(keys))


def anonymous() -> int:
    """Return how many bytes of memory this process has for itself: private pages that are of no file."""
    total, of_a_file = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            of_a_file = len(rest) > 4 and rest[4].startswith("/")
        elif name in ("Private_Clean:", "Private_Dirty:") and not of_a_file:
            total += int(rest[0]) * 1024
        elif name == "Anonymous:" and of_a_file:
            total += int(rest[0]) * 1024  # what was written to of a file that is mapped privately
    return total
