"""The views of a map are live and act like sets, and so are those of a part of it."""

from __future__ import annotations

import collections.abc
from typing import Any

import pytest
from oocmap import OOCMap

ENTRIES: dict[Any, Any] = {
    None: 0,
    -5: "minus",
    1: "one",
    2.5: [2.5],
    "a": 1,
    "ab": 2,
    "abc": {"x": 3},
    "b": 4,
    b"ab": 5,
    ("a",): 6,
    ("a", 1): 7,
    ("a", 2): 8,
    ("a", 2, "z"): 9,
    ("ab",): 10,
    ("b", 1): 11,
}
"""What the tests store, in the order of keys."""


@pytest.fixture
def full(m: OOCMap) -> OOCMap:
    """Make a map that holds ENTRIES."""
    m.update(reversed(ENTRIES.items()))
    return m


def test_views_are_live(m: OOCMap) -> None:
    keys, values, items = m.keys(), m.values(), m.items()
    assert (len(keys), len(values), len(items)) == (0, 0, 0)
    m["a"] = 1
    assert (list(keys), list(values), list(items)) == (["a"], [1], [("a", 1)])
    m["a"] = 2
    assert list(values) == [2]
    m.clear()
    assert (list(keys), list(values), list(items)) == ([], [], [])


def test_views_hold_everything_in_order(full: OOCMap) -> None:
    assert list(full.keys()) == list(ENTRIES)
    assert list(full.values()) == list(ENTRIES.values())
    assert list(full.items()) == list(ENTRIES.items())
    for view in ("keys", "values", "items"):
        forwards = list(getattr(full, view)())
        assert list(reversed(getattr(full, view)())) == forwards[::-1]
        assert len(getattr(full, view)()) == len(ENTRIES)


def test_views_contain(full: OOCMap) -> None:
    assert "a" in full.keys()
    assert True in full.keys()
    assert "missing" not in full.keys()
    assert ("a", 1) in full.items()
    assert ("a", True) in full.items()
    assert ("a", 2) not in full.items()
    assert ("missing", 1) not in full.items()
    items: Any = full.items()
    assert "a" not in items
    assert (2.5, [2.5]) in full.items()
    assert [2.5] in full.values()
    assert 99 not in full.values()


def test_views_are_what_the_abstract_classes_say(full: OOCMap) -> None:
    assert isinstance(full.keys(), collections.abc.KeysView)
    assert isinstance(full.values(), collections.abc.ValuesView)
    assert isinstance(full.items(), collections.abc.ItemsView)


def test_views_act_like_sets(full: OOCMap) -> None:
    keys, twin = full.keys(), ENTRIES.keys()
    other = {1, "a", "new"}
    assert keys == twin
    assert twin == keys
    assert keys & other == twin & other
    assert other & keys == other & twin
    assert keys | other == twin | other
    assert keys - other == twin - other
    assert other - keys == other - twin
    assert keys ^ other == twin ^ other
    assert keys >= {1, "a"}
    assert keys > {1, "a"}
    assert not keys <= {1, "a"}
    assert keys.isdisjoint({"new"})
    assert not keys.isdisjoint({"new", 1})
    full.clear()
    full.update(a=1, b=2)
    assert full.items() == {("a", 1), ("b", 2)}
    assert full.items() & {("a", 1), ("b", 3)} == {("a", 1)}
    assert full.items() - {("a", 1)} == {("b", 2)}


