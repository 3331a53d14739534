"""Equal immutable values are stored once, and unique ones cost little more than their bytes.

What a value costs is measured by the bytes in use, which are the file's size less what is free in it, after one
transaction into a new map; less those of a map that was filled alike, but with None in place of each value.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oocmap import OOCMap

COUNT = 50_000
LENGTH = 400


def equal(number: int) -> str:
    """Make an equal string anew each time, so that nothing is shared before it is stored."""
    assert number >= 0
    return "".join(["equal"] * (LENGTH // 5))


def unique(number: int) -> str:
    """Make a string that no other number makes."""
    return f"{number:08}" * (LENGTH // 8)


def nothing(number: int) -> None:
    """Make what the others are compared with."""
    assert number >= 0


def under_keys(m: OOCMap, make: Callable[[int], Any]) -> None:
    """Store the values under keys of their own."""
    m.update((number, make(number)) for number in range(COUNT))


def in_a_list(m: OOCMap, make: Callable[[int], Any]) -> None:
    """Store the values as elements of one list."""
    m["k"] = [make(number) for number in range(COUNT)]


def appended(m: OOCMap, make: Callable[[int], Any]) -> None:
    """Append the values to a list that is stored already."""
    m["k"] = []
    stored = m["k"]
    for number in range(COUNT):
        stored.append(make(number))


def in_dicts(m: OOCMap, make: Callable[[int], Any]) -> None:
    """Store the values as those of small dicts."""
    m["k"] = {number: {"text": make(number)} for number in range(COUNT)}


def used(path: Path, put: Callable[[OOCMap, Callable[[int], Any]], None], make: Callable[[int], Any]) -> int:
    """Return how many bytes are in use after one transaction."""
    with OOCMap(path, durability="nometasync") as m:
        with m.transaction():
            put(m, make)
        m["end"] = 1  # what the transaction freed is told by the next one
        stats = m.stats()
        assert m.check() == []
    return stats["file_size"] - stats["free_bytes"]


WAYS = [under_keys, in_a_list, appended, in_dicts]


@pytest.mark.parametrize("put", WAYS)
def test_equal_ones(tmp_path: Path, put: Any) -> None:
    cost = used(tmp_path / "equal.ooc", put, equal) - used(tmp_path / "none.ooc", put, nothing)
    assert cost / COUNT < 30


@pytest.mark.parametrize("put", WAYS)
def test_unique_ones(tmp_path: Path, put: Any) -> None:
    cost = used(tmp_path / "unique.ooc", put, unique) - used(tmp_path / "none.ooc", put, nothing)
    assert cost <= 1.3 * COUNT * LENGTH


def test_what_is_shared_goes_with_the_last_that_names_it(path: Path) -> None:
    with OOCMap(path, durability="nometasync") as m:
        large = b"large" * 200_000
        m["a"] = [large, large]
        m["b"] = {"k": large}
        before = m.stats()["file_size"]
        assert before < 2_200_000  # once, with some room
        stored = m["a"]
        stored[0] = None
        stored.pop()
        assert m["b"]["k"] == large
        del m["b"]["k"]
        assert m.check() == []
        m["end"] = 1
        stats = m.stats()
        assert stats["file_size"] - stats["free_bytes"] < 300_000


def test_equal_containers_are_not_shared(path: Path) -> None:
    with OOCMap(path) as m:
        m["k"] = [["equal" * 100] for _ in range(10)]
        m["k"][3].append("only here")
        assert [len(each) for each in m["k"]] == [1, 1, 1, 2, 1, 1, 1, 1, 1, 1]
