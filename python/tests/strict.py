"""Comparison that is stricter than ``==``: the same types all the way down, floats bit for bit."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import struct
import tempfile
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo


def eager(value: Any) -> Any:
    """Return a stored value as plain Python objects, all the way down."""
    return value.eager(deep=True) if hasattr(value, "eager") else value


def exactly(value: Any) -> str:
    """Describe a value so that two descriptions are equal only if nothing tells the values apart.

    Dicts are told apart by their order too; sets are not, as they have none.

    Raises
    ------
    TypeError
        If the value is of a type that this function was not taught, so that nothing is compared by chance.
    """
    kind = type(value)
    name = kind.__name__
    if value is None or value is ... or kind in (bool, int, bytes, UUID, dt.timedelta, dt.date):
        text = hex(value) if kind is int else repr(value)
    elif kind is bytearray:
        text = repr(bytes(value))
    elif kind is str:
        text = ascii(value)
    elif kind is float:
        text = struct.pack(">d", value).hex()
    elif kind is complex:
        text = struct.pack(">dd", value.real, value.imag).hex()
    elif kind is Decimal:
        text = repr(value.as_tuple())
    elif kind is Fraction:
        text = f"{value.numerator}/{value.denominator}"
    elif kind in (range, slice):
        text = ", ".join(map(exactly, (value.start, value.stop, value.step)))
    elif kind in (dt.datetime, dt.time):
        text = f"{value.replace(tzinfo=None).isoformat()} fold={value.fold} {exactly(value.tzinfo)}"
    elif kind is dt.timezone:
        text = f"{value.utcoffset(None)!r} {value.tzname(None)!r}"
    elif kind is ZoneInfo:
        text = value.key
    elif kind in (list, tuple):
        text = ", ".join(map(exactly, value))
    elif kind in (set, frozenset):
        text = ", ".join(sorted(map(exactly, value)))
    elif kind is deque:
        text = f"{exactly(list(value))}, {value.maxlen}"
    elif kind is defaultdict:
        text = f"{value.default_factory!r}, {exactly(dict(value))}"
    elif kind in (PurePosixPath, PureWindowsPath, PosixPath, WindowsPath):
        text = ascii(str(value))
    elif isinstance(value, Enum):
        text = f"{kind.__module__}.{value._name_} {exactly(value._value_)}"
    elif issubclass(kind, tuple) and hasattr(kind, "_fields"):
        text = f"{kind.__module__} {exactly(tuple(value))}"
    elif hasattr(kind, "__dataclass_fields__"):
        names = (field.name for field in dataclasses.fields(value))
        text = f"{kind.__module__} {exactly({name: getattr(value, name) for name in names})}"
    elif kind in (dict, OrderedDict, Counter):
        text = ", ".join(f"{exactly(key)}: {exactly(item)}" for key, item in value.items())
    else:
        raise TypeError(f"nobody said how to compare {kind!r} exactly")
    return f"{name}({text})"


def same(left: Any, right: Any) -> bool:
    """Tell whether two plain values are the same in every respect but identity."""
    return exactly(left) == exactly(right)


def assert_stored(stored: Any, expected: Any) -> None:
    """Check that what came back from a map is what was put into it."""
    assert exactly(eager(stored)) == exactly(expected)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Make a directory for tests that commit thousands of times, in memory where the system has that."""
    memory = Path("/dev/shm")
    where = memory if memory.is_dir() and os.access(memory, os.W_OK | os.X_OK) else None
    return tempfile.TemporaryDirectory(dir=where, prefix="oocmap-test-")
