"""Who iterates over a long list, or reads elements again, finds what is there at that moment, as in a plain list."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from oocmap import OOCMap

LENGTH = 20_000

# Sets an element of the list under "k", in another process.
ASSIGN = """
import sys
from oocmap import OOCMap

with OOCMap(sys.argv[1]) as m:
    m["k"][int(sys.argv[2])] = -5
"""

Change = Callable[[Any, int], None]


def changes() -> dict[str, Change]:
    """Name what may be done to a list whose iterator has come to a position."""

    def assign(numbers: Any, at: int) -> None:
        numbers[at] = -1

    def assign_text(numbers: Any, at: int) -> None:
        numbers[at + 1] = "text"

    def insert_before(numbers: Any, at: int) -> None:
        numbers.insert(at - 3, -2)

    def delete_before(numbers: Any, at: int) -> None:
        del numbers[at - 3 : at + 2]

    def reverse(numbers: Any, _: int) -> None:
        numbers.reverse()

    def cut(numbers: Any, at: int) -> None:
        del numbers[at + 2 :]

    def append(numbers: Any, at: int) -> None:
        numbers.append(at)

    def clear(numbers: Any, _: int) -> None:
        numbers.clear()

    done = (assign, assign_text, insert_before, delete_before, reverse, cut, append, clear)
    return {change.__name__: change for change in done}


def rest(iterator: Iterator[object]) -> list[object]:
    """Take what is left; an iterator that has ended stays so."""
    left = list(iterator)
    assert next(iterator, None) is None
    return left


def start(numbers: Any) -> Iterator[object]:
    """Come to the middle of what is read at once."""
    iterator: Iterator[object] = iter(numbers)
    for _ in range(1000):
        next(iterator)
    return iterator


@pytest.fixture(params=[1, 1 << 40], ids=["small", "large"])
def model(request: pytest.FixtureRequest) -> list[Any]:
    """Make a list that is too long for a record, of numbers that take a few bytes or eight."""
    return [number * request.param for number in range(LENGTH)]


@pytest.mark.parametrize("name", changes())
@pytest.mark.parametrize("where", ["same handle", "other handle", "transaction", "other thread", "other map"])
def test_a_change_is_seen(path: Path, model: list[Any], name: str, where: str) -> None:
    change = changes()[name]
    with OOCMap(path) as m:
        m["k"] = model
        stored = m["k"]
        ours, plain = start(stored), start(model)
        change(model, 1000)
        match where:
            case "same handle":
                change(stored, 1000)
            case "other handle":
                change(m["k"], 1000)
            case "transaction":
                with m.transaction():
                    change(stored, 1000)
            case "other thread":
                thread = Thread(target=change, args=(m["k"], 1000))
                thread.start()
                thread.join()
            case _:
                with OOCMap(path) as other:
                    change(other["k"], 1000)
        assert rest(ours) == rest(plain)
        assert stored == model


def test_a_change_by_another_process_is_seen(path: Path, model: list[Any]) -> None:
    with OOCMap(path) as m:
        m["k"] = model
        stored = m["k"]
        ours = start(stored)
        assert stored[1001] == model[1001]
        subprocess.run([sys.executable, "-c", ASSIGN, str(path), "1001"], check=True)
        assert stored[1001] == -5
        assert [next(ours), next(ours)] == [model[1000], -5]
        assert rest(ours) == model[1002:]


@pytest.mark.parametrize("name", changes())
def test_what_is_rolled_back_is_seen_no_more(path: Path, model: list[Any], name: str) -> None:
    with OOCMap(path) as m:
        m["k"] = model
        stored = m["k"]
        ours, plain = start(stored), start(model)
        changed = model.copy()
        changes()[name](changed, 1000)
        tx = m.transaction()
        with tx:
            changes()[name](stored, 1000)
            assert list(stored) == changed
            if len(changed) > 1000:
                assert next(ours) == changed[1000]
                assert stored[1000] == changed[1000]
                next(plain)
            tx.rollback()
        assert rest(ours) == rest(plain)


def test_changes_in_a_transaction_are_seen_one_by_one(path: Path, model: list[Any]) -> None:
    with OOCMap(path) as m:
        m["k"] = model
        stored = m["k"]
        with m.transaction():
            for at, (ours, plain) in enumerate(zip(stored, model, strict=True)):
                assert ours == plain
                if at % 1000 == 0 and at + 1 < len(model):
                    stored[at + 1] = model[at + 1] = -at


def test_each_version_has_elements_of_its_own(path: Path, model: list[Any]) -> None:
    generator = random.Random(4)
    with OOCMap(path) as m:
        m["k"] = model
        stored, kept = m["k"], []
        for turn in range(20):
            snapshot = m.snapshot()
            kept.append((snapshot, snapshot["k"], model.copy()))
            at = generator.randrange(len(model))
            if turn % 2:
                stored.insert(at, -turn)
                model.insert(at, -turn)
            else:
                stored[at] = model[at] = -turn
            for numbers, wanted in [(stored, model), *((old, plain) for _, old, plain in kept)]:
                for at in generator.sample(range(len(wanted)), 100):
                    assert numbers[at] == wanted[at]
                    assert numbers[-at - 1] == wanted[-at - 1]
        for snapshot, old, plain in kept:
            assert list(old) == plain
            snapshot.close()
        with pytest.raises(IndexError, match="list index out of range"):
            stored[len(model)]


def test_more_is_read_than_is_remembered(path: Path) -> None:
    """Leaves are remembered up to a number; here there are more of them."""
    length = 1_500_000
    numbers = [number << 40 for number in range(length)]
    with OOCMap(path) as m:
        m["k"] = numbers
        stored = m["k"]
        generator = random.Random(5)
        for at in generator.choices(range(length), k=20_000):
            assert stored[at] == numbers[at]


def test_the_iterator_is_what_iterators_are(path: Path, model: list[Any]) -> None:
    with OOCMap(path) as m:
        m["k"] = model
        iterator = iter(m["k"])
        assert iter(iterator) is iterator
        assert [next(iterator), iterator.__next__(), type(iterator).__next__(iterator)] == model[:3]
        with pytest.raises(TypeError):
            type(iterator).__next__(5)
        assert list(zip(iterator, iterator, strict=False))[:2] == [(model[3], model[4]), (model[5], model[6])]
