"""The fast way in: which sources ``bulk_load`` takes, and how it reads them."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
from collections import abc
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from oocmap._oocmap import Loader, OOCMap, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    _FilePath = str | os.PathLike[str]
    _Source = Mapping[Any, Any] | Iterable[Iterable[Any]] | _FilePath | Iterable[_FilePath]

__all__ = ["bulk_load"]

_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_DELIMITERS = {"csv": ord(","), "tsv": ord("\t"), "jsonl": None}
_PIECE = 1 << 18
"""How many bytes of a file are read at once."""
_ROWS = 1 << 14
"""How many rows of a Parquet file are read at once."""


def bulk_load(
    path: _FilePath | bytes | OOCMap | Transaction,
    source: _Source,
    *,
    key: str | None = None,
    format: Literal["jsonl", "csv", "tsv", "parquet"] | None = None,  # noqa: A002
    progress: Callable[[int, int], object] | None = None,
    memory: int = 128 << 20,
    workers: int | None = None,
) -> int:
    r"""Store very many entries in one transaction, as fast as possible and with constant memory.

    It does what ``OOCMap(path).update(...)`` does: everything is stored or nothing, of equal keys the last value counts,
    and entries that are there already stay. What does not fit into ``memory`` is sorted in files without a name in the
    directory of the map, which need about as much room as the entries and are gone with the process. Others may go on
    writing until the last step, when sorted entries are stored.

    Parameters
    ----------
    path : str, bytes, os.PathLike, OOCMap or Transaction
        The map, which is made when there is none at that path. Open it yourself to give it options, such as
        ``allow_pickle``. Inside a transaction of this thread it becomes a part of that.
    source : mapping, iterable of pairs, str, os.PathLike, or iterable of str and os.PathLike
        The entries themselves, or files that hold them; a text is the path of a file. Their names tell what they are:
        ``.jsonl``, ``.ndjson`` or ``.json`` for JSON, one value a line; ``.csv`` and ``.tsv`` for tables whose first
        record names the columns; ``.parquet``, which needs ``pyarrow``. All but that may be compressed: ``.csv.gz``.
    key : str, optional
        For files: which column of a table is the key, the first when not given, and which member of JSON objects. The
        value is a dict of the others; in a table of two columns it is the other one. Without it a line of JSON is an
        array of key and value. An array that is a key becomes a tuple.
    format : {"jsonl", "csv", "tsv", "parquet"}, optional
        What all files are, whatever their names.
    progress : callable, optional
        Called now and then with how much of the present step is done and how much there is to do. While the source is
        read these are bytes of files or entries, with 0 for what nobody knows; then entries that are stored. What it
        raises ends the load, and nothing has happened.
    memory : int
        How many bytes of memory sorting takes, about.
    workers : int, optional
        How many threads encode and sort; as many as there are processors, up to 8, when not given.

    Returns
    -------
    int
        How many entries were stored, each key counting once.

    Raises
    ------
    ValueError
        When a file holds something else than entries; the text names file and line.
    UnsupportedTypeError
        When a value or key can't be stored.
    ReadOnlyError, MapFullError, LockTimeoutError, TransactionError
        As writing to the map raises them; nothing was changed.
    ModuleNotFoundError
        When a Parquet file is given and there is no ``pyarrow``.

    Examples
    --------
    >>> import oocmap
    >>> oocmap.bulk_load("squares.ooc", ((n, n * n) for n in range(1000)))
    1000
    >>> with open("people.csv", "w") as table:
    ...     _ = table.write("name,born,died\nAda,1815,1852\nAlan,1912,1954\n")
    >>> oocmap.bulk_load("squares.ooc", "people.csv")
    2
    >>> with oocmap.OOCMap("squares.ooc") as m:
    ...     m[999], m["Ada"].eager(), len(m)
    (998001, {'born': '1815', 'died': '1852'}, 1002)
    """
    if format is not None and format not in _FORMATS.values():
        raise ValueError(f'format is {format!r}; give "jsonl", "csv", "tsv" or "parquet"')
    with contextlib.ExitStack() as stack:
        if isinstance(path, (str, bytes, os.PathLike)):
            path = stack.enter_context(OOCMap(path))
        loader = Loader(path, memory, workers, progress)
        files, pairs = _take_apart(source)
        if files is None:
            if key is not None or format is not None:
                raise TypeError("key= and format= say how files are read; the source is not one")
            loader.pairs(pairs, len(pairs) if isinstance(pairs, abc.Sized) else 0)
        else:
            _load_files(loader, files, key, format)
        return loader.store()


def _take_apart(source: Any) -> tuple[list[_FilePath] | None, Any]:
    """Return the files that a source names, or else None and the pairs that it has."""
    if isinstance(source, (str, os.PathLike)):
        return [source], ()
    if isinstance(source, abc.Mapping) or hasattr(source, "keys"):
        return None, source
    if isinstance(source, (list, tuple)):
        is_named = bool(source) and isinstance(source[0], (str, os.PathLike))
        return (_checked(source), ()) if is_named else (None, source)
    rest = iter(source)
    for first in rest:
        is_named = isinstance(first, (str, os.PathLike))
        every = chain([first], rest)
        return (_checked(every), ()) if is_named else (None, every)
    return None, ()


def _checked(files: Iterable[Any]) -> list[_FilePath]:
    files = list(files)
    for file in files:
        if not isinstance(file, (str, os.PathLike)):
            raise TypeError(f"files are given by their paths, not by {type(file).__name__}")
    return files


def _load_files(loader: Loader, files: list[_FilePath], key: str | None, format: str | None) -> None:  # noqa: A002
    named = [(os.fspath(file), format or _format_of(os.fspath(file))) for file in files]
    total = sum(os.stat(file).st_size for file, _ in named)  # noqa: PTH116
    done = 0
    for file, kind in named:
        if kind == "parquet":
            loader.pairs(_parquet_pairs(file, key), 0)
        else:
            _load_text(loader, file, kind, key, done, total)
        done += os.stat(file).st_size  # noqa: PTH116


def _format_of(file: str) -> str:
    name = file.removesuffix(".gz")
    kind = _FORMATS.get(os.path.splitext(name)[1].lower())  # noqa: PTH122
    if kind is None or (kind == "parquet" and name != file):
        raise ValueError(
            f"{file}: the name does not tell what the file is; "
            f"give format=, or a name that ends in one of {', '.join(_FORMATS)}"
        )
    return kind


def _load_text(loader: Loader, file: str, kind: str, key: str | None, before: int, total: int) -> None:
    with open(file, "rb", buffering=0) as raw:  # noqa: PTH123
        content: io.RawIOBase | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if file.endswith(".gz") else raw
        loader.begin_text(file, _DELIMITERS[kind], key)
        while chunk := _read(content, file):
            loader.feed(chunk, before + raw.tell(), total)
        loader.feed(b"", before + raw.tell(), total)


def _read(content: io.RawIOBase | gzip.GzipFile, file: str) -> bytes:
    try:
        return content.read(_PIECE) or b""
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{file}: {error}") from error


def _parquet_pairs(file: str, key: str | None) -> Iterator[tuple[Any, Any]]:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{file}: reading Parquet needs pyarrow; install it", name="pyarrow"
        ) from error
    with parquet.ParquetFile(file) as table:
        names: list[str] = table.schema_arrow.names
        if len(names) < 2:
            raise ValueError(f"{file}: it has {len(names)} columns; a key and a value are two at least")
        if len(set(names)) < len(names):
            raise ValueError(f"{file}: two columns have one name; there are {names}")
        if key is None:
            key = names[0]
        if key not in names:
            raise ValueError(f"{file}: there is no column {key!r}; there are {names}")
        others = [name for name in names if name != key]
        for batch in table.iter_batches(_ROWS):
            keys = batch.column(key).to_pylist()
            columns = [batch.column(name).to_pylist() for name in others]
            if len(columns) == 1:
                yield from zip(keys, columns[0], strict=True)
            else:
                for row in zip(keys, *columns, strict=True):
                    yield row[0], dict(zip(others, row[1:], strict=True))
