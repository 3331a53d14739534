"""A transaction happens wholly or not at all, and nobody else sees it before it is committed."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import oocmap
import pytest
from oocmap import ClosedError, MapFullError, OOCMap, TransactionClosedError

T = TypeVar("T")


class Planned(Exception):  # noqa: N818
    """What the tests raise inside a transaction."""


def elsewhere(function: Callable[[], T], timeout: float = 60) -> T:
    """Run a function in another thread and return what it returned."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout)
    assert not thread.is_alive(), f"still waiting after {timeout} s"
    if errors:
        raise errors[0]
    return results[0]


def test_commits_at_the_end_of_the_block(m: OOCMap) -> None:
    with m.transaction() as tx:
        tx["a"] = 1
        tx["b"] = [1, 2]
    assert m == {"a": 1, "b": [1, 2]}


def test_rolls_back_on_an_exception(m: OOCMap) -> None:
    m["a"] = 0
    with pytest.raises(Planned), m.transaction() as tx:
        tx["a"] = 1
        m["b"] = 2
        del tx["a"]
        raise Planned
    assert m == {"a": 0}


def test_works_without_a_block(m: OOCMap) -> None:
    tx = m.transaction()
    tx["a"] = 1
    tx.commit()
    tx = m.transaction()
    tx["a"] = 2
    tx.rollback()
    assert m == {"a": 1}


def test_one_that_is_dropped_is_rolled_back(m: OOCMap) -> None:
    tx = m.transaction()
    tx["a"] = 1
    del tx
    assert elsewhere(lambda: dict(m.items())) == {}
    elsewhere(lambda: m.update(b=2))
    assert m == {"b": 2}


def test_ends_early(m: OOCMap) -> None:
    with m.transaction() as tx:
        tx["a"] = 1
        tx.commit()
        assert elsewhere(lambda: m["a"]) == 1
    with m.transaction() as tx:
        tx["a"] = 2
        tx.rollback()
        assert m["a"] == 1
    assert m == {"a": 1}


def test_an_exception_after_an_early_commit_undoes_nothing(m: OOCMap) -> None:
    with pytest.raises(Planned), m.transaction() as tx:
        tx["a"] = 1
        tx.commit()
        raise Planned
    assert m == {"a": 1}


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_one_that_has_ended_can_not_be_used(m: OOCMap, end: str) -> None:
    m["k"] = 1
    tx = m.transaction()
    getattr(tx, end)()
    uses: list[Callable[[], Any]] = [
        lambda: tx["k"],
        lambda: tx.get("k"),
        lambda: tx.__setitem__("k", 2),
        lambda: tx.__delitem__("k"),
        lambda: "k" in tx,
        lambda: len(tx),
        lambda: list(tx),
        lambda: list(tx.items()),
        lambda: list(tx.range().keys()),
        lambda: tx.update(a=1),
        lambda: tx.pop("k"),
        lambda: tx.popitem(),
        lambda: tx.setdefault("k", 1),
        lambda: tx.clear(),
        lambda: tx.transaction(),
        lambda: tx.commit(),
        lambda: tx.rollback(),
    ]
    for use in uses:
        with pytest.raises(TransactionClosedError):
            use()
    assert m == {"k": 1}


def test_the_map_takes_part_inside_the_block(m: OOCMap) -> None:
    with m.transaction() as tx:
        m["a"] = 1
        assert tx["a"] == 1
        tx["b"] = 2
        assert m["b"] == 2
        assert len(m) == len(tx) == 2
        assert list(m) == list(tx) == ["a", "b"]
        del m["a"]
        assert "a" not in tx
        tx.rollback()
    assert m == {}


def test_a_second_handle_of_the_same_thread_takes_part(m: OOCMap, path: Path) -> None:
    with OOCMap(path) as other:
        with pytest.raises(Planned), m.transaction():
            other["a"] = 1
            assert m["a"] == 1
            raise Planned
        assert other == {}


