"""Long lists of numbers come back as they were, to the bit, wherever they are put and whatever is among the numbers."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import oocmap
import pytest
from oocmap import OOCMap
from strict import assert_stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# As many words make a container long, whatever they are.
LONG = 2049


def ints(bits: int) -> list[int]:
    """Return a long list of integers that are up to so many bits apart, from a lowest one on that may be negative."""
    chance = random.Random(bits)
    lowest = chance.randrange(-(2**63), 2**63 - 2**bits + 1)
    return [lowest, lowest + 2**bits - 1, *(lowest + chance.randrange(2**bits) for _ in range(LONG))]


def floats() -> list[float]:
    """Return a long list of doubles, the odd ones too."""
    chance = random.Random(0)
    return [
        0.0,
        -0.0,
        float("inf"),
        float("-inf"),
        float("nan"),
        5e-324,
        *(chance.random() for _ in range(LONG)),
    ]


def put(m: OOCMap, key: str, value: Any) -> None:
    m[key] = value


def put_in_a_transaction(m: OOCMap, key: str, value: Any) -> None:
    with m.transaction() as tx:
        tx[key] = value


def update(m: OOCMap, key: str, value: Any) -> None:
    m.update([("before", 1), (key, value), ("\x7f", 2)])


def load(m: OOCMap, key: str, value: Any) -> None:
    oocmap.bulk_load(m, {"before": 1, key: value, "\x7f": 2})


def load_little_by_little(m: OOCMap, key: str, value: Any) -> None:
    oocmap.bulk_load(m, [(key, [0] * LONG), (key, [0.5] * LONG), (key, value)], memory=1)


def setdefault(m: OOCMap, key: str, value: Any) -> None:
    m.setdefault(key, value)


def put_into_a_dict(m: OOCMap, key: str, value: Any) -> None:
    m["dict"] = {}
    m["dict"]["inner"] = value
    m[key] = m["dict"]["inner"]


def put_into_a_long_dict(m: OOCMap, key: str, value: Any) -> None:
    m["dict"] = dict.fromkeys(range(3000))
    m["dict"][7] = value
    m[key] = m["dict"][7]


def append(m: OOCMap, key: str, value: Any) -> None:
    m["list"] = []
    m["list"].append(value)
    m[key] = m["list"][0]


def append_in_a_transaction(m: OOCMap, key: str, value: Any) -> None:
    m["list"] = list(range(3000))
    with m.transaction():
        m["list"].append(1)
        m["list"].append(value)
        m["list"].append(2)
    m[key] = m["list"][-2]


WAYS = [
    put,
    put_in_a_transaction,
    update,
    load,
    load_little_by_little,
    setdefault,
    put_into_a_dict,
    put_into_a_long_dict,
    append,
    append_in_a_transaction,
]


CHANGES: list[Callable[[Any], object]] = [
    lambda stored: stored.append(None),
    lambda stored: stored.insert(5, "text"),
    lambda stored: stored.__setitem__(1000, 2**70),
    lambda stored: stored.__delitem__(slice(10, 1500, 7)),
    lambda stored: stored.reverse(),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("values", [ints(40), floats()], ids=["ints", "floats"])
def test_wherever_they_are_put(path: Path, way: Callable[..., None], values: list[Any]) -> None:
    with OOCMap(path) as m:
        way(m, "k", values)
        assert_stored(m["k"], values)
        assert m.check() == []
        # It is a list like any other.
        model = list(values)
        for change in CHANGES:
            change(m["k"])
            change(model)
            assert_stored(m["k"], model)
        del m["k"]
        m["again"] = values
        assert m.check() == []
    with OOCMap(path) as m:
        assert_stored(m["again"], values)


@pytest.mark.parametrize("bits", [*range(0, 65, 8), *range(1, 64, 8), 63])
def test_however_far_they_are_apart(m: OOCMap, bits: int) -> None:
    values = ints(bits)
    m["k"] = values
    assert_stored(m["k"], values)
    assert [m["k"][index] for index in (0, 1, LONG)] == [values[index] for index in (0, 1, LONG)]
    middle = len(values) // 2
    m["k"][middle] = values[middle] // 2
    values[middle] //= 2
    assert_stored(m["k"], values)


@pytest.mark.parametrize("length", [LONG - 2, LONG - 1, LONG, LONG + 1])
def test_however_many_there_are(m: OOCMap, length: int) -> None:
    m["ints"] = list(range(length))
    m["floats"] = [0.5] * length
    assert_stored(m["ints"], list(range(length)))
    assert_stored(m["floats"], [0.5] * length)


@pytest.mark.parametrize("at", [0, 1, LONG])
@pytest.mark.parametrize(
    "other", [True, None, 2**63, -(2**63) - 1, 10**400, 1.0, 1, "text", [1], (2.0,), {}], ids=repr
)
@pytest.mark.parametrize("values", [ints(24), floats()], ids=["ints", "floats"])
def test_whatever_is_among_them(m: OOCMap, values: list[Any], other: Any, at: int) -> None:
    mixed = [*values[:at], other, *values[at:]]
    m["k"] = mixed
    assert_stored(m["k"], mixed)


class Int(int):
    """Comes back as an `int`, unless it is refused."""


@pytest.mark.parametrize("at", [0, LONG])
def test_no_subclass_passes_for_a_number(m: OOCMap, at: int) -> None:
    values: list[Any] = list(range(LONG))
    values.insert(at, Int(5))
    with pytest.raises(oocmap.UnsupportedTypeError):
        m["k"] = values
    assert "k" not in m


def test_a_list_that_holds_itself_behind_numbers(m: OOCMap) -> None:
    values: list[Any] = list(range(LONG))
    values.append(values)
    m["k"] = values
    assert m["k"][LONG][LONG][7] == 7
    m["k"][LONG].append("seen")
    assert m["k"][-1] == "seen"


def test_what_is_rolled_back_leaves_nothing(m: OOCMap) -> None:
    m["k"] = "before"
    with pytest.raises(KeyError), m.transaction() as tx:
        tx["k"] = ints(16)
        tx["l"] = floats()
        raise KeyError
    assert m["k"] == "before"
    assert "l" not in m
    assert m.check() == []
