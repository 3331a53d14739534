"""A map's handle opens, closes, copies, prints and compares as a file and a dict would."""

from __future__ import annotations

import collections.abc
import gc
import os
import pickle
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oocmap
import pytest
from oocmap import ClosedError, OOCMap, ReadOnlyError

USES: dict[str, Callable[[OOCMap], Any]] = {
    "get item": lambda m: m["k"],
    "set item": lambda m: m.__setitem__("k", 2),
    "delete": lambda m: m.__delitem__("k"),
    "get": lambda m: m.get("k"),
    "in": lambda m: "k" in m,
    "len": len,
    "bool": bool,
    "iter": list,
    "reversed": lambda m: list(reversed(m)),
    "keys": lambda m: list(m.keys()),
    "values": lambda m: list(m.values()),
    "items": lambda m: list(m.items()),
    "range": lambda m: list(m.range().keys()),
    "prefix": lambda m: list(m.prefix("k").keys()),
    "update": lambda m: m.update(k=1),
    "pop": lambda m: m.pop("k"),
    "popitem": lambda m: m.popitem(),
    "setdefault": lambda m: m.setdefault("k", 1),
    "clear": lambda m: m.clear(),
    "copy": lambda m: m.copy(),
    "or": lambda m: m | {},
    "==": lambda m: m == {"k": 1},
    "sync": lambda m: m.sync(),
    "stats": lambda m: m.stats(),
    "view": lambda m: m.view("k"),
    "transaction": lambda m: m.transaction(),
    "snapshot": lambda m: m.snapshot(),
    "with": lambda m: m.__enter__(),
}


@pytest.mark.parametrize("use", USES)
def test_one_that_was_closed_can_not_be_used(path: Path, use: str) -> None:
    m = OOCMap(path)
    m["k"] = 1
    m.close()
    with pytest.raises(ClosedError):
        USES[use](m)
    m.close()  # closing twice is fine, as it is for a file
    with OOCMap(path) as again:
        assert again == {"k": 1}


def test_with_closes_at_the_end(path: Path) -> None:
    with OOCMap(path) as m:
        m["k"] = 1
    with pytest.raises(ClosedError):
        m["k"]
    with pytest.raises(LookupError), OOCMap(path) as m:
        raise LookupError
    with pytest.raises(ClosedError):
        len(m)


def test_one_that_is_dropped_loses_nothing(path: Path) -> None:
    m = OOCMap(path)
    m["k"] = 1
    del m
    gc.collect()
    with OOCMap(path) as again:
        assert again == {"k": 1}


def test_printing_names_the_path(path: Path) -> None:
    m = OOCMap(path)
    m.update((key, "x" * 100) for key in range(10_000))
    assert path.name in repr(m)
    assert "OOCMap" in repr(m)
    assert len(repr(m)) < 10_000
    m.close()
    assert path.name in repr(m)
    assert "closed" in repr(m)


@pytest.mark.parametrize("form", [str, Path, os.fsencode], ids=["str", "PathLike", "bytes"])
def test_a_path_may_have_any_form(path: Path, form: Callable[[Path], Any]) -> None:
    with OOCMap(form(path)) as m:
        m["k"] = 1
    assert path.exists()
    with OOCMap(path) as m:
        assert m == {"k": 1}


def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    for name in ("sp ace", "\u00fcml\u00e4ut", "\U0001f40d", os.fsdecode(b"\xff\xfe")):
        with OOCMap(tmp_path / name) as m:
            m[name] = 1
        with OOCMap(tmp_path / name) as m:
            assert m == {name: 1}


def test_a_relative_path_is_found_after_changing_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with OOCMap("map.ooc") as m:
        m["k"] = 1
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
        assert m["k"] == 1
        again = pickle.loads(pickle.dumps(m))
        assert again["k"] == 1
        again.close()
    assert not list((tmp_path / "other").iterdir())


def test_the_same_path_twice_is_one_map(path: Path, tmp_path: Path) -> None:
    first = OOCMap(path)
    second = OOCMap(tmp_path / "." / path.name)
    (tmp_path / "link.ooc").symlink_to(path)
    third = OOCMap(tmp_path / "link.ooc")
    first["k"] = [1]
    assert second == third == {"k": [1]}
    third["k"] = [2]
    first.close()
    with pytest.raises(ClosedError):
        first["k"]
    assert second["k"] == [2]
    second["more"] = 1
    second.close()
    assert third["more"] == 1
    third.close()


def test_one_handle_may_be_read_only(m: OOCMap, path: Path) -> None:
    with OOCMap(path, readonly=True) as reading:
        m["k"] = 1
        assert reading["k"] == 1
        with pytest.raises(ReadOnlyError):
            reading["k"] = 2
        m["k"] = 3
        assert reading["k"] == 3


@pytest.mark.parametrize("path_argument", [None, 5, 1.5, [], {"a": 1}], ids=repr)
def test_a_path_that_is_none_is_a_type_error(path_argument: Any) -> None:
    with pytest.raises(TypeError):
        OOCMap(path_argument)


def test_bad_arguments_are_refused_before_a_file_is_made(path: Path) -> None:
    bad: list[tuple[type[Exception], dict[str, Any]]] = [
        (ValueError, {"durability": "perhaps"}),
        (TypeError, {"durability": 5}),
        (ValueError, {"max_size": -1}),
        (TypeError, {"max_size": "large"}),
        (ValueError, {"lock_timeout": -1}),
        (ValueError, {"lock_timeout": float("nan")}),
        (TypeError, {"unknown": 1}),
    ]
    for error, options in bad:
        with pytest.raises(error):
            OOCMap(path, **options)
        assert not path.exists()
    anyhow: Any = OOCMap
    with pytest.raises(TypeError):
        anyhow()
    with pytest.raises(TypeError):
        anyhow(path, True)
    with pytest.raises(ValueError, match="null"):
        OOCMap("a\0b")


