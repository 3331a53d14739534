"""Writes what was measured: lines for the terminal, and the page `docs/benchmarks.md`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

import rust
from engine import Promise
from engines import ENGINES, OURS
from plots import CHARTS
from results import Cell, Results, Row
from works import COUNT, WORKS, Bar, Work

SECTIONS = {
    "reads": "Reads of small entries",
    "documents": "Documents",
    "writes": "Writes of small entries",
    "lists": "A long list",
    "sizes": "Bytes on disk",
    "start": "Open, import, memory",
}
UNITS = {"time": "µs", "ms": "ms", "bytes": "bytes", "MB": "MB"}
SCALES = {"time": 1e6, "ms": 1e3, "bytes": 1.0, "MB": 1e-6}
INTRODUCTION = """
Measured by `make bench`, which writes this page; `make bench WORK=get` measures one row of it again, `WORK=get,load-*`
several. Each engine runs each row in a process of its own, in rounds that are interleaved and in shuffled order; those
that a bar compares have four turns in each round. A ratio is the median of those of turns that follow each other, since
the machine is not always equally fast. All have the same keys in the same order and the same loop around a read or a
write, without the garbage collector, and each engine has to show that it gives back what was stored. Engines have the
settings that they come with, and load the fastest way that they have. Only ratios of one run are given, as absolute
times say more about the machine; but for bytes, memory, and the milliseconds to open and to import.
""".strip()
LEGEND = """
How often oocmap does a thing in the time in which the other does it once, or how much more the other needs of something:
above 1 oocmap is better, **below 1 the other is**. – means that an engine has no such thing, † that it is so slow that it
did fewer operations or had fewer entries; the figures are for one operation.
""".strip()
NOTES = """
- **Durable or not.** With their defaults, oocmap, LMDB, ZODB and the limit wait until each commit is on the disk, and
  the pickle file and the loads of rocksdict are synced here. The others leave that to the system, or to a later
  checkpoint, so their loads and plain writes do less. The rows that don't wait for the disk use
  `durability="deferred"` with oocmap and `sync=False` with LMDB; what has not been committed when the time is taken is
  committed afterwards, as ZODB and sqlitedict do with all of it.
- **New or old.** A plain read of oocmap, of LMDB with a transaction for each get, and of the engines on SQLite sees
  what other processes have committed in between. The limit, the one long transaction, snapshots, ZODB until its next
  transaction, and what is in memory do not.
- **In memory or not.** `dict` and the pickle file have everything in memory, ZODB what it has read until its
  transaction ends, hugedict and rocksdict what they cache, pysos and mmappickle an index. `dict` is safe from
  nothing; it is no peer, but what nothing on disk can reach.
- **Nested or whole.** Only oocmap and its predecessor read and change a part of a stored value. All others read the
  whole value for one field of it, and write it back as a whole. With these, a long list is one value, too.
- **The limit** is an extension over LMDB that does nothing but look a key up in a transaction that is kept, and make the
  string (`benches/limit`). It checks nothing and knows texts only.
