"""Index the standard library and the Unicode database into one map, and ask it questions.

Every Python has this data: the sources of its standard library, read with `ast`, and the Unicode
database, read with `unicodedata`. The script

1. stores every module, class and function with its syntax tree, and every character with all its
   properties, one transaction for each module and for each 4,096 characters;
2. opens the map again in another process, and answers questions there: reading one field of a
   stored function does not read its syntax tree;
3. holds a snapshot while a second process commits, and shows that it stays as it was;
4. says what it stored, how large the file is beside the same entries pickled, and how long it took.

The keys are tuples, so that what belongs together stands together in key order:

====================================  =====================================================
key                                   value
====================================  =====================================================
``("module", "json.decoder")``        file, number of lines, docstring, imports, syntax tree
``("class", module, name, line)``     bases, docstring, methods, syntax tree
``("function", module, name, line)``  arguments, docstring, names that it calls, syntax tree
``("char", 0x00e9)``                  name, category, decomposition, case, numeric value, ...
====================================  =====================================================

Run it with ``make run``, or ``python examples/stdlib_index.py --help`` for the options.
"""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import itertools
import multiprocessing
import pickle
import sys
import sysconfig
import tempfile
import time
import tokenize
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oocmap import OOCMap

SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
"""Directories that are not read: installed packages, and tests (some hold invalid sources on purpose)."""

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
CHARACTERS = range(sys.maxunicode + 1)
NOT_ASSIGNED = {"Cn", "Co", "Cs"}
"""Categories of code points that are no character: unassigned, for private use, surrogates."""

Key = tuple[Any, ...]
Entry = tuple[Key, dict[str, Any]]


# --- reading the standard library ---------------------------------------------------------------


def source_files(root: Path) -> list[tuple[str, Path]]:
    """Find the modules of the standard library, by dotted name.

    Parameters
    ----------
    root
        The directory that holds the standard library.

    Returns
    -------
    list of (str, Path)
        The name and the file of each module, by name.
    """
    found = []
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        if not SKIPPED.isdisjoint(parts) or parts[0].startswith("config-"):
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append((name, path))
    return sorted(found)


