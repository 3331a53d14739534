"""The user's code may run in the middle of an operation, and read and change the map and that very container.

It neither waits for itself nor breaks anything: operations read what they need, run the user's code, and then write,
all at once. What ends with an exception has changed nothing.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
from oocmap import OOCMap

pytestmark = pytest.mark.parametrize("inside", [False, True], ids=["plain", "in a transaction"])


class Enough(Exception):  # noqa: N818 - no error
    """What the user's code raises."""


class Acting:
    """An object that does something whenever it is compared, and equals the same as `value`."""

    def __init__(self, act: Callable[[], Any], value: Any = None) -> None:
        self.act = act
        self.value = value

    def __eq__(self, other: object) -> bool:
        self.act()
        return bool(self.value == other)

    def __lt__(self, other: Any) -> bool:
        self.act()
        return bool(self.value < other)

    def __gt__(self, other: Any) -> bool:
        self.act()
        return bool(self.value > other)

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture
def run(m: OOCMap, inside: bool) -> Callable[[Callable[[], Any]], None]:
    """Return what runs a test by itself, or as one transaction, and fails if it does not come to its end."""

    def run(test: Callable[[], Any]) -> None:
        failed: list[BaseException] = []

        def work() -> None:
            try:
                if inside:
                    with m.transaction():
                        test()
                else:
                    test()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive(), "the operation waits for itself"
        if failed:
            raise failed[0]
        assert m.check() == []

    return run


Run = Callable[[Callable[[], Any]], None]


# --- comparisons ---


def test_comparing_reads_and_changes_the_map(m: OOCMap, run: Run) -> None:
    m["k"], m["n"] = [1, 2, 3], 0
    count = 0

    def act() -> None:
        nonlocal count
        count += 1
        m["n"] += 1
        assert m["k"][0] == 1
        m["new", count] = [count]

    def test() -> None:
        x = m["k"]
        assert x == [1, Acting(act, 2), 3]
        assert Acting(act, 2) in x
        assert x.index(Acting(act, 3)) == 2
        assert x.count(Acting(act, 1)) == 1
        assert x < [1, Acting(act, 5)]
        x.remove(Acting(act, 2))

    run(test)
    assert m["k"] == [1, 3]
    assert m["n"] == count
    assert len(m) == count + 2


def test_comparing_changes_the_very_list(m: OOCMap, run: Run) -> None:
    m["k"] = list(range(100))

    def test() -> None:
        x = m["k"]
        assert Acting(lambda: x.pop() if x else None, "nowhere") not in x
        assert len(x) == 50  # as with a list: half are taken away before the search comes to them
        with pytest.raises(ValueError, match="list"):
            x.index(Acting(x.clear, "nowhere"))
        assert x == []
        x.extend(range(10))
        assert (x == [Acting(x.clear, number) for number in range(10)]) is False
        assert x == []
        x.extend([1, 2, 3])
        assert x.count(Acting(lambda: x.append(1) if len(x) < 50 else None, 1)) == 48

    run(test)
    assert len(m["k"]) == 50


def test_a_search_that_changes_the_list_before_it_removes(m: OOCMap, run: Run) -> None:
    m["k"] = [0, 1, 2, 3]

    def test() -> None:
        x = m["k"]
        with pytest.raises((ValueError, RuntimeError)):
            x.remove(Acting(x.clear, "nowhere"))
        assert x == []
        x.extend([0, 1, 2])
        x.append(3)
        # It finds the 1, but by then the list is another: whatever it does, nothing breaks.
        try:
            x.remove(Acting(lambda: x.insert(0, "new") if "new" not in x.eager() else None, 1))
        except (ValueError, RuntimeError):
            assert len(x) == 5
        else:
            assert len(x) == 4

    run(test)


def test_comparing_dicts_and_sets(m: OOCMap, run: Run) -> None:
    m["d"], m["s"] = {number: number for number in range(20)}, set(range(20))

    def test() -> None:
        d, s = m["d"], m["s"]
        m["n"] = 0

        def act() -> None:
            m["n"] += 1
            assert d[3] == 3

        assert d == {number: Acting(act, number) for number in range(20)}
        assert m["n"] == 20
        assert Acting(act, 19) in d.values()
        with contextlib.suppress(RuntimeError):
            assert (d == {number: Acting(d.clear, number) for number in range(20)}) in (True, False)
        assert d == {}
        s |= {1}
        assert len(s) == 20

    run(test)