def test_other_threads_see_what_was_committed_last(m: OOCMap) -> None:
    m["a"] = 1
    with m.transaction() as tx:
        tx["a"] = 2
        tx["b"] = 3
        assert elsewhere(lambda: dict(m.items())) == {"a": 1}
        assert elsewhere(lambda: len(m)) == 1
    assert elsewhere(lambda: dict(m.items())) == {"a": 2, "b": 3}


def test_a_snapshot_inside_the_block_is_of_what_was_committed(m: OOCMap) -> None:
    m["a"] = 1
    with m.transaction() as tx:
        tx["a"] = 2
        with m.snapshot() as s:
            assert s["a"] == 1
        with m.transaction(readonly=True) as s:
            assert s["a"] == 1


def test_another_writer_waits_its_turn(m: OOCMap) -> None:
    order: list[str] = []
    begun = threading.Event()

    def write() -> None:
        begun.set()
        with m.transaction() as tx:
            order.append("second")
            tx["n"] += 1

    thread = threading.Thread(target=write)
    with m.transaction() as tx:
        tx["n"] = 1
        thread.start()
        begun.wait()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert m["n"] == 2


def test_no_increment_is_lost_between_threads(m: OOCMap) -> None:
    m["n"] = 0

    def add() -> None:
        for _ in range(50):
            with m.transaction() as tx:
                tx["n"] += 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert m["n"] == 200


# --- nesting ---


@pytest.mark.parametrize("through_map", [True, False])
def test_a_nested_one_rolls_back_alone(m: OOCMap, through_map: bool) -> None:
    with m.transaction() as outer:
        outer["a"] = 1
        with pytest.raises(Planned), (m if through_map else outer).transaction() as inner:
            inner["a"] = 2
            inner["b"] = 3
            assert m["b"] == 3
            raise Planned
        assert outer["a"] == 1
        assert "b" not in m
        outer["c"] = 4
    assert m == {"a": 1, "c": 4}


@pytest.mark.parametrize("through_map", [True, False])
def test_a_nested_one_commits_with_its_parent(m: OOCMap, through_map: bool) -> None:
    with pytest.raises(Planned), m.transaction() as outer:
        with (m if through_map else outer).transaction() as inner:
            inner["a"] = 1
        assert outer["a"] == 1
        assert elsewhere(lambda: len(m)) == 0
        raise Planned
    assert m == {}
    with m.transaction() as outer, outer.transaction() as inner:
        inner["a"] = 1
    assert m == {"a": 1}


def test_nests_deeply(m: OOCMap) -> None:
    def nest(level: int) -> None:
        with m.transaction() as tx:
            tx[level] = level
            if level < 50:
                nest(level + 1)
            if level % 2:
                tx[-level] = "undone"
                tx.rollback()

    nest(0)
    assert m == {0: 0}  # level 1 took everything below with it


# --- one operation is one transaction ---


def test_an_update_that_fails_leaves_no_trace(m: OOCMap) -> None:
    m["a"] = 1

    def pairs() -> Iterator[tuple[Any, Any]]:
        yield "a", 2
        yield "b", 3
        raise Planned

    failing: list[tuple[type[Exception], Any]] = [
        (Planned, pairs()),
        (ValueError, [("a", 2), ("b", 3, 4)]),
        (TypeError, [("a", 2), 5]),
        (TypeError, [("a", 2), ([], 1)]),
        (oocmap.UnsupportedTypeError, [("a", 2), ("b", object())]),
    ]
    for error, other in failing:
        with pytest.raises(error):
            m.update(other)
        assert m == {"a": 1}
    with pytest.raises(Planned):
        m |= pairs()
    assert m == {"a": 1}
    with m.transaction() as tx:
        tx["c"] = 1
        with pytest.raises(Planned):
            tx.update(pairs())
        assert m == {"a": 1, "c": 1}


