"""Measure oocmap beside its peers: `make bench`, or `python benches/python --help`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from engines import ENGINES
from report import lines_of
from results import Results, Row
from runner import ROOT, Runner, Settings
from works import WORKS, chosen

RESULTS = ROOT / "target/bench/results.json"


def main() -> None:
    """Read the command line, measure, and write the report."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure oocmap beside its peers.")
    parser.add_argument("--work", metavar="ROWS", default="*", help="rows, with commas: get,load-* (all)")
    parser.add_argument("--engines", metavar="NAMES", help="engines, with commas (all)")
    parser.add_argument("--count", type=int, help="how many small entries; all else grows with it (200000)")
    parser.add_argument("--rounds", type=int, help="how many rounds, of which the best counts (5)")
    parser.add_argument("--quick", action="store_true", help="a tiny run, to see whether all works")
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR", help="where the stores are made, best on a disk"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help=f"what is measured ({RESULTS.relative_to(ROOT)})"
    )
    options = parser.parse_args()
    try:
        works = chosen(options.work)
    except ValueError as error:
        parser.error(str(error))
    engines = options.engines.split(",") if options.engines else list(ENGINES)
    if unknown := [name for name in engines if name not in ENGINES]:
        parser.error(f"no engine is called {unknown[0]!r}; there are {', '.join(ENGINES)}")
    settings = Settings(200, 1, 0.5, 60.0) if options.quick else Settings()
    settings.count = options.count or settings.count
    settings.rounds = options.rounds or settings.rounds
    if settings.count < 100 or settings.rounds < 1:
        parser.error("--count must be 100 or more, and --rounds 1 or more")
    # Rows with some of the engines, and tiny ones, don't take the place of whole ones.
    whole = not options.quick and not options.engines
    path = options.json or (RESULTS if whole else None)
    results = Results.read(path) if path else Results()

    def keep(name: str, row: Row) -> None:
        results.rows[name] = row
        if path:
            results.write(path)
        print("\n".join(lines_of(WORKS[name], row)), flush=True)

    with tempfile.TemporaryDirectory(prefix="oocmap-bench-", dir=options.scratch) as scratch:
        runner = Runner(settings, Path(scratch), engines, results)
        runner.find_engines()
        runner.run(works, keep)


if __name__ == "__main__":
    main()