# --- keys of sorts ---


def test_sorting_reads_and_changes_the_map(m: OOCMap, run: Run) -> None:
    m["k"], m["n"] = [3, 1, 2], 0

    def key(element: int) -> int:
        m["n"] += 1
        assert m["n"] > 0
        return -element

    run(lambda: m["k"].sort(key=key))
    assert m["k"] == [3, 2, 1]
    assert m["n"] == 3


def test_sorting_changes_the_very_list(m: OOCMap, run: Run) -> None:
    m["k"] = [3, 1, 2]

    def test() -> None:
        x = m["k"]

        def key(element: int) -> int:
            x.append(9)
            return element

        with pytest.raises(ValueError, match="modified during sort"):
            x.sort(key=key)
        assert set(x.eager()) >= {1, 2, 3}

    run(test)


def test_sorting_fails(m: OOCMap, run: Run) -> None:
    m["k"] = [3, 1, 2]

    def test() -> None:
        def key(element: int) -> int:
            if element == 2:
                raise Enough
            return element

        with pytest.raises(Enough):
            m["k"].sort(key=key)

    run(test)
    assert m["k"] == [3, 1, 2]


# --- generators ---

TAKERS: dict[str, Callable[[OOCMap, Any], Any]] = {
    "list extend": lambda m, items: m["list"].extend(items),
    "list +=": lambda m, items: m["list"].__iadd__(items),
    "list slice": lambda m, items: m["list"].__setitem__(slice(1, 2), items),
    "long list extend": lambda m, items: m["long"].extend(items),
    "dict update": lambda m, items: m["dict"].update((item, item) for item in items),
    "dict |=": lambda m, items: m["dict"].__ior__((item, item) for item in items),
    "set update": lambda m, items: m["set"].update(items),
    "set intersection": lambda m, items: m["set"].intersection_update(items),
    "set symmetric": lambda m, items: m["set"].symmetric_difference_update(items),
    "bytearray extend": lambda m, items: m["bytearray"].extend(items),
    "bytearray slice": lambda m, items: m["bytearray"].__setitem__(slice(1, 2), items),
}
takers = pytest.mark.parametrize("taker", TAKERS)


def fill(m: OOCMap) -> dict[str, Any]:
    """Store one container of each kind, and return their twins."""
    twins: dict[str, Any] = {
        "list": [1, 2, 3],
        "long": list(range(5000)),
        "dict": {1: 1},
        "set": {1, 2, 3},
        "bytearray": bytearray(b"abc"),
    }
    m.update(twins)
    return twins


@takers
def test_a_generator_that_raises_leaves_no_trace(m: OOCMap, run: Run, taker: str) -> None:
    twins = fill(m)

    def items() -> Any:
        yield 10
        yield 11
        raise Enough

    def test() -> None:
        with pytest.raises(Enough):
            TAKERS[taker](m, items())

    run(test)
    assert m == twins


@takers
def test_a_generator_that_uses_the_map(m: OOCMap, run: Run, taker: str) -> None:
    fill(m)
    kind = taker.split()[0]

    def items() -> Any:
        for number in (10, 11):
            m["seen", number] = [number]
            assert m["dict"][1] == 1
            m["list"].insert(0, number)
            yield number

    run(lambda: TAKERS[taker](m, items()))
    assert m["seen", 10] == [10]
    assert m["seen", 11] == [11]
    if kind == "dict":
        assert m["dict"] == {1: 1, 10: 10, 11: 11}
    elif kind == "long":
        assert m["long"][-2:] == [10, 11]
    elif kind == "list":
        assert m["list"] == ([11, 10, 11, 1, 2, 3] if "slice" in taker else [11, 10, 1, 2, 3, 10, 11])
    else:
        assert m["list"] == [11, 10, 1, 2, 3]


