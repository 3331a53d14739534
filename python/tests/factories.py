"""What makes stored objects for tests that CPython wrote for builtins: one map a test, a key for each object."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import gc
import unittest
import weakref
from typing import Any

import oocmap
from oocmap import OOCMap
from strict import scratch


class Store:
    """The map of the running test, with a write transaction around all of it when that is asked for."""

    def __init__(self, in_transaction: bool) -> None:
        self.directory = scratch()
        self.m = OOCMap(self.directory.name + "/map.ooc", durability="nometasync")
        self.transaction = self.m.transaction() if in_transaction else None
        self.kept = 0

    def keep(self, plain: Any) -> Any:
        """Store a plain object under a key of its own, and return the handle."""
        self.kept += 1
        self.m[self.kept] = plain
        return self.m[self.kept]

    def close(self) -> None:
        """End the test: whatever it did, the map has to be in order."""
        try:
            if self.transaction is not None:
                self.transaction.commit()
            assert self.m.check() == []
        finally:
            self.m.close()
            self.directory.cleanup()


RUNNING: list[Store] = []
"""The store of the running test."""


class Factory:
    """What the tests call `type2test` or `thetype`: called as a builtin is, it returns a handle to what that made.

    Lazy types can't be subclassed. Where a test makes a subclass, it gets what the factory makes.
    """

    def __init__(self, twin: Any) -> None:
        self.twin = twin
        self.lazy: type = getattr(oocmap, f"Lazy{LAZY_NAMES[twin]}")
        self.__name__ = twin.__name__

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return RUNNING[-1].keep(self.twin(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        """Class methods and unbound methods are the twin's."""
        return getattr(self.twin, name)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, (self.twin, self.lazy))

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        factory = self

        class Made:
            def __new__(cls, *args: Any, **kwargs: Any) -> Any:
                return factory(*args, **kwargs)

        return (Made,)


LAZY_NAMES = {
    list: "List",
    tuple: "Tuple",
    dict: "Dict",
    set: "Set",
    frozenset: "FrozenSet",
    bytearray: "ByteArray",
}


class StoredCase(unittest.TestCase):
    """What comes before CPython's class in the bases of each test of stored objects."""

    in_transaction = False

    def setUp(self) -> None:
        RUNNING.append(Store(self.in_transaction))
        super().setUp()

    def tearDown(self) -> None:
        super().tearDown()
        RUNNING.pop().close()

    def check_exhausted(self, made: Any, iterate: Any) -> None:
        """Check that an iterator which came to its end keeps its container no longer."""
        container = weakref.ref(made)
        iterator = iterate(made)
        for _ in iterator:
            pass
        del made
        gc.collect()
        self.assertIsNone(container())
        with self.assertRaises(StopIteration):
            next(iterator)


class AlwaysEqual:
    """An object that says it equals everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


class NeverEqual:
    """An object that says it equals nothing."""

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 1


class RefusedError(Exception):
    """What a comparison raises."""


class Picky:
    """An object that equals `1`, differs from `0`, and can't be compared with anything else."""

    def __eq__(self, other: object) -> bool:
        if other in (0, 1):
            return other == 1
        raise RefusedError

    def __hash__(self) -> int:
        return 1


class StoredSequenceCase(StoredCase):
    """Replacements of tests of sequences which store objects that can't be stored, or rest on `is`.

    Those objects are given to the methods as arguments instead, where any object may be.
    """

    type2test: Any

    def test_contains_fake(self) -> None:
        self.assertNotIn(AlwaysEqual(), self.type2test([]))
        self.assertIn(AlwaysEqual(), self.type2test([1]))
        self.assertNotIn(NeverEqual(), self.type2test([]))
        self.assertNotIn(NeverEqual(), self.type2test([1, None, "a"]))

    def test_contains_order(self) -> None:
        self.assertIn(Picky(), self.type2test([1, 2]))
        self.assertIn(Picky(), self.type2test([0, 1, 2]))
        with self.assertRaises(RefusedError):
            self.assertIn(Picky(), self.type2test([2, 1]))

    def test_count(self) -> None:
        a = self.type2test([0, 1, 2] * 3)
        for value in range(3):
            self.assertEqual(a.count(value), 3)
        self.assertEqual(a.count(3), 0)
        self.assertEqual(a.count(AlwaysEqual()), 9)
        self.assertEqual(a.count(NeverEqual()), 0)
        self.assertRaises(TypeError, a.count)
        self.assertRaises(RefusedError, a.count, Picky())

    def check_index(self) -> None:
        a = self.type2test([-2, -1, 0, 0, 1, 2])
        for arguments, expected in (
            ((0,), 2),
            ((0, 2), 2),
            ((0, -4), 2),
            ((-2, -10), 0),
            ((0, 3), 3),
            ((0, -3), 3),
            ((0, 3, 4), 3),
            ((0, -3, -2), 3),
            ((0, -(2**70), 2**70), 2),
            ((AlwaysEqual(),), 0),
        ):
            self.assertEqual(a.index(*arguments), expected)
        for missing in ((7,), (0, 2**70, -(2**70)), (2, 0, -10), (NeverEqual(),)):
            self.assertRaises(ValueError, a.index, *missing)
        self.assertRaises(TypeError, a.index)
        self.assertRaises(RefusedError, self.type2test([0, 2]).index, Picky())

    test_index = check_index

    def test_repr_deep(self) -> None:
        a = self.type2test([])
        for _ in range(2000):
            a = self.type2test([a])
        self.assertLess(len(repr(a)), 100_000)

    def test_free_after_iterating(self) -> None:
        self.check_exhausted(self.type2test([1, 2]), iter)
        self.check_exhausted(self.type2test([1, 2]), reversed)