def dotted_name(node: ast.AST) -> str | None:
    """Return ``"os.path.join"`` for the expression that reads so, or None for any other."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    names.append(node.id)
    return ".".join(reversed(names))


@dataclass
class ModuleReader:
    """Turns the syntax tree of one module into entries for the map.

    Attributes
    ----------
    module
        The dotted name of the module.
    entries
        What was made so far.
    """

    module: str
    entries: list[Entry] = field(default_factory=list)
    _scope: list[str] = field(default_factory=list)
    _calls: list[set[str]] = field(default_factory=list)
    _imports: dict[str, str] = field(default_factory=dict)

    def read(self, path: Path) -> list[Entry]:
        """Parse a file and return the entries of its module, classes and functions.

        Raises
        ------
        SyntaxError, ValueError, UnicodeDecodeError
            If the file is not valid Python for the running interpreter.
        """
        with tokenize.open(path) as file:
            source = file.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = ast.parse(source)
        for node in ast.walk(parsed):
            self._note_import(node)
        self._calls.append(set())
        tree = self._tree(parsed)
        self.entries.append(
            (
                ("module", self.module),
                {
                    "file": str(path),
                    "lines": source.count("\n"),
                    "doc": ast.get_docstring(parsed),
                    "imports": sorted(set(self._imports.values())),
                    "calls": sorted(self._calls.pop()),
                    "tree": tree,
                },
            )
        )
        return self.entries

    def _note_import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for name in node.names:
                self._imports[name.asname or name.name] = name.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for name in node.names:
                self._imports[name.asname or name.name] = f"{node.module}.{name.name}"

    def _tree(self, value: Any) -> Any:
        """Return a syntax tree as nested dicts and lists; definitions stand in entries of their own."""
        if isinstance(value, list):
            return [self._tree(item) for item in value]
        if not isinstance(value, ast.AST):
            return value  # a name, or any constant: a number, text, bytes, a complex number, Ellipsis
        if isinstance(value, DEFINITIONS):
            return {"node": type(value).__name__, "line": value.lineno, "stored": self._definition(value)}
        if isinstance(value, ast.Call):
            self._note_call(value)
        return self._fields(value)

    def _fields(self, node: ast.AST) -> dict[str, Any]:
        tree: dict[str, Any] = {"node": type(node).__name__}
        line = getattr(node, "lineno", None)
        if line is not None:
            tree["line"] = line
        for name, value in ast.iter_fields(node):
            if name != "ctx" and value is not None and value != []:
                tree[name] = self._tree(value)
        if isinstance(node, ast.Constant):
            tree["value"] = node.value  # also when it is None
        return tree

    def _note_call(self, node: ast.Call) -> None:
        name = dotted_name(node.func)
        if name is not None:
            first, dot, rest = name.partition(".")
            self._calls[-1].add(self._imports.get(first, first) + dot + rest)

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Key:
        self._scope.append(node.name)
        self._calls.append(set())
        tree = self._fields(node)
        calls = tuple(sorted(self._calls.pop()))
        name = ".".join(self._scope)
        self._scope.pop()

        entry: dict[str, Any] = {"doc": ast.get_docstring(node), "calls": calls, "tree": tree}
        if isinstance(node, ast.ClassDef):
            kind = "class"
            entry["bases"] = [ast.unparse(base) for base in node.bases]
            entry["methods"] = [item.name for item in node.body if isinstance(item, DEFINITIONS)]
        else:
            kind = "function"
            entry["arguments"] = ast.unparse(node.args)
            entry["async"] = isinstance(node, ast.AsyncFunctionDef)
        # A name can be defined twice (a property and its setter), a name at a line cannot.
        key = (kind, self.module, name, node.lineno)
        self.entries.append((key, entry))
        return key


# --- reading the Unicode database ---------------------------------------------------------------


def character(code: int) -> dict[str, Any] | None:
    """Return all the properties of a character, or None for a code point that is no character."""
    char = chr(code)
    category = unicodedata.category(char)
    if category in NOT_ASSIGNED:
        return None
    entry: dict[str, Any] = {
        "char": char,
        "name": unicodedata.name(char, None),
        "category": category,
        "bidirectional": unicodedata.bidirectional(char),
        "combining": unicodedata.combining(char),
        "width": unicodedata.east_asian_width(char),
        "mirrored": bool(unicodedata.mirrored(char)),
    }
    decomposition = unicodedata.decomposition(char).split()
    if decomposition:
        kind = decomposition.pop(0).strip("<>") if decomposition[0].startswith("<") else "canonical"
        entry["decomposition"] = {"kind": kind, "to": [int(part, 16) for part in decomposition]}
    numbers = {
        "decimal": unicodedata.decimal(char, None),
        "digit": unicodedata.digit(char, None),
        "numeric": unicodedata.numeric(char, None),
    }
    entry.update({name: value for name, value in numbers.items() if value is not None})
    case = {"lower": char.lower(), "upper": char.upper(), "title": char.title(), "fold": char.casefold()}
    changed = {name: value for name, value in case.items() if value != char}
    if changed:
        entry["case"] = changed
    return entry


# --- storing ------------------------------------------------------------------------------------


class Progress:
    """A bar on a terminal; a line at each quarter anywhere else.

    Parameters
    ----------
    title
        What is being done.
    total
        How many steps it takes.
    """

    def __init__(self, title: str, total: int) -> None:
        self.title = title
        self.total = max(total, 1)
        self._terminal = sys.stdout.isatty()
        self._shown = -1

    def show(self, done: int, detail: str = "") -> None:
        """Show that `done` of the steps are behind us, and what the last one was about."""
        share = done / self.total
        step = int(share * 200) if self._terminal else int(share * 4)
        if step == self._shown and done != self.total:
            return
        self._shown = step
        if self._terminal:
            bar = ("#" * int(share * 30)).ljust(30, ".")
            end = "\n" if done == self.total else ""
            print(f"\r{self.title:20} [{bar}] {share:4.0%} {detail[:30]:30}", end=end, flush=True)
        elif step:
            print(f"{self.title}: {share:.0%}", flush=True)


@dataclass
class Tally:
    """What was stored, and what the same entries are as pickles."""

    counts: dict[str, int] = field(default_factory=dict)
    unparsable: list[str] = field(default_factory=list)
    pickled_bytes: int = 0
    pickling_seconds: float = 0.0
    storing_seconds: float = 0.0

    def store(self, m: OOCMap, entries: list[Entry]) -> None:
        """Put entries into the map, in one transaction, and measure the same for pickle."""
        start = time.perf_counter()
        with m.transaction() as tx:  # all of them, or none
            for key, entry in entries:
                tx[key] = entry
        stored = time.perf_counter()
        for key, entry in entries:
            self.pickled_bytes += len(pickle.dumps((key, entry), protocol=5))
            self.counts[key[0]] = self.counts.get(key[0], 0) + 1
        self.pickling_seconds += time.perf_counter() - stored
        self.storing_seconds += stored - start


def store_modules(m: OOCMap, files: list[tuple[str, Path]], tally: Tally) -> None:
    """Store the modules, each with all its classes and functions in one transaction."""
    progress = Progress("Standard library", len(files))
    for done, (module, path) in enumerate(files, start=1):
        try:
            entries = ModuleReader(module).read(path)
        except (SyntaxError, ValueError):  # UnicodeDecodeError is a ValueError
            tally.unparsable.append(module)
        else:
            tally.store(m, entries)
        progress.show(done, module)


def store_characters(m: OOCMap, codes: range, tally: Tally) -> None:
    """Store the characters, 4,096 code points in each transaction."""
    progress = Progress("Unicode", len(codes))
    for start in range(0, len(codes), 4096):
        batch = codes[start : start + 4096]
        entries: list[Entry] = [
            (("char", code), entry) for code in batch if (entry := character(code)) is not None
        ]
        tally.store(m, entries)
        progress.show(start + len(batch), f"U+{batch[-1]:04X}")


# --- asking -------------------------------------------------------------------------------------


def callers(m: OOCMap, name: str) -> Iterator[Key]:
    """Find the functions that call `name`, by reading one field of each."""
    for key, function in m.prefix(("function",)).items():
        if name in function["calls"]:
            yield key


def call_lines(tree: Any, name: str) -> Iterator[int]:
    """Find the lines of a stored syntax tree that call something whose last name is `name`'s.

    The tree is a lazy value from the map: walking it reads it piece by piece, and nothing of the other trees.
    """
    if isinstance(tree, Mapping):
        if tree.get("node") == "Call":
            called = tree["func"].get("attr") or tree["func"].get("id")
            if called == name.rpartition(".")[2]:
                yield tree["line"]
        for value in tree.values():
            yield from call_lines(value, name)
    elif isinstance(tree, Iterable) and not isinstance(tree, (str, bytes)):
        for value in tree:
            yield from call_lines(value, name)


def accented(m: OOCMap, base: str) -> Iterator[str]:
    """Find the characters that decompose to `base` and one accent."""
    for character_entry in m.prefix(("char",)).values():
        decomposition = character_entry.get("decomposition")
        if decomposition is None or decomposition["kind"] != "canonical":
            continue
        codes = decomposition["to"]
        if len(codes) == 2 and codes[0] == ord(base):
            accent = m.get(("char", codes[1]))
            if accent is not None and accent["combining"]:
                yield character_entry["char"]


def shown(items: Iterable[str], most: int = 12) -> str:
    """Join what was found for printing, the first few of it."""
    items = list(items)
    if not items:
        return "none"
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def answer(m: OOCMap, called: str) -> list[str]:
    """Answer some questions; runs in another process, which `m` reaches as its path and opens there."""
    lines = []

    def ask(question: str, found: Iterable[str]) -> None:
        start = time.perf_counter()
        text = shown(found)
        lines.append(f"  {question}\n    {text}  ({time.perf_counter() - start:.3f} s)")

    def caller_names() -> Iterator[str]:
        for key in callers(m, called):
            _, module, name, _ = key
            numbers = sorted(set(call_lines(m[key]["tree"], called)))
            yield f"{module}.{name} (line {shown(map(str, numbers), 3)})"

    ask(f"Which functions call {called}?", caller_names())
    ask('Which characters decompose to "e" and an accent?', accented(m, "e"))
    ask(
        "Which functions does the module abc define?",
        (name for _, _, name, _ in m.prefix(("function", "abc")).keys()),
    )
    arrows = m.range(("char", 0x2190), ("char", 0x2200)).values()
    ask("Which arrows are there?", (arrow["char"] for arrow in arrows))
    backwards = m.range(("char", 0), ("char", sys.maxunicode + 1), reverse=True).values()
    ask(
        "Which are the last two characters?",
        (last["name"] or "(no name)" for last in itertools.islice(backwards, 2)),
    )
    return lines


def tidy(m: OOCMap) -> tuple[int, int]:
    """Change the map, from another process: drop all the characters, and leave a note, at once.

    Returns
    -------
    tuple of (int, int)
        How many entries were deleted, and the process that did it.
    """
    process = multiprocessing.current_process().pid or 0
    with m.transaction() as tx:
        keys = list(tx.prefix(("char",)).keys())
        for key in keys:
            del tx[key]
        tx["note",] = {"by": process, "deleted": len(keys)}
    return len(keys), process


# --- the whole job ------------------------------------------------------------------------------


def run(path: Path, limit: int | None, called: str) -> None:
    """Do the whole job on the map at `path`.

    Parameters
    ----------
    path
        The data file; it is made when missing.
    limit
        Read only so many modules, and 64 times as many code points. None reads everything.
    called
        The function whose callers are asked for.
    """
    began = time.perf_counter()
    files = source_files(Path(sysconfig.get_paths()["stdlib"]))[:limit]
    codes = CHARACTERS if limit is None else CHARACTERS[: 64 * limit]
    tally = Tally()
    print(f"Python {sys.version.split()[0]}, Unicode {unicodedata.unidata_version}, into {path}")
    print("(test packages and installed packages are left out)")
    # Another interpreter, started from nothing: it shares the file with us, and nothing else.
    spawn = multiprocessing.get_context("spawn")
    with OOCMap(path) as m:
        store_modules(m, files, tally)
        store_characters(m, codes, tally)
        print(f"Stored {len(m):,} entries: " + ", ".join(f"{n:,} {k}" for k, n in tally.counts.items()))
        size = path.stat().st_size
        print(f"Not valid Python: {shown(tally.unparsable)}")

        with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as other:
            print("\nQuestions, in another process:")
            print("\n".join(other.submit(answer, m, called).result()))

            print("\nA snapshot, while another process commits:")
            with m.snapshot() as s:
                before, sample = len(s), s["char", 0x41].eager()
                deleted, process = other.submit(tidy, m).result()
                print(f"  process {process} deleted {deleted:,} entries and added one")
                print(
                    f"  the snapshot, version {s.version}: {len(s):,} entries, as before: {len(s) == before}"
                )
                print(f"  its U+0041 is still {s['char', 0x41]['name']}: {s['char', 0x41] == sample}")
            with m.snapshot() as now:
                print(f"  the map now, version {now.version}: {len(now):,} entries")
                print(f"  its note: {now['note',]!r}")

    share = size / max(tally.pickled_bytes, 1)
    print(f"\nFile size: {size:,} bytes")
    print(f"Pickles, one for each entry: {tally.pickled_bytes:,} bytes; the file is {share:.2f} times that")
    print(f"Seconds: {tally.storing_seconds:.1f} storing, {tally.pickling_seconds:.1f} pickling the same")
    print(f"Seconds, all in all: {time.perf_counter() - began:.1f}")


def main() -> None:
    """Read the command line and do the job."""
    parser = argparse.ArgumentParser(description="Index the standard library and Unicode into one map.")
    parser.add_argument(
        "path", nargs="?", type=Path, help="data file to make (default: in a temporary directory)"
    )
    parser.add_argument("--keep", action="store_true", help="keep the temporary directory")
    parser.add_argument("--limit", type=int, metavar="N", help="read N modules and 64 N code points only")
    parser.add_argument(
        "--calls", default="os.fork", metavar="NAME", help="whose callers to look for (os.fork)"
    )
    options = parser.parse_args()
    if options.limit is not None and options.limit < 2:
        parser.error("--limit must be 2 or more")
    if options.path is not None:
        if options.path.exists():
            parser.error(f"{options.path} exists; name a file that does not")
        run(options.path, options.limit, options.calls)
    elif options.keep:
        run(Path(tempfile.mkdtemp(prefix="stdlib-index-")) / "index.ooc", options.limit, options.calls)
    else:
        with tempfile.TemporaryDirectory(prefix="stdlib-index-") as directory:
            run(Path(directory) / "index.ooc", options.limit, options.calls)


if __name__ == "__main__":
    main()
