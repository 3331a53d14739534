"""`bulk_load` reads files of lines as Python's own modules do, and names file and line of what is wrong."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oocmap import OOCMap, bulk_load

TIGHT = 1
"""So little memory that a few hundred entries are several runs."""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=40,
)
json_keys = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters())


def loaded(source: Any, **options: Any) -> dict[Any, Any]:
    directory = Path(source if isinstance(source, Path) else source[0]).parent
    with OOCMap(directory / "loaded.ooc") as m:
        m.clear()
        bulk_load(m, source, **options)
        assert m.check() == []
        return {key: whole(value) for key, value in m.items()}


def whole(value: Any) -> Any:
    return value.eager(deep=True) if hasattr(value, "eager") else value


@given(
    pairs=st.lists(st.tuples(json_keys, json_values)),
    ascii_only=st.booleans(),
    indent=st.sampled_from([", ", " ,\t"]),
)
def test_json_lines_are_what_json_makes_of_them(
    tmp_path_factory: pytest.TempPathFactory, pairs: Any, ascii_only: bool, indent: str
) -> None:
    file = tmp_path_factory.mktemp("json") / "pairs.jsonl"
    lines = [json.dumps(pair, ensure_ascii=ascii_only, separators=(indent, ": ")) for pair in pairs]
    file.write_bytes("\r\n".join(lines).encode("utf-8", "surrogatepass" if ascii_only else "replace"))
    expected: dict[Any, Any] = {}
    for line in file.read_text("utf-8").split("\n"):
        if line.strip():
            key, value = json.loads(line)
            expected[key] = value
    found = loaded(file)
    order = sorted(expected, key=list(found).index)
    assert repr(found) == repr({key: expected[key] for key in order})


@pytest.mark.parametrize(
    "text",
    [
        "1e400",
        "-0",
        "-0.0",
        "1E+2",
        "9" * 4300,
        "NaN",
        '{"a": 1, "b": 2, "a": 3}',
        r'"\ud83d\ude00\ud800\u00e9"',
        "[]",
    ],
)
def test_json_values_of_all_kinds(tmp_path: Path, text: str) -> None:
    file = tmp_path / "one.ndjson"
    file.write_text(f"[0, {text}]")
    assert repr(loaded(file)) == repr({0: json.loads(text)})


@given(
    rows=st.lists(
        st.lists(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=3, max_size=3
        ),
        max_size=30,
    ),
    kind=st.sampled_from(["csv", "tsv"]),
    # The csv module quotes only the ends of lines that it writes itself.
    style=st.sampled_from(
        [(csv.QUOTE_MINIMAL, "\r\n"), *((csv.QUOTE_ALL, end) for end in ("\r\n", "\n", "\r"))]
    ),
)
def test_tables_are_what_csv_makes_of_them(
    tmp_path_factory: pytest.TempPathFactory, rows: Any, kind: str, style: Any
) -> None:
    file = tmp_path_factory.mktemp("table") / f"rows.{kind}"
    delimiter = {"csv": ",", "tsv": "\t"}[kind]
    quoting, end = style
    out = io.StringIO()
    csv.writer(out, quoting=quoting, delimiter=delimiter, lineterminator=end).writerows(
        [["a", "b", "c"], *rows]
    )
    file.write_bytes(out.getvalue().encode())
    read = csv.DictReader(io.StringIO(out.getvalue(), newline=""), delimiter=delimiter)
    expected = {row.pop("b"): row for row in read}
    assert loaded(file, key="b", memory=TIGHT) == expected


def test_a_table_of_two_columns_is_pairs(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("word,meaning\nooc,out of core\n")
    assert loaded(file) == {"ooc": "out of core"}
    assert loaded(file, key="meaning") == {"out of core": "ooc"}


def test_objects_have_their_key_in_them(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text('{"id": 1, "name": "Ada"}\n\n{"name": "Alan", "id": [2, ["x"]]}\n')
    assert loaded(file, key="id") == {1: {"name": "Ada"}, (2, ("x",)): {"name": "Alan"}}


@pytest.mark.parametrize("memory", [TIGHT, 128 << 20])
def test_files_are_read_in_their_order(tmp_path: Path, memory: int) -> None:
    numbers = list(range(3000))
    random.Random(1).shuffle(numbers)
    files: list[Path] = []
    for turn in range(3):
        files.append(tmp_path / f"{turn}.jsonl.gz")
        with gzip.open(files[-1], "wt") as out:
            out.writelines(f'[{n}, "{"x" * 50} {turn}"]\n' for n in numbers[turn * 1000 :])
    expected = {n: f"{'x' * 50} {min(turn // 1000, 2)}" for turn, n in enumerate(numbers)}
    assert loaded(files, memory=memory, workers=3) == expected
    assert loaded([str(file) for file in reversed(files)], memory=memory)[numbers[-1]].endswith("0")
    told: list[tuple[int, int]] = []
    loaded(files, memory=memory, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] >= 3000


@pytest.mark.parametrize(
    ("name", "text", "options", "line", "what"),
    [
        ("x.jsonl", "[1, 2]\n[3, 4,]\n", {}, 2, "value is missing, at character 7"),
        ("x.jsonl", "[1, 2]\n{}\n", {}, 2, "needs key="),
        ("x.jsonl", '{"a": 1}\n{"b": 1}\n', {"key": "a"}, 2, 'no member "a"'),
        ("x.jsonl", "[NaN, 1]", {}, 1, "NaN can't be a key"),
        ("x.csv", "a,b\n1,2\n3\n", {}, 3, "1 fields, where the first record has 2"),
        ("x.csv", "a,b\n1,2\n", {"key": "c"}, 1, "no column"),
        ("x.txt", '1\t"2', {"format": "tsv"}, 1, "no end"),
    ],
)
def test_what_is_no_entry_is_named(
    tmp_path: Path, name: str, text: str, options: dict[str, Any], line: int, what: str
) -> None:
    file = tmp_path / name
    file.write_text(text)
    with OOCMap(tmp_path / "m.ooc") as m:
        m["kept"] = 1
        with pytest.raises(ValueError, match=re.escape(what)) as caught:
            bulk_load(m, file, **options)
        assert str(caught.value).startswith(f"{file}, line {line}: ")
        assert dict(m) == {"kept": 1}


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    good = tmp_path / "good.csv"
    good.write_text("a,b\n1,2\n")
    path = tmp_path / "m.ooc"
    with pytest.raises(FileNotFoundError):
        bulk_load(path, [good, tmp_path / "missing.csv"])
    with pytest.raises(IsADirectoryError):
        bulk_load(path, tmp_path, format="csv")
    with pytest.raises(ValueError, match="give format="):
        bulk_load(path, tmp_path / "x.unknown")
    with pytest.raises(ValueError, match='give "jsonl"'):
        bulk_load(path, good, format="json")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="by their paths, not by int"):
        bulk_load(path, [good, 1])  # type: ignore[arg-type]
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(b"a,b\n1,2\n" * 1000)[:-20])
    with pytest.raises(ValueError, match=r"cut\.csv\.gz"):
        bulk_load(path, cut)
    with OOCMap(path) as m:
        assert len(m) == 0


def test_parquet_is_read_where_pyarrow_is(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "x.parquet"
    columns = {"id": [3, 1, 2], "name": ["c", None, "b"], "tags": [["x"], [], None]}
    parquet.write_table(pyarrow.table(columns), file)
    expected = {n: {"name": name, "tags": tags} for n, name, tags in zip(*columns.values(), strict=True)}
    assert loaded(file) == expected
    assert loaded([file, file], key="id", memory=TIGHT) == expected
    with pytest.raises(ValueError, match="no column 'x'"):
        loaded(file, key="x")


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    file = tmp_path / "x.parquet"
    file.write_bytes(b"PAR1")
    with pytest.raises(ModuleNotFoundError, match="install it"):
        bulk_load(tmp_path / "m.ooc", file)
