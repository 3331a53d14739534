"""The engine in Rust beside heed: run by criterion, whose medians are read here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ["cargo", "bench", "--locked", "--package", "oocmap-benches"]
NAME = "rust"
TITLES = {
    "load-sorted": "load 200,000 entries, sorted order, one transaction",
    "load-random": "load 200,000 entries, random order, one transaction",
    "get": "get, random",
    "get-missing": "get, missing keys",
    "walk": "walk through all entries",
}


def target() -> Path:
    """Return where cargo builds, and criterion writes."""
    told = subprocess.run(
        ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(json.loads(told.stdout)["target_directory"])


def measure(measured: str) -> dict[str, Any]:
    """Run the benches, and return how many times as fast as heed the engine is in each of them."""
    subprocess.run(COMMAND, cwd=ROOT, check=True)
    return {"measured": measured, "ratios": ratios(target() / "criterion")}


def ratios(written: Path) -> dict[str, float]:
    """Return the time of heed by that of the engine, from what criterion has written."""
    found = {}
    for name in TITLES:
        heed, ours = (median(written / name / engine) for engine in ("heed", "oocmap"))
        found[name] = heed / ours
    return found


def median(directory: Path) -> float:
    """Return the median of the newest run of a bench, in nanoseconds."""
    estimates = json.loads((directory / "new/estimates.json").read_text(encoding="utf-8"))
    return float(estimates["median"]["point_estimate"])
