"""A stored list does what a list does, short and long, whatever the order of calls."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import operator
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from machines import LONGEST, STEPS, TwinMachine, alike, counts, elements, failing, kinds, many

positions = st.one_of(st.integers(-4, 4), st.integers(-LONGEST, LONGEST))
bounds = st.none() | positions
steps = st.sampled_from([None, None, None, 1, 2, -1, -3, 100])


class ListMachine(TwinMachine):
    """A stored list beside a list."""

    empty = list

    def __init__(self) -> None:
        super().__init__()
        self.iterators: list[tuple[Any, Any]] = []

    def alike(self, found: Any, expected: Any) -> bool:
        if type(found) is list and type(expected) is list:
            return alike(found, expected)
        return super().alike(found, expected)

    def holds(self, stored: Any) -> bool:
        if self.model and (stored[-1] != self.model[-1] or stored[0] != self.model[0]):
            return False
        return self.alike(stored.eager(deep=True), self.model)

    @property
    def room(self) -> int:
        """How many elements may still be added."""
        return LONGEST - len(self.model)

    # --- one element ---

    @rule(value=elements)
    def append(self, value: Any) -> None:
        self.both(lambda x: x.append(value))

    @rule(at=positions, value=elements)
    def insert(self, at: int, value: Any) -> None:
        self.both(lambda x: x.insert(at, value))

    @rule(at=positions)
    def pop(self, at: int) -> None:
        self.both(lambda x: x.pop(at))

    @rule()
    def pop_the_last(self) -> None:
        self.both(lambda x: x.pop())

    @rule(at=positions, value=elements)
    def set_item(self, at: int, value: Any) -> None:
        self.both(lambda x: operator.setitem(x, at, value))

    @rule(at=positions)
    def delete_item(self, at: int) -> None:
        self.both(lambda x: operator.delitem(x, at))

    @rule(value=elements)
    def remove(self, value: Any) -> None:
        self.both(lambda x: x.remove(value))

    # --- many ---

    @rule(count=counts, kind=kinds, as_what=st.sampled_from([list, tuple, iter]))
    def extend(self, count: int, kind: str, as_what: Any) -> None:
        values = many(min(count, self.room), kind)
        self.both(lambda x: x.extend(as_what(values)))

    @rule(values=st.lists(elements, max_size=5))
    def add_in_place(self, values: list[Any]) -> None:
        def add(x: Any) -> None:
            before = x
            x += values
            assert x is before

        self.both(add)

    @precondition(lambda self: len(self.model) * 2 <= LONGEST)
    @rule()
    def extend_by_itself(self) -> None:
        self.both(lambda x: x.extend(x))

    @precondition(lambda self: len(self.model) * 3 <= LONGEST)
    @rule(times=st.integers(-1, 3))
    def repeat_in_place(self, times: int) -> None:
        self.both(lambda x: operator.imul(x, times) and None)

    @rule(values=st.lists(elements, min_size=1, max_size=5))
    def extend_that_fails(self, values: list[Any]) -> None:
        before = len(self.model)
        self.both(lambda x: x.extend(failing(values)))
        del self.model[before:]  # a list keeps what came before the failure, a stored list does not

    @rule(start=bounds, stop=bounds, count=counts, kind=kinds)
    def set_slice(self, start: int | None, stop: int | None, count: int, kind: str) -> None:
        values = many(min(count, self.room), kind)
        self.both(lambda x: operator.setitem(x, slice(start, stop), values))

    @rule(start=bounds, stop=bounds, step=steps, exact=st.booleans())
    def set_extended_slice(self, start: int | None, stop: int | None, step: int | None, exact: bool) -> None:
        length = len(self.model[start:stop:step]) if exact else 2
        values = many(length, "mixed")
        self.both(lambda x: operator.setitem(x, slice(start, stop, step), values))

    @rule(start=bounds, stop=bounds, step=steps)
    def delete_slice(self, start: int | None, stop: int | None, step: int | None) -> None:
        self.both(lambda x: operator.delitem(x, slice(start, stop, step)))

    @rule(start=bounds)
    def set_slice_to_itself(self, start: int | None) -> None:
        if len(self.model) * 2 <= LONGEST:
            self.both(lambda x: operator.setitem(x, slice(start, start), x))

    @precondition(lambda self: len(self.model) > 4000)
    @rule()
    def clear(self) -> None:
        self.both(lambda x: x.clear())

    @rule(reverse=st.booleans(), by_text=st.booleans())
    def sort(self, reverse: bool, by_text: bool) -> None:
        before = self.model[:]
        failed = False

        def sort(x: Any) -> None:
            nonlocal failed
            try:
                # The text of a lazy element is that of its twin.
                x.sort(key=repr if by_text else None, reverse=reverse)
            except TypeError:
                failed = True
                raise

        self.both(sort)
        if failed:
            self.model[:] = before  # a list is left in any order, a stored list as it was

    @rule()
    def reverse(self) -> None:
        self.both(lambda x: x.reverse())

    # --- reading ---

    @rule(start=bounds, stop=bounds, step=steps)
    def read_slice(self, start: int | None, stop: int | None, step: int | None) -> None:
        self.both(lambda x: x[start:stop:step])

    @rule(value=elements, start=positions, stop=positions)
    def look_for(self, value: Any, start: int, stop: int) -> None:
        self.both(lambda x: (value in x, x.count(value)))
        self.both(lambda x: x.index(value))
        self.both(lambda x: x.index(value, start, stop))

    @rule(value=elements)
    def compare(self, value: Any) -> None:
        other = [*self.model[:-1], value]
        self.both(lambda x: (x == other, x != other))
        self.both(lambda x: x < other)
        self.both(lambda x: x >= other)
        assert self.stored == self.model
        assert not self.stored != self.model  # noqa: SIM202

    @rule()
    def read_backward(self) -> None:
        self.both(lambda x: list(reversed(x)))

    # --- iterators, which follow what changes meanwhile ---

    @precondition(lambda self: len(self.iterators) < 2)
    @rule()
    def iterate(self) -> None:
        self.iterators.append((iter(self.stored), iter(self.model)))

    @precondition(lambda self: self.iterators)
    @rule(count=st.sampled_from([1, 3, 50]))
    def go_on(self, count: int) -> None:
        stored, plain = self.iterators[0]
        for _ in range(count):
            found, expected = next(stored, "ended"), next(plain, "ended")
            assert found == expected

    @precondition(lambda self: self.iterators)
    @rule()
    def end_iteration(self) -> None:
        del self.iterators[0]

    def roll_back_iterators(self) -> None:
        """Forget iterators whose model is another list from now on."""
        self.iterators.clear()

    @precondition(lambda self: self.transactions)
    @rule()
    def roll_back(self) -> None:
        self.roll_back_iterators()
        self.transactions.pop().rollback()
        self.model = self.saved.pop()

    @precondition(lambda self: not self.transactions)
    @rule()
    def reopen(self) -> None:
        self.roll_back_iterators()
        TwinMachine.reopen(self)


TestList = ListMachine.TestCase
TestList.settings = STEPS
