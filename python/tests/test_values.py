"""Every value comes back equal and of the same type, read lazily, and acts like its builtin twin."""

from __future__ import annotations

import collections.abc
import datetime as dt
import gc
import math
import os
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import oocmap
import pytest
from hypothesis import given
from oocmap import LazyDict, LazyFrozenSet, LazyList, LazySet, LazyTuple, OOCMap, UnsupportedTypeError
from strategies import values
from strict import assert_stored, eager, exactly, scratch

SCALARS: list[Any] = [
    None, True, False, 0, -1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**1000, -(10**1000),
    0.0, -0.0, 1.5, math.nan, -math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308,
    0j, complex(-0.0, math.nan), 1 + 2j,
    "", "a", "\0", "\u00e9", "\U0001f40d", "\ud800", "a\udfffb", "x" * 100_000,
    b"", b"\0", bytes(range(256)), b"x" * 100_000,
    ..., range(0), range(5, 1, -2), range(10**30), slice(None), slice(1, "a", 2.5),
    dt.date.min, dt.date.max, dt.time.min, dt.time(23, 59, 59, 999999, fold=1), dt.datetime.min, dt.datetime.max,
    dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=dt.timezone.utc),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3, seconds=1), "odd")),
    dt.timedelta.min, dt.timedelta.max, dt.timezone.utc, dt.timezone(dt.timedelta(hours=1), "one"),
    Decimal("1.500"), Decimal("-0E-7"), Decimal("NaN123"), Decimal("sNaN"), Decimal("-Infinity"), Decimal("1E+999999"),
    Fraction(-22, 7), UUID(int=2**128 - 1),
]  # fmt: skip


@pytest.mark.parametrize("value", SCALARS, ids=lambda value: ascii(value)[:40])
def test_a_scalar_comes_back_as_it_was(m: OOCMap, value: Any) -> None:
    m["alone"] = value
    m["inside"] = [value, {"k": (value,)}]
    assert exactly(m["alone"]) == exactly(value)
    assert_stored(m["inside"], [value, {"k": (value,)}])
    assert exactly(m["inside"][1]["k"][0]) == exactly(value)


@given(values)
def test_any_value_comes_back_as_it_was(value: Any) -> None:
    with scratch() as directory, OOCMap(directory + "/map.ooc") as m:
        m[0] = value
        assert_stored(m[0], value)
        m[1] = m[0]  # a lazy value is a value
        assert_stored(m[1], value)


# --- laziness ---

TWINS: list[tuple[Any, type, type]] = [
    ([1, [2, 3], "a"], LazyList, collections.abc.Sequence),
    ({"a": 1, "b": [2], 3: {}}, LazyDict, collections.abc.Mapping),
    ((1, (2, 3), "a"), LazyTuple, collections.abc.Sequence),
    ({1, "a", (2,)}, LazySet, collections.abc.Set),
    (frozenset([1, "a", (2,)]), LazyFrozenSet, collections.abc.Set),
]


@pytest.mark.parametrize(("value", "lazy", "abstract"), TWINS, ids=lambda item: getattr(item, "__name__", ""))
def test_a_container_comes_back_lazy_and_equal(m: OOCMap, value: Any, lazy: Any, abstract: Any) -> None:
    m["k"] = value
    stored = m["k"]
    assert type(stored) is lazy
    assert isinstance(stored, abstract)
    assert stored == value
    assert value == stored
    assert stored == m["k"]
    assert not stored != value  # noqa: SIM202
    assert len(stored) == len(value)
    assert bool(stored)
    assert stored != type(value)()
    assert type(value)() != stored
    assert stored != 1
    assert type(stored.eager(deep=True)) is type(value)
    assert_stored(stored, value)


def test_empty_containers(m: OOCMap) -> None:
    empties: list[Any] = [[], {}, (), set(), frozenset()]
    for empty in empties:
        m["k"] = empty
        assert m["k"] == empty
        assert len(m["k"]) == 0
        assert not m["k"]
        assert list(m["k"]) == []
        assert_stored(m["k"], empty)


def test_containers_of_other_kinds_are_unequal(m: OOCMap) -> None:
    m["list"], m["tuple"] = [1], (1,)
    assert m["list"] != (1,)
    assert m["tuple"] != [1]
    assert m["list"] != m["tuple"]
    m["set"], m["frozenset"] = {1}, frozenset([1])
    assert m["set"] == frozenset([1])  # as in Python
    assert m["frozenset"] == {1}
    assert m["set"] == m["frozenset"]


