"""A stored bytearray does what a bytearray does, short and long."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import operator
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from machines import STEPS, TwinMachine, failing

LONGEST = 40_000
SIZES = st.sampled_from([0, 1, 2, 5, 40, 300, 2500, 15_000])
positions = st.one_of(st.integers(-4, 4), st.integers(-LONGEST, LONGEST))
bounds = st.none() | positions
steps = st.sampled_from([None, None, None, 1, 2, -1, -3, 100])
numbers = st.one_of(st.integers(0, 255), st.sampled_from([-1, 256, 2**70, None, "a", b"a", 1.5]))
texts = st.one_of(st.binary(max_size=4), st.sampled_from([b"\0", b"ab", b" ", b"\xff" * 300]))
SEARCHES = ["find", "rfind", "index", "rindex", "count", "startswith", "endswith"]


def many(size: int) -> bytes:
    """Return that many bytes, of all values."""
    return bytes(range(251)) * (size // 251) + bytes(range(size % 251))


class ByteArrayMachine(TwinMachine):
    """A stored bytearray beside a bytearray."""

    empty = bytearray

    def holds(self, stored: Any) -> bool:
        assert type(stored.eager()) is bytearray
        return bytes(stored) == self.model and bool(stored.eager(deep=True) == self.model)

    @property
    def room(self) -> int:
        """How many bytes may still be added."""
        return LONGEST - len(self.model)

    @rule(value=numbers)
    def append(self, value: Any) -> None:
        self.both(lambda x: x.append(value))

    @rule(at=positions, value=numbers)
    def insert(self, at: int, value: Any) -> None:
        self.both(lambda x: x.insert(at, value))

    @rule(at=positions)
    def pop(self, at: int) -> None:
        self.both(lambda x: x.pop(at))

    @rule(at=positions, value=numbers)
    def set_item(self, at: int, value: Any) -> None:
        self.both(lambda x: operator.setitem(x, at, value))

    @rule(at=positions)
    def delete_item(self, at: int) -> None:
        self.both(lambda x: operator.delitem(x, at))

    @rule(value=numbers)
    def remove(self, value: Any) -> None:
        self.both(lambda x: x.remove(value))

    @rule(size=SIZES, as_what=st.sampled_from([bytes, bytearray, memoryview, list, iter]))
    def extend(self, size: int, as_what: Any) -> None:
        added = many(min(size, self.room))
        self.both(lambda x: x.extend(as_what(added)))

    @rule(added=texts, as_what=st.sampled_from([bytes, bytearray, memoryview, list]))
    def add_in_place(self, added: bytes, as_what: Any) -> None:
        def add(x: Any) -> None:
            before = x
            x += as_what(added)
            assert x is before

        self.both(add)

    @rule(added=st.lists(st.integers(0, 255), max_size=3), bad=st.sampled_from([256, -1, None, "a"]))
    def extend_that_fails(self, added: list[int], bad: Any) -> None:
        self.both(lambda x: x.extend([*added, bad]))
        self.both(lambda x: x.extend(failing(added)))

    @precondition(lambda self: len(self.model) * 3 <= LONGEST)
    @rule(times=st.integers(-1, 3))
    def repeat_in_place(self, times: int) -> None:
        self.both(lambda x: operator.imul(x, times) and None)

    @rule(start=bounds, stop=bounds, size=SIZES)
    def set_slice(self, start: int | None, stop: int | None, size: int) -> None:
        added = many(min(size, self.room))
        self.both(lambda x: operator.setitem(x, slice(start, stop), added))

    @rule(start=bounds, stop=bounds, step=steps, exact=st.booleans())
    def set_extended_slice(self, start: int | None, stop: int | None, step: int | None, exact: bool) -> None:
        added = many(len(self.model[start:stop:step]) if exact else 2)
        self.both(lambda x: operator.setitem(x, slice(start, stop, step), added))

    @rule(start=bounds, stop=bounds, step=steps)
    def delete_slice(self, start: int | None, stop: int | None, step: int | None) -> None:
        self.both(lambda x: operator.delitem(x, slice(start, stop, step)))

    @precondition(lambda self: len(self.model) > 20_000)
    @rule()
    def clear(self) -> None:
        self.both(lambda x: x.clear())

    @rule()
    def reverse(self) -> None:
        self.both(lambda x: x.reverse())

    # --- reading ---

    @rule(start=bounds, stop=bounds, step=steps)
    def read_slice(self, start: int | None, stop: int | None, step: int | None) -> None:
        self.both(lambda x: x[start:stop:step])

    @rule(how=st.sampled_from(SEARCHES), text=texts, start=bounds, stop=bounds)
    def look_for(self, how: str, text: bytes, start: int | None, stop: int | None) -> None:
        self.both(lambda x: text in x)
        self.both(lambda x: getattr(x, how)(text))
        self.both(lambda x: getattr(x, how)(text, start, stop))

    @rule(text=texts)
    def make_others(self, text: bytes) -> None:
        self.both(lambda x: (x.hex(), x + text, text + x, x.upper(), x.strip(text)))
        self.both(lambda x: x.split(text, 3))
        self.both(lambda x: x.replace(text, b"-", 2))
        self.both(lambda x: x.partition(text))

    @rule(end=texts)
    def compare(self, end: bytes) -> None:
        other = bytes(self.model[:-1]) + end
        self.both(lambda x: (x == other, x != other, x < other, x >= other, other < x))
        assert self.stored == self.model
        assert self.model == self.stored

    @rule()
    def view(self) -> None:
        self.both(lambda x: bytes(memoryview(x)))


TestByteArray = ByteArrayMachine.TestCase
TestByteArray.settings = STEPS
