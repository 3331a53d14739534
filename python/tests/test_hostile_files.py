"""What is not a map, or no longer whole, is refused with the error that says so, and left as it was."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oocmap import CorruptedError, FormatError, OOCMap, ReadOnlyError

MAGIC = b"oocmap\x1a\n"


def listing(directory: Path) -> dict[str, bytes | None]:
    """Return everything in a directory, byte for byte."""
    return {
        str(entry.relative_to(directory)): entry.read_bytes() if entry.is_file() else None
        for entry in sorted(directory.rglob("*"))
    }


def refused(path: Path, *errors: type[BaseException]) -> None:
    """Check that opening raises one of `errors`, by name, and changes nothing, whatever the mode."""
    before = listing(path.parent)
    for options in ({}, {"readonly": True}, {"create": False}):
        with pytest.raises(errors) as caught:
            OOCMap(path, **options)  # type: ignore[arg-type]
        assert isinstance(caught.value, OSError)
        assert str(caught.value)
        assert listing(path.parent) == before


def sqlite_file(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("create table t (a, b)")
    connection.executemany("insert into t values (?, ?)", [(i, "x" * 100) for i in range(200)])
    connection.commit()
    connection.close()


def lmdb_file(path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(path), subdir=False, lock=False) as env, env.begin(write=True) as txn:
        for number in range(1000):
            txn.put(b"%d" % number, b"x" * 100)


FOREIGN: dict[str, Callable[[Path], Any]] = {
    "text": lambda path: path.write_text("a,b,c\n1,2,3\n"),
    "one byte": lambda path: path.write_bytes(b"\0"),
    "zeros": lambda path: path.write_bytes(bytes(1 << 16)),
    "noise": lambda path: path.write_bytes(bytes(i * i % 251 for i in range(1 << 16))),
    "only our magic": lambda path: path.write_bytes(MAGIC),
    "sqlite": sqlite_file,
    "lmdb": lmdb_file,
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_refused(path: Path, kind: str) -> None:
    FOREIGN[kind](path)
    refused(path, FormatError)


def test_an_empty_file_becomes_a_map(path: Path) -> None:
    path.touch()
    with OOCMap(path) as m:
        assert m == {}
        m["k"] = 1
    with OOCMap(path, create=False) as m:
        assert m == {"k": 1}


def test_a_directory_is_refused(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("here")
    refused(path, IsADirectoryError)


def test_a_missing_parent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        OOCMap(tmp_path / "missing" / "map.ooc")
    assert listing(tmp_path) == {}


def test_a_missing_file_is_refused_when_it_must_exist(path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        OOCMap(path, create=False)
    assert path.name in str(caught.value)
    with pytest.raises(FileNotFoundError):
        OOCMap(path, readonly=True)
    assert listing(path.parent) == {}


def test_a_file_as_parent_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    before = listing(tmp_path)
    with pytest.raises(NotADirectoryError):
        OOCMap(tmp_path / "file" / "map.ooc")
    assert listing(tmp_path) == before


def filled(path: Path) -> dict[Any, Any]:
    """Make a map of some pages, and return what it holds."""
    entries: dict[Any, Any] = {number: ["x" * (number % 300)] for number in range(2000)}
    entries["large"] = b"y" * 300_000
    with OOCMap(path) as m:
        m.update(entries)
        m["version"] = 2
    return {**entries, "version": 2}


def remove_helpers(path: Path) -> None:
    """Remove everything beside a data file, as a copy to another machine would."""
    for beside in path.parent.iterdir():
        if beside != path:
            beside.unlink()


def test_a_newer_format_is_refused(path: Path) -> None:
    filled(path)
    remove_helpers(path)
    data = path.read_bytes()
    assert MAGIC + b"\1\0" in data
    path.write_bytes(data.replace(MAGIC + b"\1\0", MAGIC + b"\2\0"))
    refused(path, FormatError)
    with pytest.raises(FormatError, match="newer"):
        OOCMap(path)


def test_a_truncated_file_is_refused(path: Path) -> None:
    expected = filled(path)
    remove_helpers(path)
    data = path.read_bytes()
    size = len(data)
    points = {
        1,
        2,
        100,
        4095,
        4096,
        4097,
        8192,
        8193,
        12_288,
        size // 4,
        size // 2,
        size // 2 + 1,
        size * 3 // 4,
    }
    points |= {size - 300_000, size - 8192, size - 4097, size - 4096, size - 1}
    refusals = 0
    for point in sorted(points):
        path.write_bytes(data[:point])
        try:
            m = OOCMap(path)
        except (CorruptedError, FormatError) as error:
            refusals += 1
            assert str(error)
            assert listing(path.parent) == {path.name: data[:point]}
        else:
            with m:  # it can only be the end of the file that no version uses
                assert point > size // 2
                assert m == expected
            remove_helpers(path)
    assert refusals > len(points) - 5


def test_damage_is_an_error_and_nothing_else(path: Path) -> None:
    """Overwrite one page after the other: reading gives what was stored, or says that it can't."""
    expected = filled(path)
    remove_helpers(path)
    data = path.read_bytes()
    noticed = 0
    for page in range(0, len(data), 4096 * 5):
        remove_helpers(path)
        path.write_bytes(data[:page] + b"\xa5" * 4096 + data[page + 4096 :])
        try:
            with OOCMap(path, readonly=True) as m:
                for key, value in expected.items():
                    try:
                        found = m[key]
                        found = found.eager(deep=True) if hasattr(found, "eager") else found
                    except (CorruptedError, KeyError):
                        noticed += 1
                    else:
                        if key != "large":  # plain bytes of overflow pages are checked by check()
                            assert found == value
        except (CorruptedError, FormatError):
            noticed += 1
    assert noticed


def test_reading_leaves_the_bytes_alone(path: Path) -> None:
    expected = filled(path)
    data = path.read_bytes()
    with OOCMap(path, readonly=True) as m:
        assert m == expected
        for change in (lambda: m.update(a=1), m.clear, m.popitem, m.transaction, lambda: m.pop(1)):
            with pytest.raises(ReadOnlyError):
                change()
        with m.snapshot() as s:
            assert s == expected
    assert path.read_bytes() == data


def test_a_read_only_file_is_read(path: Path) -> None:
    expected = filled(path)
    data = path.read_bytes()
    path.chmod(stat.S_IRUSR)
    with OOCMap(path, readonly=True) as m:
        assert m == expected
    assert path.read_bytes() == data
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IRUSR


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do everything")
def test_permissions_are_kept(path: Path) -> None:
    filled(path)
    data = path.read_bytes()
    path.chmod(stat.S_IRUSR)
    with pytest.raises(PermissionError):
        OOCMap(path)
    path.chmod(0)
    with pytest.raises(PermissionError):
        OOCMap(path, readonly=True)
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert path.read_bytes() == data
    path.parent.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(PermissionError):
            OOCMap(path.parent / "new.ooc")
    finally:
        path.parent.chmod(stat.S_IRWXU)


def test_helper_files_share_the_name_of_the_data_file(path: Path) -> None:
    with OOCMap(path) as m:
        m["k"] = 1
        assert path.exists()
        assert all(path.name in name for name in listing(path.parent))
    assert all(path.name in name for name in listing(path.parent))


def test_a_map_without_its_helper_files_opens(path: Path) -> None:
    expected = filled(path)
    remove_helpers(path)
    with OOCMap(path) as m:
        assert m == expected
        m["more"] = 1
    with OOCMap(path) as m:
        assert m["more"] == 1
