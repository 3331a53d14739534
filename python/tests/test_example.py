"""The example does its whole job, on a part of its data."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "stdlib_index.py"


def run(*arguments: str) -> str:
    """Run the example and return what it printed."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), *arguments], capture_output=True, text=True, timeout=240, encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_example_stores_asks_and_holds_a_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "index.ooc"
    printed = run(str(path), "--limit", "14", "--calls", "isinstance")
    counts = {
        kind: int(number.replace(",", ""))
        for number, kind in re.findall(r"([\d,]+) (function|class|module|char)\b", printed)
    }
    assert counts["module"] == 14
    assert counts["function"] > 50
    assert counts["class"] > 10
    assert counts["char"] > 600
    stored = re.search(r"Stored ([\d,]+) entries", printed)
    assert stored is not None
    assert int(stored[1].replace(",", "")) == sum(counts.values())

    assert re.search(r"calls? isinstance\?\n.*_collections_abc\.Set\.__eq__ \(line \d+\)", printed)
    assert re.search(r"accent\?\n +\u00e8, \u00e9, \u00ea, \u00eb, ", printed)
    assert "the snapshot, version" in printed
    assert "as before: True" in printed
    assert "LATIN CAPITAL LETTER A: True" in printed
    assert f"deleted {counts['char']:,} entries" in printed
    assert path.stat().st_size > 0
    assert "File size: " in printed


def test_the_example_leaves_nothing_behind(tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "--limit", "2"], env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUTF8": "1"},
        capture_output=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(tmp_path.iterdir()) == before
