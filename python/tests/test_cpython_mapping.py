"""OOCMap passes the tests that CPython runs on its own mappings.

What is left out or replaced, and why. Each replacement runs the rest of the test that it replaces, and
checks what the documentation promises instead.

==================  ===================================================================================
test                why it does not run as it is
==================  ===================================================================================
test_fromkeys       A map is at a path; there is no `fromkeys`. `m.update(dict.fromkeys(...))` does that.
test_copy           `copy()` gives a plain dict, not another map.
test_setdefault     Changes a stored list through the map, which comes with mutable nested containers,
                    and uses an object with Python code for its hash as a key.
test_getitem,       Use objects with Python code for `__eq__` or `__hash__` as keys. A key is stored by
test_pop, test_eq   value, so it is refused when it is written.
test_repr           Expects ``{}``. A map's repr names its path. Stores the map in itself.
test_repr_deep      Stores a map in a map, a thousand times.
==================  ===================================================================================
"""

# mypy: disable-error-code="name-defined, misc, call-arg"

from __future__ import annotations

import unittest
from typing import Any

import pytest
from oocmap import OOCMap, UnsupportedTypeError
from strict import scratch

mapping_tests = pytest.importorskip("test.mapping_tests", reason="this Python comes without CPython's tests")


MADE: list[TemporaryMap] = []
"""What the running test made."""


class TemporaryMap(OOCMap):
    """A map that is made as the tests make mappings, in a directory of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.directory = scratch()
        super().__init__(self.directory.name + "/map.ooc", durability="nometasync")
        MADE.append(self)
        self.update(*args, **kwargs)


class PythonKey:
    """An object that only its own code can compare."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("a map has no business calling this")

    def __hash__(self) -> int:
        return 24


class MapProtocol(unittest.TestCase):
    """What the classes below have in common."""

    type2test = TemporaryMap

    def tearDown(self) -> None:
        while MADE:
            made = MADE.pop()
            made.close()
            made.directory.cleanup()

    def _empty_mapping(self) -> TemporaryMap:
        return TemporaryMap()

    def refuses_python_keys(self) -> None:
        m = self._empty_mapping()
        with self.assertRaises(UnsupportedTypeError):
            m[PythonKey()] = 42
        with self.assertRaises(UnsupportedTypeError):
            m.setdefault(PythonKey(), 42)
        self.assertEqual(m, {})


class TestBasic(MapProtocol, mapping_tests.BasicTestMappingProtocol):
    """The protocol that os.environ has too."""


class TestProtocol(MapProtocol, mapping_tests.TestMappingProtocol):
    """The protocol of UserDict."""

    def test_fromkeys(self) -> None:
        self.assertFalse(hasattr(self._empty_mapping(), "fromkeys"))

    def test_copy(self) -> None:
        d = self._full_mapping({1: 1, 2: 2, 3: 3})
        self.assertEqual(d.copy(), {1: 1, 2: 2, 3: 3})
        d = self._empty_mapping()
        self.assertEqual(d.copy(), d)
        self.assertIs(type(d.copy()), dict)
        with self.assertRaises(TypeError):
            d.copy(None)

    def test_setdefault(self) -> None:
        mapping_tests.BasicTestMappingProtocol.test_setdefault(self)
        d = self._empty_mapping()
        self.assertIsNone(d.setdefault("key0"))
        d.setdefault("key0", [])
        self.assertIsNone(d.setdefault("key0"))
        self.assertEqual(d.setdefault("key", [3]), [3])
        self.assertEqual(d.setdefault("key", [4]), [3])
        self.refuses_python_keys()


class TestHash(TestProtocol, mapping_tests.TestHashMappingProtocol):
    """The protocol of dict itself."""

    def test_getitem(self) -> None:
        mapping_tests.TestMappingProtocol.test_getitem(self)
        self.refuses_python_keys()

    def test_pop(self) -> None:
        mapping_tests.TestMappingProtocol.test_pop(self)
        self.refuses_python_keys()

    def test_eq(self) -> None:
        self.assertEqual(self._empty_mapping(), self._empty_mapping())
        self.assertEqual(self._full_mapping({1: 2}), self._full_mapping({1: 2}))
        self.assertNotEqual(self._full_mapping({1: 2}), self._full_mapping({1: 3}))
        self.assertNotEqual(self._full_mapping({1: 2}), self._full_mapping({2: 2}))

    def test_repr(self) -> None:
        d = self._empty_mapping()
        self.assertIn("map.ooc", repr(d))
        with self.assertRaises(UnsupportedTypeError):
            d[1] = d

    def test_repr_deep(self) -> None:
        d: Any = {}
        for _ in range(5000):
            d = {1: d}
        m = self._full_mapping({1: d})
        self.assertLess(len(repr(m)), 10_000)  # shortened, without a RecursionError
        self.assertLess(len(repr(m[1])), 100_000)


del MapProtocol  # or it would be collected
