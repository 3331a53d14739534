"""The benchmarks measure every row, and their report has every figure, every bar and every failure."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import rust
from data import document, pairs, repeated
from plots import CHARTS, WRITES, panels
from report import page
from results import Cell, Results, Row
from runner import HOMES, ROOT, Runner, Settings
from works import WORKS, Bar, chosen

PEERS = [
    name for name, module in (("dict", "builtins"), ("lmdb", "lmdb")) if importlib.util.find_spec(module)
]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "benches/python"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def row(**cells: Cell) -> Row:
    return Row("2026-11-21", "a machine", "ext4", 1000, 2, cells)


def test_every_row_is_measured_and_reported(tmp_path: Path) -> None:
    measured, docs = tmp_path / "results.json", tmp_path / "docs"
    (tmp_path / "scratch").mkdir()
    done = bench(
        *("--quick", "--engines", ",".join(["oocmap", *PEERS]), "--scratch", str(tmp_path / "scratch")),
        *("--json", str(measured), "--docs", str(docs)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list((tmp_path / "scratch").iterdir())

    results = Results.read(measured)
    assert set(results.rows) == set(WORKS)
    for name, found in results.rows.items():
        assert all(cell.failed is None for cell in found.cells.values()), (name, found.cells)
        assert found.cells["oocmap"].best, name
        assert (found.cells["oocmap"].gain is not None) == bool(WORKS[name].beside), name
    assert results.rows["get"].ratio("dict") is not None

    text = (docs / "benchmarks.md").read_text(encoding="utf-8")
    for work in WORKS.values():
        assert f"| `{work.name}` | {work.title} |" in text
        missing = [bar for bar in work.bars if bar.against and bar.against not in PEERS]
        rows = (
            text.split("## Beside every engine")[0]
            .split(f"| `{work.name}` |")[1]
            .split("| `")[0]
            .splitlines()
        )
        assert sum("not measured" in line for line in rows) == len(missing)
    assert "failed" not in text
    assert "200 small entries instead of 200,000, and of all else in proportion" in text
    # Without its figures the page can be made again, and is the same.
    again = bench("--report", str(measured), "--docs", str(tmp_path / "again"))
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again/benchmarks.md").read_text(encoding="utf-8") == text


def test_a_row_that_does_not_finish_is_reported_and_hangs_nothing(tmp_path: Path) -> None:
    runner = Runner(Settings(200, 2, 0.5, longest=0.001, say=lambda _: None), tmp_path, ["oocmap", "dict"])
    runner.find_engines()
    results = Results()
    runner.run([WORKS["get"], WORKS["write-durable"]], results.rows.__setitem__)
    for found in results.rows.values():
        assert [cell.failed for cell in found.cells.values()] == ["did not finish within 0 seconds"] * 2
        assert found.broken
    text = page(results, charts=False)
    assert "| not measured: did not finish within 0 seconds |" in text
    assert "- dict, `get`: did not finish" in text
    assert not list(tmp_path.iterdir())


def test_an_engine_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HOMES, "predecessor", tmp_path / "nowhere")
    runner = Runner(Settings(200, 1, 0.5, say=lambda _: None), tmp_path, ["dict", "predecessor"])
    runner.find_engines()
    assert list(runner.pythons) == ["dict"]
    assert "- oocmap 0.3 is not measured here: not installed" in page(runner.results, charts=False)


@pytest.mark.parametrize(
    ("bar", "measured", "enough"),
    [
        (Bar("times", 2, "lmdb"), 2.0, True),
        (Bar("times", 2.1, "lmdb"), 2.0, False),
        (Bar("most", 0.5, "lmdb"), 0.5, True),
        (Bar("most", 0.4, "lmdb"), 0.5, False),
        (Bar("itself", 1.5), 1.5, True),
        (Bar("itself", 1.6), 1.5, False),
        (Bar("slower", 0.7), 1 / 1.5, True),
        (Bar("slower", 0.6), 1 / 1.5, False),
        (Bar("below", 2), 2.0, True),
        (Bar("below", 1.9), 2.0, False),
    ],
)
def test_bars(bar: Bar, measured: float, enough: bool) -> None:
    # 2 against 4, and 3 beside it.
    found = row(oocmap=Cell(values=[2.0, 2.5], references=[3.0, 3.75]), lmdb=Cell(values=[4.0, 5.0]))
    reached = found.reached(WORKS["size-small"], bar)
    assert reached is not None
    assert reached[0] == pytest.approx(measured)
    assert reached[1] is enough


def test_a_ratio_is_the_median_of_turns_that_follow_each_other() -> None:
    # Twice the machine was slow for both, and once fast for the one only. Who is in no bar has one turn in each round.
    found = row(
        oocmap=Cell(values=[1.0, 5.0, 1.0, 4.0]),
        lmdb=Cell(values=[2.0, 10.0, 1.0, 9.0]),
        limit=Cell(values=[3.0, 4.0]),
    )
    assert found.ratio("lmdb") == 2.0
    assert found.ratio("limit") == 3.5


def test_what_cannot_be_measured_reaches_no_bar() -> None:
    bar = Bar("times", 2, "lmdb")
    assert row(oocmap=Cell(values=[1.0]), lmdb=Cell(cannot="")).reached(WORKS["get"], bar) is None
    assert (
        row(oocmap=Cell(values=[1.0]), lmdb=Cell(values=[2.0], failed="later")).reached(WORKS["get"], bar)
        is None
    )
    assert row(lmdb=Cell(values=[2.0])).reached(WORKS["get"], bar) is None


def test_a_loss_is_shown_as_one_and_a_slow_engine_too() -> None:
    cells = {
        "oocmap": Cell(values=[2.0]),
        "dict": Cell(values=[1.0]),
        "lmdb": Cell(values=[6.0], operations=5, entries=3, reduced=True),
    }
    text = page(Results({"get": row(**cells)}), charts=False)
    assert "| 0.5 × dict | 0.50 ✓ |" in text
    assert "| **0.5** | 3† |" in text
    assert "- LMDB + pickle, with the number of its operations: `get` 5 on 3 entries" in text


@pytest.mark.parametrize(("theirs", "is_missed"), [(2.0, True), (4.0, False)])
def test_a_missed_bar_comes_with_where_the_time_goes(theirs: float, is_missed: bool) -> None:
    cells = {"oocmap": Cell(values=[1.0]), "lmdb": Cell(values=[theirs])}
    text = page(Results({"change-field": row(**cells)}), charts=False)
    assert ("- `change-field`: Two thirds of the time" in text) is is_missed


def test_rows_are_measured_one_by_one_into_one_file(tmp_path: Path) -> None:
    measured = tmp_path / "results.json"
    Results({"get": row(dict=Cell(values=[1.0])), "gone": row()}, {"dict": ""}).write(measured)
    assert list(Results.read(measured).rows) == ["get"]
    done = bench("--quick", "--engines", "dict", "--work", "items", "--json", str(measured))
    assert done.returncode == 0, done.stderr
    results = Results.read(measured)
    assert list(results.rows) == ["get", "items"]
    assert results.rows["get"].measured == "2026-11-21"


def test_a_part_of_a_run_does_not_become_the_report() -> None:
    for partial in (["--quick"], ["--engines", "dict"]):
        done = bench(*partial, "--work", "get", "--docs", str(ROOT / "docs"))
        assert done.returncode == 2, done.stdout
        assert "whole runs" in done.stderr


def test_rows_are_chosen_by_name_and_pattern() -> None:
    assert chosen("load-*,get", WORKS) == [
        "get",
        "load-documents",
        "load-random",
        "load-sorted",
        "load-lines",
    ]
    with pytest.raises(ValueError, match="there is no 'nothing', but get"):
        chosen("get,nothing", WORKS)


def test_charts_show_every_row_that_was_measured() -> None:
    cells = {"oocmap": Cell(values=[2.0]), "dict": Cell(values=[1.0]), "lmdb": Cell(cannot="")}
    results = Results({name: row(**cells) for name in WORKS})
    shown = [name for chart in CHARTS for name in panels(results, chart)]
    assert sorted(shown) == sorted(name for name, work in WORKS.items() if work.section != "start")
    assert set(WRITES) <= set(panels(results, "writes"))
    assert panels(results, "reads")["get"] == {"dict": 0.5}


def test_the_rows_of_rust_are_what_criterion_has_written(tmp_path: Path) -> None:
    for turn, name in enumerate(rust.TITLES):
        for engine, time in (("heed", 30.0 + turn), ("oocmap", 10.0)):
            directory = tmp_path / name / engine / "new"
            directory.mkdir(parents=True)
            estimates = {"median": {"point_estimate": time}}
            (directory / "estimates.json").write_text(json.dumps(estimates), encoding="utf-8")
    ratios = rust.ratios(tmp_path)
    assert ratios["load-sorted"] == 3.0
    text = page(Results(rust={"measured": "2026-11-21", "ratios": ratios}), charts=False)
    assert "| load 200,000 entries, sorted order, one transaction | 3.00 |" in text
    source = (ROOT / "benches/src/workloads.rs").read_text(encoding="utf-8")
    assert all(f'name: "{name}"' in source for name in rust.TITLES)


def test_what_is_stored_is_what_the_report_says() -> None:
    assert sorted(pairs("small", 3)) == [(number, f"value number {number}") for number in range(3)]
    assert [key for key, _ in pairs("small", 50)] != list(range(50))
    assert [key for key, _ in pairs("small", 50, ascending=True)] == list(range(50))
    assert len(repeated(7)) == 400
    assert repeated(7) == repeated(107) != repeated(8)
    leaves, open_ends = 0, [document(7)]
    while open_ends:
        for inner in open_ends.pop().values():
            for value in inner if isinstance(inner, list) else [inner]:
                if isinstance(value, dict):
                    open_ends.append(value)
                else:
                    leaves += 1
    assert 45 <= leaves <= 65
