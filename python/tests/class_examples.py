"""Classes of every kind that a map takes, registered, and instances of them."""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Generic, NamedTuple, TypeVar

import oocmap
from oocmap import _classes

T = TypeVar("T")


@oocmap.register
class Color(enum.Enum):
    """An enum with values of several types."""

    RED = 1
    GREEN = "green"
    ALIAS = 1  # noqa: PIE796
    PAIR = (1, [2])


@oocmap.register
class Level(enum.IntEnum):
    """An enum of ints."""

    LOW = 1
    HIGH = 10**30


@oocmap.register
class Access(enum.Flag):
    """Flags."""

    READ = 1
    WRITE = 2
    ALL = 3
    OTHER = 1 << 80


@oocmap.register
class Bits(enum.IntFlag):
    """Flags that are ints."""

    A = 1
    B = 2


Pair: Any = oocmap.register(namedtuple("Pair", "left right", defaults=[None]))


@oocmap.register
class Point(NamedTuple):
    """A named tuple with a default."""

    x: Any
    y: Any = 0


@oocmap.register
@dataclasses.dataclass
class Node:
    """A dataclass."""

    name: Any = None
    children: list[Any] = dataclasses.field(default_factory=list)
    parent: Any = None


@oocmap.register
@dataclasses.dataclass(frozen=True)
class Frozen:
    """One that can't be changed."""

    x: Any
    y: Any = 2


@oocmap.register
@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    """One without ``__dict__``."""

    x: Any
    y: Any = 2


@oocmap.register(
    name="a class with\0a name: of its \u00f6wn, which is longer than a symbol may ever be; so what"
)
@dataclasses.dataclass
class Derived(Node):
    """One that inherits fields, has some that are no arguments, and sets more than fields."""

    __hash__ = None  # type: ignore[assignment]
    weight: float = 1.5
    once: Any = dataclasses.field(default=None, init=False)
    init: dataclasses.InitVar[int] = 3

    def __post_init__(self, init: int) -> None:
        self.computed = init


@oocmap.register
class Plain(Generic[T]):
    """A class whose state is `__dict__`, and which does not like to be made."""

    def __init__(self, *_: Any) -> None:
        raise AssertionError("__init__ ran")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AssertionError("__setattr__ ran")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AssertionError("__getattr__ ran")


@oocmap.register
class WithSlots:
    """A class with slots, one of them private and one never set."""

    __slots__ = ("__private", "unset", "x")

    def __init__(self, x: Any) -> None:
        self.x = x
        self.__private = [x]

    @property
    def private(self) -> Any:
        return self.__private


@oocmap.register
class SlotsAndDict(WithSlots):
    """One with inherited slots and more."""

    __slots__ = ("__dict__", "__weakref__", "z")


@oocmap.register(encode=lambda box: box.content, decode=lambda state: Box(state))
class Box:
    """A class with functions that take it apart and make it."""

    def __init__(self, content: Any) -> None:
        self.content = content


@oocmap.register(encode=list, decode=lambda items: Stack(items))
class Stack(list[Any]):
    """A subclass of a builtin, which only functions can store."""


def plain(**attributes: Any) -> Plain[Any]:
    """Make an instance without its `__init__`."""
    made: Plain[Any] = object.__new__(Plain)
    made.__dict__.update(attributes)
    return made


def forget(cls: type[Any]) -> None:
    """Take a class out of the registry, as in a process that has not registered it."""
    del _classes.by_name[_classes.by_class.pop(cls).name]


VALUES: list[Any] = [
    deque(), deque([1, [2], "a"]), deque([1, 2, 3], maxlen=3), deque(maxlen=0),
    OrderedDict(), OrderedDict([("b", 1), ("a", [2]), (3, None)]), OrderedDict({(1, "a" * 100): 1, None: 2.5}),
    defaultdict(), defaultdict(list, {"a": [1]}), defaultdict(int, {(1,): 2}), defaultdict(Node, {1: 2}),
    defaultdict(deque), defaultdict(object),
    Counter(), Counter("abracadabra"), Counter({"a": -1, 2: 3.5}),
    Path("/a/b.c"), PurePosixPath(), PurePosixPath("//a/\udcff"), PureWindowsPath("c:/a\\b"), PurePath("\u00e4 b"),
    Color.RED, Color.GREEN, Color.ALIAS, Color.PAIR, Level.LOW, Level.HIGH,
    Access.READ, Access.ALL, Access.READ | Access.OTHER, Access(0), Bits.A, Bits.A | Bits.B, Bits(0), Bits(9),
    Pair(1), Pair([1], {"a": 2}), Point(1), Point(Point(1, [2]), y="b" * 200),
    Node("a"), Node("a", [Node("b"), [Node("c", [1])]]), Frozen(1), Frozen([1], {2: 3}),
    Slotted("a" * 1000), Slotted(1, ()),
    Derived("n", [Derived("m")], weight=-0.0),
]  # fmt: skip
