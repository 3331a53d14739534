"""Keys that come again in many dicts are recognised, and always mean their own text."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from oocmap import OOCMap, bulk_load

if TYPE_CHECKING:
    from pathlib import Path

# More than one conversion remembers, so that they drive each other out.
MANY = 3_000


def fresh(value: dict[str, Any]) -> dict[str, Any]:
    """Return an equal dict, whose keys are other objects."""
    made = json.loads(json.dumps(value))
    assert isinstance(made, dict)
    return made


def whole(m: OOCMap) -> dict[Any, Any]:
    """Return all that is stored."""
    return {key: value.eager(deep=True) for key, value in m.items()}


def one_by_one(m: OOCMap, values: Any) -> None:
    with m.transaction() as tx:
        for key, value in values:
            tx[key] = value


def alone(m: OOCMap, values: Any) -> None:
    for key, value in values:
        m[key] = value


WAYS = {
    "one by one": one_by_one,
    "update": OOCMap.update,
    "update in two": lambda m, values: [m.update(part) for part in (list(values)[:50], list(values)[50:])],
    "bulk_load": bulk_load,
    "bulk_load from a disk": lambda m, values: bulk_load(m, values, memory=1 << 16),
}


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("way", [alone, *WAYS.values()], ids=["alone", *WAYS])
def test_few_keys_many_times(tmp_path: Path, anew: bool, way: Any) -> None:
    expected = {
        number: {
            "a": number,
            "b": {"a": None, "": [number, -(number << 40)]},
            "ü": True,
            "w": {f"column {n}": n for n in range(number % 70)},
        }
        for number in range(200)
    }
    with OOCMap(tmp_path / "x.ooc") as m:
        way(m, [(number, fresh(value) if anew else value) for number, value in expected.items()])
        assert whole(m) == expected
        for number in range(200):
            # Found by its index, when there are many.
            assert all(m[number]["w"][f"column {n}"] == n for n in range(number % 70))
            assert f"column {number % 70}" not in m[number]["w"]
        assert m.check() == []


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_many_keys_a_few_times(tmp_path: Path, way: Any) -> None:
    expected = {
        number: {f"key {number % MANY}": 1, f"key {number % 7}": 2, "always": number}
        for number in range(3 * MANY)
    }
    with OOCMap(tmp_path / "x.ooc") as m:
        way(m, expected.items())
        assert whole(m) == expected


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_more_keys_than_a_small_record_can_name(tmp_path: Path, way: Any) -> None:
    """The names are known by small numbers here, but they get large symbols."""
    expected = {number: {f"small {number // 4}": [number], "always": {}} for number in range(4000)}
    with OOCMap(tmp_path / "x.ooc") as m:
        m.update(expected.items())
    with OOCMap(tmp_path / "y.ooc") as m:
        for _ in range(2):
            m.update((number, {f"large {number}": 1}) for number in range(5000))
        way(m, expected.items())
        assert whole(m) == {number: {f"large {number}": 1} for number in range(5000)} | expected
        assert m.check() == []


def test_what_was_rolled_back_means_nothing_later(tmp_path: Path) -> None:
    with OOCMap(tmp_path / "x.ooc") as m:
        with m.transaction() as tx:
            for names in (["a", "b"], ["c", "d"], ["d", "a"], ["b", "c"]):
                with pytest.raises(KeyError, match="no"), tx.transaction() as nested:
                    for number in range(3):
                        nested[number] = dict.fromkeys(names, number)
                    assert nested[2] == dict.fromkeys(names, 2)
                    raise KeyError("no")
            tx["x"] = {"c": 1, "a": 2}
            tx["y"] = {"c": 1, "a": 2}
            tx["z"] = {"a": 1, "c": 2, "d": 3}
        expected = {"x": {"c": 1, "a": 2}, "y": {"c": 1, "a": 2}, "z": {"a": 1, "c": 2, "d": 3}}
        assert whole(m) == expected
        with pytest.raises(KeyError, match="no"), m.transaction() as tx:
            tx["w"] = tx["v"] = {"b": 1, "d": 2}
            raise KeyError("no")
        m["x"] = {"d": 1, "b": 2}
        assert whole(m) == expected | {"x": {"d": 1, "b": 2}}
        assert m.check() == []


def test_two_maps_number_them_in_their_own_ways(tmp_path: Path) -> None:
    values = [{"p": 1, "q": 2, "r": 3}, {"r": 1, "q": 2, "p": 3}, {"q": 1, "s": 2}]
    with OOCMap(tmp_path / "x.ooc") as m, OOCMap(tmp_path / "y.ooc") as other:
        for number, value in enumerate(values * 5):
            m[number] = value
            other[-number] = values[2 - number % 3]
            assert m[number] == value
        assert whole(m) == dict(enumerate(values * 5))
        assert whole(other) == {-number: values[2 - number % 3] for number in range(15)}


def test_many_threads(tmp_path: Path) -> None:
    def work(thread: int) -> None:
        for number in range(50):
            m[thread, number] = {"of": thread, "number": number, f"thread {thread}": {"of": None}}

    with OOCMap(tmp_path / "x.ooc") as m:
        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number in range(50):
            for of in range(4):
                assert m[of, number] == {"of": of, "number": number, f"thread {of}": {"of": None}}


def test_a_key_that_is_no_text_for_the_engine(tmp_path: Path) -> None:
    class Text(str):
        __slots__ = ()

    value = {"\ud800": 1, "plain": {"\ud800": 2, "x" * 65: 3}}
    with OOCMap(tmp_path / "x.ooc") as m:
        for number in range(3):
            m[number] = value
        assert whole(m) == dict.fromkeys(range(3), value)
        with pytest.raises(TypeError, match="Text"):
            m["own"] = {"plain": 1, Text("plain 2"): 2}


def test_what_converts_may_store_in_the_meantime(tmp_path: Path) -> None:
    """A value is converted in the middle of another one's conversion, by what its class runs."""

    class Storing:
        def __reduce__(self) -> tuple[type[list[Any]], tuple[()]]:
            m["inner", len(m)] = {"a": {"b": 1}, "c": 2}
            return list, ()

    with OOCMap(tmp_path / "x.ooc", allow_pickle=True) as m:
        for number in range(3):
            m[number] = {"a": {"c": 3}, "s": Storing(), "b": {"a": 4, "s": Storing()}}
        for number in range(3):
            expected = {"a": {"c": 3}, "s": [], "b": {"a": 4, "s": []}}
            assert m[number].eager(deep=True) == expected
        stored = [value for key, value in m.items() if isinstance(key, tuple) or not isinstance(key, int)]
        assert len(stored) == 6
        assert all(value == {"a": {"b": 1}, "c": 2} for value in stored)
