"""Leaves of stored documents may be put in the place of any others, in whatever order, transaction and process.

That is done in the record as it lies, so here is what could come to harm: texts that stand in several places and are
stored once, neighbours, handles, what savepoints take back, what snapshots show, the length at which a container
leaves its record, and what the record refers to.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import copy
import gc
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from oocmap import OOCMap
from strategies import scalars
from strict import eager, exactly, scratch

STEPS = settings(
    max_examples=settings().max_examples * 2, stateful_step_count=settings().stateful_step_count + 20
)

# Few texts, so that many places have the same one, and each number at a length where its form changes.
leaves = st.one_of(
    st.sampled_from([None, True, False, ..., 0, -1, 0.5, -0.0, "", "a", "ab", "abc", b"ab", "\tab", 1j]),
    st.integers(0, 64).map(lambda bits: 2**bits),
    st.integers(0, 70).map(lambda bits: -(2**bits) - 1),
    st.integers(0, 130).map(lambda length: "x" * length),
    st.integers(120, 300).map(lambda length: "long" * length),
    scalars,
)
KEYS = ["a", "b", "c", "the same", 1, 2.5]
keys = st.sampled_from(KEYS)
places = st.integers(0, 400)


def document(width: int) -> dict[str, Any]:
    """Return a document of several containers, in which everything stands more than once."""
    return {
        "dict": dict.fromkeys(KEYS, "the same"),
        "list": ["the same", 1.5, 1.5, 2**40, 2**40, None, ("the same", 1.5, [1.5])],
        "wide": [number / 4 if number % 2 else str(number % 5) for number in range(width)],
        "inner": {"list": [1, 2, 3], "tuple": ("the same", {"a": 1})},
    }


class LeafMachine(RuleBasedStateMachine):
    """Two documents in one map, one of which the other refers to, beside their twins."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = scratch()
        self.path = self.directory.name + "/model.ooc"
        self.m = OOCMap(self.path, durability="nometasync")
        self.model: dict[str, Any] = {"x": document(5), "y": document(150)}
        self.m.update(self.model)
        self.m["x"]["other"] = self.m["y"]
        self.model["x"]["other"] = self.model["y"]
        self.kept: list[tuple[Any, tuple[Any, ...]]] = []
        self.transactions: list[Any] = []
        self.saved: list[dict[str, Any]] = []
        self.snapshots: list[tuple[Any, dict[str, Any]]] = []

    def teardown(self) -> None:
        try:
            self.kept.clear()
            while self.transactions:
                self.roll_back()
            self.close_a_snapshot()
            self.m.close()
            with OOCMap(self.path, readonly=True) as again:
                assert exactly(eager(again["x"])) == exactly(self.model["x"])
                assert again.check() == []
        finally:
            self.directory.cleanup()

    @property
    def root(self) -> Any:
        """What is written through: the innermost transaction, or else the map."""
        return self.transactions[-1] if self.transactions else self.m

    def way(self, root: Any, way: tuple[Any, ...]) -> Any:
        for step in way:
            root = root[step]
        return root

    def put(self, way: tuple[Any, ...], place: Any, value: Any) -> None:
        """Put a value in a place of a container, by a handle that was kept, if one was, or on a new way there."""
        twin = self.way(self.model, way)
        if isinstance(twin, list):
            place %= len(twin)
        handle = next((handle for handle, known in self.kept if known == way), None)
        if handle is None:
            handle = self.way(self.root, way)
        handle[place] = value
        twin[place] = value
        assert exactly(eager(handle[place])) == exactly(value)

    # --- leaves ---

    @rule(name=st.sampled_from("xy"), key=keys, value=leaves)
    def set_in_a_dict(self, name: str, key: Any, value: Any) -> None:
        self.put((name, "dict"), key, value)

    @rule(name=st.sampled_from("xy"), at=places, value=leaves)
    def set_in_a_list(self, name: str, at: int, value: Any) -> None:
        # The last element is no leaf.
        self.put((name, "list"), at % 6, value)

    @rule(name=st.sampled_from("xy"), at=places, value=leaves)
    def set_in_a_wide_list(self, name: str, at: int, value: Any) -> None:
        self.put((name, "wide"), at, value)

    @rule(value=leaves)
    def set_deep_inside(self, value: Any) -> None:
        self.put(("x", "list", 6, 2), 0, value)
        self.put(("x", "other", "inner", "tuple", 1), "a", value)

    @rule(value=st.integers(-5000, 5000))
    def count(self, value: int) -> None:
        way = ("x", "inner", "list")
        self.way(self.root, way)[1] += value
        self.way(self.model, way)[1] += value

    @rule(name=st.sampled_from("xy"), values=st.dictionaries(keys, leaves, max_size=4))
    def set_many_in_a_dict(self, name: str, values: dict[Any, Any]) -> None:
        pairs = [*values.items(), *values.items()]
        self.root[name]["dict"].update(pairs)
        self.model[name]["dict"].update(pairs)

    @rule(name=st.sampled_from("xy"), value=leaves, start=places, step=st.sampled_from([2, 3, -2]))
    def set_many_in_a_list(self, name: str, value: Any, start: int, step: int) -> None:
        twin = self.model[name]["wide"]
        cut = slice(start % len(twin), None, step)
        values = [value] * len(twin[cut])
        self.root[name]["wide"][cut] = values
        twin[cut] = values

    @rule(name=st.sampled_from("xy"), at=places, value=st.text("abc", min_size=50, max_size=60))
    def widen(self, name: str, at: int, value: str) -> None:
        """Put texts everywhere, so that the list becomes too long for its record by that alone."""
        for place in range(len(self.model[name]["wide"])):
            self.put((name, "wide"), place, f"{value}{place + at}")

    # --- what is no leaf, in between ---

    @rule(name=st.sampled_from("xy"), key=keys)
    def set_a_container(self, name: str, key: Any) -> None:
        self.put((name, "dict"), key, ["the same", {"a": 1.5}])

    @rule(name=st.sampled_from("xy"), key=keys)
    def delete_and_insert(self, name: str, key: Any) -> None:
        for root in (self.root, self.model):
            del root[name]["dict"][key]
            root[name]["dict"][key] = "the same"

    @rule(value=leaves)
    def append(self, value: Any) -> None:
        if len(self.model["x"]["wide"]) < 20:
            for root in (self.root, self.model):
                root["x"]["wide"].append(value)

    @rule()
    def refer_to_the_other(self) -> None:
        """Store a reference over one that is there, and a copy of nothing."""
        self.root["x"]["other"] = self.root["y"]

    # --- handles, transactions, snapshots ---

    @precondition(lambda self: len(self.kept) < 4)
    @rule(
        way=st.sampled_from(
            [("x", "dict"), ("x", "list"), ("x", "wide"), ("y", "dict"), ("y", "wide"), ("x", "list", 6, 2)]
        )
    )
    def keep_a_handle(self, way: tuple[Any, ...]) -> None:
        self.kept.append((self.way(self.m, way), way))

    @precondition(lambda self: self.kept)
    @rule()
    def drop_a_handle(self) -> None:
        del self.kept[0]
        gc.collect(0)

    @precondition(lambda self: len(self.transactions) < 3)
    @rule()
    def begin(self) -> None:
        self.transactions.append(self.m.transaction())
        self.saved.append(copy.deepcopy(self.model))

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

    @precondition(lambda self: not self.transactions and not self.snapshots)
    @rule()
    def take_a_snapshot(self) -> None:
        self.snapshots.append((self.m.snapshot(), copy.deepcopy(self.model)))

    @rule()
    def close_a_snapshot(self) -> None:
        while self.snapshots:
            snapshot, then = self.snapshots.pop()
            assert exactly(eager(snapshot["x"])) == exactly(then["x"])
            snapshot.close()

    # --- what holds after each step ---

    @invariant()
    def all_is_as_in_the_model(self) -> None:
        assert exactly(eager(self.root["x"])) == exactly(self.model["x"])
        for handle, way in self.kept:
            assert exactly(eager(handle)) == exactly(self.way(self.model, way))

    @invariant()
    def is_in_order(self) -> None:
        assert self.m.check() == []


TestLeaves = LeafMachine.TestCase
TestLeaves.settings = STEPS