def inside(start: Any, stop: Any) -> list[Any]:
    """Return the keys of ENTRIES from `start` up to `stop`, which are both among them or past the end."""
    keys = list(ENTRIES)
    first = keys.index(start) if start in ENTRIES else 0
    last = keys.index(stop) if stop in ENTRIES else len(keys)
    return keys[first:last]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_range_is_a_part_of_the_map(full: OOCMap, reverse: bool) -> None:
    for start in (None, 1, "a", "abc", ("a", 1), ("b", 1)):
        for stop in (None, 1, "a", b"ab", ("a", 2), ("b", 1)):
            expected = inside(start, stop if stop is not None else "past the end")
            if reverse:
                expected.reverse()
            part = full.range(start, stop, reverse=reverse)
            assert list(part.keys()) == expected
            assert list(part.values()) == [ENTRIES[key] for key in expected]
            assert list(part.items()) == [(key, ENTRIES[key]) for key in expected]
            backwards: Any = part.keys()
            assert list(reversed(backwards)) == expected[::-1]
            assert len(part.keys()) == len(part.values()) == len(part.items()) == len(expected)
            for key in ENTRIES:
                assert (key in part.keys()) is (key in expected)
                assert ((key, ENTRIES[key]) in part.items()) is (key in expected)


def test_a_range_need_not_begin_or_end_at_a_key(full: OOCMap) -> None:
    assert list(full.range(0, 2).keys()) == [1]
    assert list(full.range(1.5, "aa").keys()) == [2.5, "a"]
    assert list(full.range("aa", "ac").keys()) == ["ab", "abc"]
    assert list(full.range(("a", 1.5), ("a", 3)).keys()) == [("a", 2), ("a", 2, "z")]
    assert list(full.range("b", "a").keys()) == []
    assert list(full.range(start="x", stop=b"").keys()) == []


def test_a_prefix_is_a_part_of_the_map(full: OOCMap) -> None:
    assert list(full.prefix(("a",)).keys()) == [("a",), ("a", 1), ("a", 2), ("a", 2, "z")]
    assert list(full.prefix(("a", 2)).values()) == [8, 9]
    assert list(full.prefix(("a", 2.0)).values()) == [8, 9]
    assert list(full.prefix("ab").items()) == [("ab", 2), ("abc", {"x": 3})]
    assert list(full.prefix(b"a").keys()) == [b"ab"]
    assert list(full.prefix("").keys()) == ["a", "ab", "abc", "b"]
    assert list(full.prefix(()).keys()) == [key for key in ENTRIES if isinstance(key, tuple)]
    assert list(full.prefix(("zz",)).keys()) == []
    with pytest.raises(TypeError):
        full.prefix(5)  # type: ignore[arg-type]


def test_parts_are_live_and_act_like_sets(full: OOCMap) -> None:
    part = full.prefix(("a",))
    keys = part.keys()
    full[("a", 3)] = "new"
    assert ("a", 3) in keys
    assert len(keys) == 5
    assert keys & {("a", 1), "a"} == {("a", 1)}
    assert keys - {("a",), ("a", 1), ("a", 2), ("a", 2, "z")} == {("a", 3)}
    del full[("a", 3)]
    assert keys == {("a",), ("a", 1), ("a", 2), ("a", 2, "z")}


def test_a_part_inside_a_transaction(full: OOCMap) -> None:
    with full.transaction() as tx:
        tx[("a", 7)] = "new"
        assert list(tx.prefix(("a",)).keys())[-1] == ("a", 7)
        assert list(full.range(("a", 3), ("a", 8)).values()) == ["new"]
        tx.rollback()
    assert list(full.range(("a", 3), ("a", 8)).values()) == []


def test_a_long_map_is_read_in_pieces(m: OOCMap) -> None:
    m.update((key, key) for key in range(20_000))
    assert list(m.range(9_990, 10_010).keys()) == list(range(9_990, 10_010))
    assert list(m.range(9_990, 10_010, reverse=True).keys()) == list(range(10_009, 9_989, -1))
    assert list(m) == list(range(20_000))
    assert list(reversed(m)) == list(range(19_999, -1, -1))
    iterator = iter(m)
    assert [next(iterator) for _ in range(3)] == [0, 1, 2]


def test_a_part_equals_a_mapping_with_the_same_entries(m: OOCMap) -> None:
    m.update({1: "a", 2: ["b"], "x": 3})
    assert m.range(1, 3) == {1: "a", 2: ["b"]}
    assert m.range(1, 3) == m.range(0, 2.5)
    assert m.range(1, 3) != {1: "a"}
    assert m.prefix("x") != {"x": 4}