@takers
def test_a_generator_that_reads_the_very_container(m: OOCMap, run: Run, taker: str) -> None:
    twins = fill(m)
    kind = {"long": "long"}.get(taker.split()[0], taker.split()[0])

    def items() -> Any:
        container = m[kind]
        for number in (10, 11):
            assert container == twins[kind]  # nothing is written before the generator has ended
            yield number
        m[kind].clear()

    run(lambda: TAKERS[taker](m, items()))
    found = m[kind].eager()
    expected: dict[str, Any] = {
        "list": [10, 11],
        "long": [10, 11],
        "dict": {10: 10, 11: 11},
        "set": {10, 11} if "intersection" not in taker else set(),
        "bytearray": bytearray([10, 11]),
    }
    assert found == expected[kind]


def test_a_generator_that_deletes_the_container(m: OOCMap, run: Run) -> None:
    m["k"] = [1]

    def test() -> None:
        x = m["k"]

        def items() -> Any:
            yield 2
            del m["k"]
            gc.collect()
            yield 3

        x.extend(items())
        assert x == [1, 2, 3]
        assert "k" not in m

    run(test)


def test_a_generator_that_rolls_back_what_made_the_container(m: OOCMap, run: Run) -> None:
    def test() -> None:
        tx = m.transaction()
        tx["k"] = []
        x = tx["k"]

        def items() -> Any:
            yield 1
            tx.rollback()
            yield 2

        with pytest.raises(ReferenceError):
            x.extend(items())
        assert "k" not in m

    run(test)


def test_indices_with_code_of_their_own(m: OOCMap, run: Run) -> None:
    m["k"] = list(range(10))

    class Index:
        def __init__(self, act: Callable[[], Any], value: int) -> None:
            self.act, self.value = act, value

        def __index__(self) -> int:
            self.act()
            return self.value

    def test() -> None:
        x = m["k"]
        assert x[Index(lambda: m.update(n=1), 2)] == 2
        with pytest.raises(IndexError):
            x[Index(x.clear, 5)]
        with pytest.raises(IndexError):
            x.pop(Index(x.clear, 5))
        x.extend(range(10))
        with pytest.raises(IndexError):
            x[Index(x.clear, 5)] = 1
        x.extend(range(10))
        del x[Index(lambda: x.__delitem__(0), 2) : Index(lambda: None, 100)]
        assert x[:2] == [1, 2]
        x.insert(Index(lambda: x.append("end"), 0), "start")
        assert (x[0], x[-1]) == ("start", "end")

    run(test)


def test_finalizers_that_use_the_map(m: OOCMap, run: Run) -> None:
    class Finalized:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            m["finalized"] = m.get("finalized", 0) + 1
            m["k"].append("finalized")

    m["k"] = []

    def test() -> None:
        def items() -> Any:
            for number in range(10):
                Finalized()
                gc.collect()
                yield [number]

        m["k"].extend(items())

    run(test)
    assert m["finalized"] == 10
    assert m["k"][10:] == [[number] for number in range(10)]


# --- changing while iterating ---


@pytest.mark.parametrize("count", [5, 5000], ids=["short", "long"])
def test_iterating_over_a_list_follows_what_changes(m: OOCMap, run: Run, count: int) -> None:
    for changes in (
        lambda x, element: x.append(element) if len(x) < count + 3 else None,
        lambda x, element: x.pop() if element % 2 else None,
        lambda x, element: x.remove(element) if element % 100 == 0 else None,
        lambda x, element: x.insert(0, element) if len(x) < count + 4 else None,
        lambda x, element: x.clear() if element == 3 else None,
        lambda x, element: x.__setitem__(-1, element + 1),
    ):
        m["k"] = list(range(count))
        twin = list(range(count))
        found: list[Any] = []
        expected: list[Any] = []

        def test(changes: Any = changes, found: Any = found) -> None:
            x = m["k"]
            for element in x:
                found.append(element)
                changes(x, element)

        for element in twin:
            expected.append(element)
            changes(twin, element)
        run(test)
        assert found == expected
        assert m["k"] == twin


def test_iterating_backward_over_a_list_follows_what_changes(m: OOCMap, run: Run) -> None:
    m["k"] = list(range(10))

    def test() -> None:
        x, found = m["k"], []
        for element in reversed(x):
            found.append(element)
            if element % 3 == 0:
                x.pop(0)
            if element == 4:
                del x[2:]
        twin, expected = list(range(10)), []
        for element in reversed(twin):
            expected.append(element)
            if element % 3 == 0:
                twin.pop(0)
            if element == 4:
                del twin[2:]
        assert found == expected
        assert x == twin

    run(test)


