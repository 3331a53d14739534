"""A handle is its object for good: it outlives its key, sees transactions, and raises when the object is gone."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest
from kinds import kinds, put_something_in
from oocmap import OOCMap, StaleObjectError

# --- handles outlive the place where they were found ---


@kinds
def test_a_handle_outlives_its_key(m: OOCMap, kind: Any) -> None:
    m["k"] = kind
    x = m["k"]
    del m["k"]
    assert x == kind
    put_something_in(x)
    assert len(x) == len(kind) + 1
    m["k"] = kind
    assert not x.same_as(m["k"])
    y = m["k"]
    m["k"] = "something else"
    put_something_in(y)
    assert len(y) == len(x)
    m["again"] = x
    assert m["again"].same_as(x)
    put_something_in(m["again"])
    m["again"] = None
    assert m.check() == []


@pytest.mark.parametrize("way", ["del", "overwrite", "pop", "popitem", "clear", "update"])
def test_whatever_takes_its_key_away(m: OOCMap, way: str) -> None:
    m["k"] = {"inner": [1]}
    x = m["k"]["inner"]
    match way:
        case "del":
            del m["k"]
        case "overwrite":
            m["k"] = 1
        case "pop":
            assert m.pop("k")["inner"].same_as(x)
        case "popitem":
            assert m.popitem()[1]["inner"].same_as(x)
        case "clear":
            m.clear()
        case "update":
            m.update(k=2)
    gc.collect()
    assert x == [1]
    x.append(2)
    assert x == [1, 2]
    assert m.check() == []


@pytest.mark.parametrize("way", ["del", "overwrite", "pop", "slice", "clear"])
def test_whatever_takes_it_out_of_its_container(m: OOCMap, way: str) -> None:
    m["k"] = [[0], [1], [2]]
    x, y = m["k"], m["k"][1]
    match way:
        case "del":
            del x[1]
        case "overwrite":
            x[1] = [1]
        case "pop":
            assert x.pop(1).same_as(y)
        case "slice":
            x[0:3] = []
        case "clear":
            x.clear()
    gc.collect()
    y.append("still")
    assert y == [1, "still"]
    x.append(y)
    assert x[-1].same_as(y)
    assert m.check() == []


def test_a_popped_container_is_alive(m: OOCMap) -> None:
    m["jobs"] = {"a": [1, [2]], "b": {}}
    job = m["jobs"].pop("a")
    job[1].append(3)
    assert job == [1, [2, 3]]
    assert m["jobs"].popitem() == ("b", {})
    m["done"] = job
    assert m["done"].same_as(job)
    assert m["jobs"] == {}


def test_setdefault_gives_the_stored_object(m: OOCMap) -> None:
    m.setdefault("a", []).append(1)
    m.setdefault("a", []).append(2)
    assert m["a"] == [1, 2]
    m["d"] = {}
    m["d"].setdefault("x", {}).setdefault("y", []).append(3)
    m["d"].setdefault("x", {}).setdefault("y", []).append(4)
    assert m["d"] == {"x": {"y": [3, 4]}}


def test_a_handle_to_a_part_keeps_only_that(m: OOCMap) -> None:
    m["k"] = {"part": [1, [2]], "rest": [3]}
    part = m["k"]["part"]
    del m["k"]
    gc.collect()
    assert part == [1, [2]]
    part[1].append(part)
    assert part[1][1].same_as(part)
    assert m.check() == []


def test_handles_see_what_others_change(m: OOCMap) -> None:
    m["k"] = [1]
    x, y = m["k"], m["k"]
    x.append(2)
    assert y == [1, 2]
    thread = threading.Thread(target=lambda: m["k"].append(3))
    thread.start()
    thread.join()
    assert x == y == [1, 2, 3]


# --- transactions ---


def test_handles_take_part_in_the_transaction_of_their_thread(m: OOCMap) -> None:
    m["k"] = [1]
    x = m["k"]
    seen: list[Any] = []
    with m.transaction() as tx:
        x.append(2)
        assert tx["k"] == [1, 2]
        tx["k"].append(3)
        assert x == [1, 2, 3]
        thread = threading.Thread(target=lambda: seen.append(x.eager()))
        thread.start()
        thread.join()
    assert seen == [[1]]
    assert x == [1, 2, 3]


def test_a_rollback_brings_back_what_handles_see(m: OOCMap) -> None:
    m["k"] = {"inner": [1]}
    before = m["k"]["inner"]
    with pytest.raises(ZeroDivisionError), m.transaction() as tx:
        before.append(2)
        during = tx["k"]["inner"]
        during.append(3)
        made = tx["k"].setdefault("made", ["made"])
        tx["other"] = made
        del tx["k"]
        assert during == [1, 2, 3]
        assert made == ["made"]
        raise ZeroDivisionError
    assert before == [1]
    assert during == [1]
    assert during.same_as(before)
    assert before.same_as(m["k"]["inner"])
    uses: list[Any] = [
        lambda: len(made),
        lambda: made[0],
        lambda: list(made),
        lambda: made == ["made"],
        lambda: made.append(1),
        lambda: made.eager(),
        lambda: m.update(k=made),
    ]
    for use in uses:
        with pytest.raises(StaleObjectError):
            use()
    assert isinstance(StaleObjectError(), ReferenceError)
    during.append("still good")
    assert m["k"] == {"inner": [1, "still good"]}
    # What is made next never takes the place of what is gone.
    for number in range(10):
        m["k"]["made"] = [number]
        with pytest.raises(StaleObjectError):
            len(made)
    assert m.check() == []


def test_nested_transactions(m: OOCMap) -> None:
    m["k"] = [0]
    x = m["k"]
    with m.transaction() as outer:
        outer["outer"] = ["outer"]
        made_outside = outer["outer"]
        with pytest.raises(ZeroDivisionError), outer.transaction() as inner:
            inner["inner"] = ["inner"]
            made_inside = inner["inner"]
            made_outside.append(made_inside)
            x.append(made_inside)
            raise ZeroDivisionError
        assert x == [0]
        assert made_outside == ["outer"]
        with pytest.raises(StaleObjectError):
            len(made_inside)
        with outer.transaction() as inner:
            x.append(made_outside)
    assert m["k"][1].same_as(m["outer"])
    with m.transaction() as outer:
        with outer.transaction() as inner:
            inner["lost"] = []
            lost = inner["lost"]
        lost.append(1)
        outer.rollback()
    with pytest.raises(StaleObjectError):
        lost.append(2)
    assert m.check() == []


def test_handles_stay_good_after_the_commit(m: OOCMap) -> None:
    with m.transaction() as tx:
        tx["k"] = [[1]]
        x = tx["k"]
        y = x[0]
        z = tx.setdefault("z", {1})
        gone = tx.setdefault("gone", ["gone"])
        del tx["gone"]
    y.append(2)
    z.add(2)
    assert m["k"] == [[1, 2]]
    assert x.same_as(m["k"])
    assert m["z"] == {1, 2}
    assert gone == ["gone"]
    m["back"] = gone
    assert m["back"].same_as(gone)
    assert m.check() == []
