"""Stored containers are objects: a second name is the same object."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from kinds import kinds, put_something_in
from oocmap import ClosedError, OOCMap, ReadOnlyError, StaleObjectError, UnsupportedTypeError

if TYPE_CHECKING:
    from pathlib import Path


# --- one object under several names ---


@kinds
def test_storing_a_handle_stores_a_reference(m: OOCMap, kind: Any) -> None:
    m["a"] = kind
    m["b"] = m["a"]
    assert m["a"].same_as(m["b"])
    put_something_in(m["a"])
    assert m["b"] == m["a"]
    assert m["b"] != kind
    put_something_in(m["b"])
    assert len(m["a"]) == len(m["b"])
    del m["a"]
    assert len(m["b"]) > len(kind)
    put_something_in(m["b"])
    assert m.check() == []


@kinds
def test_storing_a_plain_object_copies_it(m: OOCMap, kind: Any) -> None:
    m["a"] = kind
    m["b"] = kind
    assert not m["a"].same_as(m["b"])
    put_something_in(m["a"])
    assert m["b"] == kind
    m["c"] = m["a"].eager()
    assert not m["c"].same_as(m["a"])
    assert m["c"] == m["a"]


@kinds
def test_references_from_within_containers(m: OOCMap, kind: Any) -> None:
    m["a"] = kind
    m["list"] = [m["a"], m["a"], (m["a"],)]
    m["dict"] = {"x": m["a"]}
    m["dict"]["y"] = m["list"]
    put_something_in(m["dict"]["y"][2][0])
    for other in (m["list"][0], m["list"][1], m["list"][2][0], m["dict"]["x"], m["dict"]["y"][1]):
        assert other.same_as(m["a"])
        assert len(other) == len(kind) + 1
    assert m["dict"]["y"].same_as(m["list"])
    del m["a"], m["list"]
    put_something_in(m["dict"]["x"])
    assert m["dict"]["y"][0] == m["dict"]["x"]
    assert m.check() == []


def test_a_part_of_a_value_gets_a_name_of_its_own(m: OOCMap) -> None:
    m["a"] = {"child": {"grandchild": [1]}, "other": [2]}
    m["b"] = m["a"]["child"]["grandchild"]
    m["b"].append(2)
    assert m["a"]["child"]["grandchild"] == [1, 2]
    m["a"]["child"]["grandchild"].append(3)
    assert m["b"] == [1, 2, 3]
    del m["a"]
    assert m["b"] == [1, 2, 3]
    assert m.check() == []


def test_same_as_tells_one_object_from_equal_ones(m: OOCMap) -> None:
    m["k"] = [[1], [1], {"a": [1]}]
    x = m["k"]
    assert x.same_as(m["k"])
    assert x[0].same_as(x[0])
    assert x[-3].same_as(m["k"][0])
    assert not x[0].same_as(x[1])
    assert not x[0].same_as(x)
    assert not x[0].same_as([1])
    assert not x.same_as(None)
    assert x[0] == x[1]
    with m.transaction() as tx:
        assert tx["k"].same_as(x)
        assert tx["k"][1].same_as(x[1])


def test_what_is_shared_in_one_stored_value_is_one_object(m: OOCMap) -> None:
    inner = [1]
    m["k"] = [inner, {"x": inner}, (inner, [1])]
    x = m["k"]
    x[0].append(2)
    assert x == [[1, 2], {"x": [1, 2]}, ([1, 2], [1])]
    assert x[1]["x"].same_as(x[2][0])
    assert not x[0].same_as(x[2][1])
    assert inner == [1]


# --- cycles ---


def test_a_handle_stored_inside_itself(m: OOCMap) -> None:
    m["list"] = [1]
    x = m["list"]
    x.append(x)
    assert x[1].same_as(x)
    assert x[1][1][1][0] == 1
    x[1].append("end")
    assert len(m["list"]) == 3
    assert repr(x) == "[1, [...], 'end']"
    m["dict"] = {}
    m["dict"]["self"] = m["dict"]
    m["dict"]["self"]["self"]["more"] = 1
    assert m["dict"]["more"] == 1
    plain = m["list"].eager(deep=True)
    assert plain[1] is plain
    assert m.check() == []


def test_cycles_over_several_keys(m: OOCMap) -> None:
    m["a"], m["b"] = {}, []
    m["a"]["b"] = m["b"]
    m["b"].append(m["a"])
    assert m["a"]["b"][0]["b"].same_as(m["b"])
    del m["a"]
    assert m["b"][0]["b"][0].same_as(m["b"][0])
    m["b"][0]["new"] = 1
    assert m["b"][0]["b"][0]["new"] == 1
    del m["b"]
    assert len(m) == 0
    assert m.check() == []


def test_a_cycle_is_stored_as_one(m: OOCMap) -> None:
    x: list[Any] = [1]
    x.append({"x": x})
    m["k"] = x
    m["k"][1]["x"].append(2)
    assert len(m["k"]) == 3
    assert m["k"][1]["x"].same_as(m["k"])


# --- assigning what is there already ---


def test_assigning_an_entry_to_itself(m: OOCMap) -> None:
    m["a"] = {"child": [1, {"deep": [2]}]}
    x, child = m["a"], m["a"]["child"]
    m["a"] = m["a"]
    assert m["a"].same_as(x)
    m["a"]["child"].append(3)
    assert child == [1, {"deep": [2]}, 3]
    assert m.check() == []


def test_adding_in_place_through_the_map(m: OOCMap) -> None:
    m["a"] = [1]
    x = m["a"]
    m["a"] += [2]
    assert m["a"] == [1, 2]
    assert m["a"].same_as(x)
    m["a"] *= 2
    assert x == [1, 2, 1, 2]
    m["s"] = {1}
    m["s"] |= {2}
    m["s"] -= {1}
    assert m["s"] == {2}
    m["d"] = {"x": [1]}
    m["d"] |= {"y": 2}
    m["d"]["x"] += [3]
    m["d"]["y"] += 1
    assert m["d"] == {"x": [1, 3], "y": 3}
    m["b"] = bytearray(b"a")
    m["b"] += b"b"
    assert m["b"] == b"ab"
    assert m.check() == []


def test_replacing_an_entry_by_a_part_of_itself(m: OOCMap) -> None:
    m["a"] = {"child": [1, [2]], "other": 3}
    parent, child = m["a"], m["a"]["child"]
    m["a"] = m["a"]["child"]
    assert m["a"] == [1, [2]]
    assert m["a"].same_as(child)
    m["a"].append(3)
    assert parent == {"child": [1, [2], 3], "other": 3}
    m["a"] = m["a"][1]
    assert m["a"] == [2]
    assert child == [1, [2], 3]
    del parent, child
    gc.collect()
    assert m["a"] == [2]
    assert m.check() == []


def test_replacing_an_element_by_its_container(m: OOCMap) -> None:
    m["a"] = [[1], 2]
    m["a"][0] = m["a"]
    assert m["a"][0][0][1] == 2
    m["a"][:] = [m["a"], m["a"]]
    assert m["a"][1][0].same_as(m["a"])
    m["a"].clear()
    assert m["a"] == []
    assert m.check() == []


def test_moving_parts_within_a_container(m: OOCMap) -> None:
    m["a"] = [[n] for n in range(5)]
    x = m["a"]
    first, last = x[0], x[-1]
    x[0], x[-1] = x[-1], x[0]
    assert x[0].same_as(last)
    assert x[-1].same_as(first)
    x.sort(key=lambda each: each[0])
    assert [each[0] for each in x] == [0, 1, 2, 3, 4]
    assert x[0].same_as(first)
    x.reverse()
    assert x[0].same_as(last)
    x.append(x.pop(0))
    assert x[-1].same_as(last)
    x[:] = x[::2]
    assert [each[0] for each in x] == [3, 1, 4]
    assert x[2].same_as(last)
    assert m.check() == []


# --- other maps, snapshots, processes ---


@kinds
def test_a_handle_of_another_map_is_copied(m: OOCMap, tmp_path: Path, kind: Any) -> None:
    with OOCMap(tmp_path / "other.ooc") as other:
        inner = [kind]
        other["k"] = [inner, inner, kind]
        m["k"] = other["k"]
        assert m["k"] == other["k"]
        assert not m["k"].same_as(other["k"])
        assert m["k"][0].same_as(m["k"][1])
        assert m["k"][0][0].same_as(m["k"][2])
        put_something_in(m["k"][2])
        assert other["k"][2] == kind
        m["list"] = [other["k"][2], 1]
        assert m["list"] == [kind, 1]
    assert len(m["k"][0][0]) == len(kind) + 1
    assert m.check() == []


def test_a_handle_from_a_snapshot_is_copied(m: OOCMap) -> None:
    m["k"] = {"inner": [1]}
    with m.snapshot() as s:
        m["k"]["inner"].append(2)
        m["old"] = s["k"]
        assert not m["old"].same_as(m["k"])
        assert not s["k"].same_as(m["k"])
        assert s["k"].same_as(s["k"])
        with pytest.raises(ReadOnlyError):
            s["k"]["inner"].append(3)
        m["k"]["inner"][:] = s["k"]["inner"]
        m["k"]["older"] = s["k"]["inner"]
        m["k"]["older"].append("apart")
        assert s["k"] == {"inner": [1]}
    assert m["old"] == {"inner": [1]}
    m["old"]["inner"].append("apart")
    assert m["k"] == {"inner": [1], "older": [1, "apart"]}
    assert m.check() == []


def test_two_openings_of_one_path_are_one_map(m: OOCMap, path: Path) -> None:
    m["k"] = [1]
    with OOCMap(path) as again:
        assert again["k"].same_as(m["k"])
        m["reference"] = again["k"]
        again["reference"].append(2)
        assert m["k"] == [1, 2]
        assert m["reference"].same_as(m["k"])


def test_after_closing(path: Path) -> None:
    m = OOCMap(path)
    m["k"] = [1, [2]]
    x = m["k"]
    m.close()
    for use in (lambda: len(x), lambda: x[0], lambda: x.append(1), lambda: x == [1, [2]]):
        with pytest.raises(ClosedError):
            use()


def in_another_process(path: Path, statement: str) -> None:
    """Run one statement with the map open as `m`."""
    program = f"import sys, oocmap\nwith oocmap.OOCMap(sys.argv[1]) as m: {statement}"
    run = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_what_another_process_changes(m: OOCMap, path: Path) -> None:
    m["k"] = {"inner": [1]}
    x, inner = m["k"], m["k"]["inner"]
    in_another_process(path, "m['k']['inner'].append(2); m['k']['more'] = m['k']['inner']")
    assert inner == [1, 2]
    assert x["more"].same_as(inner)
    in_another_process(path, "m['moved'] = m['k']['inner']; del m['k']")
    inner.append(3)
    assert m["moved"] == [1, 2, 3]
    assert m["moved"].same_as(inner)
    with pytest.raises(StaleObjectError):
        len(x)
    assert m.check() == []


@kinds
def test_what_another_process_deleted_is_stale(m: OOCMap, path: Path, kind: Any) -> None:
    m["k"] = [kind, "stays"]
    x, inner = m["k"], m["k"][0]
    in_another_process(path, "del m['k'][0]")
    assert x == ["stays"]
    with pytest.raises(StaleObjectError):
        len(inner)
    with pytest.raises(StaleObjectError):
        put_something_in(inner)
    in_another_process(path, "m['k'] = ['another list']")
    with pytest.raises(StaleObjectError):
        x.append(1)
    with pytest.raises(StaleObjectError):
        m["other"] = x
    assert m == {"k": ["another list"]}
    assert m.check() == []


def test_a_mutable_container_is_no_key_and_no_member(m: OOCMap) -> None:
    m["k"] = [1]
    m["d"], m["s"] = {}, set()
    for change in (
        lambda: m.__setitem__(m["k"], 1),
        lambda: m["d"].__setitem__(m["k"], 1),
        lambda: m["s"].add(m["k"]),
        lambda: m["s"].update([m["d"]]),
        lambda: m["d"].__setitem__((m["k"],), 1),
    ):
        with pytest.raises(TypeError):
            change()
    assert (m["d"], m["s"]) == ({}, set())
    with pytest.raises(UnsupportedTypeError):
        m["k"].append(object())
    assert m["k"] == [1]


def test_what_holds_itself_is_copied_as_such(m: OOCMap, tmp_path: Path) -> None:
    """The copy once held another copy, which held itself: the handle was known while it was stored, the copy was not."""
    m["k"] = {}
    m["k"]["self"] = m["k"]
    with OOCMap(tmp_path / "other.ooc") as other:
        other["k"] = m["k"]
        assert other["k"]["self"].same_as(other["k"])
    with m.snapshot() as s:
        m["copy"] = s["k"]
    assert m["copy"]["self"].same_as(m["copy"])
    assert not m["copy"].same_as(m["k"])
    assert m.check() == []


def test_what_moves_takes_what_it_refers_to_along(m: OOCMap) -> None:
    """What only the moved list referred to was once deleted: nothing said that the list itself was still wanted."""
    m["first"] = {"v": 1}
    m["a"] = {"s": []}
    m["a"]["s"].append(m.pop("first"))
    with m.transaction():
        m["b"] = m["a"]["s"]
        del m["a"]["s"]
    assert m == {"a": {}, "b": [{"v": 1}]}
    assert m.check() == []


def test_a_reference_after_a_rollback_is_counted(m: OOCMap) -> None:
    """What only a handle kept before a rollback was once taken for that afterwards, and a second name for the first."""
    m["a"] = {"x": []}
    x = m["a"]["x"]
    with m.transaction():
        with contextlib.suppress(ZeroDivisionError), m.transaction():
            del m["a"]["x"]
            raise ZeroDivisionError
        m["b"] = x
        m["a"]["n"] = 1
        m["c"] = x
    assert m.check() == []
    del m["b"], x
    m["after"] = 1
    assert m["c"] == []


@pytest.mark.parametrize(
    "inside", [[2], bytearray(9000), [[n] for n in range(3000)]], ids=["short", "bytes", "long"]
)
@pytest.mark.parametrize("take", ["pop", "popitem", "handle"])
def test_a_tuple_keeps_what_is_in_it(m: OOCMap, take: str, inside: Any) -> None:
    """What lies elsewhere was once deleted with the key of the tuple that a handle was held of."""
    m["k"] = (1, inside)
    if take == "pop":
        taken = m.pop("k")
    elif take == "popitem":
        taken = m.popitem()[1]
    else:
        taken = m["k"]
        del m["k"]
    m["again"] = taken
    del taken
    assert m.pop("again").eager(deep=True) == (1, inside)
    m["after"] = 1
    assert m.check() == []


def test_what_is_gone_is_not_stored_where_it_was(m: OOCMap, path: Path) -> None:
    """The value that it was in once took it for one of its own."""
    m["k"] = {"x": [1], "y": []}
    x, y = m["k"]["x"], m["k"]["y"]
    in_another_process(path, "del m['k']['x']")
    with pytest.raises(StaleObjectError):
        y.append(x)
    with pytest.raises(StaleObjectError):
        y.extend([1, [x]])
    with pytest.raises(StaleObjectError):
        m["k"].update(again=x)
    assert m == {"k": {"y": []}}
    assert m.check() == []


def test_a_large_value_that_refers_to_where_it_goes(m: OOCMap) -> None:
    """The record once moved for the value while it was written anew, and was there twice."""
    m["k"] = {"x": [1], "y": []}
    m["k"]["y"].append([m["k"]["x"], list(range(1000))])
    assert m["k"]["y"][0][0].same_as(m["k"]["x"])
    assert m.check() == []
    m["k"]["x"].append(2)
    assert m == {"k": {"x": [1, 2], "y": [[[1, 2], list(range(1000))]]}}
    assert m.check() == []
