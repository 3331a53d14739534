"""A map works under any name that the file system has, also where the data file can't have a second one for a moment."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from oocmap import FormatError, OOCMap, TransactionError

if TYPE_CHECKING:
    from pathlib import Path

# With what is put behind it, a hard link of it would have too long a name; its lock file has not.
LONG = "x" * 250


def names(directory: Path) -> list[str]:
    """Return what is in a directory."""
    return sorted(entry.name for entry in directory.iterdir())


@pytest.mark.parametrize("name", ["a b.ooc", "-", "ünïcode ☃.ooc", "%s{}\\n", ".hidden", "x", LONG])
def test_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    program = (
        "import sys, oocmap; m = oocmap.OOCMap(sys.argv[1], lock_timeout=30); m['there'] = m['here'] + 1"
    )
    with OOCMap(path) as m:
        m["here"] = 1
        subprocess.run([sys.executable, "-c", program, path], check=True)
        assert m["there"] == 2
        with m.snapshot() as s:
            handed = pickle.dumps(s)
            m["here"] = 3
            with pickle.loads(handed) as again:
                assert again["here"] == 1
        assert m.check() == []
    with OOCMap(path) as m:
        assert m == {"here": 3, "there": 2}
    assert all(beside.startswith(name) for beside in names(tmp_path))


def test_helper_files(tmp_path: Path) -> None:
    path = tmp_path / "x.ooc"
    with OOCMap(path) as m:
        m["a"] = 1
        inode = path.stat().st_ino
        assert names(tmp_path) == ["x.ooc", f"x.ooc-{inode:x}-lock", "x.ooc-lock"]
        assert path.stat().st_nlink == 1
    for beside in tmp_path.glob("x.ooc-*"):
        beside.unlink()
    with OOCMap(path) as m:
        assert m["a"] == 1
        m["a"] = 2


def test_a_lock_file_that_lmdb_left(tmp_path: Path) -> None:
    path = tmp_path / LONG
    OOCMap(path).close()
    short = tmp_path / "x.ooc"
    path.rename(short)
    (tmp_path / f"{LONG}-lock").rename(tmp_path / "x.ooc-lock")
    with OOCMap(short) as m:
        m["a"] = 1
        assert len(names(tmp_path)) == 3


def test_a_second_name_is_refused(tmp_path: Path) -> None:
    path, other = tmp_path / "x.ooc", tmp_path / "y.ooc"
    with OOCMap(path) as m:
        m["a"] = 1
    os.link(path, other)
    for name in (path, other):
        with pytest.raises(FormatError, match="2 names"):
            OOCMap(name)
    other.unlink()
    with OOCMap(path) as m:
        assert m["a"] == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_where_there_is_no_second_name(tmp_path: Path) -> None:
    m = OOCMap(tmp_path / LONG)
    m["a"] = 1
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with pytest.raises(TransactionError, match="forked"):
                m["a"]
            m.close()
            del m
            gc.collect()
            with OOCMap(tmp_path / LONG) as own:
                own["child"] = own["a"]
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    m["parent"] = 1
    assert m == {"a": 1, "child": 1, "parent": 1}
    m.close()