ITERATIONS: dict[str, Callable[[Any], Any]] = {
    "keys": iter,
    "reversed": reversed,
    "keys()": lambda x: iter(x.keys()),
    "values()": lambda x: iter(x.values()),
    "items()": lambda x: iter(x.items()),
}
GROWTH: dict[str, Callable[[Any], Any]] = {
    "set": lambda x: x.__setitem__("new", 1),
    "del": lambda x: x.__delitem__(1),
    "update": lambda x: x.update(new=1),
    "clear": lambda x: x.clear(),
    "popitem": lambda x: x.popitem(),
}


@pytest.mark.parametrize("count", [5, 5000], ids=["short", "long"])
@pytest.mark.parametrize("change", GROWTH)
@pytest.mark.parametrize("iteration", ITERATIONS)
def test_iterating_over_a_dict_that_changes_its_size(
    m: OOCMap, run: Run, count: int, change: str, iteration: str
) -> None:
    m["k"] = dict.fromkeys(range(count), 0)

    def test() -> None:
        x = m["k"]
        iterator = ITERATIONS[iteration](x)
        next(iterator)
        GROWTH[change](x)
        with pytest.raises(RuntimeError, match="changed size"):
            next(iterator)

    run(test)


@pytest.mark.parametrize(("count", "step"), [(5, 1), (5000, 10)], ids=["short", "long"])
def test_iterating_over_a_dict_whose_values_change(m: OOCMap, run: Run, count: int, step: int) -> None:
    m["k"] = dict.fromkeys(range(count), 0)

    def test() -> None:
        x = m["k"]
        for key in x:
            if key % step == 0:  # each change is a commit of its own, which waits for the disk
                x[key] = key + 1
                m["other"] = key
        for key, value in x.items():
            assert value == (0 if key % step else key + 1)
            if key % step == 0:
                x[key] = [value]

    run(test)
    assert m["k"] == {key: 0 if key % step else [key + 1] for key in range(count)}


@pytest.mark.parametrize("count", [5, 5000], ids=["short", "long"])
@pytest.mark.parametrize("change", ["add", "remove", "clear", "update", "pop"])
def test_iterating_over_a_set_that_changes_its_size(m: OOCMap, run: Run, count: int, change: str) -> None:
    m["k"] = set(range(count))

    def test() -> None:
        x = m["k"]
        iterator = iter(x)
        next(iterator)
        match change:
            case "add":
                x.add("new")
            case "remove":
                x.remove(count - 1)
            case "clear":
                x.clear()
            case "update":
                x |= {"new"}
            case "pop":
                x.pop()
        with pytest.raises(RuntimeError, match="changed size"):
            next(iterator)
        iterator = iter(x)
        x.add(next(iterator, "first"))  # what is there already changes nothing
        list(iterator)

    run(test)


def test_another_thread_may_change_it_meanwhile(m: OOCMap, inside: bool) -> None:
    """A dict that another thread changes raises or goes on; it never gives what is not there."""
    m["k"] = {number: number for number in range(500)}
    ended = threading.Event()

    def change() -> None:
        turn = 0
        while not ended.is_set():
            turn += 1
            m["k"][500 + turn % 50] = 500 + turn % 50
            m["k"].pop(500 + (turn + 25) % 50, None)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(50):
            try:
                for key, value in m["k"].items():
                    assert key == value
            except RuntimeError as error:
                assert "changed size" in str(error)
            if inside:
                with m.snapshot() as s:
                    assert all(key == value for key, value in s["k"].items())
    finally:
        ended.set()
        thread.join()
    assert m.check() == []


def test_iterating_over_a_snapshot_while_changing_the_map(m: OOCMap, run: Run) -> None:
    m["k"] = {number: [number] for number in range(100)}
    with m.snapshot() as s:

        def test() -> None:
            for key, value in s["k"].items():
                m["k"][key].append("seen")
                m["k"]["new", key] = value  # a copy
                assert len(value) == 1

        run(test)
    assert len(m["k"]) == 200
    assert m["k"][5] == [5, "seen"]
    assert m["k"]["new", 5] == [5]
