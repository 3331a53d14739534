"""What an engine is: a store that is opened in a directory, loaded, read and changed as its users would."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from data import Pair

Home = Literal["own", "peers", "predecessor"]
"""The virtual environment that an engine is installed in."""

LIST = 0
"""The key of the long list."""


class Cannot(Exception):  # noqa: N818
    """An engine has no such thing: its cell stays empty."""


@dataclass(frozen=True)
class Promise:
    """What an engine promises, with its settings as they are measured here."""

    durable: str
    """What survives a power cut, and from when on."""
    others: str
    """Whether it sees what other processes commit."""
    transactions: str
    nested: str
    """What becomes of a nested value that is changed in place."""


class Engine(ABC):
    """A store to be measured.

    What reads, tells of a key or writes is given back as a mapping, which is then used as `m[k]`, `k in m` and
    `m[k] = v`, or else as a function, where the engine has no mapping with numbers as keys.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    module: ClassVar[str]
    """What has to be imported."""
    home: ClassVar[Home] = "peers"
    promise: ClassVar[Promise]
    reads_only: ClassVar[bool] = False
    """Whether it differs from another engine only where a store is read, and has no row but those."""
    keeps: ClassVar[bool] = True
    """Whether another process finds what one has stored."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @abstractmethod
    def open(self, *, readonly: bool = False) -> None:
        """Open the store in its directory, or make it there."""

    @abstractmethod
    def close(self) -> None:
        """Close it, so that all is on disk that ever will be."""

    @abstractmethod
    def load(self, entries: Iterable[Pair], *, ascending: bool = False) -> None:
        """Store entries the fastest way: in one transaction where there are any, on disk where that is promised."""

    def load_lines(self, lines: Path) -> None:
        """Store the entries in a file of lines of JSON, each a list of key and value."""
        raise Cannot

    @abstractmethod
    def reader(self) -> Any:
        """Return what reads one value by its key: a mapping or a function."""

    def getter(self) -> Callable[[int], Any]:
        """Return what reads one value by its key, and answers None where there is none."""
        raise Cannot

    def container(self) -> Any:
        """Return what tells whether there is a key: a mapping or a function."""
        raise Cannot

    def snapshot(self) -> Any:
        """Return what reads as `reader` does, one version whatever others commit."""
        raise Cannot

    def items(self) -> Iterable[Pair]:
        """Return all the entries."""
        raise Cannot

    def whole(self, value: Any) -> Any:
        """Make a plain Python object of what was read."""
        return value

    def writer(self) -> Any:
        """Return what writes one entry, without waiting for the disk: a mapping or a function."""
        raise Cannot

    def settle(self) -> None:  # noqa: B027 (most need nothing)
        """Commit what was written without waiting for the disk, where that has to be asked for."""

    def durable_writer(self) -> Callable[[int, str], None]:
        """Return what writes one entry, which is then safely on disk."""
        raise Cannot

    def thread_writer(self) -> Callable[[int, str], None]:
        """Return the same for one of several threads."""
        raise Cannot

    def transaction(self) -> AbstractContextManager[object]:
        """Return a block whose changes are committed at its end; without transactions, any block."""
        return nullcontext()

    def change(self, keys: Sequence[int], count: int) -> None:
        """Change one nested field of each document, all in one transaction: read, change, write."""
        with self.transaction():
            write = as_writer(self.writer())
            read = as_function(self.reader())
            for key in keys:
                found = read(key)
                found["items"][3]["count"] = count
                write(key, found)

    # The long list, under one key. An engine that stores it as a whole has to read it as a whole, too.

    def store_list(self, elements: list[int]) -> None:
        """Store the long list, safely on disk where that is promised."""
        self.load([(LIST, elements)])

    def list_reader(self) -> Any:
        """Return what reads one element of the list: the list or a function."""
        read = as_function(self.reader())
        return lambda index: read(LIST)[index]

    def list_elements(self) -> Iterator[int]:
        """Iterate over the list."""
        return iter(as_function(self.reader())(LIST))

    def list_appender(self) -> Callable[[int], object]:
        """Return what appends one element, without waiting for the disk."""
        write = as_writer(self.writer())  # first, since it may open the store anew
        read = as_function(self.reader())

        def append(element: int) -> None:
            elements = read(LIST)
            elements.append(element)
            write(LIST, elements)

        return append


class MappingEngine(Engine):
    """A store whose object `m` is a mapping that takes numbers as keys."""

    m: Any

    def reader(self) -> Any:
        return self.m

    def getter(self) -> Callable[[int], Any]:
        get: Callable[[int], Any] = self.m.get
        return get

    def container(self) -> Any:
        return self.m

    def items(self) -> Iterable[Pair]:
        entries: Iterable[Pair] = self.m.items()
        return entries

    def writer(self) -> Any:
        return self.m

    def load(self, entries: Iterable[Pair], *, ascending: bool = False) -> None:
        self.m.update(entries)

    def close(self) -> None:
        self.m.close()


class TextKeys(MappingEngine):
    """A store whose mapping takes texts as keys."""

    def reader(self) -> Any:
        m = self.m
        return lambda key: m[str(key)]

    def getter(self) -> Callable[[int], Any]:
        get = self.m.get
        return lambda key: get(str(key))

    def container(self) -> Any:
        m = self.m
        return lambda key: str(key) in m

    def items(self) -> Iterable[Pair]:
        return ((int(key), value) for key, value in self.m.items())

    def writer(self) -> Any:
        m = self.m

        def write(key: int, value: Any) -> None:
            m[str(key)] = value

        return write

    def load(self, entries: Iterable[Pair], *, ascending: bool = False) -> None:
        m = self.m
        for key, value in entries:
            m[str(key)] = value


def as_function(reader: Any) -> Callable[[int], Any]:
    """Return a function that reads, for where no time is taken or it makes no difference."""
    read: Callable[[int], Any] = reader if callable(reader) else reader.__getitem__
    return read


def as_writer(writer: Any) -> Callable[[int, Any], object]:
    """Return a function that writes, likewise."""
    write: Callable[[int, Any], object] = writer if callable(writer) else writer.__setitem__
    return write
