"""Processes share one file: they see each other's commits, and none is hurt when another is killed."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from oocmap import OOCMap, ReadOnlyError

SPAWN = multiprocessing.get_context("spawn")
KILLS = int(os.environ.get("OOCMAP_KILLS", "40"))


def put(m: OOCMap, key: Any, value: Any) -> int:
    """Store one entry, and return which process did it."""
    m[key] = value
    return os.getpid()


def take(m: OOCMap, key: Any) -> Any:
    """Return a stored value as plain objects."""
    value = m[key]
    return value.eager(deep=True) if hasattr(value, "eager") else value


def add(path: str, times: int) -> None:
    """Add one to a counter, and note each time."""
    with OOCMap(path) as m:
        for _ in range(times):
            with m.transaction() as tx:
                tx["n"] = tx["n"] + 1
                tx["by", os.getpid(), tx["n"]] = None


def test_processes_see_each_others_commits(m: OOCMap) -> None:
    with ProcessPoolExecutor(1, mp_context=SPAWN) as other:
        for step in range(10):
            m["ours"] = {"step": [step]}
            assert other.submit(take, m, "ours").result() == {"step": [step]}
            assert other.submit(put, m, "theirs", [step]).result() != os.getpid()
            assert m["theirs"] == [step]


def test_a_process_does_not_see_what_is_not_committed(m: OOCMap) -> None:
    m["k"] = 1
    with ProcessPoolExecutor(1, mp_context=SPAWN) as other:
        other.submit(take, m, "k").result()
        with m.transaction() as tx:
            tx["k"] = 2
            assert other.submit(take, m, "k").result() == 1
        assert other.submit(take, m, "k").result() == 2


def test_no_increment_is_lost_between_processes(m: OOCMap, path: Path) -> None:
    m["n"] = 0
    writers = [SPAWN.Process(target=add, args=(str(path), 100)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    assert m["n"] == 300
    assert sorted(number for _, _, number in m.prefix(("by",)).keys()) == list(range(1, 301))


def test_a_pickled_handle_opens_the_same_map(m: OOCMap, path: Path) -> None:
    m["k"] = [1]
    again = pickle.loads(pickle.dumps(m))
    assert type(again) is OOCMap
    again["k"] = [2]
    assert m["k"] == [2]
    again.close()
    assert m["k"] == [2]
    readonly = OOCMap(path, readonly=True)
    copied = pickle.loads(pickle.dumps(readonly))
    with pytest.raises(ReadOnlyError):
        copied["k"] = 3
    copied.close()
    readonly.close()


WRITER = textwrap.dedent(
    """
    import os, sys
    from oocmap import OOCMap

    m = OOCMap(sys.argv[1])
    number = int(sys.argv[2])
    print("ready", flush=True)
    while True:
        number += 1
        with m.transaction() as tx:
            tx["commit", number] = {"pid": os.getpid(), "padding": ["x" * 37] * (number % 50)}
            tx["last"] = number
            tx.pop(("commit", number - 200), None)
        os.write(1, b"%d\\n" % number)
    """
)


def test_every_acknowledged_commit_survives_a_kill(m: OOCMap, path: Path) -> None:
    """Kill a writer at a random moment, again and again; this process writes on in between."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    m["last"] = 0
    for kill in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(m["last"])], stdout=subprocess.PIPE, bufsize=0
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(chance.random() * 0.05)
        if kill % 2:
            m["ours"] = kill  # contend for the writer's place while it may be killed
        writer.kill()
        acknowledged = writer.stdout.read().split(b"\n")
        writer.stdout.close()
        writer.wait()

        started = time.monotonic()
        with m.snapshot() as s:
            last = s["last"]
            numbers = [number for _, number in s.prefix(("commit",)).keys()]
            # A line may be cut by the kill; the commit before it was acknowledged in full.
            whole = [int(line) for line in acknowledged[:-1]]
            if whole:
                assert last >= whole[-1]
                assert last <= whole[-1] + 1
            assert numbers == list(range(max(1, last - 199), last + 1))
            for number in numbers:
                assert len(s["commit", number]["padding"]) == number % 50
        m["ours"] = [kill, last]  # the others go on
        assert m["ours"] == [kill, last]
        assert time.monotonic() - started < 30
    assert m["last"] > 0
    m.close()
    with OOCMap(path) as again:
        assert again["ours"][0] == KILLS - 1
