"""`get_many` gives what one `get` after the other gives, of one version."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

import oocmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oocmap import OOCMap
from strategies import keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@given(stored=st.lists(keys, max_size=200), asked=st.lists(keys, max_size=200))
def test_it_gives_what_get_gives(tmp_path_factory: pytest.TempPathFactory, stored: Any, asked: Any) -> None:
    with OOCMap(tmp_path_factory.mktemp("many") / "x.ooc") as m:
        m.update((key, number) for number, key in enumerate(stored))
        asked = [*asked, *stored[::2]]
        expected = [m.get(key, "missing") for key in asked]
        assert m.get_many(asked, "missing") == expected
        with m.snapshot() as s, m.transaction() as tx:
            assert s.get_many(iter(asked), "missing") == expected
            assert tx.get_many(tuple(asked), "missing") == expected
            tx.clear()
            assert m.get_many(asked) == [None] * len(asked)
            assert s.get_many(asked, "missing") == expected


@pytest.mark.parametrize("count", [1, 10, 100, 5000])
def test_keys_may_come_in_any_order_and_more_than_once(path: Path, count: int) -> None:
    with OOCMap(path) as m:
        m.update({f"key {n}": [n] for n in range(count)})
        chance = random.Random(count)
        wanted = [chance.randrange(2 * count) for _ in range(3 * count)]
        found = m.get_many([f"key {n}" for n in wanted])
        assert found == [[n] if n < count else None for n in wanted]
        handles = [value for value in found if value is not None]
        for handle in handles[:2]:
            handle.append("changed")
            assert m[f"key {handle[0]}"][-1] == "changed"


def test_a_part_gives_what_lies_within_it(path: Path) -> None:
    with OOCMap(path) as m:
        m.update({n: -n for n in range(10)})
        assert m.range(3, 6).get_many([2, 3, 5, 6], "out") == ["out", -3, -5, "out"]


def test_keys_that_can_be_in_no_map_are_missing_and_others_are_refused(path: Path) -> None:
    with OOCMap(path) as m:
        m[1] = "one"
        assert m.get_many([object(), 1, float("nan")], 0) == [0, "one", 0]
        assert m.get_many([]) == []
        with pytest.raises(TypeError, match="unhashable"):
            m.get_many([1, []])
        with pytest.raises(TypeError, match="not iterable"):
            m.get_many(1)  # type: ignore[arg-type]
    with pytest.raises(oocmap.ClosedError):
        m.get_many([1])


def test_keys_may_come_from_code_that_changes_the_map(path: Path) -> None:
    with OOCMap(path) as m:

        def meddle() -> Iterator[int]:
            for n in range(100):
                m[n] = n
                yield n

        assert m.get_many(meddle()) == list(range(100))
        with m.transaction() as tx:
            m.clear()
            assert tx.get_many(meddle()) == list(range(100))


def test_deferred_writes_are_seen(path: Path) -> None:
    with OOCMap(path, durability="deferred", flush_interval=60) as m:
        m["new"] = 1
        assert m.get_many(["new", "old"]) == [1, None]


def test_all_values_are_of_one_version(path: Path) -> None:
    with OOCMap(path, durability="nometasync") as m:
        m.update(dict.fromkeys(range(500), 0))
        done = threading.Event()

        def write() -> None:
            number = 0
            while not done.is_set():
                number += 1
                m.update(dict.fromkeys(range(500), number))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            versions = [set(m.get_many(range(499, -1, -1))) for _ in range(200)]
        finally:
            done.set()
            writer.join()
        assert all(len(version) == 1 for version in versions)
