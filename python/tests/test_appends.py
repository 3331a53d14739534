"""Elements that are appended to a long list one by one are there for everyone who looks, as if each had been written."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oocmap import OOCMap, StaleObjectError, bulk_load

LONG = 3000

MAKERS: dict[str, Callable[[int], Any]] = {
    "ints": lambda number: number,
    "floats": lambda number: number / 7,
    "texts": lambda number: f"text {number}",
    "dicts": lambda number: {"number": number, "rest": [number]},
    "tuples": lambda number: (number, [str(number)]),
    "mixed": lambda number: [None, number, "x" * (number % 6000), [number], b"bytes"][number % 5],
}


class UndoneError(Exception):
    """Rolls a transaction back."""


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("durability", ["nometasync", "deferred"])
def test_what_is_appended_is_what_is_read(path: Path, make: Callable[[int], Any], durability: Any) -> None:
    generator = random.Random(8)
    models = [[make(number) for number in range(LONG)] for _ in range(2)]
    with OOCMap(path, durability=durability) as m:
        m["lists"] = models
        stored = list(m["lists"])

        def change(steps: int) -> None:
            for _ in range(steps):
                at = generator.randrange(2)
                model, lazy = models[at], stored[at]
                match generator.randrange(12):
                    case 0:
                        position = generator.randrange(len(model))
                        assert lazy.pop(position) == model.pop(position)
                    case 1:
                        assert lazy[-3:] == model[-3:]
                    case 2:
                        assert len(lazy) == len(model)
                    case 3:
                        lazy += [make(1), make(2)]
                        model += [make(1), make(2)]
                    case _:
                        number = generator.randrange(10_000)
                        lazy.append(make(number))
                        model.append(make(number))

        for _ in range(6):
            change(20)
            before = [list(model) for model in models]
            with m.transaction() as outer:
                change(40)
                with outer.transaction():
                    change(40)
                kept = [list(model) for model in models]
                with pytest.raises(UndoneError), outer.transaction() as inner:
                    change(30)
                    with inner.transaction():
                        change(30)
                    raise UndoneError
                models[:] = kept
                change(40)
                if generator.random() < 0.3:
                    outer.rollback()
                    models[:] = before
            assert stored == models
        assert m["lists"].eager(deep=True) == models
        assert m.check() == []
    with OOCMap(path) as m:
        assert m["lists"].eager(deep=True) == models


def test_an_iterator_comes_to_what_is_appended_meanwhile(path: Path) -> None:
    with OOCMap(path) as m:
        m["list"] = list(range(LONG))
        stored = m["list"]
        with m.transaction():
            seen = []
            for element in stored:
                seen.append(element)
                if element % 100 == 0 and len(stored) < LONG + 50:
                    stored.append(LONG + element)
                    stored.append(LONG + element + 1)
            assert seen == stored
            assert len(seen) > LONG


def test_an_iterator_sees_each_change_at_once(path: Path) -> None:
    with OOCMap(path) as m:
        m["list"] = list(range(LONG))
        stored = m["list"]
        for turn in range(3):
            iterator = iter(stored)
            assert next(iterator) == 0
            stored[1] = -turn
            assert next(iterator) == -turn
            with m.transaction():
                stored[2] = -turn - 1
                assert next(iterator) == -turn - 1
                stored[3] = -turn - 2
                assert next(iterator) == -turn - 2
                stored[4] = 7
            assert next(iterator) == 7
            with OOCMap(path) as other:
                other["list"][5] = turn
            assert next(iterator) == turn
        snapshot = m.snapshot()
        iterator = iter(snapshot["list"])
        stored[0] = "other"
        assert next(iterator) == 0
        snapshot.close()
        with pytest.raises(ValueError, match="closed"):
            next(iterator)


def test_an_iterator_ends_with_its_map(path: Path) -> None:
    m = OOCMap(path)
    m["list"] = list(range(LONG))
    iterator = iter(m["list"])
    assert next(iterator) == 0
    m.close()
    with pytest.raises(ValueError, match="closed"):
        next(iterator)


def test_what_waits_goes_with_its_list(path: Path) -> None:
    with OOCMap(path) as m:
        m["list"] = list(range(LONG))
        with m.transaction() as tx:
            stored = tx["list"]
            for number in range(10):
                stored.append(number)
            del tx["list"]
            assert len(stored) == LONG + 10
            stored.append(10)
            assert stored[-1] == 10
        with m.transaction() as tx:
            tx["new"] = list(range(LONG))
            new = tx["new"]
            new.append(1)
            new.append(2)
            tx.rollback()
        with pytest.raises(StaleObjectError):
            new.append(3)
        assert "new" not in m
        assert m.check() == []


def test_loading_over_a_list_that_was_appended_to(path: Path) -> None:
    """What waited for the list was written after the list was gone, and the whole transaction was lost with it."""
    with OOCMap(path) as m:
        m["list"] = list(range(5000))
        with m.transaction() as tx:
            numbers = tx["list"]
            numbers.append(1)
            numbers.append(2)
            del numbers
            assert bulk_load(tx, {"list": "something else", "more": 1}) == 2
        assert m == {"list": "something else", "more": 1}
        assert m.check() == []
