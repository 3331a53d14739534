"""A stored list passes the tests that CPython runs on `list` and `UserList`.

What is replaced, and why, stands in `docs/testing.md`.
"""

# mypy: disable-error-code="name-defined, misc, no-untyped-call"

from __future__ import annotations

from typing import Any

import pytest
from factories import AlwaysEqual, Factory, NeverEqual, Picky, RefusedError, StoredCase, StoredSequenceCase
from oocmap import UnsupportedTypeError

userlist_tests = pytest.importorskip("test.test_userlist", reason="this Python comes without CPython's tests")
list_tests = pytest.importorskip("test.list_tests")


class TestList(StoredSequenceCase, userlist_tests.UserListTest):
    """Each change a transaction of its own."""

    type2test = Factory(list)

    def test_init(self) -> None:
        self.assertEqual(self.type2test([]), self.type2test())
        a = self.type2test([1, 2, 3])
        b = self.type2test(a)
        self.assertEqual(a, b)
        self.assertFalse(a.same_as(b))
        b.append(4)
        self.assertEqual(a, [1, 2, 3])

    def test_getitem_error(self) -> None:
        with self.assertRaisesRegex(TypeError, "list indices must be integers or slices"):
            self.type2test([1])["a"]

    def test_setitem_error(self) -> None:
        with self.assertRaisesRegex(TypeError, "list indices must be integers or slices"):
            self.type2test([1])["a"] = "python"

    def test_index(self) -> None:
        self.check_index()
        a = self.type2test([-2, -1, 0, 0, 1, 2])
        a.remove(0)
        self.assertRaises(ValueError, a.index, 2, 0, 4)
        self.assertEqual(a, [-2, -1, 0, 1, 2])

        class Evil:
            def __eq__(self, other: object) -> bool:
                del a[:]
                return False

            __hash__ = None  # type: ignore[assignment]

        a = self.type2test(range(100))
        self.assertRaises(ValueError, a.index, Evil())
        self.assertEqual(a, [])

    def test_remove(self) -> None:
        a = self.type2test([0, 0, 1])
        a.remove(1)
        self.assertEqual(a, [0, 0])
        a.remove(0)
        a.remove(0)
        self.assertEqual(a, [])
        self.assertRaises(ValueError, a.remove, 0)
        self.assertRaises(TypeError, a.remove)
        a = self.type2test([1, 2])
        self.assertRaises(ValueError, a.remove, NeverEqual())
        self.assertEqual(a, [1, 2])
        a.remove(AlwaysEqual())
        self.assertEqual(a, [2])
        a = self.type2test([0, 2, 1])
        self.assertRaises(RefusedError, a.remove, Picky())
        self.assertEqual(a, [0, 2, 1])
        with self.assertRaises(UnsupportedTypeError):
            a.append(AlwaysEqual())
        d = self.type2test("abcdefghcij")
        d.remove("c")
        self.assertEqual(d, list("abdefghcij"))
        d.remove("c")
        self.assertEqual(d, list("abdefghij"))
        self.assertRaises(ValueError, d.remove, "c")
        self.assertEqual(d, list("abdefghij"))

    def test_copy(self) -> None:
        u = self.type2test(["a", "b"])
        v = u.copy()
        self.assertIs(type(v), list)
        v.append("i")
        self.assertEqual(u, ["a", "b"])
        self.assertEqual(v, u + ["i"])  # noqa: RUF005
        # A shallow copy: what is inside are handles to the same objects.
        u = self.type2test([1, 2, [3, 4], 5])
        v = u.copy()
        self.assertEqual(u, v)
        self.assertTrue(v[2].same_as(u[2]))
        v[2].append("both")
        self.assertEqual(u, [1, 2, [3, 4, "both"], 5])
        self.assertRaises(TypeError, u.copy, None)

    test_userlist_copy = test_copy

    def test_slice_type(self) -> None:
        u = self.type2test("spam")
        self.assertIs(type(u[:]), list)
        self.assertIs(type(u + u), list)
        self.assertIs(type(u * 2), list)

    # What `list` does, where `UserList` differs.
    test_getitemoverwriteiter = list_tests.CommonTest.test_getitemoverwriteiter


class TestListInTransaction(TestList):
    """All of a test one transaction."""

    in_transaction = True


class TestLongList(StoredCase):
    """The same calls on a list that is far too long for one record."""

    type2test: Any = Factory(list)

    def test_every_method(self) -> None:
        a, twin = self.type2test(range(50_000)), list(range(50_000))
        for change in CHANGES:
            self.assertEqual(repr(change(a)), repr(change(twin)))
            self.assertEqual(a, twin)
            self.assertEqual(a[-5:], twin[-5:])

    def test_errors_change_nothing(self) -> None:
        a, twin = self.type2test(range(20_000)), list(range(20_000))
        for change in (
            lambda x: x.__setitem__(20_000, 1),
            lambda x: x.__delitem__(-20_001),
            lambda x: x.__setitem__(slice(None, None, 2), [1]),
            lambda x: x.pop(20_000),
            lambda x: x.remove("a"),
            lambda x: x.extend(1),
            lambda x: x.extend(1 // (3 - i) for i in range(5)),
            lambda x: x.sort(key=lambda i: i if i < 10_000 else str(i)),
            lambda x: x.insert("a", 1),
        ):
            errors = []
            for each in (a, twin[:]):
                with self.assertRaises(Exception) as caught:
                    change(each)
                errors.append(caught.exception)
            self.assertIsInstance(errors[0], type(errors[1]))
        self.assertEqual(a, twin)


def _set(x: Any, index: Any, value: Any) -> None:
    x[index] = value


CHANGES: list[Any] = [
    lambda x: x.append("end"),
    lambda x: x.insert(0, "start"),
    lambda x: x.insert(25_000, None),
    lambda x: x.insert(-25_000, 2.5),
    lambda x: x.pop(),
    lambda x: x.pop(0),
    lambda x: x.pop(24_999),
    lambda x: x.remove(2.5),
    lambda x: _set(x, -1, -1),
    lambda x: _set(x, 30_000, 10**30),
    lambda x: _set(x, slice(10, 40_000), range(7)),
    lambda x: _set(x, slice(3, 3), range(60_000, 30_000, -1)),
    lambda x: _set(x, slice(None, None, 3), x[::3]),
    lambda x: x.__delitem__(slice(None, None, 2)),
    lambda x: x.__delitem__(slice(5, -5_000)),
    lambda x: x.extend(x),
    lambda x: x.remove(10**30) if 10**30 in x else None,
    lambda x: x.sort(key=str),
    lambda x: x.reverse(),
    lambda x: x.__imul__(3) and None,
    lambda x: x.__iadd__(str(i) for i in range(5_000)) and None,
    lambda x: x.__imul__(0) and None,
    lambda x: x.extend([1.5] * 9_000),
    lambda x: x.clear(),
    lambda x: x.append(1),
]


del StoredSequenceCase, StoredCase  # or they would be collected
