"""Instances of classes come back equal and of the same class, without pickle."""

from __future__ import annotations

import gc
import multiprocessing
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import oocmap
import pytest
from class_examples import (
    VALUES,
    Access,
    Box,
    Color,
    Derived,
    Frozen,
    Level,
    Node,
    Plain,
    Point,
    SlotsAndDict,
    Slotted,
    Stack,
    WithSlots,
    forget,
    plain,
)
from hypothesis import given
from hypothesis import strategies as st
from oocmap import OOCMap, UnsupportedTypeError
from strategies import keys, values
from strict import assert_stored, eager, exactly, scratch

SPAWN = multiprocessing.get_context("spawn")
pytestmark = pytest.mark.usefixtures("registry")


@pytest.mark.parametrize("value", VALUES, ids=lambda value: ascii(value)[:40])
def test_an_instance_comes_back_as_it_was(m: OOCMap, value: Any) -> None:
    m["alone"] = value
    stored = m["alone"]
    assert exactly(stored) == exactly(value)
    assert stored == value
    m["inside"] = [value, {"k": (value,), "again": value}]
    assert_stored(m["inside"], [value, {"k": (value,), "again": value}])
    assert exactly(m["inside"][1]["k"][0]) == exactly(value)
    whole = m["inside"].eager(deep=True)
    assert whole[0] is whole[1]["k"][0]
    assert m["inside"] == [value, {"k": (value,), "again": value}]
    assert value in m["inside"]
    assert repr(value)[:20] in repr(m["inside"])
    with m.transaction() as tx:
        tx["new"] = Node(value)
        assert exactly(tx["new"]) == exactly(Node(value))
    assert m.pop("new") == Node(value)
    assert m.check() == []


