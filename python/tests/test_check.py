"""`check()` finds nothing in a map that oocmap wrote, and finds every byte of a value that something else changed."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oocmap import CorruptedError, FormatError, OOCMap
from strategies import values as any_value

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

LONG = "a text that is long enough to be stored once for all who have it, " * 3


def fill(m: MutableMapping[Any, Any]) -> None:
    """Store something of every kind."""
    for number in range(300):
        m[number] = {
            "name": f"number {number}",
            "half": number / 2,
            "long": LONG,
            "tags": ["a", "b", (number,)],
        }
    m["index"] = {key: key for key in range(100)} | {str(key): key for key in range(100)}
    m["set"] = [set(range(50)), frozenset("abc"), {1.5, (1, frozenset([2]))}]
    m["long"] = LONG
    m["large"] = b"x" * 200_000
    m["x" * 1000] = "a long key"
    m[True, 1.0] = None


def test_finds_nothing_in_a_sound_map(m: OOCMap) -> None:
    assert m.check() == []
    fill(m)
    assert m.check() == []
    for number in range(0, 300, 2):
        del m[number]
    m["long"] = m["large"] = "short"
    with m.transaction() as tx:
        nested = tx.transaction()
        fill(nested)
        nested.rollback()
        m["kept"] = [LONG, LONG]
    assert m.check() == []
    with m.snapshot() as s:
        m.clear()
        assert s.check() == []
    assert m.check() == []


@given(st.lists(any_value, max_size=5))
def test_finds_nothing_in_any_value(tmp_path_factory: pytest.TempPathFactory, values: list[Any]) -> None:
    with OOCMap(tmp_path_factory.mktemp("any") / "map.ooc", durability="nometasync") as m:
        m.update(enumerate(values))
        assert m.check() == []


def test_finds_every_changed_byte_of_a_value(path: Path, tmp_path: Path) -> None:
    values = {"text": "unmistakable text", "list": ["unmistakable item"], "bytes": b"unmistakable" * 10_000}
    with OOCMap(path) as m:
        m.update(values)
    content = path.read_bytes()
    places = [at for at in range(len(content)) if content.startswith(b"unmistakable", at)]
    assert len(places) >= len(values)
    copy = tmp_path / "copy.ooc"
    for place in random.Random(1).sample(places, 20) + places[:2]:
        for bit in (0x01, 0x80):
            damaged = bytearray(content)
            damaged[place + 3] ^= bit
            copy.write_bytes(damaged)
            with OOCMap(copy) as m:
                problems = m.check()
            assert len(problems) == 1, (place, bit, problems)
        for helper in tmp_path.glob("copy.ooc*"):
            helper.unlink()


def test_survives_damage_anywhere(path: Path, tmp_path: Path) -> None:
    with OOCMap(path) as m:
        fill(m)
    content = path.read_bytes()
    chance = random.Random(2)
    found = 0
    for turn in range(150):
        damaged = bytearray(content)
        for _ in range(chance.choice([1, 4, 64])):
            damaged[chance.randrange(2 * 4096, len(damaged))] = chance.randrange(256)
        directory = tmp_path / f"{turn}"
        directory.mkdir()
        copy = directory / "map.ooc"
        copy.write_bytes(damaged)
        try:
            with OOCMap(copy, readonly=True) as m:
                problems = m.check()
        except (CorruptedError, FormatError):
            found += 1
        else:
            found += bool(problems)
        shutil.rmtree(directory)
    assert found > 50


def test_tells_how_far_it_is(m: OOCMap) -> None:
    m.update((number, number) for number in range(1000))
    told: list[tuple[int, int]] = []
    assert m.check(progress=lambda done, total: told.append((done, total))) == []
    assert told[-1] == (1000, 1000)
    assert told == sorted(set(told))

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        m.check(progress=stop)