@pytest.mark.parametrize("durability", ["sync", "nometasync"])
def test_each_durability_stores(path: Path, durability: Any) -> None:
    with OOCMap(path, durability=durability) as m:
        m["k"] = 1
        m.sync()
        with m.transaction() as tx:
            tx["l"] = 2
    with OOCMap(path) as m:
        assert m == {"k": 1, "l": 2}


def test_is_a_mutable_mapping(m: OOCMap) -> None:
    assert isinstance(m, collections.abc.MutableMapping)
    assert isinstance(m.transaction(readonly=True), collections.abc.Mapping)
    with m.transaction() as tx:
        assert isinstance(tx, collections.abc.MutableMapping)


def test_is_not_hashable_like_a_dict(m: OOCMap) -> None:
    with pytest.raises(TypeError):
        hash(m)


def test_compares_like_a_dict(m: OOCMap, tmp_path: Path) -> None:
    m.update({"b": [1], "a": {"x": (1,)}})
    assert m == {"a": {"x": (1,)}, "b": [1]}
    assert m == {"a": {"x": (1,)}, "b": [1]}
    assert m != {"a": 1}
    assert m != {"a": {"x": (1,)}, "b": [1], "c": 0}
    others: list[Any] = [5, None, [("b", [1])], "ab"]
    assert all(m != other for other in others)
    with OOCMap(tmp_path / "other.ooc") as other:
        assert m != other
        other.update(m)
        assert m == other
        assert other["a"] == m["a"]
    unordered: Any = m
    with pytest.raises(TypeError):
        unordered < {}


def test_joins_into_plain_dicts(m: OOCMap) -> None:
    m.update(a=1, b=[2])
    assert type(m.copy()) is dict
    assert m.copy() == {"a": 1, "b": [2]}
    assert type(m | {"a": 3, "c": 4}) is dict
    assert m | {"a": 3, "c": 4} == {"a": 3, "b": [2], "c": 4}
    assert {"a": 3, "c": 4} | m == {"a": 1, "c": 4, "b": [2]}
    assert m == {"a": 1, "b": [2]}
    pairs: Any = [("a", 1)]
    with pytest.raises(TypeError):
        m | pairs
    before = m
    m |= {"a": 5}
    m |= [("c", 6)]
    assert m is before
    assert m == {"a": 5, "b": [2], "c": 6}


def test_counts(m: OOCMap) -> None:
    assert len(m) == 0
    assert not m
    m.update((key, None) for key in range(1000))
    m[0] = 1
    assert len(m) == 1000
    assert m
    del m[5]
    assert len(m) == 999


def test_stats_tell_what_there_is(m: OOCMap, path: Path) -> None:
    m.update((key, ["x" * 100]) for key in range(1000))
    with m.snapshot() as s:
        stats = m.stats()
        assert stats["entries"] == 1000
        assert stats["file_size"] == path.stat().st_size
        assert stats["version"] == s.version
        assert stats["format"] == 1
        assert 0 <= stats["free_bytes"] < stats["file_size"]
        assert os.getpid() in [reader["pid"] for reader in stats["readers"]]
    m.clear()
    assert m.stats()["entries"] == 0


def test_can_be_referenced_weakly(path: Path) -> None:
    m = OOCMap(path)
    reference = weakref.ref(m)
    assert reference() is m
    del m
    gc.collect()
    assert reference() is None


class Named(OOCMap):
    """A subclass with arguments of its own."""

    def __init__(self, directory: Path, name: str) -> None:
        super().__init__(directory / f"{name}.ooc")
        self.name = name

    def __missing__(self, key: Any) -> Any:
        return f"no {key}"

    def greet(self) -> str:
        return f"{self.name}: {len(self)}"


def test_can_be_subclassed(tmp_path: Path) -> None:
    with Named(tmp_path, "mine") as m:
        m["k"] = 1
        assert m.greet() == "mine: 1"
        assert m["k"] == 1
        assert m["x"] == "no x"  # as a subclass of dict
        assert m.get("x") is None
        assert "Named" in repr(m)
    assert (tmp_path / "mine.ooc").exists()


def test_a_subclass_that_never_opened_says_so() -> None:
    class Forgetful(OOCMap):
        def __init__(self) -> None:
            pass

    m = Forgetful()
    with pytest.raises(ClosedError):
        m["k"]
    m.close()


def test_what_the_package_offers() -> None:
    for name in oocmap.__all__:
        assert hasattr(oocmap, name)
    assert {"OOCMap", "LazyList", "LazyDict", "LazyTuple", "LazySet", "LazyFrozenSet"} <= set(oocmap.__all__)
    assert oocmap.__version__.count(".") == 2


def test_update_takes_what_a_dict_takes(m: OOCMap) -> None:
    m.update()
    m.update({"a": 1}, b=2)
    m.update([("c", 3)], other=4)
    assert m == {"a": 1, "b": 2, "c": 3, "other": 4}
    anyhow: Any = m
    wrongs: list[tuple[Any, ...]] = [(None,), (1,), ({}, {})]
    for wrong in wrongs:
        with pytest.raises(TypeError):
            anyhow.update(*wrong)
    with pytest.raises(ValueError, match="2 is required"):
        anyhow.update([(1, 2, 3)])
    assert len(m) == 4
