"""Lazy containers can be used wherever their twins can: protocols, patterns, copies, views, and errors."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import collections.abc
import copy
import json
import operator
import pickle
import re
import weakref
from typing import TYPE_CHECKING, Any

import oocmap
import pytest
from oocmap import (
    LazyDict,
    LazyFrozenSet,
    LazyList,
    LazySet,
    LazyTuple,
    OOCMap,
    ReadOnlyError,
    UnsupportedTypeError,
)
from strict import exactly

if TYPE_CHECKING:
    from pathlib import Path

LazyByteArray: type = vars(oocmap)["LazyByteArray"]

TWINS: list[tuple[Any, type, type]] = [
    ([1, [2, 3], "a"], LazyList, collections.abc.MutableSequence),
    ({"a": 1, "b": [2], 3: {}}, LazyDict, collections.abc.MutableMapping),
    ((1, (2, [3]), "a"), LazyTuple, collections.abc.Sequence),
    ({1, "a", (2,)}, LazySet, collections.abc.MutableSet),
    (frozenset([1, "a", (2,)]), LazyFrozenSet, collections.abc.Set),
    (bytearray(b"abc\0"), LazyByteArray, collections.abc.MutableSequence),
]
twins = pytest.mark.parametrize(
    ("twin", "lazy", "abstract"), TWINS, ids=lambda item: getattr(item, "__name__", "")
)
plain = pytest.mark.parametrize("twin", [each[0] for each in TWINS], ids=lambda twin: type(twin).__name__)


@twins
def test_types(m: OOCMap, twin: Any, lazy: type, abstract: type) -> None:
    m["k"] = twin
    x = m["k"]
    assert type(x) is lazy
    assert isinstance(x, abstract)
    for other in (
        collections.abc.MutableSequence,
        collections.abc.MutableMapping,
        collections.abc.MutableSet,
    ):
        assert isinstance(x, other) is (other is abstract)
    assert isinstance(x, collections.abc.Collection)
    assert isinstance(x, collections.abc.Hashable) is (lazy in (LazyTuple, LazyFrozenSet))
    assert not isinstance(x, type(twin))


@plain
def test_every_method_of_the_twin(m: OOCMap, twin: Any) -> None:
    m["k"] = twin
    lazy = type(m["k"])
    constructors = {"fromkeys", "fromhex", "maketrans"}
    public = {name for name in dir(twin) if not name.startswith("_")} - constructors
    assert public <= set(dir(lazy))
    operators = {
        name
        for name in dir(twin)
        if re.fullmatch(r"__(i?(add|mul|or|and|sub|xor)|(get|set|del)item|contains)__", name)
    }
    assert operators <= set(dir(lazy)), operators - set(dir(lazy))


@plain
def test_copies_are_plain(m: OOCMap, twin: Any) -> None:
    m["k"] = twin
    x = m["k"]
    assert exactly(x.eager(deep=True)) == exactly(twin)
    for deep in (copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.eager(deep=True)):
        assert type(deep) is type(twin)
        assert exactly(deep) == exactly(twin)
    shallow = copy.copy(x)
    assert type(shallow) is type(twin)
    assert shallow == twin
    if hasattr(x, "copy"):
        assert type(x.copy()) is type(twin)
        assert x.copy() == twin
    assert type(type(twin)(x)) is type(twin)
    assert type(twin)(x) == twin
    assert m["k"] == twin
    assert weakref.ref(x)() is x


@plain
def test_printing(m: OOCMap, twin: Any) -> None:
    m["k"] = twin
    if not isinstance(twin, (set, frozenset)):
        assert repr(m["k"]) == repr(twin)
        assert str(m["k"]) == str(twin)
        assert f"{m['k']}" == f"{twin}"
    else:
        assert eval(repr(m["k"])) == twin
    m["empty"] = type(twin)()
    assert repr(m["empty"]) == repr(type(twin)())


def test_long_ones_print_shortened(m: OOCMap) -> None:
    m["list"] = list(range(1_000_000))
    m["dict"] = dict.fromkeys(range(300_000))
    m["set"] = set(range(300_000))
    m["bytearray"] = bytearray(1_000_000)
    for key, start in (
        ("list", "[0, 1, 2"),
        ("dict", "{0: None, 1: None"),
        ("set", "{"),
        ("bytearray", "bytearray(b'"),
    ):
        assert len(repr(m[key])) < 100_000
        assert repr(m[key]).startswith(start)


def test_changes_are_printed(m: OOCMap) -> None:
    m["k"] = {"a": [1]}
    m["k"]["a"].append((2,))
    m["k"]["b"] = m["k"]["a"]
    assert repr(m["k"]) == "{'a': [1, (2,)], 'b': [1, (2,)]}"


def test_json(m: OOCMap) -> None:
    document: Any = {"name": "x", "items": [1, 2.5, None, True, {"deep": []}]}
    m["k"] = document
    m["k"]["items"].append("more")
    document["items"].append("more")
    assert json.dumps(m["k"].eager(deep=True)) == json.dumps(document)


def test_patterns(m: OOCMap) -> None:
    m["point"] = {"kind": "point", "at": [1, (2, 3)], "more": 1}
    m["point"]["at"].append(4)
    match m["point"]:
        case {"kind": "point", "at": [x, (y, z), *rest], **others}:
            assert (x, y, z, rest, others) == (1, 2, 3, [4], {"more": 1})
        case _:
            pytest.fail("a stored dict did not match as a mapping")
    match m["point"]["at"]:
        case {}:
            pytest.fail("a stored list matched as a mapping")
        case [_, _]:
            pytest.fail("a stored list matched with another length")
        case [1, *_]:
            pass


def test_unpacking_and_calls(m: OOCMap) -> None:
    m["list"], m["dict"] = [1, 2, 3], {"reverse": True}
    first, *rest = m["list"]
    assert (first, rest) == (1, [2, 3])
    assert [*m["list"], *m["dict"]] == [1, 2, 3, "reverse"]
    assert sorted(m["list"], **m["dict"]) == [3, 2, 1]
    assert dict(**m["dict"], x=1) == {"reverse": True, "x": 1}
    assert max(*m["list"]) == sum(m["list"][:2]) == 3
    assert ["a", "b", "c", "d"][m["list"][0] :] == ["b", "c", "d"]
    assert {**m["dict"]} == {"reverse": True}


def test_plain_twins_take_lazy_arguments(m: OOCMap) -> None:
    m["list"], m["dict"], m["set"], m["bytearray"] = [1, 2], {"a": 1}, {1, 2}, bytearray(b"ab")
    plain: list[Any] = [0]
    plain.extend(m["list"])
    plain += m["list"]
    plain[0:1] = m["list"]
    assert plain == [1, 2, 1, 2, 1, 2]
    assert [0] + m["list"] == [0, 1, 2]
    assert {"b": 2} | m["dict"] == {"b": 2, "a": 1}
    d: dict[Any, Any] = {}
    d.update(m["dict"])
    assert d == {"a": 1}
    assert {2, 3} & m["set"] == {2}
    assert {2, 3}.union(m["set"]) == {1, 2, 3}
    assert {1, 2, 3} > m["set"]
    assert b"".join([b"x", m["bytearray"]]) == b"xab"
    plain = [1, 2]
    assert plain == m["list"]
    assert plain <= m["list"]
    plain = [[1, 2], {"a": 1}]
    assert plain == [m["list"], m["dict"]]


@pytest.mark.parametrize(
    "value", [(), (1, ("a", frozenset([2]))), frozenset(), frozenset(["a", (1,)])], ids=repr
)
def test_hashes(m: OOCMap, value: Any) -> None:
    m["k"] = value
    m["dict"] = {m["k"]: "found"}
    m["set"] = {m["k"]}
    assert hash(m["k"]) == hash(value)
    assert {value: 1}[m["k"]] == 1
    assert m["dict"][value] == m["dict"][m["k"]] == "found"
    assert value in m["set"]
    assert m["k"] in m["set"]
    m[m["k"]] = "key"
    assert m[value] == "key"


def test_what_can_change_has_no_hash(m: OOCMap) -> None:
    values: list[Any] = [[], {}, set(), bytearray(), ([],)]
    for value in values:
        m["k"] = value
        with pytest.raises(TypeError):
            hash(m["k"])


# --- views of dicts ---


def test_views_are_live(m: OOCMap) -> None:
    m["k"] = {"a": 1}
    x = m["k"]
    keys, values, items = x.keys(), x.values(), x.items()
    x["b"] = [2]
    del x["a"]
    assert list(keys) == ["b"]
    assert list(values) == [[2]]
    assert list(items) == [("b", [2])]
    assert len(keys) == len(values) == len(items) == 1
    assert "a" not in keys
    assert [2] in values
    assert ("b", [2]) in items
    with pytest.raises(ZeroDivisionError), m.transaction():
        x["c"] = 3
        assert "c" in keys
        raise ZeroDivisionError
    assert "c" not in keys
    assert list(reversed(keys)) == ["b"]


def test_views_are_sets(m: OOCMap) -> None:
    twin = {"a": 1, "b": 2, "c": 3}
    m["k"] = twin
    x = m["k"]
    others: list[Any] = [
        {"a", "z"},
        set(),
        {"a", "b", "c"},
        {"a", "b", "c", "d"},
        ["a", "a"],
        {"b": 0}.keys(),
    ]
    for other in others:
        for how in (operator.and_, operator.or_, operator.sub, operator.xor):
            assert how(x.keys(), other) == how(twin.keys(), other)
            if not isinstance(other, list):
                assert how(other, x.keys()) == how(other, twin.keys())
        if not isinstance(other, list):
            for how in (operator.le, operator.lt, operator.ge, operator.gt, operator.eq, operator.ne):
                assert how(x.keys(), other) is how(twin.keys(), other)
        assert x.keys().isdisjoint(other) is twin.keys().isdisjoint(other)
    assert x.items() & {("a", 1), ("a", 2)} == {("a", 1)}
    assert x.items() - {("a", 1)} == {("b", 2), ("c", 3)}
    assert x.items() >= {("a", 1)}
    assert x.keys() == m["k"].keys()
    assert isinstance(x.keys(), collections.abc.KeysView)
    assert isinstance(x.items(), collections.abc.ItemsView)
    assert isinstance(x.values(), collections.abc.ValuesView)


# --- bytes of a bytearray ---


def test_a_bytearray_lends_its_bytes(m: OOCMap, tmp_path: Path) -> None:
    for content in (b"", b"short", bytes(range(256)) * 1000):
        m["k"] = bytearray(content)
        x = m["k"]
        assert bytes(x) == content
        assert bytearray(x) == content
        view = memoryview(x)
        assert view.readonly
        assert view.nbytes == len(content)
        assert view == content
        assert b"".join([x, b"!"]) == content + b"!"
        (tmp_path / "file").write_bytes(x)
        assert (tmp_path / "file").read_bytes() == content
        assert re.findall(rb"sh..", x) == re.findall(rb"sh..", content)
        x += b"more"
        assert view == content  # a view is of the version that it was made from
        assert bytes(x) == content + b"more"
    with m.transaction():
        m["k"].append(1)
        assert bytes(memoryview(m["k"])) == content + b"more\1"


# --- what can't be changed ---

CHANGES: dict[str, Any] = {
    "list append": lambda m: m["list"].append(1),
    "list extend": lambda m: m["list"].extend([1]),
    "list +=": lambda m: operator.iadd(m["list"], [1]),
    "list *=": lambda m: operator.imul(m["list"], 2),
    "list set": lambda m: operator.setitem(m["list"], 0, 9),
    "list set slice": lambda m: operator.setitem(m["list"], slice(0, 1), [9]),
    "list del": lambda m: operator.delitem(m["list"], 0),
    "list insert": lambda m: m["list"].insert(0, 1),
    "list pop": lambda m: m["list"].pop(),
    "list remove": lambda m: m["list"].remove(1),
    "list sort": lambda m: m["list"].sort(),
    "list reverse": lambda m: m["list"].reverse(),
    "list clear": lambda m: m["list"].clear(),
    "nested": lambda m: m["nested"]["a"][0].append(1),
    "in a tuple": lambda m: m["tuple"][0].append(1),
    "dict set": lambda m: operator.setitem(m["dict"], "a", 2),
    "dict del": lambda m: operator.delitem(m["dict"], "a"),
    "dict update": lambda m: m["dict"].update(a=2),
    "dict |=": lambda m: operator.ior(m["dict"], {"a": 2}),
    "dict pop": lambda m: m["dict"].pop("a"),
    "dict popitem": lambda m: m["dict"].popitem(),
    "dict setdefault": lambda m: m["dict"].setdefault("new", 1),
    "dict clear": lambda m: m["dict"].clear(),
    "set add": lambda m: m["set"].add("new"),
    "set discard": lambda m: m["set"].discard(1),
    "set remove": lambda m: m["set"].remove(1),
    "set pop": lambda m: m["set"].pop(),
    "set |=": lambda m: operator.ior(m["set"], {"new"}),
    "set -=": lambda m: operator.isub(m["set"], {1}),
    "set update": lambda m: m["set"].update({"new"}),
    "set clear": lambda m: m["set"].clear(),
    "bytearray append": lambda m: m["bytearray"].append(1),
    "bytearray set": lambda m: operator.setitem(m["bytearray"], 0, 1),
    "bytearray +=": lambda m: operator.iadd(m["bytearray"], b"a"),
    "bytearray del": lambda m: operator.delitem(m["bytearray"], slice(0, 1)),
    "bytearray clear": lambda m: m["bytearray"].clear(),
}

ALL: dict[str, Any] = {
    "list": [1, 2],
    "nested": {"a": [[1]]},
    "tuple": ([1],),
    "dict": {"a": 1},
    "set": {1},
    "bytearray": bytearray(b"ab"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_snapshots_and_readonly_maps_refuse_changes(m: OOCMap, path: Path, change: str) -> None:
    m.update(ALL)
    with m.snapshot() as s:
        with pytest.raises(ReadOnlyError):
            CHANGES[change](s)
        held = {key: s[key] for key in s}
    m.close()
    with OOCMap(path, readonly=True) as reader:
        with pytest.raises(ReadOnlyError):
            CHANGES[change](reader)
        assert reader == ALL
    assert held
    with OOCMap(path) as again:
        CHANGES[change](again)
        assert again != ALL or change == "list sort"
        assert again.check() == []


def test_what_a_snapshot_gives_belongs_to_its_version(m: OOCMap) -> None:
    m["k"] = {"list": [1], "long": list(range(5000))}
    with m.snapshot() as s:
        x, y = s["k"]["list"], s["k"]
        views = y.items()
        m["k"]["list"].append(2)
        del m["k"]["long"][100:]
        m["k"]["new"] = 1
        assert x == [1]
        assert len(y["long"]) == 5000
        assert [key for key, _ in views] == ["list", "long"]
        del m["k"]
        assert y == {"list": [1], "long": list(range(5000))}
    with m.snapshot() as s:
        assert len(s) == 0


# --- errors are those of the twins ---

MISTAKES: list[tuple[Any, Any]] = [
    ([1, 2], lambda x: x[5]),
    ([1, 2], lambda x: x["a"]),
    ([1, 2], lambda x: x[1.0]),
    ([1, 2], lambda x: x[::0]),
    ([1, 2], lambda x: operator.setitem(x, 5, 1)),
    ([1, 2], lambda x: operator.setitem(x, slice(0, 1), 5)),
    ([1, 2], lambda x: operator.setitem(x, slice(None, None, 2), [1, 2])),
    ([1, 2], lambda x: operator.delitem(x, -3)),
    ([1, 2], lambda x: x.pop(2)),
    ([], lambda x: x.pop()),
    ([1, 2], lambda x: x.pop("a")),
    ([1, 2], lambda x: x.remove(3)),
    ([1, 2], lambda x: x.index(3)),
    ([1, 2], lambda x: x.insert("a", 1)),
    ([1, 2], lambda x: x.extend(5)),
    ([1, 2], lambda x: x.append()),
    ([1, 2], lambda x: operator.iadd(x, 5)),
    ([1, 2], lambda x: operator.imul(x, "a")),
    ([1, 2], lambda x: operator.add(x, (1,))),
    ([1, "a"], lambda x: x.sort()),
    ([1, 2], lambda x: x.sort(len)),
    ([1, 2], lambda x: x < 5),
    ([1, 2], lambda x: operator.imul(x, 2**62)),
    ({"a": 1}, lambda x: x["b"]),
    ({"a": 1}, lambda x: x[[]]),
    ({"a": 1}, lambda x: operator.delitem(x, "b")),
    ({"a": 1}, lambda x: operator.setitem(x, [], 1)),
    ({"a": 1}, lambda x: x.pop("b")),
    ({}, lambda x: x.popitem()),
    ({"a": 1}, lambda x: x.update(5)),
    ({"a": 1}, lambda x: x.update([(1, 2, 3)])),
    ({"a": 1}, lambda x: x.update([5])),
    ({"a": 1}, lambda x: x.setdefault([], 1)),
    ({"a": 1}, lambda x: operator.ior(x, 5)),
    ({"a": 1}, lambda x: x | [("b", 1)]),
    ({"a": 1}, lambda x: x < {"b": 1}),
    ({1}, lambda x: x.add([])),
    ({1}, lambda x: x.remove(2)),
    (set(), lambda x: x.pop()),
    ({1}, lambda x: x.update(5)),
    ({1}, lambda x: x.update([[]])),
    ({1}, lambda x: operator.ior(x, [1])),
    ({1}, lambda x: x & [1]),
    ({1}, lambda x: x < 5),
    (bytearray(b"ab"), lambda x: x.append(256)),
    (bytearray(b"ab"), lambda x: x.append("a")),
    (bytearray(b"ab"), lambda x: operator.setitem(x, 0, -1)),
    (bytearray(b"ab"), lambda x: operator.setitem(x, 5, 1)),
    (bytearray(b"ab"), lambda x: operator.setitem(x, slice(0, 1), "a")),
    (bytearray(b"ab"), lambda x: x.extend("a")),
    (bytearray(b"ab"), lambda x: x.extend([1, 300])),
    (bytearray(b"ab"), lambda x: x.remove(5)),
    (bytearray(b"ab"), lambda x: operator.iadd(x, "a")),
    (bytearray(), lambda x: x.pop()),
    ((1,), lambda x: operator.setitem(x, 0, 1)),
    ((1,), lambda x: x[1]),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_errors(m: OOCMap, mistake: int) -> None:
    twin, use = MISTAKES[mistake]
    m["k"] = twin
    x = m["k"]
    for _ in range(2):
        with pytest.raises(Exception) as expected:  # noqa: PT011
            use(copy.copy(twin))
        with pytest.raises(type(expected.value)) as found:
            use(x)
        if isinstance(expected.value, KeyError):
            assert found.value.args == expected.value.args or twin == {} or twin == set()
        assert m["k"] == twin
    assert m.check() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["list"].append(object()),
        lambda m: m["list"].extend([1, object()]),
        lambda m: operator.setitem(m["list"], 0, object()),
        lambda m: operator.setitem(m["list"], slice(0, 1), [1, [object()]]),
        lambda m: operator.iadd(m["list"], [{"a": object()}]),
        lambda m: operator.setitem(m["dict"], "b", object()),
        lambda m: operator.setitem(m["dict"], object(), 1),
        lambda m: m["dict"].update({"a": 2, "b": object()}),
        lambda m: m["dict"].setdefault("b", object()),
        lambda m: m["set"].add(object()),
        lambda m: m["set"].update([2, object()]),
        lambda m: operator.ior(m["set"], {object()}),
    ],
)
def test_what_has_no_native_form_changes_nothing(m: OOCMap, change: Any) -> None:
    m.update(ALL)
    with pytest.raises(UnsupportedTypeError, match="object"):
        change(m)
    assert m == ALL
    with pytest.raises(UnsupportedTypeError), m.transaction():
        m["list"].append("before")
        change(m)
    assert m == ALL


def test_operators_that_give_plain_objects(m: OOCMap) -> None:
    m.update(ALL)
    for made, kind in (
        (m["list"][:], list), (m["list"] + [1], list), (m["list"] * 2, list), (m["list"].copy(), list),
        (m["tuple"] + (1,), tuple), (m["dict"] | {}, dict), (m["dict"].copy(), dict), (m["set"] | {5}, set),
        (m["set"] & m["set"], set), (m["set"].union([1]), set), (m["set"].copy(), set), (m["bytearray"][:1], bytearray),
        (m["bytearray"] + b"a", bytearray), (m["bytearray"] * 2, bytearray), (m["bytearray"].upper(), bytearray),
        (m["list"].eager(), list),
    ):  # fmt: skip
        assert type(made) is kind
    assert m == ALL


def test_in_place_operators_give_the_handle(m: OOCMap) -> None:
    m.update(ALL)
    x, d, s, b = m["list"], m["dict"], m["set"], m["bytearray"]
    for handle, result in (
        (x, operator.iadd(x, (3,))), (x, operator.imul(x, 2)), (d, operator.ior(d, [("b", 2)])),
        (s, operator.ior(s, {2, 3})), (s, operator.iand(s, {1, 2})), (s, operator.isub(s, {1})),
        (s, operator.ixor(s, {9})),
        (b, operator.iadd(b, b"c")), (b, operator.imul(b, 2)),
    ):  # fmt: skip
        assert result is handle
    assert (x, d, s, b) == ([1, 2, 3] * 2, {"a": 1, "b": 2}, {2, 9}, b"abcabc")
    assert (m["list"], m["dict"], m["set"], m["bytearray"]) == (x, d, s, b)


# --- past bugs ---


def test_what_only_a_new_reference_keeps_is_read_with_its_shared_texts(m: OOCMap) -> None:
    """Inside its transaction, the texts that are stored once for all were left behind when it was copied out."""
    text = "shared" * 40
    m["first"], m["second"] = text, text
    m["k"] = [[text], 1]
    with m.transaction():
        m["other"] = m["k"][0]
        del m["k"][0]
        m["k"].append(2)
        assert m["other"] == [text]
        m["other"].append(3)
        assert m["other"] == [text, 3]
    assert m["other"] == [text, 3]
    assert m.check() == []


def test_what_a_tuple_takes_from_an_ended_transaction(m: OOCMap) -> None:
    """Handles of a transaction go on after it, and so does what is reached through them."""
    with m.transaction() as tx:
        tx["k"] = [(1, [2]), {"a": ()}]
        x, pair = tx["k"], tx["k"][0]
    assert pair == (1, [2])
    pair[1].append(3)
    assert x[0][1] == [2, 3]
    assert x[1].setdefault("b", (4,)) == (4,)
    assert m["k"] == [(1, [2, 3]), {"a": (), "b": (4,)}]