def test_eager_goes_one_level_deep_unless_asked(m: OOCMap) -> None:
    m["list"] = [1, [2], {"a": 3}]
    shallow = m["list"].eager()
    assert type(shallow) is list
    assert [type(item) for item in shallow] == [int, LazyList, LazyDict]
    deep = m["list"].eager(deep=True)
    assert [type(item) for item in deep] == [int, list, dict]
    m["dict"] = {"a": (1, [2])}
    assert type(m["dict"].eager()) is dict
    assert type(m["dict"].eager()["a"]) is LazyTuple
    assert type(m["dict"].eager(deep=True)["a"][1]) is list
    m["tuple"] = ((1,),)
    assert type(m["tuple"].eager()) is tuple
    assert type(m["tuple"].eager()[0]) is LazyTuple


@pytest.mark.parametrize(
    "value", [(), (1, "a"), (1, (2, frozenset([3]))), frozenset(), frozenset([1, (2, "b")])], ids=repr
)
def test_what_hashes_in_python_hashes_the_same(m: OOCMap, value: Any) -> None:
    m["k"] = value
    assert hash(m["k"]) == hash(value)
    assert {value: "found"}[m["k"]] == "found"
    assert {m["k"]: "found"}[value] == "found"


@pytest.mark.parametrize("value", [[], {}, set(), ([],)], ids=repr)
def test_what_does_not_hash_in_python_does_not_hash(m: OOCMap, value: Any) -> None:
    m["k"] = value
    with pytest.raises(TypeError):
        hash(m["k"])


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_stored_sequence_reads_as_its_twin(m: OOCMap, kind: type) -> None:
    twin = kind([5, 1, 4, 1, 3, [0], "x", None, 1.0])
    m["k"] = twin
    stored = m["k"]
    indices = [None, 0, 1, 3, 8, 9, 100, -1, -4, -9, -10, -100]
    for index in range(-len(twin), len(twin)):
        assert stored[index] == twin[index]
    for index in (len(twin), -len(twin) - 1, 10**30):
        with pytest.raises(IndexError):
            stored[index]
    for start in indices:
        for stop in indices:
            for step in (None, 1, 2, 5, -1, -3):
                assert list(stored[start:stop:step]) == list(twin[start:stop:step])
    with pytest.raises(ValueError, match="zero"):
        stored[::0]
    with pytest.raises(TypeError):
        stored["0"]
    assert list(stored) == list(twin)
    assert list(reversed(stored)) == list(reversed(twin))
    for item in (1, True, "x", None, [0], 7, "y", math.nan):
        assert (item in stored) is (item in twin)
        assert stored.count(item) == twin.count(item)
    assert stored.index(1) == 1
    assert stored.index(1, 2) == 3
    assert stored.index(1, -1) == 8
    for missing in ((7,), (5, 1), (1, 2, 3)):
        with pytest.raises(ValueError, match=r"."):
            stored.index(*missing)
    first, *rest = stored
    assert first == 5
    assert rest == list(twin[1:])


@pytest.mark.parametrize("kind", [list, tuple])
def test_sequences_join_and_repeat_into_plain_ones(m: OOCMap, kind: type) -> None:
    twin = kind([1, [2], "a"])
    m["k"] = twin
    for result, expected in (
        (m["k"] + kind([3]), twin + kind([3])),
        (kind([3]) + m["k"], kind([3]) + twin),
        (m["k"] + m["k"], twin + twin),
        (m["k"] * 2, twin * 2),
        (2 * m["k"], 2 * twin),
        (m["k"] * 0, twin * 0),
        (m["k"] * -1, twin * -1),
    ):
        assert type(result) is kind
        assert result == expected
    assert m["k"] == twin
    with pytest.raises(TypeError):
        m["k"] + 1
    with pytest.raises(TypeError):
        m["k"] * "a"


