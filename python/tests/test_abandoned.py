"""What is begun and abandoned leaves no reader behind.

An older system ended with "reader table full" after 126 iterators that nobody finished.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable
from typing import Any

import pytest
from oocmap import OOCMap

TURNS = 126 * 10


class Enough(Exception):  # noqa: N818 - no error
    """What ends an operation in its middle."""


class Explosive:
    """An object that can't be compared with `5`, and is less than everything else."""

    def __eq__(self, other: object) -> bool:
        if other == 5:
            raise Enough
        return True

    def __lt__(self, other: object) -> bool:
        return self == other

    __gt__ = __lt__
    __hash__ = None  # type: ignore[assignment]


def explosive_list() -> list[Any]:
    """Return what a comparison with a list of numbers fails at, half-way."""
    return [*range(5), Explosive(), *range(6, 10)]


def start(iterable: Any) -> Any:
    """Begin to iterate, and leave it at that."""
    iterator = iter(iterable)
    next(iterator)
    return iterator


def raise_in_a_loop(iterable: Any) -> None:
    """Leave a loop by an exception."""
    with contextlib.suppress(Enough):
        for number, _ in enumerate(iterable):
            if number == 3:
                raise Enough


def fails(operation: Callable[[], Any]) -> None:
    """Do what ends half-way."""
    with pytest.raises(Enough):
        operation()


def raising_key(element: Any) -> Any:
    """Fail as the key of a sort."""
    if element == 5:
        raise Enough
    return element


WAYS: dict[str, Callable[[OOCMap], Any]] = {
    "iterate a list": lambda m: start(m["list"]),
    "iterate a list backward": lambda m: start(reversed(m["list"])),
    "iterate a long list": lambda m: start(m["long"]),
    "iterate a dict": lambda m: start(m["dict"].items()),
    "iterate a set": lambda m: start(m["set"]),
    "iterate a tuple": lambda m: start(m["tuple"]),
    "iterate a bytearray": lambda m: start(m["bytearray"]),
    "iterate the map": lambda m: start(m.items()),
    "zip": lambda m: next(zip(m["list"], m["long"], m["dict"], strict=False)),
    "enumerate": lambda m: next(enumerate(m["nested"])),
    "for": lambda m: raise_in_a_loop(m["list"]),
    "for over the map": lambda m: raise_in_a_loop(m),
    "list ==": lambda m: fails(lambda: m["list"] == explosive_list()),
    "list !=": lambda m: fails(lambda: m["list"] != explosive_list()),
    "list <": lambda m: fails(lambda: m["list"] < explosive_list()),
    "tuple ==": lambda m: fails(lambda: m["tuple"] == tuple(explosive_list())),
    "nested ==": lambda m: fails(lambda: m["nested"] == [explosive_list()] * 3),
    "dict ==": lambda m: fails(lambda: m["dict"] == {number: Explosive() for number in range(10)}),
    "in": lambda m: fails(lambda: AlwaysFails() in m["list"]),
    "in values": lambda m: fails(lambda: AlwaysFails() in m["dict"].values()),
    "count": lambda m: fails(lambda: m["list"].count(AlwaysFails())),
    "index": lambda m: fails(lambda: m["long"].index(AlwaysFails())),
    "sort": lambda m: fails(lambda: m["list"].sort(key=raising_key)),
    "min": lambda m: fails(lambda: min(m["list"], key=raising_key)),
    "extend": lambda m: fails(lambda: m["list"].extend(map(raising_key, range(9)))),
    "update": lambda m: fails(
        lambda: m["dict"].update(zip(range(9), map(raising_key, range(9)), strict=True))
    ),
    "handles": lambda m: [m["nested"][1], m["dict"], m["nested"]],
    "views": lambda m: [m["dict"].keys(), m["dict"].items(), memoryview(m["bytearray"])],
}


class AlwaysFails:
    """An object that can't be compared."""

    def __eq__(self, other: object) -> bool:
        raise Enough

    __hash__ = None  # type: ignore[assignment]


def fill(m: OOCMap) -> None:
    """Store one container of each kind."""
    m["list"] = list(range(10))
    m["tuple"] = tuple(range(10))
    m["long"] = list(range(20_000))
    m["nested"] = [list(range(10)) for _ in range(3)]
    m["dict"] = {number: number for number in range(10)}
    m["set"] = set(range(10))
    m["bytearray"] = bytearray(range(10))


def readers(m: OOCMap) -> int:
    """Return how many reader slots are taken, once what is let go of late is gone."""
    gc.collect()
    patience = time.monotonic() + 10
    while (taken := len(m.stats()["readers"])) > 0 and time.monotonic() < patience:
        time.sleep(0.05)
    return taken


@pytest.mark.parametrize("way", WAYS)
def test_abandoned(m: OOCMap, way: str) -> None:
    fill(m)
    for _ in range(TURNS):
        WAYS[way](m)
    assert readers(m) == 0
    assert m["list"] == list(range(10))


def test_all_held_at_once(m: OOCMap) -> None:
    """Handles to more versions than the reader table has room for: a handle pins none."""
    fill(m)
    held = []
    for turn in range(TURNS):
        m["turn"] = turn
        held.append([m["list"], m["dict"], m["nested"][turn % 3], m["long"], m["tuple"]])
    assert m["turn"] == TURNS - 1
    assert held[0][0] == list(range(10))
    assert held[-1][-1] == held[0][-1]
    del held
    assert readers(m) == 0


def test_abandoned_in_transactions(m: OOCMap) -> None:
    fill(m)
    for turn in range(TURNS // 10):
        with contextlib.suppress(Enough), m.transaction():
            iterator = start(m["long"])
            m["list"].append(turn)
            if turn % 2:
                raise Enough
        del iterator
    assert len(m["list"]) == 10 + TURNS // 20
    assert readers(m) == 0
    assert m.check() == []
