"""Keys are what they are in a dict, and stand in order.

Equal keys are one key and the first one is given back; keys have no length limit; what can't be a key
is refused with the map unhurt.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
import random
import uuid
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oocmap import OOCMap, UnsupportedTypeError
from strategies import comparable, keys, place
from strict import eager, exactly, same, scratch

UTC = dt.timezone.utc
NOON = dt.datetime(2024, 5, 17, 12, tzinfo=UTC)

EQUAL = [
    [1, 1.0, True, 1 + 0j, Decimal(1), Decimal("1.000"), Fraction(1)],
    [0, -0.0, False, 0j, -0j, Decimal("-0"), Decimal("0E+10"), Fraction(0)],
    [2**100, 2.0**100, Decimal(2**100), Fraction(2**100), complex(2.0**100)],
    [0.1, Fraction(0.1), Decimal(0.1)],
    [Decimal("0.1"), Fraction(1, 10)],
    [math.inf, Decimal("Infinity"), complex(math.inf, 0)],
    [(1, "a"), (True, "a"), (1.0, "a")],
    [frozenset([1, 2]), frozenset([2.0, True])],
    [NOON, dt.datetime(2024, 5, 17, 14, tzinfo=dt.timezone(dt.timedelta(hours=2), "CEST"))],
    [dt.time(12, tzinfo=UTC), dt.time(13, tzinfo=dt.timezone(dt.timedelta(hours=1)))],
    [dt.timedelta(days=1), dt.timedelta(hours=24)],
]

DIFFERENT: list[Any] = [
    None,
    0,
    1,
    0.1,
    Decimal("0.1"),
    0.1 + 1e-17j,
    1j,
    2**53,
    2**53 + 1,
    Fraction(1, 3),
    "",
    "0",
    "a",
    "a\0",
    "\ud800",
    "\udfff",
    "\ue000",
    "\U00010000",
    b"",
    b"a",
    b"a\0",
    b"\xed\xa0\x80",  # the bytes that a lone surrogate would be
    (),
    (None,),
    ((),),
    ("a",),
    ("a", None),
    (b"a",),
    ("a\0",),
    ("a", "\0"),
    ("", "a"),
    frozenset(),
    frozenset(["a"]),
    frozenset([frozenset()]),
    dt.date(2024, 5, 17),
    dt.datetime(2024, 5, 17),
    dt.datetime(2024, 5, 17, tzinfo=UTC),
    dt.time(0),
    dt.time(0, tzinfo=UTC),
    dt.timedelta(0),
    uuid.UUID(int=0),
]


@pytest.mark.parametrize("group", EQUAL, ids=lambda group: repr(group[0]))
def test_equal_keys_are_one_key_and_the_first_is_given_back(m: OOCMap, group: list[Any]) -> None:
    for first in group:
        m.clear()
        for number, key in enumerate([first, *group]):
            m[key] = number
        assert len(m) == 1
        assert same(eager(next(iter(m))), first)
        assert all(m[key] == len(group) for key in group)
        del m[group[-1]]
        assert not m


def test_after_deletion_the_next_key_is_the_first(m: OOCMap) -> None:
    m[1] = "a"
    del m[1]
    m[True] = "b"
    assert list(m) == [True]
    assert next(iter(m)) is True


def test_different_keys_are_different(m: OOCMap) -> None:
    for number, key in enumerate(DIFFERENT):
        m[key] = number
    assert len(m) == len(DIFFERENT)
    for number, key in enumerate(DIFFERENT):
        assert m[key] == number
    assert {exactly(eager(key)) for key in m} == set(map(exactly, DIFFERENT))


def test_order_across_types(m: OOCMap) -> None:
    ordered = [
        None,
        -math.inf,
        -(10**400),
        -1.5,
        Fraction(-1, 3),
        Decimal("-0.1"),
        -5e-324,
        0,
        Decimal("0.1"),
        0.1,
        Fraction(1, 3),
        True,
        Decimal("1.5"),
        2**53,
        2**53 + 1,
        float(2**53 + 2),
        10**400,
        math.inf,
        "",
        "\0",
        "Z",
        "a",
        "a\0",
        "aa",
        "\u00e9",
        "\ud800",
        "\udfff",
        "\ue000",
        "\uffff",
        "\U00010000",
        b"",
        b"\0",
        b"\xff",
        (),
        (None,),
        (1,),
        (1, None),
        (1, "a"),
        (2,),
        ("a",),
        ("a", "b"),
        ("a", "b", "c"),
        ("a\0",),
        (b"",),
        ((),),
        ((1,), 2),
    ]
    shuffled = ordered[:]
    random.Random(7).shuffle(shuffled)
    m.update((key, None) for key in shuffled)
    assert [eager(key) for key in m] == ordered
    assert [eager(key) for key in reversed(m)] == ordered[::-1]


@given(left=keys, right=keys)
def test_two_keys_meet_as_they_do_in_a_dict(left: Any, right: Any) -> None:
    with scratch() as directory, OOCMap(directory + "/map.ooc") as m:
        m.update([(left, 1), (right, 2)])
        expected = {left: 1, right: 2}
        assert len(m) == len(expected)
        assert {exactly(eager(key)) for key in m} == set(map(exactly, expected))
        first = eager(next(iter(m)))
        if len(expected) == 2:
            places = place(left), place(right)
            if None not in places:
                assert same(first, left) is (places[0] < places[1])  # type: ignore[operator]
            elif comparable(left) is not None and comparable(left) == comparable(right):
                assert same(first, min(left, right))


def test_long_keys_with_shared_beginnings_keep_their_order(m: OOCMap) -> None:
    random_ = random.Random(11)
    ordered: list[Any] = []
    for shared in (500, 505, 509, 510, 511, 512, 513, 600, 5000):
        ordered += ["x" * shared, "x" * shared + "\0", "x" * shared + "a" * 600, "x" * shared + "b"]
        ordered += [b"x" * shared, b"x" * shared + b"\0", b"x" * shared + b"\xff" * 600]
        ordered += [("x" * shared,), ("x" * shared, 1), ("x" * shared, 2)]
    ordered += [10**n for n in (150, 151, 1200, 1201)] + [10**1201 + 1, -(10**1201), -(10**1201) - 1]
    ordered = sorted(set(ordered), key=place)  # type: ignore[arg-type]
    shuffled = ordered[:]
    random_.shuffle(shuffled)
    for key in shuffled:
        m[key] = len(key) if isinstance(key, (str, bytes)) else None
    assert len(m) == len(ordered)
    assert [eager(key) for key in m] == ordered
    assert [eager(key) for key in m.range("x" * 511, "x" * 512).keys()] == [
        key for key in ordered if isinstance(key, str) and "x" * 511 <= key < "x" * 512
    ]
    assert set(m.prefix("x" * 513).keys()) == {
        key for key in ordered if isinstance(key, str) and key.startswith("x" * 513)
    }
    for key in shuffled:
        assert key in m
        del m[key]
    assert not m


def test_a_key_of_ten_megabytes(m: OOCMap) -> None:
    long = "k" * 10_000_000
    m[long] = "long"
    m[long + "!"] = "longer"
    assert m[long] == "long"
    assert m[long + "!"] == "longer"
    assert long[:-1] not in m
    assert [len(key) for key in m] == [10_000_000, 10_000_001]
    del m[long]
    assert len(m) == 1


def test_an_int_of_a_million_digits_as_key(m: OOCMap) -> None:
    key = 7 * 10**999_999 + 3
    m[key] = "large"
    assert m[key] == "large"
    assert key + 1 not in m
    assert next(iter(m)) == key


@pytest.mark.parametrize("text", ["1E+999999999999", "-1E+999999999999", "1E-999999999999"])
def test_a_decimal_that_no_memory_holds_written_out(m: OOCMap, text: str) -> None:
    m["before"] = 1
    key = Decimal(text)
    try:
        m[key] = "vast"
    except ValueError:
        assert list(m) == ["before"]
    else:
        assert m[key] == "vast"
        assert same(next(key for key in m if key != "before"), key)


@pytest.mark.parametrize("key", [(), "", b"", frozenset(), 0, None, "\ud800"], ids=ascii)
def test_the_emptiest_keys_and_a_lone_surrogate(m: OOCMap, key: Any) -> None:
    m["other"] = 0
    m[key] = "here"
    assert m[key] == "here"
    assert key in m
    assert m.pop(key) == "here"
    assert list(m) == ["other"]


@pytest.mark.parametrize("key", [{}, [], set(), bytearray(), ([],), (1, ({},))], ids=repr)
def test_what_has_no_hash_is_a_type_error(m: OOCMap, key: Any) -> None:
    m["before"] = 1
    for use in (
        lambda: m.__setitem__(key, 1),
        lambda: m[key],
        lambda: m.get(key),
        lambda: key in m,
        lambda: m.__delitem__(key),
        lambda: m.pop(key, None),
        lambda: m.setdefault(key, 1),
        lambda: m.update([("new", 1), (key, 1)]),
    ):
        with pytest.raises(TypeError):
            use()
    assert m == {"before": 1}


@pytest.mark.parametrize(
    "key",
    [
        math.nan,
        -math.nan,
        complex(math.nan, 0),
        complex(0, math.nan),
        Decimal("NaN"),
        (1, math.nan),
        frozenset([math.nan]),
    ],
    ids=repr,
)
def test_nan_is_refused(m: OOCMap, key: Any) -> None:
    m["before"] = 1
    with pytest.raises(ValueError, match=r"(?i)nan"):
        m[key] = 1
    with pytest.raises(ValueError, match=r"(?i)nan"):
        m.update([("new", 1), (key, 1)])
    assert m == {"before": 1}


class Own:
    """An object of a class of one's own; it can be hashed."""


@pytest.mark.parametrize(
    "key", [Own(), (1, Own()), frozenset([Own()]), Own, len], ids=lambda key: type(key).__name__
)
def test_what_is_not_stored_by_value_is_refused_as_a_key(m: OOCMap, key: Any) -> None:
    m["before"] = 1
    with pytest.raises(UnsupportedTypeError):
        m[key] = 1
    assert m == {"before": 1}


@given(st.sets(keys, min_size=3, max_size=12), st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_history(some: set[Any], order: random.Random) -> None:
    shuffled = sorted(some, key=exactly)
    order.shuffle(shuffled)
    with scratch() as directory, OOCMap(directory + "/a.ooc") as a, OOCMap(directory + "/b.ooc") as b:
        a.update(dict.fromkeys(shuffled))
        for key in reversed(shuffled):
            b[key] = None
        for key in itertools.islice(shuffled, 2):
            del b[key]
            b[key] = None
        assert [exactly(eager(key)) for key in a] == [exactly(eager(key)) for key in b]
