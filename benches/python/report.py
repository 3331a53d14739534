"""Writes what was measured: lines for the terminal, and the page `docs/benchmarks.md`."""

from __future__ import annotations

from engines import ENGINES, OURS
from results import Cell, Row
from works import Bar, Work


def number(figure: float) -> str:
    """Write a number with two or three significant digits."""
    if figure >= 10_000:
        return f"{figure:.2g}".replace("e+0", "e") if figure >= 1e6 else f"{figure:,.0f}"
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}" if figure >= 10 else f"{figure:.2f}"


def wanted(work: Work, bar: Bar) -> str:
    """Write a bar."""
    against = ENGINES[bar.against].title if bar.against else work.beside
    if bar.kind == "below":
        unit = {"time": "s", "ms": "ms", "bytes": "bytes", "MB": "MB"}[work.unit]
        return f"at most {bar.bound:g} {unit}"
    if bar.kind == "slower":
        return f"at most {bar.bound:g} × slower than {against}"
    return f"at most {bar.bound:g} × {against}" if bar.kind == "most" else f"{bar.bound:g} × {against}"


def cell_of(row: Row, engine: str) -> str:
    """Write how oocmap compares with an engine."""
    cell = row.cells.get(engine, Cell(cannot=""))
    if cell.failed is not None:
        return "did not finish" if cell.failed.startswith("did not finish") else "failed"
    ratio = row.ratio(engine)
    if ratio is None:
        return "–"
    return number(ratio) + ("†" if cell.reduced else "")


def lines_of(work: Work, row: Row) -> list[str]:
    """Return a row for the terminal."""
    lines = [f"{work.name}: {work.title}"]
    ours = row.cells.get(OURS)
    if ours is not None and ours.best is not None:
        figure = f"{ours.best * 1e6:.3f} µs" if work.unit in ("time", "ms") else f"{ours.best:,.1f} bytes"
        beside = f", {number(ours.gain)} × {work.beside}" if ours.gain is not None else ""
        lines.append(f"  oocmap {figure}{beside}")
    for bar in work.bars:
        reached = row.reached(work, bar)
        verdict = "not measured" if reached is None else f"{number(reached[0])} {'✓' if reached[1] else '✗'}"
        lines.append(f"  {wanted(work, bar)}: {verdict}")
    others = [f"{name} {cell_of(row, name)}" for name in row.cells if name != OURS]
    if others:
        lines.append("  × " + ", ".join(others))
    lines += [f"  {name}: {cell.failed}" for name, cell in row.cells.items() if cell.failed is not None]
    return lines