def test_a_generator_that_uses_the_map_does_not_deadlock(m: OOCMap) -> None:
    m["a"] = 1

    def pairs() -> Iterator[tuple[str, int]]:
        yield "read", m["a"]
        m["written"] = 5
        yield "after", len(m)
        with m.transaction() as tx:
            tx["in a transaction"] = 6
        yield "last", elsewhere(lambda: m["written"])

    elsewhere(lambda: m.update(pairs()))
    assert m == {"a": 1, "written": 5, "in a transaction": 6, "read": 1, "after": 2, "last": 5}


class Odd:
    """A mapping whose methods use the map that it is stored into."""

    def __init__(self, m: OOCMap) -> None:
        self.m = m

    def keys(self) -> Iterator[str]:
        self.m["keys"] = True
        return iter(["x", "y"])

    def __getitem__(self, key: str) -> int:
        self.m[key + "!"] = 0
        return len(self.m)


def test_a_mapping_that_uses_the_map_does_not_deadlock(m: OOCMap) -> None:
    elsewhere(lambda: m.update(Odd(m)))
    assert {"keys", "x", "x!", "y", "y!"} == set(m)


def test_many_threads_pop_each_entry_once(m: OOCMap) -> None:
    m.update((i, i) for i in range(200))
    popped: list[Any] = []

    def pop() -> None:
        while True:
            try:
                popped.append(m.popitem()[0])
            except KeyError:
                return

    threads = [threading.Thread(target=pop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(popped) == list(range(200))


# --- iterating while changing ---


@pytest.mark.parametrize("view", ["keys", "values", "items"])
@pytest.mark.parametrize("change", ["add", "delete", "clear"])
@pytest.mark.parametrize("inside", [False, True])
def test_changing_while_iterating_raises(m: OOCMap, view: str, change: str, inside: bool) -> None:
    m.update((i, i) for i in range(1000))

    def iterate(target: Any) -> None:
        for step, _ in enumerate(getattr(target, view)()):
            if step == 3:
                if change == "add":
                    target["new"] = 1
                elif change == "delete":
                    del target[500]
                else:
                    target.clear()

    if inside:
        with m.transaction() as tx, pytest.raises(RuntimeError):
            iterate(tx)
    else:
        with pytest.raises(RuntimeError):
            iterate(m)


def test_others_may_change_while_this_thread_iterates_a_snapshot(m: OOCMap) -> None:
    m.update((i, i) for i in range(1000))
    with m.snapshot() as s:
        seen = []
        for key in s:
            seen.append(key)
            if key % 100 == 0:
                del m[key]
    assert seen == list(range(1000))
    assert len(m) == 990


# --- a full map ---


def test_a_full_map_stays_usable(path: Path) -> None:
    limit = 2 << 20
    with OOCMap(path, max_size=limit) as m:
        stored = 0
        with pytest.raises(MapFullError) as caught:
            for stored in range(10_000):
                m[stored] = bytes([stored % 256]) * 10_000
        assert caught.value.errno == errno.ENOSPC
        assert 50 < stored < 210
        assert path.stat().st_size <= limit
        assert list(m) == list(range(stored))
        assert all(m[key] == bytes([key % 256]) * 10_000 for key in m)

        with pytest.raises(MapFullError), m.transaction() as tx:
            del tx[0]
            for key in range(1000, 2000):
                tx[key] = b"x" * 10_000
        assert list(m) == list(range(stored))

        for key in range(stored):
            del m[key]
        assert len(m) == 0
        for key in range(stored // 2):
            m[key] = b"y" * 10_000
        assert len(m) == stored // 2
        assert path.stat().st_size <= limit
    with OOCMap(path) as m:  # with more room, more goes in
        m["large"] = b"z" * limit
        assert len(m) == stored // 2 + 1


def test_zero_is_no_limit(path: Path) -> None:
    with OOCMap(path, max_size=0) as m:
        m["large"] = b"z" * (20 << 20)
        assert len(m["large"]) == 20 << 20


def test_a_closed_map_begins_nothing(path: Path) -> None:
    m = OOCMap(path)
    m.close()
    with pytest.raises(ClosedError):
        m.transaction()
