"""Count the instructions that the extension executes for an operation, and its allocations.

The library beside this file goes through the extension step by step. Only what one thread does there is counted: what
the machine is and what else it does matters little. `exits` is how often the extension called something else or
returned to it.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

ALLOCATORS = ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc")
PLACES = 8  # as the library has it

Argument = TypeVar("Argument")


class Counts(ctypes.Structure):
    """What the library has counted."""

    _fields_ = (
        ("instructions", ctypes.c_uint64),
        ("exits", ctypes.c_uint64),
        ("allocations", ctypes.c_uint64),
        ("failure", ctypes.c_int),
        ("is_void", ctypes.c_bool),
    )


class Counted(NamedTuple):
    """What one call has cost."""

    instructions: int
    exits: int
    allocations: int


def build() -> Path:
    """Build the library, and return where it is."""
    command = ["cargo", "build", "--locked", "--release", "--quiet", "--package", "oocmap-smoke"]
    made = subprocess.run(
        [*command, "--message-format", "json-render-diagnostics"],
        cwd=Path(__file__).parent,
        check=True,
        stdout=subprocess.PIPE,
    )
    messages = (json.loads(line) for line in made.stdout.splitlines())
    for message in messages:
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == "oocmap_smoke":
            return Path(message["filenames"][0])
    raise FileNotFoundError("cargo has not said where it has put the library oocmap_smoke")


def code_of(module: str) -> tuple[int, int]:
    """Return where the instructions of a loaded module are, which is named by the path of its file."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, permissions, *_, path = [*line.split(maxsplit=5), ""][:6]
        if "x" in permissions and path == module:
            start, end = addresses.split("-")
            return int(start, 16), int(end, 16)
    raise LookupError(f"no instructions of {module} are loaded")


def address(symbols: ctypes.CDLL, name: str) -> int:
    """Return where a function is."""
    return ctypes.cast(symbols[name], ctypes.c_void_p).value or 0


class Counter:
    """Counts what operations cost in one module."""

    def __init__(self, library: Path, module: str) -> None:
        self._library = ctypes.PyDLL(str(library))
        self._library.smoke_end.restype = Counts
        self._library.smoke_begin.restype = None
        symbols = ctypes.CDLL(None)
        allocators = (ctypes.c_size_t * PLACES)(*(address(symbols, name) for name in ALLOCATORS))
        start, end = map(ctypes.c_size_t, code_of(module))
        if error := self._library.smoke_prepare(start, end, allocators):
            raise OSError(error, "signals can't be handled, so nothing can be counted")

    def count(self, action: Callable[[Argument], object], argument: Argument) -> Counted | None:
        """Count what one call costs; nothing when another thread was in the extension meanwhile."""
        begin, end = self._library.smoke_begin, self._library.smoke_end
        begin()
        try:
            action(argument)
        finally:
            counts = end()
        if counts.failure:
            raise OSError(
                counts.failure, "the extension's code can't be protected, so nothing can be counted"
            )
        return None if counts.is_void else Counted(counts.instructions, counts.exits, counts.allocations)
