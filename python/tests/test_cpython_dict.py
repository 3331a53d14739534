"""A stored dict passes the tests that CPython runs on `dict` and `UserDict`.

What is replaced, and why, stands in `docs/testing.md`.
"""

# mypy: disable-error-code="name-defined, misc"

from __future__ import annotations

from typing import Any

import pytest
from factories import Factory, StoredCase
from oocmap import UnsupportedTypeError

mapping_tests = pytest.importorskip("test.mapping_tests", reason="this Python comes without CPython's tests")


class PythonKey:
    """An object that only its own code can compare."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("a stored dict has no business calling this")

    def __hash__(self) -> int:
        return 24


class TestDict(StoredCase, mapping_tests.TestHashMappingProtocol):
    """Each change a transaction of its own."""

    type2test = Factory(dict)

    def refuses_python_keys(self) -> None:
        d = self._empty_mapping()
        for change in (d.__setitem__, d.setdefault, lambda key, value: d.update({key: value})):
            with self.assertRaises(UnsupportedTypeError):
                change(PythonKey(), 42)
        self.assertEqual(d, {})

    def test_fromkeys(self) -> None:
        self.assertEqual(self.type2test.fromkeys("abc"), {"a": None, "b": None, "c": None})

    def test_copy(self) -> None:
        d = self._full_mapping({1: 1, 2: [2]})
        self.assertEqual(d.copy(), {1: 1, 2: [2]})
        self.assertIs(type(d.copy()), dict)
        d.copy()[3] = 3
        d.copy()[2].append("shallow")
        self.assertEqual(d, {1: 1, 2: [2, "shallow"]})
        with self.assertRaises(TypeError):
            d.copy(None)

    def test_getitem(self) -> None:
        mapping_tests.TestMappingProtocol.test_getitem(self)
        self.refuses_python_keys()

    def test_pop(self) -> None:
        mapping_tests.TestMappingProtocol.test_pop(self)

    def test_setdefault(self) -> None:
        mapping_tests.TestMappingProtocol.test_setdefault(self)

    def test_eq(self) -> None:
        self.assertEqual(self._empty_mapping(), self._empty_mapping())
        self.assertEqual(self._full_mapping({1: 2}), self._full_mapping({1: 2}))
        self.assertNotEqual(self._full_mapping({1: 2}), self._full_mapping({1: 3}))
        self.assertNotEqual(self._full_mapping({1: 2}), self._full_mapping({2: 2}))

        class BadCmp:
            def __eq__(self, other: object) -> bool:
                raise ZeroDivisionError

            __hash__ = None  # type: ignore[assignment]

        with self.assertRaises(ZeroDivisionError):
            self._full_mapping({1: 1}) == {1: BadCmp()}

    def test_repr(self) -> None:
        d = self._empty_mapping()
        self.assertEqual(repr(d), "{}")
        d[1] = 2
        self.assertEqual(repr(d), "{1: 2}")
        d = self._empty_mapping()
        d[1] = d
        self.assertEqual(repr(d), "{1: {...}}")

    def test_repr_deep(self) -> None:
        d = self._empty_mapping()
        for _ in range(2000):
            inner, d = d, self._empty_mapping()
            d[1] = inner
        self.assertLess(len(repr(d)), 100_000)

    # The rest of UserDict's own tests, which name that class.

    def test_init(self) -> None:
        for name in ("self", "other", "iterable", "dict"):
            self.assertEqual(list(self.type2test(**{name: 42}).items()), [(name, 42)])

    def test_update_with_keywords(self) -> None:
        for name in ("self", "dict", "other", "iterable"):
            d = self.type2test()
            d.update(**{name: 42})
            self.assertEqual(list(d.items()), [(name, 42)])
        self.assertRaises(TypeError, self.type2test().update, 42)
        self.assertRaises(TypeError, self.type2test().update, {}, {})

    def test_missing(self) -> None:
        d = self.type2test({1: 2})
        self.assertFalse(hasattr(d, "__missing__"))
        with self.assertRaises(KeyError) as caught:
            d[42]
        self.assertEqual(caught.exception.args, (42,))

    def test_all(self) -> None:
        plain: list[Any] = [{}, {"one": 1}, {"one": 1, "two": 2}]
        stored = [self.type2test(each) for each in plain]
        twice = [self.type2test(each) for each in stored]
        for a in plain + stored + twice:
            for b in plain + stored + twice:
                self.assertEqual(a == b, len(a) == len(b))
        u = twice[2]
        self.assertEqual(sorted(u.keys()), ["one", "two"])
        self.assertEqual(sorted(u.values()), [1, 2])
        for n in range(20):
            u[n] = str(n)
        self.assertEqual(list(u), ["one", "two", *range(20)])
        self.assertEqual(set(u), set(u.keys()))
        del u["one"]
        u["one"] = 1  # goes to the end, as in a dict
        self.assertEqual(list(u)[-1], "one")
        self.assertEqual(u.popitem(), ("one", 1))
        self.assertEqual(stored[2], plain[2])


class TestDictInTransaction(TestDict):
    """All of a test one transaction."""

    in_transaction = True


del StoredCase  # or it would be collected
