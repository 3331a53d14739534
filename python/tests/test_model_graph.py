"""Containers that refer to each other keep who is who, through aliases, cycles, transactions and reopening.

The model is made of plain containers of its own: storing a handle puts the very object into the model, storing a plain
object a new one. After each step both graphs are walked side by side: two handles are of one stored object exactly when
the model has one object there. Handles outlive the places where they were found, see what a rollback brings back, and
are stale when a rollback took away what they stand for.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from machines import SIMPLE, STEPS, failing
from oocmap import OOCMap, ReadOnlyError, StaleObjectError
from strict import exactly, scratch

MUTABLE = (list, dict, set, bytearray)
KEYS = ["a", "b", "c", 1, 2]
NAMES = ["x", "y", "z", 0, "n" * 300]
LARGEST = 60
"""Where the graph stops growing."""

leaves = st.sampled_from(
    [None, 0, 1, -5, 2**80, 1.5, "", "leaf", "shared" * 40, b"bytes", (), (1, ("two",)), frozenset([3])]
)

# What is to be stored, as a plan: it is built once for the map, with handles, and once for the model. A plan is a leaf, a
# handle by its number, or a container with plans inside; `back` is a container that is being built around it.
plans = st.recursive(
    st.one_of(
        st.tuples(st.just("leaf"), leaves),
        st.tuples(st.just("handle"), st.integers(0, 7)),
        st.tuples(st.just("back"), st.integers(0, 3)),
        st.tuples(st.just("set"), st.sets(st.integers(0, 9), max_size=3)),
        st.tuples(st.just("bytearray"), st.binary(max_size=4)),
    ),
    lambda inner: st.one_of(
        st.tuples(st.just("list"), st.lists(inner, max_size=3)),
        st.tuples(st.just("tuple"), st.lists(inner, max_size=2)),
        st.tuples(st.just("dict"), st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)),
    ),
    max_leaves=5,
)
containers = plans.filter(lambda plan: plan[0] in ("list", "dict", "set", "bytearray"))


def build(plan: Any, handles: list[Any]) -> Any:
    """Build what a plan says, out of plain containers and what stands for the handles."""
    around: list[Any] = []

    def make(plan: Any) -> Any:
        kind, content = plan
        if kind == "leaf":
            return content
        if kind == "handle":
            return handles[content % len(handles)] if handles else content
        if kind == "back":
            return around[content % len(around)] if around else content
        if kind == "tuple":
            return tuple([make(each) for each in content])
        made: Any = {"list": list, "dict": dict, "set": set, "bytearray": bytearray}[kind]()
        around.append(made)
        if kind == "list":
            made.extend([make(each) for each in content])
        elif kind == "dict":
            made.update({key: make(each) for key, each in content.items()})
        elif kind == "set":
            made.update(content)
        else:
            made.extend(content)
        return made

    return make(plan)


def inside(container: Any) -> list[Any]:
    """Return what containers hold directly, in an order that both sides share."""
    if isinstance(container, (list, tuple)):
        return list(container)
    return list(container.values()) if isinstance(container, dict) else []


def reachable(roots: list[Any]) -> Iterator[Any]:
    """Give each mutable container of the model once."""
    seen: set[int] = set()
    found = list(roots)
    while found:
        each = found.pop()
        if isinstance(each, MUTABLE) and id(each) in seen:
            continue
        if isinstance(each, MUTABLE):
            seen.add(id(each))
            yield each
        found += [item for item in inside(each) if type(item) not in SIMPLE]


class Correspondence:
    """Which handle stands for which object of the model, found by walking both."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[Any, Any]] = {}

    def walk(self, stored: Any, plain: Any) -> None:
        """Compare everything that can be reached from a handle and its object."""
        pairs = [(stored, plain)]
        while pairs:
            stored, plain = pairs.pop()
            if not isinstance(plain, (*MUTABLE, tuple)):
                found = stored.eager(deep=True) if hasattr(stored, "eager") else stored
                assert exactly(found) == exactly(plain)
                continue
            assert type(stored).__name__.lower() == f"lazy{type(plain).__name__}"
            if isinstance(plain, MUTABLE) and self.meet(stored, plain):
                continue
            assert len(stored) == len(plain)
            if isinstance(plain, (set, bytearray)):
                assert stored == plain
                continue
            values: Any = stored
            if isinstance(plain, dict):
                assert list(stored) == list(plain)
                values = stored.values()
            for found, expected in zip(values, inside(plain), strict=True):
                if type(expected) in SIMPLE:
                    assert type(found) is type(expected)
                    assert found == expected
                else:
                    pairs.append((found, expected))

    def meet(self, stored: Any, plain: Any) -> bool:
        """Hold a handle against those of all objects met so far, and tell whether this one was among them."""
        if id(plain) in self.known:
            assert self.known[id(plain)][0].same_as(stored)
            return True
        for other, _ in self.known.values():
            assert not other.same_as(stored)
        self.known[id(plain)] = (stored, plain)
        return False


