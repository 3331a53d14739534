"""Those who can't be kept apart are refused: other LMDB programs, other containers, other versions of this program."""

from __future__ import annotations

import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from oocmap import FormatError, OOCMap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHER = """
import lmdb, sys
env = lmdb.open(sys.argv[1], subdir=False, max_dbs=8, create=False)
print("open", flush=True)
sys.stdin.read()
"""

HOLDER = """
import oocmap, sys
m = oocmap.OOCMap(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def started(program: str, path: Path) -> Any:
    """Start a program that has the file open until its input ends."""
    process: Any = subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"open\n"
    return process


@pytest.fixture
def held(path: Path) -> Iterator[Path]:
    """Let another process have a map open."""
    with OOCMap(path) as m:
        m["a"] = 1
    with started(HOLDER, path) as holder:
        yield path
        holder.stdin.close()


def test_another_lmdb_program_has_it_open(path: Path) -> None:
    pytest.importorskip("lmdb")
    with OOCMap(path) as m:
        m["a"] = 1
    for beside in path.parent.glob("*-lock"):
        beside.unlink()
    with started(OTHER, path) as other:
        with pytest.raises(OSError, match="another LMDB program"):
            OOCMap(path)
        other.stdin.close()
    with OOCMap(path) as m:
        assert m["a"] == 1
        m["a"] = 2


def test_another_lmdb_program_opens_it(path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    with OOCMap(path) as m:
        m["a"] = 1
        # It would use a lock file of the same name, which is no lock file of LMDB's.
        with pytest.raises(lmdb.Error):
            lmdb.open(str(path), subdir=False, max_dbs=8, create=False)
        m["a"] = 2
    with OOCMap(path) as m:
        assert m["a"] == 2


def patch(path: Path, word: int, value: int) -> None:
    """Change a word of the control file."""
    with path.with_name(path.name + "-lock").open("r+b") as control:
        control.seek(8 * word)
        control.write(struct.pack("=Q", value))


def test_another_container_has_it_open(held: Path) -> None:
    patch(held, 2, 0xDEAD)
    with pytest.raises(OSError, match="another container"):
        OOCMap(held)


def test_another_version_of_this_program_has_it_open(held: Path) -> None:
    patch(held, 1, 99)
    with pytest.raises(FormatError, match="another version"):
        OOCMap(held)


@pytest.mark.parametrize("word", range(12))
def test_a_damaged_control_file_of_nobody(path: Path, word: int) -> None:
    with OOCMap(path) as m:
        m["a"] = 1
    patch(path, word, 2**64 - 1)
    with OOCMap(path, lock_timeout=30) as m:
        assert m["a"] == 1
        m["a"] = 2
        with m.snapshot() as s:
            assert s["a"] == 2


def test_the_control_file_is_deleted_under_a_map(held: Path) -> None:
    with OOCMap(held) as m:
        for beside in held.parent.glob("*.ooc-lock"):
            beside.unlink()
        program = "import oocmap, sys; m = oocmap.OOCMap(sys.argv[1], lock_timeout=30); m['b'] = m['a'] + 1"
        subprocess.run([sys.executable, "-c", program, held], check=True)
        assert m["b"] == 2
        m["c"] = 3
        with OOCMap(held) as same:
            assert same["c"] == 3


def test_code_of_this_process_that_reads_the_helper_files(path: Path) -> None:
    """Closing any descriptor of LMDB's lock file dropped the locks by which others see that this process lives."""
    with OOCMap(path) as m:
        m.update((key, [key] * 50) for key in range(200))
        with m.snapshot() as s:
            for beside in path.parent.iterdir():
                beside.read_bytes()
            program = (
                "import sys, oocmap\n"
                "for turn in range(20):\n"
                "    with oocmap.OOCMap(sys.argv[1], durability='nometasync') as m:\n"
                "        m.update((key, [turn] * 60) for key in range(200))\n"
            )
            subprocess.run([sys.executable, "-c", program, path], check=True)
            assert len(m.stats()["readers"]) > 0
            assert all(s[key] == [key] * 50 for key in range(200))
