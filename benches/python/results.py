"""What was measured: kept as JSON, so that rows can be measured one by one and the report made again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from engines import OURS
from works import WORKS, Bar, Work

FORMAT = 1


@dataclass
class Cell:
    """What an engine did in a row: a figure, or why there is none."""

    values: list[float] = field(default_factory=list)
    """Seconds or bytes for one operation, of each turn in each round."""
    references: list[float] = field(default_factory=list)
    operations: int = 0
    entries: int | None = None
    """How many entries there were, if fewer than for others."""
    reduced: bool = False
    cannot: str | None = None
    """It has no such thing; perhaps with a reason."""
    failed: str | None = None
    """It should have, but."""

    @property
    def best(self) -> float | None:
        """Return the best of the turns, if every one was ended."""
        return min(self.figures) if self.figures else None

    @property
    def figures(self) -> list[float]:
        """Return what was measured in each turn, if every one was ended."""
        return self.values if self.cannot is None and self.failed is None else []

    @property
    def gain(self) -> float | None:
        """Return how many times as fast it was as what was measured beside it in the same process."""
        return ratio_of_turns(self.references, self.figures)


def ratio_of_turns(theirs: list[float], ours: list[float]) -> float | None:
    """Return the median of the ratios of turns that follow each other, so that the machine was much the same for both."""
    if not theirs or not ours:
        return None
    # Who is in no bar has one turn in each round.
    ours = ours[:: max(1, len(ours) // len(theirs))]
    return median(their / our for their, our in zip(theirs, ours, strict=False))


@dataclass
class Row:
    """All engines in one row, of one run."""

    measured: str
    """The date."""
    machine: str
    disk: str
    """The file system of the scratch directory."""
    count: int
    rounds: int
    cells: dict[str, Cell] = field(default_factory=dict)

    @property
    def broken(self) -> bool:
        """Tell whether oocmap itself failed."""
        return OURS in self.cells and self.cells[OURS].failed is not None

    def ratio(self, engine: str) -> float | None:
        """Return how many times as much an engine needs as oocmap: above 1, oocmap is better."""
        ours, theirs = self.cells.get(OURS), self.cells.get(engine)
        return ratio_of_turns(theirs.figures, ours.figures) if ours and theirs else None

    def reached(self, work: Work, bar: Bar) -> tuple[float, bool] | None:
        """Return what was measured for a bar, and whether that is enough."""
        cell = self.cells.get(OURS)
        if cell is None or cell.best is None:
            return None
        if bar.kind == "below":
            figure = cell.best * {"time": 1, "ms": 1e3, "bytes": 1, "MB": 1e-6}[work.unit]
            return figure, figure <= bar.bound
        ratio = cell.gain if bar.kind in ("itself", "slower") else self.ratio(bar.against)
        if ratio is None:
            return None
        if bar.kind in ("most", "slower"):
            return 1 / ratio, 1 / ratio <= bar.bound
        return ratio, ratio >= bar.bound


@dataclass
class Results:
    """All rows that were measured, and the versions of the engines."""

    rows: dict[str, Row] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    """Engines that are not installed, with the reason."""
    rust: dict[str, Any] = field(default_factory=dict)
    """The rows of the engine in Rust: the time of heed by that of the engine."""

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read a file, or begin anew where there is none."""
        if not path.exists():
            return cls()
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.pop("format") != FORMAT:
            raise SystemExit(f"{path} is of another version of the benchmarks: remove it, and measure again")
        rows = {
            name: Row(**{**row, "cells": {engine: Cell(**cell) for engine, cell in row["cells"].items()}})
            for name, row in found.pop("rows").items()
            if name in WORKS  # what is measured no longer is of no use
        }
        return cls(rows, **found)

    def write(self, path: Path) -> None:
        """Write the file whole, or leave it as it was."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1), encoding="utf-8")
        beside.replace(path)