class GraphMachine(RuleBasedStateMachine):
    """A map and a dict of plain containers."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = scratch()
        self.path = self.directory.name + "/model.ooc"
        self.m = OOCMap(self.path, durability="nometasync")
        self.model: dict[Any, Any] = {}
        self.handles: list[tuple[Any, Any]] = []
        self.transactions: list[Any] = []
        # For each open transaction: the entries, and every container that there was, with a copy of what was in it.
        self.saved: list[tuple[dict[Any, Any], list[tuple[Any, Any]]]] = []
        self.stale: list[Any] = []
        self.snapshot: tuple[Any, dict[Any, Any]] | None = None
        self.is_large = False

    def teardown(self) -> None:
        """Walk what another opening of the file sees."""
        try:
            if self.snapshot is not None:
                self.let_go_of_the_snapshot()
            while self.transactions:
                self.roll_back()
            self.handles.clear()
            self.stale.clear()
            self.m.close()
            with OOCMap(self.path, readonly=True) as again:
                both = Correspondence()
                assert set(again) == set(self.model)
                for key, plain in self.model.items():
                    both.walk(again[key], plain)
                assert again.check() == []
        finally:
            self.directory.cleanup()

    # --- what rules use ---

    def built(self, plan: Any) -> tuple[Any, Any]:
        """Build a plan for the map and for the model."""
        return build(plan, [handle for handle, _ in self.handles]), build(
            plan, [plain for _, plain in self.handles]
        )

    def find(self, data: st.DataObject, *kinds: type) -> tuple[Any, Any] | None:
        """Draw a handle to a container of these kinds, from those that are kept or from those in the map."""
        kept = [(handle, plain) for handle, plain in self.handles if isinstance(plain, kinds)]
        keys = [key for key, plain in self.model.items() if isinstance(plain, kinds)]
        if not kept and not keys:
            return None
        at = data.draw(st.integers(0, len(kept) + len(keys) - 1))
        return (
            kept[at] if at < len(kept) else (self.m[keys[at - len(kept)]], self.model[keys[at - len(kept)]])
        )

    def everything(self) -> Iterator[Any]:
        """Give every container that is stored or held by a handle."""
        return reachable([*self.model.values(), *(plain for _, plain in self.handles)])

    # --- entries ---

    @precondition(lambda self: not self.is_large)
    @rule(key=st.sampled_from(KEYS), plan=plans)
    def store(self, key: Any, plan: Any) -> None:
        stored, plain = self.built(plan)
        self.m[key] = stored
        self.model[key] = plain

    @precondition(lambda self: self.handles)
    @rule(key=st.sampled_from(KEYS), number=st.integers(0, 7))
    def store_a_reference(self, key: Any, number: int) -> None:
        handle, plain = self.handles[number % len(self.handles)]
        self.m[key] = handle
        self.model[key] = plain
        assert self.m[key].same_as(handle)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), key=st.sampled_from(KEYS))
    def store_under_another_key(self, data: st.DataObject, key: Any) -> None:
        other = data.draw(st.sampled_from(list(self.model)))
        self.m[key] = self.m[other]
        self.model[key] = self.model[other]

    @precondition(lambda self: self.model)
    @rule(data=st.data(), how=st.sampled_from(["del", "pop", "clear"]))
    def delete(self, data: st.DataObject, how: str) -> None:
        key = data.draw(st.sampled_from(list(self.model)))
        if how == "del":
            del self.m[key]
            del self.model[key]
        elif how == "pop":
            stored, plain = self.m.pop(key), self.model.pop(key)
            Correspondence().walk(stored, plain)
            self.keep(stored, plain)
        elif self.is_large:
            self.m.clear()
            self.model.clear()

    @rule(plan=containers)
    def store_several_that_share(self, plan: Any) -> None:
        if self.is_large:
            return
        stored, plain = self.built(plan)
        self.m.update({"a": stored, "b": [stored, 1]})
        # Entries are values of their own: what two of them share is stored once for each.
        _, other = self.built(plan)
        self.model["a"] = plain
        self.model["b"] = [other, 1]

    # --- handles ---

    def keep(self, handle: Any, plain: Any) -> None:
        """Keep a handle, unless it is of something immutable."""
        if isinstance(plain, MUTABLE):
            self.handles.append((handle, plain))
            del self.handles[:-6]

    @rule(data=st.data())
    def take_a_handle(self, data: st.DataObject) -> None:
        found = self.find(data, *MUTABLE, tuple)
        if found is None:
            return
        handle, plain = found
        while isinstance(plain, (list, dict, tuple)) and plain and data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(plain) - 1))
            name = list(plain)[at] if isinstance(plain, dict) else at
            if not isinstance(plain[name], (*MUTABLE, tuple)):
                break
            handle, plain = handle[name], plain[name]
        self.keep(handle, plain)

    @precondition(lambda self: self.handles)
    @rule(number=st.integers(0, 5))
    def drop_a_handle(self, number: int) -> None:
        del self.handles[number % len(self.handles)]
        gc.collect(0)

    # --- lists ---

    @precondition(lambda self: not self.is_large)
    @rule(data=st.data(), plan=plans, how=st.sampled_from(["append", "insert", "set", "extend", "slice"]))
    def put_into_a_list(self, data: st.DataObject, plan: Any, how: str) -> None:
        found = self.find(data, list)
        if found is None:
            return
        value = self.built(plan)
        for container, new in zip(found, value, strict=True):
            if how == "append":
                container.append(new)
            elif how == "insert":
                container.insert(1, new)
            elif how == "set" and len(container) > 0:
                container[-1] = new
            elif how == "extend":
                container.extend([new, 7])
            else:
                container[1:2] = [new]

    @rule(data=st.data(), at=st.integers(0, 3))
    def put_a_container_into_itself(self, data: st.DataObject, at: int) -> None:
        found = self.find(data, list, dict)
        if found is None:
            return
        for container in found:
            if hasattr(container, "append"):
                container.insert(at, container)
            else:
                container["self"] = container

    @rule(data=st.data(), how=st.sampled_from(["pop", "del", "reverse", "slice", "clear", "double"]))
    def rearrange_a_list(self, data: st.DataObject, how: str) -> None:
        found = self.find(data, list)
        if found is None or not found[1]:
            return
        stored, plain = found
        if how == "pop":
            taken = stored.pop(0), plain.pop(0)
            Correspondence().walk(*taken)
            self.keep(*taken)
            return
        for container in found:
            if how == "del":
                del container[-1]
            elif how == "reverse":
                container.reverse()
            elif how == "slice":
                del container[::2]
            elif how == "double" and len(plain) < 2000:
                container.extend(container[:])  # handles: the same objects a second time
            elif how == "clear":
                container.clear()

    @rule(data=st.data(), count=st.sampled_from([600, 2500]), number=st.integers(0, 7))
    def make_a_list_long(self, data: st.DataObject, count: int, number: int) -> None:
        found = self.find(data, list)
        if found is None or len(found[1]) > 3000:
            return
        inner = self.handles[number % len(self.handles)] if self.handles else (0, 0)
        for container, each in zip(found, inner, strict=True):
            container.extend([*range(count), each, *[each] * 20])

    @rule(data=st.data(), many=st.integers(1, 40))
    def store_many_small_ones(self, data: st.DataObject, many: int) -> None:
        found = self.find(data, list)
        if found is None or self.is_large:
            return
        for container in found:
            container.extend([[n], {"n": n}][n % 2] for n in range(many))

    # --- dicts, sets, bytearrays ---

    @precondition(lambda self: not self.is_large)
    @rule(
        data=st.data(),
        name=st.sampled_from(NAMES),
        plan=plans,
        how=st.sampled_from(["set", "update", "setdefault"]),
    )
    def put_into_a_dict(self, data: st.DataObject, name: Any, plan: Any, how: str) -> None:
        found = self.find(data, dict)
        if found is None:
            return
        value = self.built(plan)
        for container, new in zip(found, value, strict=True):
            if how == "set":
                container[name] = new
            elif how == "update":
                container.update({name: new, "more": 1})
            else:
                container.setdefault(name, new)

    @rule(data=st.data(), how=st.sampled_from(["pop", "popitem", "del", "clear", "long", "short"]))
    def rearrange_a_dict(self, data: st.DataObject, how: str) -> None:
        found = self.find(data, dict)
        if found is None or not found[1]:
            return
        stored, plain = found
        name = data.draw(st.sampled_from(list(plain)[:5]))
        if how in ("pop", "popitem"):
            taken = (
                (stored.pop(name), plain.pop(name))
                if how == "pop"
                else (stored.popitem()[1], plain.popitem()[1])
            )
            Correspondence().walk(*taken)
            self.keep(*taken)
            return
        for container in found:
            if how == "del":
                del container[name]
            elif how == "clear":
                container.clear()
            elif how == "long":
                container.update((number, str(number)) for number in range(1000, 2500))
            else:
                for number in range(1000, 2500):
                    container.pop(number, None)
                    if number not in container and number % 100 == 0 and len(container) < 20:
                        break

    @rule(data=st.data(), number=st.integers(0, 30), many=st.booleans())
    def change_a_set(self, data: st.DataObject, number: int, many: bool) -> None:
        found = self.find(data, set)
        if found is None:
            return
        for container in found:
            if many:
                container ^= set(range(number * 40))
            else:
                container.add(number)

    @rule(data=st.data(), added=st.binary(max_size=4), times=st.sampled_from([1, 1, 1000]))
    def change_a_bytearray(self, data: st.DataObject, added: bytes, times: int) -> None:
        found = self.find(data, bytearray)
        if found is None:
            return
        for container in found:
            if len(container) > 8000:
                container.clear()
            container.extend(added * times)

    @rule(data=st.data(), plan=plans)
    def fail_in_the_middle(self, data: st.DataObject, plan: Any) -> None:
        found = self.find(data, list, dict)
        if found is None:
            return
        stored, plain = found
        value, _ = self.built(plan)
        with pytest.raises(LookupError, match="no more"):
            if isinstance(plain, list):
                stored.extend(failing([value, value]))
            else:
                stored.update(failing([("x", value)]))

    # --- transactions, snapshots, reopening ---

    @precondition(lambda self: len(self.transactions) < 3)
    @rule()
    def begin(self) -> None:
        self.transactions.append(self.m.transaction())
        self.saved.append((dict(self.model), [(each, copy.copy(each)) for each in self.everything()]))

    @precondition(lambda self: self.transactions)
    @rule()
    def commit(self) -> None:
        self.transactions.pop().commit()
        self.saved.pop()

    @precondition(lambda self: self.transactions)
    @rule()
    def roll_back(self) -> None:
        self.transactions.pop().rollback()
        self.model, contents = self.saved.pop()
        for each, content in contents:
            each.clear()
            if isinstance(each, (list, bytearray)):
                each.extend(content)
            else:
                each.update(content)
        older = {id(each) for each, _ in contents}
        self.stale += [handle for handle, plain in self.handles if id(plain) not in older]
        del self.stale[:-4]
        self.handles = [(handle, plain) for handle, plain in self.handles if id(plain) in older]

    @precondition(lambda self: not self.transactions and self.snapshot is None)
    @rule()
    def reopen(self) -> None:
        self.handles.clear()
        self.stale.clear()
        self.m.close()
        self.m = OOCMap(self.path, durability="nometasync")

    @precondition(lambda self: not self.transactions and self.snapshot is None)
    @rule()
    def take_a_snapshot(self) -> None:
        self.snapshot = (self.m.snapshot(), copy.deepcopy(self.model))

    @precondition(lambda self: self.snapshot)
    @rule()
    def let_go_of_the_snapshot(self) -> None:
        assert self.snapshot is not None
        snapshot, model = self.snapshot
        both = Correspondence()
        assert set(snapshot) == set(model)
        for key, plain in model.items():
            both.walk(snapshot[key], plain)
        for change in (lambda x: x.append(1), lambda x: x.update({"x": 1})):
            for key, plain in model.items():
                if isinstance(plain, (list, dict)):
                    with pytest.raises((ReadOnlyError, AttributeError)):
                        change(snapshot[key])
        snapshot.close()
        self.snapshot = None

    @precondition(lambda self: self.snapshot and not self.is_large)
    @rule(data=st.data(), key=st.sampled_from(KEYS))
    def bring_back_from_the_snapshot(self, data: st.DataObject, key: Any) -> None:
        assert self.snapshot is not None
        snapshot, model = self.snapshot
        if model:
            other = data.draw(st.sampled_from(list(model)))
            self.m[key] = snapshot[other]
            self.model[key] = copy.deepcopy(model[other])

    # --- what holds after each step ---

    @invariant()
    def is_the_same_graph(self) -> None:
        both = Correspondence()
        assert set(self.m) == set(self.model)
        for key, plain in self.model.items():
            both.walk(self.m[key], plain)
        for handle, plain in self.handles:
            both.walk(handle, plain)
        self.is_large = len(both.known) > LARGEST

    @invariant()
    def what_is_gone_is_stale(self) -> None:
        for handle in self.stale:
            with pytest.raises(StaleObjectError):
                len(handle)
            with pytest.raises(StaleObjectError):
                handle.clear()

    @invariant()
    def is_in_order(self) -> None:
        assert self.m.check() == []


TestGraph = GraphMachine.TestCase
TestGraph.settings = STEPS
