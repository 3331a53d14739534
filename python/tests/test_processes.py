"""Processes share one file, and see each other's commits."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from oocmap import OOCMap, ReadOnlyError

SPAWN = multiprocessing.get_context("spawn")


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
