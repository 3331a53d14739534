"""A map does what a dict does, whatever is stored and in whatever order of calls.

Hypothesis drives a map and a plain dict side by side, over every type of key and value, through
transactions that commit, roll back and nest, snapshots that are held meanwhile, and reopening. After
each step both hold the same, compared by type and bit for bit.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from oocmap import OOCMap
from strategies import comparable, keys, place, scalars, values
from strict import assert_stored, exactly, scratch

Model = dict[Any, Any]


def contents(mapping: Any) -> set[tuple[str, str]]:
    """Return everything that a mapping holds, in a form that only the same contents have."""
    return {(exactly(key), exactly(value)) for key, value in mapping.items()}


def stored_contents(mapping: Any) -> set[tuple[str, str]]:
    """Return the same for a map, a transaction or a snapshot."""
    plain = [
        (
            key.eager(deep=True) if hasattr(key, "eager") else key,
            value.eager(deep=True) if hasattr(value, "eager") else value,
        )
        for key, value in mapping.items()
    ]
    return {(exactly(key), exactly(value)) for key, value in plain}


class MapMachine(RuleBasedStateMachine):
    """A map beside a stack of dicts: what is committed, and one more for each open transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = scratch()
        self.path = self.directory.name + "/model.ooc"
        self.m = OOCMap(self.path)
        self.stack: list[Model] = [{}]
        self.transactions: list[Any] = []
        self.snapshots: list[tuple[Any, Model, int]] = []

    def teardown(self) -> None:
        """Check the snapshots a last time, and what another opening of the file sees."""
        try:
            for snapshot, expected, version in self.snapshots:
                assert stored_contents(snapshot) == contents(expected)
                assert snapshot.version == version
                snapshot.close()
            while self.transactions:
                self.transactions.pop().rollback()
            self.m.close()
            with OOCMap(self.path, readonly=True) as again:
                assert stored_contents(again) == contents(self.stack[0])
                assert again.check() == []
        finally:
            self.directory.cleanup()

    @property
    def model(self) -> Model:
        """What this thread should see."""
        return self.stack[-1]

    def target(self, through_map: bool) -> Any:
        """Return the map or the innermost transaction, which must be the same to the thread that holds it."""
        return self.m if through_map or not self.transactions else self.transactions[-1]

    @initialize(start=st.dictionaries(keys, values, max_size=5))
    def fill(self, start: Model) -> None:
        self.m.update(start)
        self.model.update(start)

    # --- one operation ---

    def some_key(self, data: st.DataObject) -> Any:
        """Draw a key that is there, more often than not."""
        known = data.draw(st.integers(0, 3)) > 0
        if self.model and known:
            return data.draw(st.sampled_from(list(self.model)))
        return data.draw(keys)

    @rule(key=keys, value=values, through_map=st.booleans())
    def set_item(self, key: Any, value: Any, through_map: bool) -> None:
        self.target(through_map)[key] = value
        self.model[key] = value

    @rule(data=st.data(), value=values, through_map=st.booleans())
    def overwrite(self, data: st.DataObject, value: Any, through_map: bool) -> None:
        key = self.some_key(data)
        self.target(through_map)[key] = value
        self.model[key] = value

    @rule(data=st.data(), through_map=st.booleans())
    def delete(self, data: st.DataObject, through_map: bool) -> None:
        key = self.some_key(data)
        if key in self.model:
            del self.target(through_map)[key]
            del self.model[key]
        else:
            with pytest.raises(KeyError):
                del self.target(through_map)[key]

    @rule(data=st.data(), through_map=st.booleans())
    def look_up(self, data: st.DataObject, through_map: bool) -> None:
        key = self.some_key(data)
        target = self.target(through_map)
        assert (key in target) is (key in self.model)
        if key in self.model:
            assert_stored(target[key], self.model[key])
            assert_stored(target.get(key), self.model[key])
        else:
            assert target.get(key, "absent") == "absent"
            with pytest.raises(KeyError):
                target[key]

    @rule(data=st.data(), with_default=st.booleans())
    def pop(self, data: st.DataObject, with_default: bool) -> None:
        key = self.some_key(data)
        target = self.target(True)
        if key in self.model or with_default:
            assert_stored(target.pop(key, "absent"), self.model.pop(key, "absent"))
        else:
            with pytest.raises(KeyError):
                target.pop(key)

    @rule(data=st.data(), value=values)
    def set_default(self, data: st.DataObject, value: Any) -> None:
        key = self.some_key(data)
        assert_stored(self.target(False).setdefault(key, value), self.model.setdefault(key, value))

    @rule()
    def pop_item(self) -> None:
        target = self.target(False)
        if not self.model:
            with pytest.raises(KeyError):
                target.popitem()
            return
        key, value = target.popitem()
        assert_stored(value, self.model.pop(key))

    @rule(other=st.dictionaries(keys, values, max_size=4), as_pairs=st.booleans(), through_map=st.booleans())
    def update(self, other: Model, as_pairs: bool, through_map: bool) -> None:
        self.target(through_map).update(iter(list(other.items())) if as_pairs else other)
        self.model.update(other)

    @rule(other=st.dictionaries(keys, scalars, max_size=3))
    def update_in_place(self, other: Model) -> None:
        target = self.target(True)
        target |= other
        self.model.update(other)

    @rule(other=st.dictionaries(keys, scalars, min_size=1, max_size=3))
    def update_that_fails(self, other: Model) -> None:
        def pairs() -> Any:
            yield from other.items()
            raise LookupError("no more")

        with pytest.raises(LookupError, match="no more"):
            self.target(True).update(pairs())

    @precondition(lambda self: len(self.model) > 8)
    @rule()
    def clear(self) -> None:
        self.target(False).clear()
        self.model.clear()

    # --- transactions, snapshots, reopening ---

    @precondition(lambda self: len(self.transactions) < 4)
    @rule(through_map=st.booleans())
    def begin(self, through_map: bool) -> None:
        self.transactions.append(self.target(through_map).transaction())
        self.stack.append(dict(self.model))

    @precondition(lambda self: self.transactions)
    @rule()
    def commit(self) -> None:
        self.transactions.pop().commit()
        inner = self.stack.pop()
        self.stack[-1] = inner

    @precondition(lambda self: self.transactions)
    @rule()
    def roll_back(self) -> None:
        self.transactions.pop().rollback()
        self.stack.pop()

    @precondition(lambda self: len(self.snapshots) < 3)
    @rule()
    def take_snapshot(self) -> None:
        snapshot = self.m.snapshot()
        self.snapshots.append((snapshot, dict(self.stack[0]), snapshot.version))

    @precondition(lambda self: self.snapshots)
    @rule()
    def check_snapshot(self) -> None:
        snapshot, expected, version = self.snapshots.pop(0)
        assert stored_contents(snapshot) == contents(expected)
        assert len(snapshot) == len(expected)
        assert snapshot.version == version
        snapshot.close()

    @precondition(lambda self: not self.transactions)
    @rule()
    def reopen(self) -> None:
        while self.snapshots:
            self.check_snapshot()
        self.m.close()
        self.m = OOCMap(self.path)

    # --- order ---

    @rule(start=st.none() | keys, stop=st.none() | keys, reverse=st.booleans())
    def cut_a_range(self, start: Any, stop: Any, reverse: bool) -> None:
        low, high = place(start), place(stop)
        if low is None or high is None:
            return
        if start is None:
            low = ()
        part = self.target(True).range(start, stop, reverse=reverse)
        found = [key for key in part.keys() if place(key) is not None]
        expected = [
            key
            for key in self.model
            if (at := place(key)) is not None and low <= at and (stop is None or at < high)
        ]
        expected.sort(key=place, reverse=reverse)  # type: ignore[arg-type]
        assert [exactly(eager_key(key)) for key in found] == [exactly(key) for key in expected]

    @rule(
        prefix=st.lists(st.sampled_from([0, 1, "a", b"", None]), max_size=2).map(tuple)
        | st.sampled_from(["", "a", b"", b"\0"])
    )
    def cut_a_prefix(self, prefix: Any) -> None:
        part = self.target(False).prefix(prefix)
        expected = {
            exactly(key) for key in self.model if type(key) is type(prefix) and key[: len(prefix)] == prefix
        }
        assert {exactly(eager_key(key)) for key in part.keys()} == expected
        assert len(part.items()) == len(expected)

    # --- what holds after each step ---

    @invariant()
    def holds_the_same(self) -> None:
        target = self.target(True)
        assert len(target) == len(self.model)
        assert bool(target) is bool(self.model)
        assert stored_contents(target) == contents(self.model)

    @invariant()
    def is_in_order(self) -> None:
        found = list(self.target(False))
        assert list(reversed(self.target(True))) == found[::-1]
        places = [at for key in found if (at := place(key)) is not None]
        assert places == sorted(places)
        kinds = sorted(filter(None, map(comparable, found)))
        for kind in dict.fromkeys(kinds):
            members = [key for key in found if comparable(key) == kind]
            for earlier, later in itertools.pairwise(members):
                assert earlier < later


def eager_key(key: Any) -> Any:
    """Return a key as the plain object that it stands for."""
    return key.eager(deep=True) if hasattr(key, "eager") else key


TestMap = MapMachine.TestCase
