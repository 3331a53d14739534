"""A vacuum deletes what nothing leads to, and nothing else, while everyone goes on."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from kinds import kinds, put_something_in
from oocmap import MapFullError, OOCMap
from vacuuming import EACH, objects, strand

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# --- what goes, and what stays ---


@kinds
def test_deletes_what_had_two_names(m: OOCMap, kind: Any) -> None:
    m["a"] = kind
    m["b"] = m["a"]
    del m["a"], m["b"]
    gc.collect()
    assert objects(m) == 1
    assert m.vacuum().objects == 1
    assert objects(m) == 0
    assert m.check() == []


@kinds
def test_keeps_what_has_one_of_its_names_left(m: OOCMap, kind: Any) -> None:
    m["a"] = kind
    m["b"] = m["a"]
    del m["a"]
    assert m.vacuum().objects == 0
    put_something_in(m["b"])
    m["c"] = [m["b"]]
    del m["b"]
    assert m.vacuum().objects == 0
    assert len(m["c"][0]) == len(kind) + 1
    assert m.check() == []


def in_each_other(m: OOCMap) -> int:
    strand(m)
    return EACH


def in_a_ring(m: OOCMap) -> int:
    with m.transaction():
        for number in range(100):
            m[number] = {"number": number}
        for number in range(100):
            m[number]["next"] = m[(number + 1) % 100]
    with m.transaction():
        for number in range(100):
            del m[number]
    return 100


def in_a_long_list(m: OOCMap) -> int:
    m["long"] = [[number] for number in range(5000)]
    m["long"].append(m["long"])
    m["text"] = "the list goes, and all that is in it"
    del m["long"]
    return 5001


def under_a_shared_dict(m: OOCMap) -> int:
    m["a"] = {"deep": {"deeper": [{1, 2}, bytearray(b"bytes")]}}
    m["b"] = m["a"]
    del m["a"], m["b"]
    return 5


def in_a_tuple(m: OOCMap) -> int:
    m["a"] = [1]
    m["b"] = (m["a"], "a tuple is a value")
    del m["a"], m["b"]
    return 1


@pytest.mark.parametrize("leave", [in_each_other, in_a_ring, in_a_long_list, under_a_shared_dict, in_a_tuple])
def test_deletes_what_nothing_leads_to(m: OOCMap, leave: Callable[[OOCMap], int]) -> None:
    m["kept"] = {"list": [1, [2]], "text": "t" * 1000}
    before = objects(m)
    left = leave(m)
    gc.collect()
    assert m.check() == []
    assert objects(m) > before
    assert m.vacuum().objects == left
    assert objects(m) == before
    assert m["kept"] == {"list": [1, [2]], "text": "t" * 1000}
    assert m.check() == []
    assert m.vacuum().objects == 0


def test_gives_their_space_back_to_what_is_stored_next(m: OOCMap, path: Path) -> None:
    m["kept"] = 1
    strand(m, 20, size=10_000)
    m.vacuum()
    size = path.stat().st_size
    for _ in range(10):
        strand(m, 20, size=10_000)
        result = m.vacuum(compact=False)
        assert result.objects == 20 * EACH
        assert result.bytes > 20 * 10_000 / 2
    assert path.stat().st_size < 4 * size + 1_000_000


def test_nothing_that_is_reachable_changes(m: OOCMap) -> None:
    m["shared"] = [1, {"inner": {2}}]
    m["list"] = [m["shared"], [m["shared"]], (m["shared"], 1)]
    m["dict"] = {"own": bytearray(b"bytes"), "other": m["list"]}
    m["dict"]["self"] = m["dict"]
    m["long"] = [{"number": number} for number in range(3000)]
    m["pick"] = [m["long"][number] for number in range(0, 3000, 100)]
    m["text"] = ["a text that is long enough to be stored once for all" * 5] * 3
    strand(m, 50)
    assert m.vacuum().objects == 50 * EACH
    assert m["shared"] == [1, {"inner": {2}}]
    assert m["list"][0].same_as(m["shared"])
    assert m["list"][1][0].same_as(m["shared"])
    assert m["list"][2][0].same_as(m["shared"])
    assert m["dict"]["self"].same_as(m["dict"])
    assert m["dict"]["other"].same_as(m["list"])
    assert [entry["number"] for entry in m["long"]] == list(range(3000))
    assert all(picked.same_as(m["long"][picked["number"]]) for picked in m["pick"])
    assert m["text"][2].startswith("a text")
    assert m.check() == []


def test_snapshots_keep_their_version(m: OOCMap) -> None:
    m["a"] = {"n": [1, 2]}
    m["b"] = m["a"]
    with m.snapshot() as s:
        of_it = s["a"]["n"]
        del m["a"], m["b"]
        gc.collect()
        assert m.vacuum().objects == 2
        assert s["a"] == s["b"] == {"n": [1, 2]}
        assert s["a"].same_as(s["b"])
        assert of_it == [1, 2]
        assert s.check() == []
        view = s.stats()["version"]
        assert view > s.version
    assert m.vacuum().objects == 0


# --- handles ---


@kinds
def test_a_handle_keeps_its_object(m: OOCMap, kind: Any) -> None:
    m["a"] = kind
    x = m["a"]
    m["b"] = x
    del m["a"], m["b"]
    for _ in range(2):
        assert m.vacuum().objects == 0
        assert x == kind
    put_something_in(x)
    m["again"] = x
    assert m["again"].same_as(x)
    assert m.vacuum().objects == 0
    assert len(m["again"]) == len(kind) + 1
    assert m.check() == []


def test_a_handle_keeps_all_that_it_leads_to(m: OOCMap) -> None:
    m["a"] = {"inner": [[1], [2]]}
    m["b"] = [m["a"]]
    m["a"]["back"] = m["b"]
    x = m["a"]
    del m["a"], m["b"]
    assert m.vacuum().objects == 0
    assert x["back"][0].same_as(x)
    inner = x["inner"]
    del x
    gc.collect()
    m.vacuum()
    assert inner == [[1], [2]]
    inner.append(3)
    m["again"] = inner
    assert m["again"] == [[1], [2], 3]
    assert m.check() == []
    del m["again"], inner
    gc.collect()
    m.vacuum()
    assert objects(m) == 0


def test_handles_of_other_threads(m: OOCMap) -> None:
    m["a"] = [[0], [1]]
    m["b"] = m["a"]
    with ThreadPoolExecutor(1) as other:
        x = other.submit(lambda: m["a"][1]).result()
        del m["a"], m["b"]
        gc.collect()
        m.vacuum()
        other.submit(x.append, "still here").result()
    assert x == [1, "still here"]
    m["c"] = x
    assert m.vacuum().objects == 0
    assert m["c"] == [1, "still here"]
    assert m.check() == []


def test_counts_only_what_goes(m: OOCMap) -> None:
    m["a"] = [[0], [1]]
    m["b"] = m["a"]
    x = m["a"][1]
    del m["a"], m["b"]
    gc.collect()
    assert m.vacuum().objects == 2
    assert x == [1]


def test_handles_that_are_made_and_dropped_meanwhile(m: OOCMap) -> None:
    m["kept"] = [[number] for number in range(200)]
    ended = threading.Event()
    problems: list[Any] = []

    def move(index: int) -> None:
        turn = 0
        while not ended.is_set():
            turn += 1
            m["moved", index] = m["kept"][100 * index + turn % 100]
            x = m["moved", index]
            del m["moved", index]
            x.append(turn)
            m["back", index] = x
            if not m["back", index].same_as(x) or x[-1] != turn:
                problems.append((index, turn))

    def check() -> None:
        while not ended.is_set():
            problems.extend(m.check())

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(move, 0), pool.submit(move, 1), pool.submit(check)]
        try:
            for _ in range(20):
                strand(m, 20)
                m.vacuum()
        finally:
            ended.set()
        for each in running:
            each.result()
    assert problems == []
    m.vacuum()
    assert len(m["kept"]) == 200
    assert m.check() == []


# --- with what else a map can be ---


def test_deferred_writes_are_seen(path: Path) -> None:
    with OOCMap(path, durability="deferred", flush_interval=60) as m:
        m["a"] = [1]
        m["b"] = m["a"]
        m["c"] = {"a": m["a"]}
        del m["a"], m["b"]
        assert m.vacuum().objects == 0
        assert m["c"] == {"a": [1]}
        del m["c"]
        gc.collect()
        m.vacuum()
        assert objects(m) == 0
        assert m.check() == []


def test_a_full_map_has_room_again(path: Path) -> None:
    with OOCMap(path, max_size=2 << 20) as m:
        m["kept"] = [1]
        for _ in range(3):
            with pytest.raises(MapFullError):
                for _ in range(100):
                    strand(m, 1, size=50_000)
            assert m.vacuum().objects > 10 * EACH
        strand(m, 1, size=50_000)
        assert m["kept"] == [1]
        assert m.check() == []