def instances(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    items = st.lists(st.tuples(keys, inner), max_size=4)
    return st.one_of(
        st.builds(deque, st.lists(inner, max_size=4), st.sampled_from([None, 2, 10])),
        items.map(OrderedDict),
        st.builds(defaultdict, st.sampled_from([None, list, int, Node]), items),
        items.map(lambda items: Counter(dict(items))),
        st.text(st.characters(exclude_characters="\0"), max_size=10).map(PurePosixPath),
        st.sampled_from([*Color, *Level, Access.READ | Access.WRITE]),
        st.builds(Point, inner, inner),
        st.builds(Frozen, inner, inner),
        st.builds(Slotted, inner),
        st.builds(Node, inner, st.lists(inner, max_size=3)),
        st.lists(inner, max_size=3),
        st.dictionaries(keys, inner, max_size=3),
    )


@given(st.recursive(values, instances, max_leaves=8))
def test_any_value_with_instances_comes_back_as_it_was(value: Any) -> None:
    with scratch() as directory, OOCMap(directory + "/map.ooc") as m:
        m[0] = value
        assert_stored(m[0], value)
        m[1] = m[0]
        assert_stored(m[1], value)
        assert m.check() == []


def test_an_instance_is_made_of_plain_objects(m: OOCMap) -> None:
    m["k"] = [Node("a", [{"b": (1, {2}, [3])}])]
    children = m["k"][0].children
    assert [type(children), type(children[0]), type(children[0]["b"]), type(children[0]["b"][2])] == [
        list,
        dict,
        tuple,
        list,
    ]
    children.append(4)
    assert m["k"][0].children == [{"b": (1, {2}, [3])}]  # a copy


def test_what_an_instance_takes_from_the_map_is_copied(m: OOCMap) -> None:
    m["list"] = [1, {"a": 2}]
    m["node"] = Node(m["list"], [m["list"][1]])
    assert exactly(m["node"]) == exactly(Node([1, {"a": 2}], [{"a": 2}]))


# --- classes of one's own ---


def test_attributes_come_back_without_init(m: OOCMap) -> None:
    m["k"] = plain(a=1, b=[2], class_=None)
    stored = m["k"]
    assert type(stored) is Plain
    assert list(stored.__dict__.items()) == [("a", 1), ("b", [2]), ("class_", None)]
    m["none"] = plain()
    assert m["none"].__dict__ == {}
    m["odd"] = plain(**{"": 1, "a" * 100: 2, "b" * 500: 3, "\ud800": 4} | {f"x{i}": i for i in range(1000)})
    assert m["odd"].__dict__["b" * 500] == 3
    assert m["odd"].__dict__["x999"] == 999
    nameless = plain()
    nameless.__dict__[1] = 2  # type: ignore[index]
    with pytest.raises(UnsupportedTypeError, match="name"):
        m["k"] = nameless


def test_slots_come_back(m: OOCMap) -> None:
    for cls in (WithSlots, SlotsAndDict):
        value: Any = cls("x")
        if cls is SlotsAndDict:
            value.z, value.extra = 1, 2
        m["k"] = [value, cls("y")]
        stored = m["k"][0]
        assert type(stored) is cls
        assert (stored.x, stored.private) == ("x", ["x"])
        assert not hasattr(stored, "unset")
        assert getattr(stored, "__dict__", {}) == getattr(value, "__dict__", {})
        assert getattr(stored, "z", None) == getattr(value, "z", None)


def test_a_dataclass_keeps_what_is_no_field(m: OOCMap) -> None:
    value = Derived("n", weight=2.5)
    value.once = [1]
    value.more = "more"  # type: ignore[attr-defined]
    m["k"] = value
    stored = m["k"]
    assert (stored.name, stored.children, stored.weight, stored.once) == ("n", [], 2.5, [1])
    assert (stored.computed, stored.more) == (3, "more")
    del value.once
    m["k"] = value
    assert "once" not in m["k"].__dict__  # as it was, not its default


def test_functions_take_apart_and_make(m: OOCMap) -> None:
    m["k"] = Box([Box({"a": Box(None)}), 1])
    outer = m["k"]
    assert type(outer) is Box
    assert type(outer.content) is list
    assert type(outer.content[0].content) is dict
    assert outer.content[0].content["a"].content is None
    m["stack"] = Stack([1, Stack([2])])
    assert type(m["stack"]) is Stack
    assert m["stack"] == [1, [2]]
    assert type(m["stack"][1]) is Stack


def test_functions_that_fail_leave_no_trace(m: OOCMap) -> None:
    def fail(_: Any) -> Any:
        raise ZeroDivisionError

    @oocmap.register(encode=fail, decode=fail)
    class Bad:
        pass

    m["before"] = 1
    with pytest.raises(ZeroDivisionError):
        m["k"] = [Bad()]
    with pytest.raises(ZeroDivisionError), m.transaction() as tx:
        tx["a"] = 1
        tx["k"] = Bad()
    assert m == {"before": 1}

    oocmap.register(Bad, encode=lambda _: 1, decode=fail)
    m["k"] = Bad()
    for read in (m.__getitem__, m.pop):
        with pytest.raises(ZeroDivisionError):
            read("k")
    assert "k" in m
    oocmap.register(Bad, encode=lambda bad: bad, decode=fail)
    with pytest.raises(UnsupportedTypeError, match="another instance"):
        m["k"] = Bad()


def test_functions_may_use_the_map(m: OOCMap) -> None:
    @oocmap.register(encode=lambda _: m.setdefault("count", 7), decode=lambda _: Box(m.setdefault("read", 1)))
    class Uses:
        pass

    m["k"] = Uses()
    assert m["count"] == 7
    assert m["k"].content == 1
    assert m["read"] == 1
    with m.transaction() as tx:
        tx["k"] = [Uses()]
        assert tx["k"][0].content == 1


def test_attrs_classes(m: OOCMap) -> None:
    attrs: Any = pytest.importorskip("attrs")

    @oocmap.register(name="attrs")
    @attrs.define(hash=True, cache_hash=True, frozen=True)
    class Defined:
        x: Any
        _y: Any = attrs.Factory(lambda self: [self.x], takes_self=True)

    make: Any = Defined
    value, hashed = make(1), make("text", 5)
    hash(hashed)
    m["k"] = [value, hashed]
    assert hash(m["k"][1]) == hash(hashed)
    assert m["k"] == [value, hashed]
    forget(Defined)

    @oocmap.register(name="attrs")
    @attrs.define(cache_hash=True, frozen=True, hash=True)
    class Grown:
        x: Any
        _y: Any
        z: Any = attrs.Factory(lambda self: [self.x], takes_self=True)

    make = Grown
    assert m["k"][0] == make(1, [1], [1])


# --- identity within one value ---


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: deque([x]),
        lambda x: OrderedDict(k=x),
        lambda x: defaultdict(None, k=x),
        lambda x: Counter(k=x),
        lambda x: Node("n", x),
        lambda x: Slotted(x),
        lambda x: plain(x=x),
        lambda x: Point(x),
        lambda x: [x],
        lambda x: (x,),
    ],
)
def test_cycles_and_shared_parts_are_kept(m: OOCMap, wrap: Callable[[Any], Any]) -> None:
    shared: list[Any] = []
    outer = wrap(shared)
    shared.append(outer)

    def inside(x: Any) -> Any:
        if isinstance(x, (Node, Slotted, Plain)):
            return x.children if isinstance(x, Node) else vars(x)["x"] if isinstance(x, Plain) else x.x
        return x["k"] if isinstance(x, dict) else x[0]

    m["k"] = Node(outer, [shared])
    stored = m["k"]
    assert type(stored.name) is type(outer)
    assert type(inside(stored.name)) is list
    assert inside(stored.name) is stored.children[0]
    assert stored.children[0][0] is stored.name
    m["alone"] = outer
    alone = m["alone"]
    alone = alone if type(alone) is Plain else eager(alone)
    assert inside(alone)[0] is alone
    assert m.check() == []


