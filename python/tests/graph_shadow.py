"""A graph of stored objects, and its shadow: which node leads to which, in the same map as plain values.

Each node is ``{"id": number, "links": [node or None, ...]}``, and some have a set or a byte array as well. A root is a
node with a key ``("node", name)``. Who changes the graph changes the shadow in the same transaction, so in each version
the one has to be what the other says.
"""

from __future__ import annotations

import marshal
from typing import Any, NamedTuple

PROCESSES = 4
NOBODY = -1
Links = dict[int, "tuple[int | None, ...]"]


class Shadow(NamedTuple):
    """What can be reached, and from where."""

    links: Links
    """By number, the numbers of the nodes that a node leads to, in order."""
    roots: dict[int, int]
    """By name, the number of the node that has this key."""


def shadow(source: Any) -> Shadow:
    """Return what the plain values say."""
    links = {key[1]: marshal.loads(value) for key, value in source.prefix(("live",)).items()}
    return Shadow(links, {key[1]: number for key, number in source.prefix(("root",)).items()})


def walk(source: Any) -> Shadow:
    """Return what the objects are, by going through all of them from the keys on."""
    found: dict[int, Any] = {}
    todo: list[int] = []

    def visit(node: Any) -> int:
        number: int = node["id"]
        if number in found:
            assert node.same_as(found[number]), f"node {number} is there twice"
        else:
            found[number] = node
            todo.append(number)
        return number

    roots = {key[1]: visit(node) for key, node in source.prefix(("node",)).items()}
    links: Links = {}
    while todo:
        number = todo.pop()
        node = found[number]
        assert extra(number) == {key: value for key, value in node.items() if key not in ("id", "links")}
        links[number] = tuple(None if linked is None else visit(linked) for linked in node["links"])
    return Shadow(links, roots)


def number_of(record: int, count: int) -> int:
    """Return the number of a node: those that are made together, or in one that is there, are beside each other."""
    return record << 32 | count


def record_of(number: int) -> int:
    return number >> 32


def extra(number: int) -> dict[str, Any]:
    """Return what a node has besides."""
    if number % 5 == 0:
        return {"set": {number, "member"}}
    return {"bytes": bytearray(b"%d" % number)} if number % 5 == 1 else {}


def difference(one: Shadow, other: Shadow) -> str:
    """Say in what two of them differ; nothing if they are the same."""
    said = [
        f"{what} {key}: {mine.get(key)} and {yours.get(key)}"
        for what, mine, yours in (("node", one.links, other.links), ("root", one.roots, other.roots))
        for key in sorted(mine.keys() | yours.keys())
        if mine.get(key) != yours.get(key)
    ]
    return "; ".join(said[:10])


def reached(links: Links, start: Any) -> set[int]:
    """Return the nodes that some lead to, and these."""
    found = set(start)
    todo = list(found)
    while todo:
        for number in links[todo.pop()]:
            if number is not None and number not in found:
                found.add(number)
                todo.append(number)
    return found


class Draft:
    """The shadow in a transaction, which is written when all else is done.

    A node that became unreachable stays known as *gone*, with its links and with who made it so, for whoever has a handle
    to it and stores it again. It is nobody's if something led to it that another process may still hold, or when another
    process deletes something that was made with it: they may be one record, of which others don't know what is held.
    """

    def __init__(self, tx: Any, process: int) -> None:
        self.tx = tx
        self.process = process
        self.before = shadow(tx)
        self.links = dict(self.before.links)
        self.roots = dict(self.before.roots)
        self.returned: set[int] = set()

    def copy(self) -> tuple[Any, ...]:
        return dict(self.links), dict(self.roots), set(self.returned)

    def undo(self, copied: tuple[Any, ...]) -> None:
        self.links, self.roots, self.returned = copied

    def is_reachable(self, number: int) -> bool:
        return number in reached(self.links, self.roots.values())

    def gone(self, number: int) -> tuple[tuple[int | None, ...], int] | None:
        """Return the links of a node that is gone, and who deleted it."""
        found = self.tx.get(("gone", number))
        return None if found is None else marshal.loads(found)

    def can_return(self, number: int) -> Links | None:
        """Return what comes back with a node, or None if nobody knows any more."""
        found: Links = {}
        todo = [number]
        while todo:
            number = todo.pop()
            if number not in self.links and number not in found:
                gone = self.gone(number)
                if gone is None:
                    return None
                found[number] = gone[0]
                todo += [linked for linked in gone[0] if linked is not None]
        return found

    def bring_back(self, returning: Links) -> None:
        self.links.update(returning)
        self.returned.update(returning)

    def write(self) -> list[int]:
        """Write what is different now; return what has gone."""
        tx, before = self.tx, self.before
        reachable = reached(self.links, self.roots.values())
        for number in self.returned & reachable:
            self.remember(number)
        for number in reachable:
            if before.links.get(number) != self.links[number]:
                tx["live", number] = marshal.dumps(self.links[number])
        gone = self.links.keys() - reachable
        shared = [number for number in gone if any(who != self.process for who in self.leading_to(number))]
        shared_too = reached(self.links, shared)
        for number in gone:
            if number in before.links:
                del tx["live", number]
            self.remember(number, self.links[number], NOBODY if number in shared_too else self.process)
        self.disown([other for number in gone for other in self.beside(number)])
        for name in before.roots.keys() | self.roots.keys():
            if before.roots.get(name) != self.roots.get(name):
                if name in self.roots:
                    tx["root", name] = self.roots[name]
                else:
                    del tx["root", name]
        return list(gone)

    def leading_to(self, number: int) -> list[int]:
        """Return who deleted what still leads to a node or was made with it, and is gone itself."""
        beside = [who for other, (_, who) in self.beside(number).items() if other not in self.links]
        return beside + [
            who for key, who in self.tx.prefix(("from", number)).items() if key[2] not in self.links
        ]

    def beside(self, number: int) -> dict[int, tuple[tuple[int | None, ...], int]]:
        """Return what is gone of what was made with a node, or put into it when it was made."""
        start, stop = (number_of(record_of(number) + more, 0) for more in (0, 1))
        return {
            key[1]: marshal.loads(value)
            for key, value in self.tx.range(("gone", start), ("gone", stop)).items()
        }

    def disown(self, numbers: list[int]) -> None:
        """Say of what others deleted before that it may go, with all that may go with it."""
        while numbers:
            number = numbers.pop()
            gone = self.gone(number)
            if gone is not None and gone[1] not in (NOBODY, self.process):
                self.remember(number, gone[0], NOBODY)
                numbers += [*self.beside(number), *(linked for linked in gone[0] if linked is not None)]

    def remember(self, number: int, links: tuple[int | None, ...] = (), process: int | None = None) -> None:
        """Say that a node is gone, and by whom; or that it is not, or that it does not matter any more."""
        for linked in (self.gone(number) or ((), 0))[0]:
            self.tx.pop(("from", linked, number), None)
        self.tx.pop(("gone", number), None)
        if process is not None:
            self.tx["gone", number] = marshal.dumps((links, process))
            for linked in links:
                if linked is not None:
                    self.tx["from", linked, number] = process