""".strip()


def number(figure: float) -> str:
    """Write a number with two or three significant digits."""
    if figure >= 1000:
        return f"{figure:,.0f}"
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}" if figure >= 10 else f"{figure:.2g}"


def ratio_of(figure: float) -> str:
    """Write a ratio, exact enough to tell on which side of a bar it is."""
    return number(figure) if figure >= 10 else f"{figure:.2f}"


def wanted(work: Work, bar: Bar) -> str:
    """Write a bar."""
    against = ENGINES[bar.against].title if bar.against else work.beside
    if bar.kind == "below":
        return f"at most {bar.bound:g} {UNITS[work.unit]}"
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


def verdict(work: Work, row: Row | None, bar: Bar) -> str:
    """Write what was measured for a bar, and whether that is enough."""
    cell = None if row is None else row.cells.get(OURS)
    reached = None if row is None else row.reached(work, bar)
    if reached is None:
        if cell is not None and (cell.failed or cell.cannot):
            return f"not measured: {cell.failed or cell.cannot}"
        return "not measured"
    figure = f"{number(reached[0])} {UNITS[work.unit]}" if bar.kind == "below" else ratio_of(reached[0])
    return f"{figure} {'✓' if reached[1] else '✗'}"


def lines_of(work: Work, row: Row) -> list[str]:
    """Return a row for the terminal."""
    lines = [f"{work.name}: {work.title}"]
    ours = row.cells.get(OURS)
    if ours is not None and ours.best is not None:
        beside = f", {ratio_of(ours.gain)} × {work.beside}" if ours.gain is not None else ""
        lines.append(f"  oocmap {ours.best * SCALES[work.unit]:,.3f} {UNITS[work.unit]}{beside}")
    lines += [f"  {wanted(work, bar)}: {verdict(work, row, bar)}" for bar in work.bars]
    others = [f"{name} {cell_of(row, name)}" for name in row.cells if name != OURS]
    if others:
        lines.append("  × " + ", ".join(others))
    lines += [f"  {name}: {cell.failed}" for name, cell in row.cells.items() if cell.failed is not None]
    return lines


def rust_lines(measured: dict[str, float]) -> list[str]:
    """Return the rows of the engine in Rust for the terminal."""
    return [f"{rust.NAME}: times as fast as heed"] + [
        f"  {ratio_of(measured[name])} {title}" for name, title in rust.TITLES.items()
    ]


# --- the page ---


def table(heads: list[str], rows: Iterable[list[str]], right: int) -> list[str]:
    """Return a table in Markdown, whose columns from a number on are aligned to the right."""
    rule = ["---" if column < right else "---:" for column in range(len(heads))]
    return ["| " + " | ".join(cells) + " |" for cells in [heads, rule, *rows]] + [""]


def page(results: Results, charts: bool) -> str:
    """Return everything that was measured as a page in Markdown."""
    present = [name for name in ENGINES if any(name in row.cells for row in results.rows.values())]
    lines = [
        "# Benchmarks",
        "",
        INTRODUCTION,
        "",
        *bars_of(results),
        *comparison(results, present, charts),
        *shares(results, present),
        "## What to keep in mind",
        "",
        NOTES,
        "",
        *promises(present),
        *rust_table(results),
        *provenance(results, present),
    ]
    return "\n".join(lines).rstrip() + "\n"


def bars_of(results: Results) -> list[str]:
    """Return what oocmap is to reach, and what it does."""
    rows = []
    for work in WORKS.values():
        row = results.rows.get(work.name)
        for turn, bar in enumerate(work.bars):
            first = [f"`{work.name}`", work.title] if not turn else ["", ""]
            rows.append([*first, wanted(work, bar), verdict(work, row, bar)])
    return [
        "## What is to be reached",
        "",
        "How many times as fast oocmap is as something else, at least, unless it says otherwise.",
        "",
        *table(["row", "work", "bar", "measured"], rows, 3),
        *missed(results),
    ]


def missed(results: Results) -> list[str]:
    """Return where the time goes in the rows that miss a bar."""
    lines = []
    for work in WORKS.values():
        row = results.rows.get(work.name)
        reached = [row.reached(work, bar) for bar in work.bars] if row is not None else []
        if work.spent and any(found is not None and not found[1] for found in reached):
            lines += [f"- `{work.name}`: " + " ".join(work.spent.split())]
    return [*lines, ""] if lines else []


def comparison(results: Results, present: list[str], charts: bool) -> list[str]:
    """Return how oocmap compares with every engine, part by part."""
    lines = [
        "## Beside every engine",
        "",
        LEGEND,
        "",
    ]
    if charts:
        lines += [f"![{name.replace('-', ' ')}](benchmarks/{name}.svg)\n" for name in CHARTS]
    for section, title in SECTIONS.items():
        works = [work for work in WORKS.values() if work.section == section and work.name in results.rows]
        peers = [
            name
            for name in present
            if name != OURS and any(results.rows[work.name].ratio(name) is not None for work in works)
        ]
        if not works or not peers:
            continue
        rows = [
            [f"`{work.name}`", work.title, *(emphasised(results.rows[work.name], peer) for peer in peers)]
            for work in works
        ]
        lines += [
            f"### {title}",
            "",
            *table(["row", "work", *(ENGINES[peer].title for peer in peers)], rows, 2),
        ]
    return lines


def emphasised(row: Row, engine: str) -> str:
    """Write how oocmap compares with an engine, bold where it loses."""
    ratio = row.ratio(engine)
    text = cell_of(row, engine)
    return f"**{text}**" if ratio is not None and ratio < 0.995 else text  # what is shown as 1 is no loss


def shares(results: Results, present: list[str]) -> list[str]:
    """Return who did less than the others, and who failed."""
    lines = []
    for name in present:
        less = [
            less_of(work, row.cells[name])
            for work, row in results.rows.items()
            if name in row.cells and row.cells[name].reduced and row.cells[name].best is not None
        ]
        if less:
            lines.append(f"- {ENGINES[name].title}, with the number of its operations: {', '.join(less)}")
    if lines:
        lines = ["† Slow engines did less:", "", *lines, ""]
    failed = [
        f"- {ENGINES[name].title}, `{work}`: {row.cells[name].failed}"
        for work, row in results.rows.items()
        for name in row.cells
        if row.cells[name].failed is not None
    ]
    if failed:
        lines += ["Not measured:", "", *failed, ""]
    return lines


def less_of(work: str, cell: Cell) -> str:
    """Write what a slow engine did in a row."""
    return f"`{work}` {cell.operations:,}" + (
        f" on {cell.entries:,} entries" if cell.entries is not None else ""
    )


def promises(present: list[str]) -> list[str]:
    """Return what the engines promise."""
    heads = [
        "engine",
        "on disk for certain",
        "sees other processes",
        "transactions",
        "a nested value, changed in place",
    ]
    rows = [
        [ENGINES[name].title, *(getattr(ENGINES[name].promise, field.name) for field in fields(Promise))]
        for name in present
    ]
    return table(heads, rows, len(heads))


def rust_table(results: Results) -> list[str]:
    """Return the engine in Rust beside heed."""
    if not results.rust:
        return []
    rows = [[title, ratio_of(results.rust["ratios"][name])] for name, title in rust.TITLES.items()]
    return [
        "## In Rust",
        "",
        "How many times as fast the engine is as LMDB through heed, in a transaction that is kept and without checks:",
        f"`make bench WORK={rust.NAME}`, which runs `{' '.join(rust.COMMAND)}`.",
        "",
        *table(["work", "× heed"], rows, 1),
    ]


def provenance(results: Results, present: list[str]) -> list[str]:
    """Return how all this was measured."""
    lines = [
        "## How it was measured",
        "",
        'Small entries are `i -> "value number i"`; documents are nested dicts of about 60 leaves and 1 KB.',
        "The map of 10 GB has texts of 4,000 bytes. Reading at random touches each key about once, in up to four passes",
        "over the same keys in the same order, of which the best but the first counts.",
        "",
        "Versions: "
        + ", ".join(
            f"{ENGINES[name].title} {results.versions[name]}"
            for name in present
            if results.versions.get(name)
        )
        + ".",
        "",
    ]
    lines += [f"- {ENGINES[name].title} is not measured here: {why}" for name, why in results.absent.items()]
    if results.absent:
        lines.append("")
    runs: dict[tuple[str, str, str, int, int], list[str]] = {}
    for name, row in results.rows.items():
        runs.setdefault((row.measured, row.machine, row.disk, row.count, row.rounds), []).append(f"`{name}`")
    for (measured, machine, disk, count, rounds), names in sorted(runs.items()):
        scale = "" if count == COUNT else f" instead of {COUNT:,}, and of all else in proportion"
        lines.append(
            f"- {measured}, {machine}, on {disk}, {count:,} small entries{scale}, rounds: {rounds}: "
            + ", ".join(sorted(names))
        )
        if disk == "tmpfs":
            lines.append("  - On tmpfs nothing waits for a disk: the rows of durable writes say nothing.")
    if results.rust:
        lines.append(f"- {results.rust['measured']}: `{rust.NAME}`")
    return lines
