"""A stored bytearray passes the tests that CPython runs on `bytearray`.

What is left out or replaced, and why, stands in `docs/testing.md`.
"""

# mypy: disable-error-code="name-defined, misc"

from __future__ import annotations

import unittest.mock
from typing import Any

import pytest
from factories import Factory, StoredCase

bytes_tests = pytest.importorskip("test.test_bytes", reason="this Python comes without CPython's tests")


class StoredByteArrayCase(StoredCase):
    """The tests say `bytearray`, and get stored ones; what operators and methods make is plain."""

    type2test = Factory(bytearray)

    def setUp(self) -> None:
        super().setUp()
        stand_in = unittest.mock.patch.object(bytes_tests, "bytearray", self.type2test, create=True)
        stand_in.start()
        self.addCleanup(stand_in.stop)

    def assertIs(self, first: Any, second: Any, msg: Any = None) -> None:  # noqa: N802
        super().assertIs(first, bytearray if second is self.type2test else second, msg)


class TestByteArray(StoredByteArrayCase, bytes_tests.ByteArrayTest):
    """Each change a transaction of its own."""

    test_basics = None
    test_bytearray_api = None
    test_check_encoding_errors = None
    test_alloc = None
    test_init_alloc = None
    test_iterator_pickling = None
    test_iterator_pickling2 = None
    test_obsolete_write_lock = None
    test_mutating_list_to_bytearray = None

    def test_free_after_iterating(self) -> None:
        self.check_exhausted(self.type2test(b"ab"), iter)
        self.check_exhausted(self.type2test(b"ab"), reversed)

    def test_resize_forbidden(self) -> None:
        # A view is of the version that it was made from, and hinders nobody.
        b = self.type2test(range(10))
        view = memoryview(b)
        b[1:-1] = range(100)
        self.assertEqual(len(b), 102)
        self.assertEqual(bytes(view), bytes(range(10)))
        b.clear()
        self.assertEqual(bytes(view), bytes(range(10)))


class TestByteArrayInTransaction(TestByteArray):
    """All of a test one transaction."""

    in_transaction = True


class TestAssorted(StoredByteArrayCase, bytes_tests.AssortedBytesTest):
    """Printing, formatting, and bytes beside bytearrays."""

    test_doc = None


class TestCopies(StoredByteArrayCase, bytes_tests.BytearrayPEP3137Test):
    """What methods return is never the object itself."""


class TestAsString(StoredByteArrayCase, bytes_tests.ByteArrayAsStringTest):
    """The methods that bytes share with strings; arguments are stored bytearrays too."""

    type2test = Factory(bytearray)

    test_fixtype = None


del StoredByteArrayCase, StoredCase  # or they would be collected