def test_a_cycle_that_could_not_be_read_is_refused(m: OOCMap) -> None:
    box = Box(None)
    box.content = [Node(box)]
    for value in (box, [box], {"k": box.content}, Node(box.content)):
        with pytest.raises(UnsupportedTypeError, match="Box holds itself"):
            m["k"] = value
    assert m == {}
    itself: list[Any] = []
    itself.append(itself)
    nested: list[Any] = [Box(itself)]
    nested.append(nested)  # a cycle around a box, and one inside it, but none through it
    m["k"] = nested
    stored = m["k"].eager(deep=True)
    assert stored[1] is stored
    assert stored[0].content[0] is stored[0].content


def test_a_box_is_made_of_what_is_whole(m: OOCMap) -> None:
    seen = []

    @oocmap.register(encode=lambda sees: sees.state, decode=lambda state: seen.append(repr(state)))
    class Sees:
        def __init__(self, state: Any) -> None:
            self.state = state

    shared = {"a": (1, Node("n", [2]))}
    m["k"] = [shared, Sees(shared), Sees([shared, Sees(1)])]
    assert m["k"].eager(deep=True)[1:] == [None, None]
    assert seen == [repr(shared), "1", repr([shared, None])]


# --- size ---


@pytest.mark.parametrize("kind", ["dataclass", "slots", "ordered dict", "named tuple", "functions"])
def test_two_hundred_thousand_levels(m: OOCMap, kind: str) -> None:
    wraps: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
        "dataclass": (lambda x: Frozen(1, x), lambda x: x.y),
        "slots": (Slotted, lambda x: x.x),
        "ordered dict": (lambda x: OrderedDict(k=x), lambda x: x["k"]),
        "named tuple": (Point, lambda x: x.x),
        "functions": (lambda x: Box([x]), lambda x: x.content[0]),
    }
    wrap, unwrap = wraps[kind]
    deep: Any = "bottom"
    for _ in range(200_000):
        deep = wrap(deep)
    m["deep"] = deep
    stored = m["deep"]
    for _ in range(200_000):
        stored = unwrap(stored)
    assert stored == "bottom"
    m["inside"] = [deep]
    m["copied"] = [m["inside"]]
    assert len(m["copied"][0]) == 1
    del stored, deep
    gc.collect()
    m.clear()


@pytest.mark.parametrize("wrap", [lambda x: deque([x]), lambda x: defaultdict(None, k=x)])
def test_what_python_could_not_free_is_not_made(m: OOCMap, wrap: Callable[[Any], Any]) -> None:
    # Python itself crashes when it frees some 100,000 deques that hold each other.
    deep: Any = "bottom"
    for _ in range(4000):
        deep = wrap(deep)
    m["k"] = deep
    assert len(m["k"]) == 1
    for _ in range(4000):
        deep = wrap(deep)
    m["k"] = deep
    with pytest.raises(RecursionError):
        m["k"]
    for _ in range(50_000):
        deep = wrap(Frozen(deep))
    m["k"] = deep
    with pytest.raises(RecursionError):
        m["k"]
    del m["k"]


def test_names_are_stored_once(path: Path) -> None:
    with OOCMap(path) as m:
        m["x"] = [Node(i) for i in range(3)]
        m["y"] = [Node(i) for i in range(3)]
        for i in range(200):
            m[i] = Node(i)
        assert m[7] == Node(7)
        assert m.check() == []
    assert path.read_bytes().count(b"class_examples:Node") < 30


# --- other processes ---


def read(m: OOCMap, key: Any) -> Any:
    """Return a stored value as plain objects."""
    return eager(m[key])


def read_without(m: OOCMap, key: Any) -> str:
    """Return what is raised where a class is not registered."""
    forget(Node)
    try:
        m[key]
    except UnsupportedTypeError as error:
        oocmap.register(Node)
        assert m[key] == Node(1)
        return str(error)
    return "nothing was raised"


def test_another_process_reads_what_it_has_registered(m: OOCMap) -> None:
    value = [value for value in VALUES if value != Derived("n", [Derived("m")], weight=-0.0)]
    m["all"] = value
    m["node"] = Node(1)
    with ProcessPoolExecutor(1, mp_context=SPAWN) as other:
        assert exactly(other.submit(read, m, "all").result()) == exactly(value)
        assert "class_examples:Node" in other.submit(read_without, m, "node").result()
