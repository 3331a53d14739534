"""Draws the charts of the report, in an environment that has matplotlib: `python plots.py RESULTS DIRECTORY`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from engines import ENGINES, OURS
from results import Results
from works import WORKS

CHARTS = {
    "reads": ("reads", "documents"),
    "writes": ("writes",),
    "lists-and-sizes": ("lists", "sizes"),
}
"""What is in each chart: sections of the report. Rows that change documents are among the writes."""
WRITES = ("change-field", "load-documents")
INK = "#7f7f7f"
"""Readable on light and on dark pages."""
BETTER, WORSE = "#2a9d8f", "#e76f51"
COLUMNS = 3


def panels(results: Results, chart: str) -> dict[str, dict[str, float]]:
    """Return what a chart shows: for each row, how many times as much each engine needs as oocmap."""
    found = {}
    for work in WORKS.values():
        section = "writes" if work.name in WRITES else work.section
        row = results.rows.get(work.name)
        if row is None or section not in CHARTS[chart]:
            continue
        ratios = {name: row.ratio(name) for name in ENGINES if name != OURS}
        shown = {name: ratio for name, ratio in ratios.items() if ratio is not None}
        if shown:
            found[work.name] = shown
    return found


def draw(results: Results, directory: Path) -> None:
    """Write all charts."""
    import matplotlib as mpl

    mpl.use("svg")
    # The same file from the same figures.
    mpl.rcParams.update({"svg.hashsalt": "oocmap", "font.size": 8, "text.color": INK, "axes.labelcolor": INK})
    mpl.rcParams.update(
        {"xtick.color": INK, "ytick.color": INK, "axes.edgecolor": INK, "svg.fonttype": "none"}
    )
    directory.mkdir(parents=True, exist_ok=True)
    for chart in CHARTS:
        shown = panels(results, chart)
        if shown:
            _draw(shown, directory / f"{chart}.svg")


def _draw(shown: dict[str, dict[str, float]], path: Path) -> None:
    from matplotlib import pyplot

    down = -(-len(shown) // COLUMNS)
    longest = max(len(ratios) for ratios in shown.values())
    figure, grid = pyplot.subplots(
        down,
        COLUMNS,
        figsize=(11, down * (0.7 + 0.19 * longest)),
        squeeze=False,
        layout="constrained",
    )
    axes: list[Any] = list(grid.flat)
    for axis, (name, ratios) in zip(axes, shown.items(), strict=False):
        _panel(axis, name, ratios, longest)
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    figure.supxlabel(
        "times oocmap's time or bytes (log scale); the line is oocmap, and left of it the other is better"
    )
    figure.savefig(path, transparent=True, metadata={"Date": None})
    pyplot.close(figure)


def _panel(axis: Any, name: str, ratios: dict[str, float], most: int) -> None:
    names = list(reversed(ratios))
    values = [max(ratios[engine], 1e-4) for engine in names]
    places = range(most - len(names), most)
    low, high = min(1.0, *values), max(1.0, *values)
    beside = 3 * (high / low) ** 0.2  # room for the figures
    axis.set_xscale("log")
    axis.set_xlim(low / beside, high * beside)
    axis.set_ylim(-0.6, most - 0.4)
    axis.axvline(1, color=INK, linewidth=1)
    axis.hlines(places, 1, values, color=[BETTER if value >= 1 else WORSE for value in values], linewidth=4)
    for place, value in zip(places, values, strict=True):
        axis.annotate(
            f"{value:.2g}" if value < 100 else f"{value:,.0f}",
            (value, place),
            xytext=(4 if value >= 1 else -4, 0),
            textcoords="offset points",
            ha="left" if value >= 1 else "right",
            va="center",
            fontsize=7,
        )
    axis.set_yticks(places, [ENGINES[engine].title for engine in names])
    axis.set_title(f"{name}: {WORKS[name].title}".replace("`", ""), fontsize=8, wrap=True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


if __name__ == "__main__":
    draw(Results.read(Path(sys.argv[1])), Path(sys.argv[2]))
