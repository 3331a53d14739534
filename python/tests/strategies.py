"""What Hypothesis stores: keys and values of every type that a map takes, and the order of keys.

Keys leave out what can't be one (NaN), and datetimes for which Python itself gives up on equality: a
local time that happens twice, or never, equals no time of another zone whatever its instant (PEP 495).
Decimals and fractions keep to digits that tell them apart within the 128 bits that key order looks at.
"""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import strategies as st

ZONES = [
    ZoneInfo(name)
    for name in ("UTC", "Europe/Berlin", "Australia/Lord_Howe")
    if name in available_timezones()
]

# Some of everything is small, so that different types meet as equal keys.
small = st.integers(-3, 3)
text = st.text(
    st.one_of(st.characters(), st.characters(categories=["Cs"]), st.sampled_from("ab")), max_size=12
)
offsets = st.timedeltas(dt.timedelta(hours=-23, minutes=-59), dt.timedelta(hours=23, minutes=59))
timezones = st.one_of(
    st.just(dt.timezone.utc),
    st.builds(dt.timezone, offsets),
    st.builds(dt.timezone, offsets, st.text("abc\u00e9", max_size=4)),
)
zones = st.one_of(timezones, st.sampled_from(ZONES)) if ZONES else timezones


def _unambiguous(value: dt.datetime) -> bool:
    return value.utcoffset() == value.replace(fold=1 - value.fold).utcoffset()


key_numbers = st.one_of(
    st.booleans(),
    small,
    st.integers(),
    st.integers(-(2**300), 2**300),
    small.map(float),
    st.floats(allow_nan=False),
    st.builds(complex, small),
    st.complex_numbers(allow_nan=False),
    small.map(Decimal),
    st.builds(
        lambda digits, scale: Decimal(digits).scaleb(scale),
        st.integers(-(10**20), 10**20),
        st.integers(-40, 40),
    ),
    st.sampled_from([Decimal("Infinity"), Decimal("-Infinity"), Decimal("-0"), Decimal("1.50")]),
    st.builds(Fraction, small, st.sampled_from([1, 2, 3])),
    st.fractions(-(2**40), 2**40, max_denominator=2**40),
)
key_times = st.one_of(
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=zones).filter(_unambiguous),
    st.times(),
    st.times(timezones=timezones),
    st.timedeltas(),
)
key_scalars = st.one_of(
    st.none(),
    key_numbers,
    text,
    st.binary(max_size=12),
    key_times,
    st.uuids(),
)
keys = st.recursive(
    key_scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.frozensets(inner, max_size=3),
    ),
    max_leaves=6,
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**600), 2**600),
    st.floats(),
    st.sampled_from([-0.0, math.nan, -math.nan, math.inf, -math.inf, 5e-324]),
    st.complex_numbers(),
    text,
    st.text(max_size=200),
    st.binary(max_size=200),
    st.dates(),
    st.datetimes(timezones=st.one_of(st.none(), zones)),
    st.times(timezones=st.one_of(st.none(), zones)),
    st.timedeltas(),
    zones,
    st.decimals(),
    st.fractions(),
    st.uuids(),
    st.builds(range, st.integers(), st.integers(), st.integers().filter(bool)),
    st.just(...),
    st.builds(slice, *[st.one_of(st.none(), small, text)] * 3),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(st.one_of(st.sampled_from(["id", "name"]), keys), inner, max_size=5),
        st.sets(keys, max_size=4),
        st.frozensets(keys, max_size=4),
    ),
    max_leaves=15,
)


def place(key: Any) -> tuple[Any, ...] | None:
    """Return where a key stands among all others, or None where the documentation does not say.

    It says: None, then numbers by value, then str by code points, then bytes, then tuples element by element.
    """
    if key is None:
        return (0,)
    if isinstance(key, complex):
        if key.imag:
            return None
        key = key.real
    if isinstance(key, (float, Decimal)) and math.isinf(key):
        return (1, float(key))
    if isinstance(key, (int, float, Decimal, Fraction)):
        return (1, Fraction(key))
    if isinstance(key, str):
        return (2, key)
    if isinstance(key, bytes):
        return (3, key)
    if isinstance(key, tuple):
        places = [place(item) for item in key]
        return None if None in places else (4, *places)
    return None


def comparable(key: Any) -> str | None:
    """Return a name for the kind of a key whose members Python itself puts in order by ``<``."""
    if isinstance(key, (dt.datetime, dt.time)):
        return f"{type(key).__name__}, {'naive' if key.utcoffset() is None else 'aware'}"
    if type(key).__name__ in ("date", "timedelta", "UUID"):
        return type(key).__name__
    return None
