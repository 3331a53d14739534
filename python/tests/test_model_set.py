"""A stored set does what a set does, short and long."""

from __future__ import annotations

import operator
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from machines import LONGEST, STEPS, TwinMachine, counts, failing
from strict import exactly
from test_model_dict import keys as members

IN_PLACE = [operator.ior, operator.iand, operator.isub, operator.ixor]
UPDATES = ["update", "intersection_update", "difference_update", "symmetric_difference_update"]
COMBINATIONS = ["union", "intersection", "difference", "symmetric_difference"]
RELATIONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


class SetMachine(TwinMachine):
    """A stored set beside a set."""

    empty = set

    def alike(self, found: Any, expected: Any) -> bool:
        if type(found) is set and type(expected) is set:
            # The same members, of the same types: which of two equal ones stays is part of it.
            return found == expected and sorted(map(repr, found)) == sorted(map(repr, expected))
        return exactly(found) == exactly(expected)

    def holds(self, stored: Any) -> bool:
        return len(set(stored)) == len(self.model) and self.alike(stored.eager(deep=True), self.model)

    def both(self, operation: Any) -> None:
        before = set(self.model)
        super().both(operation)
        # Of two equal members a stored set keeps its own; builtin intersections may take the other's.
        kept = [member for member in before if member in self.model]
        self.model.difference_update(kept)
        self.model.update(kept)

    def others(self, start: int, count: int) -> set[Any]:
        """Return members to combine with, as many as there is room for."""
        return set(range(start, start + min(count, LONGEST - len(self.model))))

    @rule(member=members)
    def add(self, member: Any) -> None:
        self.both(lambda x: x.add(member))

    @rule(member=members)
    def discard(self, member: Any) -> None:
        self.both(lambda x: x.discard(member))

    @rule(member=members)
    def remove(self, member: Any) -> None:
        self.both(lambda x: x.remove(member))

    @rule(member=members)
    def look_for(self, member: Any) -> None:
        self.both(lambda x: member in x)

    @rule()
    def pop(self) -> None:
        stored = self.stored
        if not self.model:
            with pytest.raises(KeyError):
                stored.pop()
            return
        member = stored.pop()
        if hasattr(member, "eager"):
            member = member.eager(deep=True)
        assert member in self.model
        self.model.remove(member)

    @rule(bad=st.sampled_from([[], {}, ([],)]))
    def use_an_unhashable_member(self, bad: Any) -> None:
        self.both(lambda x: x.add(bad))
        self.both(lambda x: x.discard(bad))
        self.both(lambda x: bad in x)

    @rule(
        start=st.integers(0, LONGEST),
        count=counts,
        how=st.sampled_from(UPDATES),
        as_what=st.sampled_from([set, list, iter]),
    )
    def update(self, start: int, count: int, how: str, as_what: Any) -> None:
        others = self.others(start, count)
        self.both(lambda x: getattr(x, how)(as_what(others)))

    @rule(
        some=st.sets(members, max_size=4), more=st.sets(members, max_size=4), how=st.sampled_from(UPDATES[:3])
    )
    def update_with_several(self, some: set[Any], more: set[Any], how: str) -> None:
        self.both(lambda x: getattr(x, how)(some, more))

    @rule(others=st.frozensets(members, max_size=5), how=st.sampled_from(IN_PLACE), keep=st.booleans())
    def combine_in_place(self, others: frozenset[Any], how: Any, keep: bool) -> None:
        if how is operator.iand and keep:
            others |= frozenset(list(self.model)[:-3])

        def combine(x: Any) -> None:
            assert how(x, others) is x

        self.both(combine)

    @rule(how=st.sampled_from([operator.ior, operator.iand]))
    def combine_with_itself(self, how: Any) -> None:
        self.both(lambda x: how(x, x) and None)

    @precondition(lambda self: len(self.model) > 4000)
    @rule(how=st.sampled_from([operator.isub, operator.ixor]))
    def take_itself_away(self, how: Any) -> None:
        self.both(lambda x: how(x, x) and None)

    @rule(some=st.sets(members, min_size=1, max_size=4))
    def update_that_fails(self, some: set[Any]) -> None:
        with pytest.raises(LookupError, match="no more"):
            self.stored.update(failing(list(some)))

    @precondition(lambda self: len(self.model) > 4000)
    @rule()
    def clear(self) -> None:
        self.both(lambda x: x.clear())

    # --- reading ---

    @rule(others=st.sets(members, max_size=5), how=st.sampled_from(COMBINATIONS))
    def combine(self, others: set[Any], how: str) -> None:
        self.both(lambda x: len(getattr(x, how)(others)))
        assert getattr(self.stored, how)(others) == getattr(self.model, how)(others)

    @rule(others=st.sets(members, max_size=5), add=st.booleans(), how=st.sampled_from(RELATIONS))
    def compare(self, others: set[Any], add: bool, how: Any) -> None:
        if add:
            others |= self.model
        self.both(lambda x: (how(x, others), how(others, x)))
        self.both(lambda x: (x.issubset(others), x.issuperset(list(others)), x.isdisjoint(others)))

    @precondition(lambda self: self.model and "a new member" not in self.model)
    @rule()
    def change_while_iterating(self) -> None:
        def change(x: Any) -> None:
            for number, _ in enumerate(x):
                if number == 0:
                    x.add("a new member")

        self.both(change)


TestSet = SetMachine.TestCase
TestSet.settings = STEPS
