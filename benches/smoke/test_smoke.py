"""The guard finds what costs more, and only that."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import counting
import figures
import pytest
import run
from figures import Figures, Recorded
from oocmap import OOCMap, _oocmap

Argument = TypeVar("Argument")
steps = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="only x86-64 lets a program step through itself"
)


def recorded(**changes: Figures) -> Recorded:
    """Make a record of two operations, with changes."""
    return Recorded("one", {"get": Figures(1000.0, 7.0, 0.0), "put": Figures(50.0, 5.0, 2.0), **changes})


@pytest.fixture(scope="module")
def counter() -> counting.Counter:
    """Make a counter of what the extension does."""
    return counting.Counter(counting.build(), _oocmap.__file__)


def certainly(
    counter: counting.Counter, action: Callable[[Argument], object], argument: Argument
) -> counting.Counted:
    """Count until no other thread has come in between."""
    while (counted := counter.count(action, argument)) is None:
        pass
    return counted


@pytest.mark.parametrize(
    ("now", "word"),
    [
        (Figures(1000.0, 7.0, 0.0), ""),
        (Figures(1100.0, 7.0, 0.0), ""),
        (Figures(900.0, 7.0, 0.0), ""),
        (Figures(1101.0, 7.0, 0.0), "GREW 1101.0 (+10.1%)"),
        (Figures(1000.0, 8.0, 0.0), "GREW 8.0 (+14.3%)"),
        (Figures(1000.0, 7.0, 0.1), "GREW 0.1"),
        (Figures(899.0, 7.0, 0.0), "shrank 899.0 (-10.1%)"),
    ],
)
def test_what_changed_by_more_than_a_tenth_is_told(now: Figures, word: str) -> None:
    text, is_fine = figures.compare(recorded(), recorded(get=now))
    assert is_fine == ("GREW" not in word)
    assert word in text
    assert ("make bench-baseline" in text) == bool(word)


def test_operations_that_come_or_go_are_told() -> None:
    more = recorded(new=Figures(1.0, 1.0, 1.0))
    text, is_fine = figures.compare(recorded(), more)
    assert "1.0 (new)" in text
    assert not is_fine
    text, is_fine = figures.compare(more, recorded())
    assert "(gone)" in text
    assert not is_fine


def test_other_versions_are_named_where_figures_changed() -> None:
    other = recorded(put=Figures(60.0, 5.0, 2.0))._replace(versions="two")
    assert "Recorded with one; counted with two" in figures.compare(recorded(), other).text
    assert "two" not in figures.compare(recorded(), recorded()._replace(versions="two")).text


def test_what_is_written_is_read(tmp_path: Path) -> None:
    figures.write(tmp_path / "b.json", recorded())
    assert figures.read(tmp_path / "b.json") == recorded()


def test_the_median_counts() -> None:
    stretches = {"get": [[900.0, 1.0, 0.0], [10.04, 1.0, 0.0], [10.06, 9.0, 5.0]]}
    assert figures.by_operation(stretches) == {"get": Figures(10.1, 1.0, 0.0)}


def test_without_a_baseline_nothing_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "BASELINE", tmp_path / "none.json")
    monkeypatch.setattr(run, "count", recorded)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("sys.argv", ["run.py"])
    assert run.main() == 1
    assert "make bench-baseline" in capsys.readouterr().out


@pytest.mark.parametrize(("factor", "status"), [(1.0, 0), (1.2, 1), (0.8, 0)])
def test_the_command_fails_when_something_grew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float, status: int
) -> None:
    figures.write(tmp_path / "b.json", recorded())
    monkeypatch.setattr(run, "BASELINE", tmp_path / "b.json")
    monkeypatch.setattr(run, "count", lambda: recorded(get=Figures(1000.0 * factor, 7.0, 0.0)))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("sys.argv", ["run.py"])
    assert run.main() == status


@steps
def test_a_fifth_more_work_is_a_fifth_more_instructions(tmp_path: Path, counter: counting.Counter) -> None:
    with OOCMap(tmp_path / "m.ooc") as m:
        m["a"] = "text"
        with m.snapshot() as s:

            def work(times: int) -> None:
                for _ in range(times):
                    s["a"]

            work(1)
            ten, again, twelve = (certainly(counter, work, times) for times in (10, 10, 12))
    assert ten == again
    assert ten.instructions * 12 == twelve.instructions * 10
    assert ten.instructions > 1000
    before, now = ({"get": Figures(*map(float, counts))} for counts in (ten, twelve))
    assert "GREW" in figures.compare(Recorded("", before), Recorded("", now)).text


@steps
def test_what_others_do_is_not_counted(counter: counting.Counter) -> None:
    assert counter.count(sorted, [3, 1, 2]) == (0, 0, 0)


@steps
def test_a_thread_that_is_started_while_counting_goes_on(tmp_path: Path, counter: counting.Counter) -> None:
    opened: list[OOCMap] = []

    def reopen(path: Path) -> None:
        while opened:
            opened.pop().close()
        opened.append(OOCMap(path))

    counted = certainly(counter, reopen, tmp_path / "m.ooc")
    assert counted.instructions > 1000
    assert counted.allocations > 0
    with opened.pop() as m, m.transaction() as tx:
        tx[1] = 2
