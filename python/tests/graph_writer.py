"""Who changes a graph of stored objects at random, in transactions, with handles that outlive what they were got from."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from graph_shadow import PROCESSES, Draft, extra, number_of, record_of
from oocmap import OOCMap, StaleObjectError

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = 40
NODES = 150
"""About how many nodes there are at a time."""
HELD = 25
"""How many handles each process keeps."""
KNOWN = 300
"""For how many of the nodes that a process has deleted it is known that they were."""


class Writer:
    """One process's transactions."""

    def __init__(self, m: OOCMap, process: int, seed: int) -> None:
        self.m = m
        self.process = process
        self.chance = random.Random(f"{seed} writer {process}")
        self.held: dict[int, Any] = {}
        """Handles by the number of their node."""
        self.count = 0
        self.deleted: list[int] = []
        self.done = {"transactions": 0, "came back": 0, "stale": 0, "lost": 0, "rolled back": 0}
        self.tx: Any = None
        self.draft: Any = None
        self.made: set[int] = set()

    # --- what a node is made of ---

    def plant(self, into: Any = None) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
        """Return a plain node that leads to others, some of them stored ones, and all that are new."""
        long = self.chance.random() < 0.05
        new: list[dict[str, Any]] = []
        record = None if into is None else record_of(into["id"])
        for _ in range(self.chance.randint(1, 6)):
            self.count += 1
            unique = self.count * PROCESSES + self.process
            record = unique if record is None else record
            number = number_of(record, unique)
            new.append({"id": number, "links": [], **extra(number)})
        for index, node in enumerate(new):
            if index:  # each is reached from those before it
                self.chance.choice(new[:index])["links"].append(node)
            if self.chance.random() < 0.3:
                node["links"].append(self.chance.choice(new))
            if self.chance.random() < 0.2 and (stored := self.somewhere()) is not None:
                node["links"].append(stored)
        if long:
            links = new[0]["links"]
            links += [None] * 400
            self.chance.shuffle(links)
        return new[0], {node["id"]: node for node in new}

    def planted(self, new: dict[int, dict[str, Any]]) -> None:
        """Say in the shadow what was stored."""
        for number, node in new.items():
            self.draft.links[number] = tuple(
                None if linked is None else linked["id"] for linked in node["links"]
            )
        self.made.update(new)

    # --- how one gets to a node ---

    def name(self) -> int:
        return self.chance.randrange(NAMES)

    def somewhere(self) -> Any:
        """Return a handle to some node that can be reached, if there is one."""
        if self.held and self.chance.random() < 0.3:
            number = self.chance.choice(list(self.held))
            if self.draft.is_reachable(number):
                return self.held[number]
        if not self.draft.roots:
            return None
        node = self.tx["node", self.chance.choice(list(self.draft.roots))]
        while self.chance.random() < 0.7:
            links = [linked for linked in node["links"] if linked is not None]
            if not links:
                break
            node = self.chance.choice(links)
        return node

    def renew(self, node: Any) -> None:
        """Say in the shadow what a node leads to now."""
        links = node["links"]
        self.draft.links[node["id"]] = tuple(None if linked is None else linked["id"] for linked in links)

    # --- what is done ---

    def make(self) -> None:
        """Store a new node under a key, in the place of what was there."""
        name = self.name()
        node, new = self.plant()
        self.tx["node", name] = node
        self.draft.roots[name] = node["id"]
        self.planted(new)

    def graft(self) -> None:
        """Store a new node in another one."""
        target = self.somewhere()
        if target is not None:
            node, new = self.plant(target)
            if self.chance.random() < 0.5 and target["links"]:
                target["links"][self.chance.randrange(len(target["links"]))] = node
            else:
                target["links"].append(node)
            self.planted(new)
            self.renew(target)

    def alias(self) -> None:
        """Give a node another key."""
        node = self.somewhere()
        if node is not None:
            name = self.name()
            self.tx["node", name] = node
            self.draft.roots[name] = node["id"]

    def link(self) -> None:
        """Let a node lead to another one, or to itself, at some place."""
        source, target = self.somewhere(), self.somewhere()
        if source is not None:
            source["links"].insert(self.chance.randint(0, len(source["links"])), target)
            self.renew(source)

    def unlink(self) -> None:
        """Let a node no longer lead where it did."""
        node = self.somewhere()
        if node is None or not node["links"]:
            return
        links = node["links"]
        place = self.chance.randrange(len(links))
        what = self.chance.random()
        if what < 0.3:
            del links[place]
        elif what < 0.5:
            self.hold(links.pop())
        elif what < 0.7:
            links[place] = None
        elif what < 0.8:
            del links[place:]
        elif what < 0.9:
            node["links"] = links[place:]
        else:
            links.clear()
        self.renew(node)

    def delete(self) -> None:
        """Delete a key, and hold what it named, maybe."""
        if self.draft.roots:
            name = self.chance.choice(list(self.draft.roots))
            if self.chance.random() < 0.3:
                self.hold(self.tx.pop(("node", name)))
            else:
                del self.tx["node", name]
            del self.draft.roots[name]

    def hold(self, node: Any = None) -> None:
        """Keep a handle, in the place of another one if there are many."""
        node = node or self.somewhere()
        if node is not None:
            if len(self.held) >= HELD:
                del self.held[self.chance.choice(list(self.held))]
            self.held.setdefault(node["id"], node)

    def bring_back(self) -> None:
        """Store what a handle names, which is gone or not: if only this process deleted it, it is there nearly always."""
        if not self.held:
            return
        number = self.chance.choice(list(self.held))
        returning = self.draft.can_return(number)
        if returning is None:
            return
        target = self.somewhere() if self.chance.random() < 0.4 else None
        name = self.name()
        try:
            if target is None:
                self.tx["node", name] = self.held[number]
            else:
                target["links"].append(self.held[number])
        except StaleObjectError:
            gone = self.draft.gone(number)
            assert number in returning, f"node {number} was deleted by nobody, and is gone"
            assert gone is not None
            # Another process may have replaced the list that led to it, and let go of that a moment later.
            self.done["lost" if gone[1] == self.process else "stale"] += 1
            del self.held[number]
            return
        self.draft.bring_back(returning)
        self.done["came back"] += bool(returning)
        if target is None:
            self.draft.roots[name] = number
        else:
            self.renew(target)

    def operations(self) -> None:
        many = len(self.draft.links) > NODES
        weights = {
            self.make: 1 if many else 4,
            self.graft: 1 if many else 3,
            self.alias: 3,
            self.link: 4,
            self.unlink: 6 if many else 3,
            self.delete: 5 if many else 2,
            self.hold: 2,
            self.bring_back: 3,
        }
        chosen: list[Callable[[], None]] = self.chance.choices(
            list(weights), list(weights.values()), k=self.chance.randint(1, 4)
        )
        for operation in chosen:
            operation()

    def nest(self) -> None:
        """Do something in a nested transaction, which is rolled back, maybe."""
        copied, outer, made = self.draft.copy(), self.tx, set(self.made)
        with outer.transaction() as nested:
            self.tx = nested
            self.operations()
            undone = self.chance.random() < 0.5
            if undone:
                nested.rollback()
        self.tx = outer
        if undone:
            self.draft.undo(copied)
            self.forget(self.made - made)
            self.made = made

    def forget(self, numbers: set[int]) -> None:
        """Let go of handles to what was never there."""
        for number in numbers:
            self.held.pop(number, None)

    def transaction(self) -> None:
        """Change the graph and its shadow."""
        self.made = set()
        with self.m.transaction() as tx:
            self.tx = tx
            self.draft = Draft(tx, self.process)
            for _ in range(self.chance.randint(1, 3)):
                (self.nest if self.chance.random() < 0.15 else self.operations)()
            gone = self.draft.write()
            undone = self.chance.random() < 0.1
            if undone:
                tx.rollback()
            else:
                self.prune(gone)
        self.done["transactions"] += 1
        if undone:
            self.forget(self.made)
            self.done["rolled back"] += 1
        self.tx = self.draft = None

    def prune(self, gone: list[int]) -> None:
        """Forget what was deleted long ago."""
        self.deleted += gone
        while len(self.deleted) > KNOWN:
            number = self.deleted.pop(0)
            if number not in self.held:
                self.draft.remember(number)

    def plain_calls(self) -> None:
        """Leave garbage behind without a transaction, under keys of this process's own."""
        m, me = self.m, self.process
        one, other = self.chance.sample(range(8), 2)
        m["own", me, one] = [one, bytes(self.chance.randrange(5000))]
        m["own", me, other] = [other, m["own", me, one]]
        m["own", me, one].append(m["own", me, other])
        assert m["own", me, other][1][0] == one
        if self.chance.random() < 0.7:
            del m["own", me, one]
        assert m["own", me, other][1][2][0] == other
