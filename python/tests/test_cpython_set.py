"""A stored set and a stored frozenset pass the tests that CPython runs on `set` and `frozenset`.

What is left out or replaced, and why, stands in `docs/testing.md`.
"""

# mypy: disable-error-code="name-defined, misc"

from __future__ import annotations

import copy
import pickle
import unittest.mock
from typing import Any

import pytest
from factories import Factory, StoredCase
from oocmap import UnsupportedTypeError

set_tests = pytest.importorskip("test.test_set", reason="this Python comes without CPython's tests")


class StoredSetCase(StoredCase):
    """Replacements for both kinds of sets."""

    thetype: Any
    s: Any
    word: str

    def test_pickling(self) -> None:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            again = pickle.loads(pickle.dumps(self.s, protocol))
            self.assertEqual(self.s, again)
            self.assertIs(type(again), self.thetype.twin)

    def test_deepcopy(self) -> None:
        again = copy.deepcopy(self.s)
        self.assertEqual(again, set(self.word))
        self.assertIs(type(again), self.thetype.twin)

    def test_badcmp(self) -> None:
        with self.assertRaises(UnsupportedTypeError):
            self.thetype([set_tests.BadCmp()])
        if hasattr(self.s, "add"):
            self.assertRaises(UnsupportedTypeError, self.s.add, set_tests.BadCmp())
        self.assertEqual(self.s, set(self.word))

    def test_free_after_iterating(self) -> None:
        self.check_exhausted(self.thetype("ab"), iter)

    test_iterator_pickling = None
    test_subclass_with_custom_hash = None
    test_cyclical_repr = None
    test_do_not_rehash_dict_keys = None


class TestSet(StoredSetCase, set_tests.TestSet):
    """Each change a transaction of its own."""

    thetype = Factory(set)
    basetype = set

    test_init = None

    def test_inplace_on_self(self) -> None:
        s, plain = self.s, set(self.s)
        s |= s
        self.assertEqual(s, plain)
        s &= s
        self.assertEqual(s, plain)
        s ^= s
        self.assertEqual(s, set())
        s |= plain
        s -= s
        self.assertEqual(s, set())
        self.assertIs(s, self.s)


class TestSetInTransaction(TestSet):
    """All of a test one transaction."""

    in_transaction = True


class TestFrozenSet(StoredSetCase, set_tests.TestFrozenSet):
    """What can't change."""

    thetype = Factory(frozenset)
    basetype = frozenset

    test_init = None
    test_constructor_identity = None

    def test_copy(self) -> None:
        self.assertEqual(self.s.copy(), frozenset(self.word))
        self.assertIs(type(self.s.copy()), frozenset)


class StoredAttributes(StoredCase):
    """The sets that a test sets up as attributes are stored."""

    def setUp(self) -> None:
        super().setUp()
        for name in ("set", "dup", "left", "right", "a", "b"):
            plain = getattr(self, name, None)
            if type(plain) is set:
                setattr(self, name, Factory(set)(plain))


class StoredCopying(StoredAttributes):
    """Copies hold equal members; `is` says nothing of what is read anew each time."""

    set: Any

    def test_copy(self) -> None:
        self.assertEqual(sorted(self.set.copy(), key=repr), sorted(self.set, key=repr))


def stored(name: str, base: type = StoredAttributes) -> type:
    """Return CPython's class of that name, on stored sets."""
    return type(f"Test{name}", (base, getattr(set_tests, f"Test{name}")), {"__doc__": f"{name}, stored."})


TestBasicOpsEmpty = stored("BasicOpsEmpty")
TestBasicOpsSingleton = stored("BasicOpsSingleton")
TestBasicOpsTuple = stored("BasicOpsTuple")
TestBasicOpsString = stored("BasicOpsString")
TestBasicOpsBytes = stored("BasicOpsBytes")
TestBasicOpsMixedStringBytes = stored("BasicOpsMixedStringBytes")
TestBinaryOps = stored("BinaryOps")
TestUpdateOps = stored("UpdateOps")
TestMutate = stored("Mutate")
TestSubsetEqualEmpty = stored("SubsetEqualEmpty")
TestSubsetEqualNonEmpty = stored("SubsetEqualNonEmpty")
TestSubsetEmptyNonEmpty = stored("SubsetEmptyNonEmpty")
TestSubsetPartial = stored("SubsetPartial")
TestSubsetNonOverlap = stored("SubsetNonOverlap")
TestOnlySetsNumeric = stored("OnlySetsNumeric")
TestOnlySetsDict = stored("OnlySetsDict")
TestOnlySetsOperator = stored("OnlySetsOperator")
TestOnlySetsTuple = stored("OnlySetsTuple")
TestOnlySetsString = stored("OnlySetsString")
TestOnlySetsGenerator = stored("OnlySetsGenerator")
TestCopyingEmpty = stored("CopyingEmpty", StoredCopying)
TestCopyingSingleton = stored("CopyingSingleton", StoredCopying)
TestCopyingTriple = stored("CopyingTriple", StoredCopying)
TestCopyingTuple = stored("CopyingTuple", StoredCopying)
TestCopyingNested = stored("CopyingNested", StoredCopying)
TestIdentities = stored("Identities")


class TestVariousIteratorArgs(StoredCase, set_tests.TestVariousIteratorArgs):
    """Iterables of every make; the tests say `set`, and get stored ones."""

    def setUp(self) -> None:
        super().setUp()
        stand_in = unittest.mock.patch.object(set_tests, "set", Factory(set), create=True)
        stand_in.start()
        self.addCleanup(stand_in.stop)


del StoredSetCase, StoredAttributes, StoredCopying, StoredCase  # or they would be collected
