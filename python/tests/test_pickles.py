"""What has no native form is pickled where that is allowed, and nowhere else is anything unpickled."""

from __future__ import annotations

import datetime as dt
import pickle
from array import array
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oocmap
import pytest
from oocmap import OOCMap, UnsafePickleError, UnsupportedTypeError
from strict import exactly


class Own:
    """A class that is not registered."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return type(other) is Own and exactly(self.x) == exactly(other.x)

    __hash__ = None  # type: ignore[assignment]


class OwnDict(dict[Any, Any]):
    """A subclass of a builtin."""


class OwnZone(dt.tzinfo):
    """A time zone of one's own."""

    def utcoffset(self, _: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(hours=1)

    def dst(self, _: dt.datetime | None) -> None:
        return None

    def tzname(self, _: dt.datetime | None) -> str:
        return "own"


class Buffered:
    """An object with a buffer that can stand outside the pickle."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Buffered, (pickle.PickleBuffer(self.content),)


class Bomb:
    """An object whose unpickling makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


@pytest.fixture
def trusting(path: Path) -> Iterator[OOCMap]:
    """Open an empty map that may use pickle."""
    with OOCMap(path, allow_pickle=True) as opened:
        yield opened


VALUES = [Own([1, {"a": (2,)}]), OwnDict(a=1), len, Own, array("d", [1.0]), slice([1], 2), deque([Own(1)])]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_has_no_native_form_is_pickled(trusting: OOCMap, path: Path, value: Any) -> None:
    m = trusting
    m["k"] = value
    m["inside"] = [value, {"k": value}]
    assert type(m["k"]) is type(value)
    assert m["k"] == value
    assert m["inside"] == [value, {"k": value}]
    whole = m["inside"].eager(deep=True)
    assert whole[0] is whole[1]["k"]
    with m.snapshot() as s:
        assert s["k"] == value
    with m.transaction() as tx:
        assert tx["k"] == value
    assert pickle.loads(pickle.dumps(m))["k"] == value
    assert m.check() == []
    with OOCMap(path) as cautious:
        for read in (
            lambda: cautious["k"],
            lambda: cautious.pop("k"),
            lambda: cautious["inside"][0],
            lambda: cautious["inside"].eager(deep=True),
            lambda: list(cautious.values()),
            lambda: cautious.snapshot()["k"],
            # What belongs to a snapshot is copied, and has to be read for that.
            lambda: cautious.__setitem__("copy", cautious.snapshot()["inside"]),
        ):
            with pytest.raises(UnsafePickleError, match="allow_pickle=True") as caught:
                read()
            assert isinstance(caught.value, ValueError)
        assert set(cautious) == {"k", "inside"}
        assert len(cautious["inside"]) == 2
        with pytest.raises(UnsupportedTypeError):
            cautious["new"] = [value]
        del cautious["k"]
    assert set(m) == {"inside"}


@pytest.mark.usefixtures("registry")
def test_native_forms_stay_native(trusting: OOCMap, path: Path) -> None:
    trusting["k"] = [1, {"a": deque([2])}]
    with OOCMap(path) as cautious:
        assert cautious["k"] == [1, {"a": deque([2])}]
    oocmap.register(Own, name="own")
    trusting["own"] = Own(1)
    with OOCMap(path) as cautious:
        assert cautious["own"] == Own(1)


def test_times_of_strange_zones(trusting: OOCMap) -> None:
    value = dt.datetime(2024, 1, 1, tzinfo=OwnZone())
    trusting["k"] = value
    trusting["inside"] = [value]
    assert trusting["k"] == trusting["inside"][0] == value
    assert type(trusting["k"].tzinfo) is OwnZone


@pytest.mark.parametrize("content", [b"a" * 1_000_000, bytearray(b"b" * 1_000_000), b"", bytearray(b"c")])
def test_buffers_are_stored_outside_the_pickle(path: Path, content: Any) -> None:
    with OOCMap(path, allow_pickle=True) as m:
        for i in range(5):
            m[i] = Buffered(content)
        stored = m[3].content
        assert type(stored) is type(content)
        assert stored == content
        assert m.check() == []
    assert path.stat().st_size < 3_000_000  # once for all


def test_what_pickle_refuses_is_refused(trusting: OOCMap) -> None:
    trusting["before"] = 1
    values: list[Any] = [lambda: 1, iter(lambda: 1, 2).__next__, memoryview(b"")]
    for value in values:
        with pytest.raises(UnsupportedTypeError, match="can't be pickled"):
            trusting["k"] = [value]

    class Raises:
        def __reduce__(self) -> Any:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trusting["k"] = Raises()
    with pytest.raises(TypeError):
        trusting[Own(1)] = 1
    with pytest.raises(TypeError):
        trusting["k"] = {Own: 1}
    assert trusting == {"before": 1}


def test_a_hostile_pickle_never_runs(path: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    with OOCMap(path, allow_pickle=True) as m:
        m["k"] = Bomb(str(trap))
        m["inside"] = [1, Bomb(str(trap)), {"a": deque([Bomb(str(trap))])}]
    assert not trap.exists()
    with OOCMap(path) as m:
        assert m.check() == []
        stored = m["inside"]
        for read in (
            lambda: m["k"],
            lambda: stored[1],
            lambda: stored[-1]["a"],
            lambda: repr(stored),
            lambda: stored.eager(),
            lambda: stored == [1, 2, 3],
            lambda: list(m.items()),
            lambda: dict(m),
            lambda: m.copy(),
            lambda: m == {"k": 1, "inside": stored},
            lambda: m.popitem(),
            lambda: m.setdefault("k", 1),
            lambda: m.update({"copy": m.snapshot()["inside"]}),
            lambda: 5 in m.values(),
        ):
            with pytest.raises(UnsafePickleError):
                read()
        assert stored[0] == 1
        assert list(m) == ["inside", "k"]
        m["k"] = "new"
        del m["inside"]
        assert m == {"k": "new"}
    assert not trap.exists()
    # The trap is a good one.
    with OOCMap(path, allow_pickle=True) as m:
        m["k"] = Bomb(str(trap))
        m["k"].close()
    assert trap.exists()
