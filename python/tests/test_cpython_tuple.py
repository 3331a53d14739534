"""A stored tuple passes the tests that CPython runs on `tuple`.

What is replaced, and why, stands in `docs/testing.md`.
"""

# mypy: disable-error-code="name-defined, misc"

from __future__ import annotations

import pytest
from factories import Factory, StoredSequenceCase

seq_tests = pytest.importorskip("test.seq_tests", reason="this Python comes without CPython's tests")


class TestTuple(StoredSequenceCase, seq_tests.CommonTest):
    """Tuples that are read from committed versions."""

    type2test = Factory(tuple)

    def test_getitem_error(self) -> None:
        with self.assertRaisesRegex(TypeError, "tuple indices must be integers or slices"):
            self.type2test([1])["a"]

    def test_nothing_changes_it(self) -> None:
        t = self.type2test([1, [2]])
        for name in ("append", "extend", "insert", "pop", "remove", "sort", "reverse", "clear", "__iadd__"):
            self.assertFalse(hasattr(t, name))
        with self.assertRaises(TypeError):
            t[0] = 1
        with self.assertRaises(TypeError):
            del t[0]
        t[1].append(3)  # what is inside may change
        self.assertEqual(t, (1, [2, 3]))

    def test_hash(self) -> None:
        for plain in ((), (0,), (1, 2), (1, (2, ("a", frozenset([3])))), tuple(range(5000))):
            self.assertEqual(hash(self.type2test(plain)), hash(plain))
        self.assertRaises(TypeError, hash, self.type2test([[]]))


class TestTupleInTransaction(TestTuple):
    """All of a test one transaction."""

    in_transaction = True


del StoredSequenceCase  # or it would be collected
