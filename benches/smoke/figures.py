"""What the operations cost, the file in which that is recorded, and what has changed since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

TOLERANCE = 0.1
OTHER = "If it is meant: `make bench-baseline`, and commit what it writes."


class Figures(NamedTuple):
    """What one operation costs, to a tenth."""

    instructions: float
    exits: float
    allocations: float


class Recorded(NamedTuple):
    """What all operations cost, and with which compiler and interpreter."""

    versions: str
    figures: dict[str, Figures]


class Comparison(NamedTuple):
    """A table with what to do about it, and whether nothing grew, came or went."""

    text: str
    is_fine: bool


def write(path: Path, now: Recorded) -> None:
    """Record what the operations cost."""
    rows = (
        f"    {json.dumps(name)}: {json.dumps(figures._asdict())}" for name, figures in now.figures.items()
    )
    body = ",\n".join(rows)
    path.write_text(f'{{\n  "versions": {json.dumps(now.versions)},\n  "figures": {{\n{body}\n  }}\n}}\n')


def read(path: Path) -> Recorded:
    """Read what was recorded."""
    stored = json.loads(path.read_text())
    return Recorded(stored["versions"], {name: Figures(**row) for name, row in stored["figures"].items()})


def verdict(before: float, now: float) -> str:
    """Say what became of a figure; nothing while it is about the same."""
    if now > before * (1 + TOLERANCE):
        return "GREW"
    return "shrank" if now < before * (1 - TOLERANCE) else ""


def cell(before: float, now: float) -> str:
    """Show a figure beside what it was."""
    change = f" ({now / before - 1:+.1%})" if before else ""
    return f"{verdict(before, now)} {now:.1f}{change}".strip()


def compare(recorded: Recorded, now: Recorded) -> Comparison:
    """Hold what was counted against what was recorded."""
    table: list[tuple[str, ...]] = [("operation", *Figures._fields)]
    verdicts: set[str] = set()
    for name, figures in now.figures.items():
        if before := recorded.figures.get(name):
            verdicts.update(map(verdict, before, figures))
            table.append((name, *map(cell, before, figures)))
        else:
            table.append((name, *(f"{figure:.1f} (new)" for figure in figures)))
    gone = recorded.figures.keys() - now.figures.keys()
    table.extend((name, *["(gone)"] * len(Figures._fields)) for name in sorted(gone))
    is_other = recorded.figures.keys() != now.figures.keys()

    lines = ["{:<30} {:>26} {:>22} {:>22}".format(*row) for row in table]
    if "GREW" in verdicts:
        lines.append(f"\nWhat is marked GREW costs over {TOLERANCE:.0%} more than recorded. {OTHER}")
    if is_other:
        lines.append(f"\nThe operations are not those that are recorded. {OTHER}")
    if "shrank" in verdicts:
        lines.append(
            f"\nWhat is marked shrank costs over {TOLERANCE:.0%} less than recorded, and could grow again unseen. {OTHER}"
        )
    if verdicts - {""} and recorded.versions != now.versions:
        lines.append(f"Recorded with {recorded.versions}; counted with {now.versions}.")
    return Comparison("\n".join(lines), not is_other and "GREW" not in verdicts)


def by_operation(rows: Mapping[str, list[list[float]]]) -> dict[str, Figures]:
    """Take the median of what was counted for each operation."""
    return {name: Figures(*map(middle, zip(*stretches, strict=True))) for name, stretches in rows.items()}


def middle(figures: tuple[float, ...]) -> float:
    """Return the median of figures, to a tenth."""
    return round(sorted(figures)[len(figures) // 2], 1)
