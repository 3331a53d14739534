"""What is overwritten or taken out is used again at once: a file that is written to for ever stays small."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
from oocmap import OOCMap
from strict import scratch

TIMES = 100_000
SMALL = 1_000_000

VALUES: dict[str, Any] = {
    "list": [f"element {number:04}" for number in range(250)],
    "dict": {f"name {number:03}": f"value {number:03}" for number in range(170)},
    "nested": {"rows": [[number, {"text": "t" * 20, "set": {number}}] for number in range(60)]},
    "bytes": b"b" * 4000,
}


def size_of(m: OOCMap) -> int:
    """Return how large the file is."""
    return m.stats()["file_size"]


@pytest.mark.parametrize("kind", VALUES)
def test_overwriting(kind: str) -> None:
    value = VALUES[kind]
    with scratch() as directory, OOCMap(directory + "/map.ooc", durability="nometasync") as m:
        for _ in range(TIMES):
            m["k"] = value
        assert m["k"] == value
        assert size_of(m) < SMALL
        assert m.check() == []


def test_overwriting_while_a_handle_to_the_last_value_is_held() -> None:
    with scratch() as directory, OOCMap(directory + "/map.ooc", durability="nometasync") as m:
        value = VALUES["nested"]
        m["k"] = value
        for _ in range(TIMES):
            held = m["k"]
            inner = held["rows"][1]
            m["k"] = value
        assert inner[0] == 1
        assert held == value
        assert not held.same_as(m["k"])
        assert size_of(m) < SMALL
        assert m.check() == []


def test_overwriting_while_one_handle_is_held_throughout() -> None:
    """It keeps its own object alive, and not the version of the map that it was taken from."""
    with scratch() as directory, OOCMap(directory + "/map.ooc", durability="nometasync") as m:
        m["k"] = VALUES["list"]
        m["other"] = {"stays": [1]}
        held, other = m["k"], m["other"]["stays"]
        for _ in range(TIMES):
            m["k"] = VALUES["list"]
        assert held == VALUES["list"]
        held.append("gone from the map, not from here")
        assert len(held) == len(m["k"]) + 1
        other.append(2)
        assert m["other"] == {"stays": [1, 2]}
        assert size_of(m) < SMALL
        del held
        gc.collect()
        assert m.check() == []


def test_changing_in_place() -> None:
    with scratch() as directory, OOCMap(directory + "/map.ooc", durability="nometasync") as m:
        m["list"], m["dict"] = VALUES["list"], VALUES["dict"]
        lists, dicts = m["list"], m["dict"]
        for turn in range(TIMES // 4):
            lists[turn % 250] = f"element {turn}"
            lists.append(lists.pop(0))
            dicts[f"name {turn % 170:03}"] = f"value {turn}"
            dicts["more"] = [turn]
        assert len(lists) == 250
        assert len(dicts) == 171
        assert size_of(m) < SMALL
        assert m.check() == []


@pytest.mark.parametrize("waiting", [10, 2000], ids=["short", "long"])
def test_a_queue_of_containers(waiting: int) -> None:
    with scratch() as directory, OOCMap(directory + "/map.ooc", durability="nometasync") as m:
        m["queue"] = [{"job": number, "arguments": [number, "a" * 50]} for number in range(waiting)]
        queue = m["queue"]
        start = size_of(m)
        for turn in range(waiting, waiting + TIMES // 2):
            queue.append({"job": turn, "arguments": [turn, "a" * 50]})
            job = queue.pop(0)
            if turn % 1000 == 0:
                assert job["arguments"][0] == turn - waiting
        assert len(queue) == waiting
        assert queue[0]["job"] == TIMES // 2
        assert size_of(m) < start + SMALL
        del job
        gc.collect()
        assert m.check() == []


def test_going_back_and_forth_between_short_and_long(tmp_path: Path) -> None:
    with OOCMap(tmp_path / "map.ooc", durability="nometasync") as m:
        m["k"] = []
        stored = m["k"]
        for turn in range(200):
            stored.extend({"n": number} for number in range(1000))
            if turn == 1:
                size = size_of(m)
            del stored[3:]
        assert len(stored) == 3
        assert size_of(m) < size + SMALL
        assert m.check() == []


def test_what_only_a_handle_holds_goes_with_the_handle(tmp_path: Path) -> None:
    with OOCMap(tmp_path / "map.ooc", durability="nometasync") as m:
        m["other"] = 1
        for _ in range(30):
            m["k"] = [[number] for number in range(20_000)]
            held = m["k"]
            inner = held[5]
            del m["k"]
            assert len(held) == 20_000
            del held
            gc.collect()
            assert inner == [5]
            del inner
            gc.collect()
            m["other"] = 2
        size = size_of(m)
        m["end"] = 1
        assert size < 12_000_000  # the list is about one megabyte
        assert m.check() == []
