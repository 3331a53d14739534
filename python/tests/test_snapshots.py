"""A snapshot is one committed version of everything, whatever happens meanwhile."""

from __future__ import annotations

import gc
import io
import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from oocmap import ClosedError, OOCMap, ReadOnlyError


def test_stays_as_it_was(m: OOCMap) -> None:
    m.update({"a": 1, "b": [1, {"c": (2,)}]})
    with m.snapshot() as s:
        held = s["b"]
        m["a"] = 2
        del m["b"]
        m["new"] = 3
        for key in range(500):  # so that freed pages would be used again
            m[key] = "x" * 500
        assert dict(s.items()) == {"a": 1, "b": [1, {"c": (2,)}]}
        assert held == [1, {"c": (2,)}]
        assert "new" not in s
        assert len(s) == 2
        assert list(s.range("a", "b").keys()) == ["a"]
    assert m["a"] == 2


def test_has_the_whole_reading_interface(m: OOCMap) -> None:
    m.update({("a", 1): 1, ("a", 2): 2, "k": [3]})
    with m.snapshot() as s:
        assert s == m
        assert s.get("missing", 5) == 5
        assert list(reversed(s)) == list(m)[::-1]
        assert list(s.prefix(("a",)).values()) == [1, 2]
        assert s.keys() == m.keys()
        assert s | {"x": 1} == m | {"x": 1}
        assert s.copy() == m.copy()
        with pytest.raises(KeyError):
            s["missing"]


def test_versions_grow_with_every_commit(m: OOCMap) -> None:
    versions = []
    for step in range(5):
        with m.snapshot() as first, m.snapshot() as second:
            assert first.version == second.version
            versions.append(first.version)
        m["step"] = step
    assert versions == sorted(set(versions))
    before = m.snapshot().version
    with m.transaction() as tx:
        tx["a"] = 1
        tx["b"] = 2
        tx.rollback()
    assert m.snapshot().version == before


def seen_by(m: OOCMap) -> tuple[int, dict[Any, Any]]:
    """Return the version that a process sees, and what is in it."""
    with m.snapshot() as s:
        return s.version, dict(s.items())


def test_the_version_is_the_same_in_every_process(m: OOCMap, path: Path) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as other:
        for step in range(3):
            m["step"] = step
            assert other.submit(seen_by, m).result() == seen_by(m)
    version = seen_by(m)[0]
    m.close()
    with OOCMap(path) as again:
        assert seen_by(again)[0] == version


def test_can_not_be_changed(m: OOCMap) -> None:
    m["a"] = 1
    with m.snapshot() as s:
        changes: list[Callable[[Any], Any]] = [
            lambda s: s.__setitem__("a", 2),
            lambda s: s.__delitem__("a"),
            lambda s: s.update(a=2),
            lambda s: s.pop("a"),
            lambda s: s.popitem(),
            lambda s: s.setdefault("b", 1),
            lambda s: s.clear(),
        ]
        for change in changes:
            with pytest.raises(ReadOnlyError) as caught:
                change(s)
            assert isinstance(caught.value, io.UnsupportedOperation)
        assert s == {"a": 1}
    assert m == {"a": 1}


def test_one_that_was_closed_can_not_be_used(m: OOCMap) -> None:
    m["a"] = 1
    s = m.snapshot()
    s.close()
    s.close()
    for use in (lambda: s["a"], lambda: len(s), lambda: list(s), lambda: s.view("a")):
        with pytest.raises(ClosedError):
            use()


def test_several_are_independent(m: OOCMap) -> None:
    held = []
    for step in range(20):
        m["step"] = step
        held.append(m.snapshot())
    assert [s["step"] for s in held] == list(range(20))
    for s in held[::2]:
        s.close()
    assert [s["step"] for s in held[1::2]] == list(range(1, 20, 2))


def test_may_be_used_from_several_threads_at_once(m: OOCMap) -> None:
    m.update((key, {"n": [key] * 10}) for key in range(300))
    sums: list[int] = []
    with m.snapshot() as s:

        def read() -> None:
            sums.append(sum(sum(value["n"]) for value in s.values()))

        threads = [threading.Thread(target=read) for _ in range(6)]
        for thread in threads:
            thread.start()
        for key in range(300):
            m[key] = None
        for thread in threads:
            thread.join()
    assert sums == [10 * sum(range(300))] * 6


def test_one_opened_in_a_thread_that_ended_goes_on(m: OOCMap) -> None:
    m["a"] = [1]
    opened: list[Any] = []
    thread = threading.Thread(target=lambda: opened.append(m.snapshot()))
    thread.start()
    thread.join()
    m["a"] = [2]
    assert opened[0]["a"] == [1]
    opened[0].close()


def test_thousands_may_be_opened_and_forgotten(m: OOCMap) -> None:
    m["a"] = 1
    for _ in range(5000):
        s = m.snapshot()
        assert s["a"] == 1
        del s
    gc.collect()
    assert m.snapshot()["a"] == 1


# --- views ---


@pytest.mark.parametrize("size", [0, 1, 100, 5000, 3_000_000])
def test_a_view_is_a_read_only_memoryview(m: OOCMap, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    m["k"] = data
    with m.snapshot() as s:
        view = s.view("k")
        assert type(view) is memoryview
        assert view.readonly
        assert view.nbytes == len(data)
        assert view == data
        with pytest.raises(TypeError):
            view[0:1] = b"x"
        view.release()


def test_a_view_stays_valid_for_as_long_as_it_lives(path: Path) -> None:
    data = bytes(range(256)) * 100
    m = OOCMap(path)
    m["k"] = data
    own = m.view("k")
    s = m.snapshot()
    views = [s.view("k")[10:20], s.view("k")]
    del s
    gc.collect()
    del m["k"]
    for key in range(200):
        m[key] = b"\0" * 5000
    assert own == data
    assert views[0] == data[10:20]
    m.close()
    gc.collect()
    assert own == data
    assert views[1] == data


def test_a_snapshot_does_not_close_under_a_view(m: OOCMap) -> None:
    m["k"] = b"x" * 10_000
    s = m.snapshot()
    view = s.view("k")
    with pytest.raises(BufferError):
        s.close()
    assert s["k"] == b"x" * 10_000
    assert bytes(view[:3]) == b"xxx"
    view.release()
    s.close()
    with pytest.raises(ClosedError):
        s["k"]


def test_only_bytes_have_a_view(m: OOCMap) -> None:
    m.update(text="abc", number=1, items=[b"a"])
    with m.snapshot() as s:
        for key in ("text", "number", "items"):
            with pytest.raises(TypeError):
                s.view(key)
        with pytest.raises(KeyError):
            s.view("missing")
    with pytest.raises(KeyError):
        m.view("missing")


def test_lazy_containers_give_views_of_what_they_hold(m: OOCMap) -> None:
    data = b"payload" * 1000
    m["k"] = {"inner": [1, data]}
    with m.snapshot() as s:
        view = s["k"]["inner"].view(1)
        assert view.readonly
        assert view == data
        view.release()
