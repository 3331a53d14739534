"""What may be registered, and what happens where a class is not, or is another one than it was."""

from __future__ import annotations

import abc
import dataclasses
import enum
import functools
import sys
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID

import oocmap
import pytest
from class_examples import (
    Box,
    Color,
    Node,
    Point,
    forget,
)
from oocmap import OOCMap, UnsupportedTypeError, _classes

pytestmark = pytest.mark.usefixtures("registry")


# --- names ---


def test_register_returns_the_class_however_it_is_called(m: OOCMap) -> None:
    class A:
        pass

    class B:
        pass

    class C:
        pass

    assert oocmap.register(A) is A
    assert oocmap.register()(B) is B
    assert oocmap.register(name="c")(C) is C
    assert oocmap.register(A) is A  # again
    m["k"] = [A(), B(), C()]
    assert [type(item) for item in m["k"]] == [A, B, C]


def test_two_classes_cannot_have_one_name() -> None:
    class A:
        pass

    class B:
        pass

    oocmap.register(A, name="name")
    with pytest.raises(ValueError, match="'name'"):
        oocmap.register(B, name="name")
    with pytest.raises(ValueError, match="registered already"):
        oocmap.register(A, name="other")
    with pytest.raises(ValueError, match="builtins:list"):
        oocmap.register(B, name="builtins:list")
    for wrong in ("", 1):
        with pytest.raises(TypeError, match="name="):
            oocmap.register(B, name=wrong)  # type: ignore[arg-type]
    oocmap.register(B, name="\u00e9 \0")


@pytest.mark.parametrize(
    "wrong", [1, "text", int, list, dict, deque, OrderedDict, Path, type(None), len, list[int], UUID]
)
def test_what_can_not_be_registered(wrong: Any) -> None:
    with pytest.raises(TypeError):
        oocmap.register(wrong)


def test_a_class_with_more_state_than_attributes_needs_functions() -> None:
    class List(list[Any]):
        pass

    class Int(int):
        pass

    class OddError(Exception):
        pass

    @dataclasses.dataclass
    class Both(dict[str, Any]):
        x: int = 0

    classes: list[type[Any]] = [
        List,
        Int,
        OddError,
        Both,
        functools.partial,
        memoryview,
        type("T", (tuple,), {}),
    ]
    for cls in classes:
        with pytest.raises(TypeError):
            oocmap.register(cls)
    for one in ({"encode": str}, {"decode": str}):
        with pytest.raises(TypeError, match="both"):
            oocmap.register(List, **one)  # type: ignore[call-overload]


def test_an_abstract_class_and_its_subclass(m: OOCMap) -> None:
    class Base(abc.ABC):
        @abc.abstractmethod
        def size(self) -> int: ...

    @oocmap.register
    class Real(Base):
        def __init__(self) -> None:
            self.x = 1

        def size(self) -> int:
            return self.x

    m["k"] = Real()
    assert m["k"].size() == 1


# --- what is not known ---


class Unknown:
    """A class that nobody registered."""


class SubNode(Node):
    """A subclass of a registered class."""


class SubPoint(Point):
    """The same."""


class SubDeque(deque[Any]):
    """A subclass of a class that is stored natively."""


class NotRegistered(enum.Enum):
    """An enum that nobody registered."""

    A = 1


@pytest.mark.parametrize(
    "value",
    [Unknown(), SubNode("a"), SubPoint(1), SubDeque(), NotRegistered.A, Node(Unknown()), deque([Unknown()])],
    ids=lambda value: type(value).__name__,
)
def test_a_class_that_is_not_registered_is_refused(m: OOCMap, value: Any) -> None:
    for inside in (value, [value], {"k": (value,)}):
        with pytest.raises(UnsupportedTypeError, match=r"call oocmap\.register\("):
            m["k"] = inside
    assert m == {}


@pytest.mark.parametrize("factory", [lambda: 1, Unknown, functools.partial(list), len, []], ids=ascii)
def test_a_factory_that_is_not_registered_is_refused(m: OOCMap, factory: Any) -> None:
    value: Any = defaultdict(None, a=1)
    value.default_factory = factory
    with pytest.raises(UnsupportedTypeError, match="default_factory"):
        m["k"] = value


def test_attributes_that_would_be_lost_are_refused(m: OOCMap) -> None:
    counter = Counter("a")
    counter.note = "mine"  # type: ignore[attr-defined]
    with pytest.raises(UnsupportedTypeError, match="attributes"):
        m["k"] = counter
    tuples = oocmap.register(type("Tuples", (Point,), {}))
    point = tuples(1)
    m["k"] = point
    assert type(m["k"]) is tuples
    point.note = 1
    with pytest.raises(UnsupportedTypeError, match="attributes"):
        m["k"] = point


@pytest.mark.parametrize("role", ["key of a dict", "member of a set", "key of the map", "key of a Counter"])
@pytest.mark.parametrize("unhashed", [True, False])
def test_nothing_is_lost_when_keys_are_refused(m: OOCMap, role: str, unhashed: bool) -> None:
    value: Any = deque() if unhashed else Unknown()
    with pytest.raises(TypeError):
        if role == "key of a dict":
            m["k"] = {value: 1}
        elif role == "member of a set":
            m["k"] = {value}
        elif role == "key of the map":
            m[value] = 1
        else:
            m["k"] = Counter([value])
    assert m == {}


