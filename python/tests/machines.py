"""What the model tests of stored containers have in common: one container in a map, beside its plain twin.

Operations run on both, and have to give the same or raise the same. Meanwhile transactions begin, nest, commit and
roll back, the map is reopened, and several handles to the same container are kept across all of it.
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from oocmap import OOCMap
from strict import eager, exactly, scratch

# More than ten thousand steps a machine in the normal run. They are cheap: the map is in memory if possible.
STEPS = settings(
    max_examples=settings().max_examples * 3, stateful_step_count=settings().stateful_step_count + 20
)

# What is stored in containers of every kind. 200 characters are shared when they repeat, 1,500 fill half a page.
elements = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    st.sampled_from([None, True, 0.5, -2.25, 1e300, "", "a", "b", b"a", "s" * 200, "t" * 200, b"u" * 1500]),
    st.sampled_from([(), (1, "a"), (1, (2, ("s" * 200,))), frozenset([1, "a"]), range(3)]),
)
counts = st.sampled_from([0, 1, 2, 5, 40, 300, 1000, 2500])
"""How much is put in or taken out at once: some go past the length at which a container leaves its record."""

LONGEST = 6000
"""Where a container stops growing, as each step compares all of it."""


def many(count: int, kind: str) -> list[Any]:
    """Return that many elements of a kind, each kind with a form of its own on disk."""
    if kind == "floats":
        return [number / 4 for number in range(count)]
    if kind == "texts":
        return [f"text {number}" for number in range(count)]
    if kind == "mixed":
        return [(number, str(number), None)[number % 3] for number in range(count)]
    return list(range(-count, count))[::2]


kinds = st.sampled_from(["ints", "floats", "texts", "mixed"])


SIMPLE = frozenset([int, str, float, bytes, bool, type(None)])


def plain(value: Any) -> Any:
    """Return a result without lazy parts, however they are packed."""
    kind = type(value)
    if kind is list or kind is tuple:
        return kind([plain(item) if type(item) not in SIMPLE else item for item in value])
    if kind is dict:
        return {plain(key): plain(item) for key, item in value.items()}
    if kind is set or kind is frozenset:
        return kind([eager(item) for item in value])
    return eager(value)


def alike(found: list[Any], expected: list[Any]) -> bool:
    """Tell whether two long lists are the same, types included, without a look at each number."""
    return (
        found == expected
        and [*map(type, found)] == [*map(type, expected)]
        and all(
            exactly(one) == exactly(other)
            for one, other in zip(found, expected, strict=True)
            if type(one) not in SIMPLE
        )
    )


def outcome(operation: Callable[[Any], Any], container: Any) -> tuple[Any, type | None]:
    """Return what an operation gives, as a plain object, or what it raises."""
    try:
        return plain(operation(container)), None
    except AssertionError:
        raise
    except Exception as error:
        return None, type(error)


class TwinMachine(RuleBasedStateMachine):
    """A stored container under the key `x`, and its twin."""

    empty: ClassVar[Callable[[], Any]]

    def __init__(self) -> None:
        super().__init__()
        self.directory = scratch()
        self.path = self.directory.name + "/model.ooc"
        self.m = OOCMap(self.path, durability="nometasync")
        self.m["x"] = type(self).empty()
        self.model = type(self).empty()
        self.handles = [self.m["x"]]
        self.transactions: list[Any] = []
        self.saved: list[Any] = []
        self.turn = 0

    def teardown(self) -> None:
        """Compare with what another opening of the file sees."""
        try:
            self.handles.clear()
            while self.transactions:
                self.roll_back()
            self.m.close()
            with OOCMap(self.path, readonly=True) as again:
                assert again["x"] == self.model
                assert len(again) == 1
                assert again.check() == []
        finally:
            self.directory.cleanup()

    @property
    def stored(self) -> Any:
        """One of the handles, each in its turn."""
        self.turn += 1
        return self.handles[self.turn % len(self.handles)]

    def both(self, operation: Callable[[Any], Any]) -> None:
        """Do the same to both; an error of the stored one may be a subclass."""
        expected, raises = outcome(operation, self.model)
        found, raised = outcome(operation, self.stored)
        if raises is not None:
            assert raised is not None, f"{raises.__name__} was not raised"
            assert issubclass(raised, raises), f"{raised.__name__} instead of {raises.__name__}"
        else:
            assert raised is None, raised
            assert self.alike(found, expected)

    def alike(self, found: Any, expected: Any) -> bool:
        """Tell whether two plain results are the same."""
        return exactly(found) == exactly(expected)

    # --- transactions, handles, reopening ---

    @precondition(lambda self: len(self.transactions) < 3)
    @rule(nested_by_map=st.booleans())
    def begin(self, nested_by_map: bool) -> None:
        parent = self.m if nested_by_map or not self.transactions else self.transactions[-1]
        self.transactions.append(parent.transaction())
        self.saved.append(copy.copy(self.model))

    @precondition(lambda self: self.transactions)
    @rule()
    def commit(self) -> None:
        self.transactions.pop().commit()
        self.saved.pop()

    @precondition(lambda self: self.transactions)
    @rule()
    def roll_back(self) -> None:
        self.transactions.pop().rollback()
        self.model = self.saved.pop()

    @precondition(lambda self: len(self.handles) < 3)
    @rule(through_map=st.booleans())
    def take_another_handle(self, through_map: bool) -> None:
        source = self.m if through_map or not self.transactions else self.transactions[-1]
        self.handles.append(source["x"])
        assert self.handles[0].same_as(self.handles[-1])

    @precondition(lambda self: len(self.handles) > 1)
    @rule()
    def drop_a_handle(self) -> None:
        del self.handles[0]
        gc.collect(0)

    @precondition(lambda self: not self.transactions)
    @rule()
    def reopen(self) -> None:
        self.m.close()
        self.m = OOCMap(self.path, durability="nometasync")
        self.handles = [self.m["x"]]

    # --- what holds after each step ---

    def holds(self, stored: Any) -> bool:
        """Tell whether a handle shows what the model holds."""
        raise NotImplementedError

    @invariant()
    def every_handle_shows_the_model(self) -> None:
        for handle in self.handles:
            assert len(handle) == len(self.model)
            assert bool(handle) is bool(self.model)
        assert self.holds(self.stored)

    @invariant()
    def is_in_order(self) -> None:
        assert self.m.check() == []


def failing(values: list[Any]) -> Any:
    """Generate the values, and then fail."""
    yield from values
    raise LookupError("no more")