@pytest.mark.parametrize("kind", [list, tuple])
def test_sequences_are_put_in_order_like_their_twins(m: OOCMap, kind: type) -> None:
    m["k"] = kind([1, 2, 3])
    assert m["k"] < kind([1, 2, 4])
    assert m["k"] <= kind([1, 2, 3])
    assert m["k"] > kind([1, 2])
    assert kind([1, 3]) > m["k"]
    assert m["k"] >= m["k"]
    with pytest.raises(TypeError):
        m["k"] < 3


def test_a_stored_dict_reads_as_its_twin(m: OOCMap) -> None:
    twin = {"z": 1, "a": [2], 3: "c", None: None, (1, 2): {"n": 1}, 2.0: 5, "e": ...}
    m["k"] = twin
    stored = m["k"]
    assert list(stored) == list(twin)  # insertion order
    assert list(reversed(stored)) == list(reversed(twin))
    assert list(stored.keys()) == list(twin.keys())
    assert list(stored.values()) == list(twin.values())
    assert list(stored.items()) == list(twin.items())
    for key in (*twin, True, 2, "missing"):
        assert (key in stored) is (key in twin)
        assert stored.get(key, "default") == twin.get(key, "default")
    assert stored.get("missing") is None
    with pytest.raises(KeyError, match="missing"):
        stored["missing"]
    with pytest.raises(TypeError):
        stored[[]]
    assert stored.keys() == twin.keys()
    assert stored.keys() & {"z", "y"} == {"z"}
    assert ("z", 1) in stored.items()
    assert ("z", 2) not in stored.items()
    assert {**stored} == twin
    assert dict(stored) == twin
    assert stored | {"new": 1} == twin | {"new": 1}
    assert {"new": 1} | stored == {"new": 1} | twin


def test_a_long_dict_finds_every_key(m: OOCMap) -> None:
    twin = {f"key {i}" if i % 2 else i: i for i in range(20_000)}
    m["k"] = twin
    stored = m["k"]
    assert len(stored) == len(twin)
    assert all(stored[key] == value for key, value in twin.items())
    assert "key 0" not in stored
    assert list(stored) == list(twin)


@pytest.mark.parametrize("kind", [set, frozenset])
def test_a_stored_set_reads_as_its_twin(m: OOCMap, kind: Any) -> None:
    twin = kind([1, "a", (2, 3), None, b"b", 2.5])
    m["k"] = twin
    stored = m["k"]
    assert set(stored) == twin
    for item in (1, True, 1.0, "a", (2, 3), "b", b"b", (2,)):
        assert (item in stored) is (item in twin)
    other = {1, "a", "new"}
    assert stored & other == twin & other
    assert other & stored == other & twin
    assert stored | other == twin | other
    assert stored - other == twin - other
    assert other - stored == other - twin
    assert stored ^ other == twin ^ other
    assert stored >= {1}
    assert stored > {1}
    assert not stored < {1}
    assert {1} <= stored
    assert stored.isdisjoint({"new"})
    with pytest.raises(TypeError):
        [] in stored


def test_what_is_printed_looks_like_the_twin(m: OOCMap) -> None:
    for value in (
        [1, "a", [2.5]],
        {"a": 1, "b": [2]},
        (1,),
        (1, 2),
        {1},
        frozenset([1]),
        [],
        {},
        (),
        set(),
        frozenset(),
    ):
        m["k"] = value
        assert repr(m["k"]) == repr(value)
        assert str(m["k"]) == str(value)
    m["long"] = list(range(1_000_000))
    assert len(repr(m["long"])) < 100_000
    assert repr(m["long"]).startswith("[0, 1, 2, ")


def test_patterns_match(m: OOCMap) -> None:
    m["point"] = {"kind": "point", "at": [1, (2, 3)]}
    match m["point"]:
        case {"kind": "point", "at": [x, (y, z)]}:
            assert (x, y, z) == (1, 2, 3)
        case _:
            pytest.fail("a stored dict did not match as a mapping")


def test_a_lazy_value_reads_its_version_after_the_key_is_gone(m: OOCMap) -> None:
    m["k"] = [1, {"a": [2, 3]}]
    inner = m["k"][1]
    with m.snapshot() as s:
        held = s["k"]
        del m["k"]
        gc.collect()
        assert held == [1, {"a": [2, 3]}]
    assert inner["a"] == [2, 3]  # a handle outlives its key


# --- identity within one value ---