def test_a_class_that_is_unknown_here_harms_nothing_else(m: OOCMap) -> None:
    m["before"] = 1
    m["k"] = {"node": [Node("a", [1])], "color": Color.RED, "more": [2], "dict": defaultdict(Node)}
    m["after"] = [2]
    forget(Node)
    forget(Color)
    reads: list[Callable[[], Any]] = [
        lambda: m["k"]["node"][0],
        lambda: m["k"]["color"],
        lambda: m["k"]["dict"],
        lambda: m["k"].eager(deep=True),
    ]
    for read in reads:
        with pytest.raises(UnsupportedTypeError, match=r"class_examples:(Node|Color).*call oocmap\.register"):
            read()
    assert m["k"]["more"] == [2]
    assert (m["before"], m["after"]) == (1, [2])
    assert len(m) == 3
    assert "k" in m
    assert m.check() == []
    with pytest.raises(UnsupportedTypeError), m.snapshot() as s:
        m["copy"] = s["k"]
    m["same"] = m["k"]  # a reference, for which nothing is read
    del m["same"]
    oocmap.register(Node)
    assert m["k"]["node"][0] == Node("a", [1])
    with pytest.raises(UnsupportedTypeError, match="Color"):
        m["k"]["color"]
    del m["k"]
    assert list(m) == ["after", "before"]


# --- classes that have changed ---


def test_a_dataclass_that_grew_gives_old_instances_its_defaults(m: OOCMap) -> None:
    @oocmap.register(name="changing")
    @dataclasses.dataclass
    class Old:
        x: int

    m["k"] = [Old(1), Old(2)]
    forget(Old)

    @oocmap.register(name="changing")
    @dataclasses.dataclass(slots=True)
    class New:
        y: list[int] = dataclasses.field(default_factory=list)
        z: str = "z"
        x: int = 0

    assert m["k"].eager(deep=True) == [New(x=1), New(x=2)]
    first, second = m["k"]
    assert first.y is not second.y
    forget(New)

    @oocmap.register(name="changing")
    @dataclasses.dataclass
    class Needs:
        x: int
        y: int

    with pytest.raises(UnsupportedTypeError, match="'y'"):
        m["k"][0]
    forget(Needs)

    @oocmap.register(name="changing")
    @dataclasses.dataclass
    class Shrunk:
        y: int = 0

    with pytest.raises(UnsupportedTypeError, match="field x"):
        m["k"][0]
    forget(Shrunk)

    @oocmap.register(name="changing")
    class Slots:
        __slots__ = ("y",)

    with pytest.raises(UnsupportedTypeError, match="attribute x"):
        m["k"][0]
    forget(Slots)

    @oocmap.register(name="changing")
    class Dict:
        pass

    assert m["k"][0].__dict__ == {"x": 1}
    forget(Dict)

    @oocmap.register(name="changing", encode=lambda _: 1, decode=lambda _: 2)
    class Functions:
        pass

    assert m["k"][0].__dict__ == {"x": 1}  # what was stored without functions is read without them
    forget(Functions)

    @oocmap.register(name="changing")
    class Named(NamedTuple):
        x: int

    with pytest.raises(UnsupportedTypeError, match="attributes"):
        m["k"][0]


def test_a_named_tuple_that_changed(m: OOCMap) -> None:
    m["k"] = Point(1, 2)
    forget(Point)
    longer: Any = oocmap.register(namedtuple("P", "a b c", defaults=[3]), name="class_examples:Point")
    assert m["k"] == longer(1, 2, 3)
    forget(longer)
    needs: Any = oocmap.register(namedtuple("P", "a b c"), name="class_examples:Point")
    with pytest.raises(UnsupportedTypeError, match="'c'"):
        m["k"]
    forget(needs)
    oocmap.register(namedtuple("P", "a"), name="class_examples:Point")
    with pytest.raises(UnsupportedTypeError, match="2 elements"):
        m["k"]


def test_an_enum_that_changed(m: OOCMap) -> None:
    m["k"] = [Color.RED, Color.GREEN]
    forget(Color)

    @oocmap.register(name="class_examples:Color")
    class Changed(enum.Enum):
        RED = 5

    assert m["k"][0] is Changed.RED
    with pytest.raises(UnsupportedTypeError, match="GREEN"):
        m["k"][1]
    forget(Changed)

    @oocmap.register(name="class_examples:Color")
    class NoEnum:
        pass

    with pytest.raises(UnsupportedTypeError, match="enum"):
        m["k"][0]


def test_functions_that_are_gone(m: OOCMap) -> None:
    m["k"] = Box(1)
    oocmap.register(Box)
    with pytest.raises(UnsupportedTypeError, match="decode="):
        m["k"]


def test_a_path_of_another_system_comes_back_pure() -> None:
    assert type(_classes.path("WindowsPath", "c:\\a")) is type(
        PureWindowsPath() if sys.platform != "win32" else Path()
    )
    assert type(_classes.path("PosixPath", "/a")) is type(
        Path() if sys.platform != "win32" else PurePosixPath()
    )
    assert _classes.path("ElsewherePath", "/a") is None