def test_shared_parts_stay_shared(m: OOCMap) -> None:
    x: list[Any] = []
    m["a"] = [x, x, {"x": x}]
    copied = m["a"].eager(deep=True)
    assert copied == [[], [], {"x": []}]
    assert copied[0] is copied[1]
    assert copied[0] is copied[2]["x"]
    m["b"] = [[], []]
    apart = m["b"].eager(deep=True)
    assert apart[0] is not apart[1]


def test_cycles_stay_cycles(m: OOCMap) -> None:
    x: list[Any] = [1]
    x.append(x)
    d: dict[str, Any] = {"list": x}
    d["self"] = d
    m["k"] = d
    stored = m["k"]
    assert stored["self"]["self"]["list"][1][1][0] == 1
    copied = stored.eager(deep=True)
    assert copied["self"] is copied
    assert copied["list"][1] is copied["list"]
    assert "..." in repr(stored)


def test_storing_copies(m: OOCMap) -> None:
    x = [1]
    m["k"] = x
    x.append(2)
    assert m["k"] == [1]
    copied = m["k"].eager()
    copied.append(3)
    assert m["k"] == [1]


# --- size ---


@pytest.mark.parametrize("kind", ["list", "dict", "tuple"])
def test_two_hundred_thousand_levels(m: OOCMap, kind: str) -> None:
    m["before"] = 1
    levels = 200_000
    wraps: dict[str, Callable[[Any], Any]] = {
        "list": lambda x: [x],
        "dict": lambda x: {"k": x},
        "tuple": lambda x: (x,),
    }
    wrap = wraps[kind]
    step: Any = "k" if kind == "dict" else 0
    deep: Any = "bottom"
    for _ in range(levels):
        deep = wrap(deep)
    try:
        m["deep"] = deep
    except (ValueError, RecursionError) as error:
        assert str(error)
        assert m == {"before": 1}
        return
    stored: Any = m["deep"]
    for _ in range(1000):
        stored = stored[step]
    assert len(repr(m["deep"])) < 100_000
    try:
        copied = m["deep"].eager(deep=True)
    except RecursionError:
        pass
    else:
        for _ in range(levels):
            copied = copied[step]
        assert copied == "bottom"
    assert m["before"] == 1
    del m["deep"]
    assert m == {"before": 1}


def test_an_int_of_a_million_digits(m: OOCMap) -> None:
    value = 3 * 10**999_999 + 7
    m["k"] = [value, -value]
    assert m["k"][0] == value
    assert m["k"][1] == -value


def available_memory() -> int:
    """Return how many bytes this machine could give us now, or 0 where it does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


@pytest.mark.skipif(available_memory() < 8 << 30, reason="needs 8 GiB of free memory")
def test_a_string_of_a_gigabyte(path: Path) -> None:
    disk = os.statvfs(path.parent)
    if disk.f_bavail * disk.f_frsize < 4 << 30:
        pytest.skip("needs 4 GiB of free disk")
    with OOCMap(path) as m:
        m["before"] = 1
        value = "0123456789abcdef" * (1 << 26)
        m["large"] = value
        stored = m["large"]
        assert len(stored) == 1 << 30
        assert stored == value
        del stored, value
        del m["large"]
        assert m == {"before": 1}


# --- what can't be stored ---


class Own:
    """An object of a class of one's own."""


class OwnInt(int):
    """A subclass of a builtin, which would come back as something else."""


class OwnDict(dict[Any, Any]):
    """The same of a container."""


@pytest.mark.parametrize(
    "value",
    [Own(), OwnInt(3), OwnDict(), object(), len, Own, iter([]), memoryview(b"")],
    ids=lambda v: type(v).__name__,
)
@pytest.mark.parametrize("inside", [lambda v: v, lambda v: [1, {"k": (v,)}]], ids=["alone", "inside"])
def test_what_has_no_native_form_is_refused(m: OOCMap, value: Any, inside: Any) -> None:
    m["before"] = 1
    with pytest.raises(UnsupportedTypeError, match=type(value).__name__) as caught:
        m["k"] = inside(value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, oocmap.Error)
    with pytest.raises(UnsupportedTypeError):
        m.update({"a": 1, "k": inside(value)})
    with pytest.raises(UnsupportedTypeError):
        m.setdefault("k", inside(value))
    assert m == {"before": 1}
    m["after"] = 2
    assert eager(m["after"]) == 2
