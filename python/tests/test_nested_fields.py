"""Fields of documents that are changed one after the other, through whatever leads to them, against plain documents."""

from __future__ import annotations

import copy
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oocmap import OOCMap

KEYS = 3
WAYS = [("n",), ("text",), ("inner", "n"), ("items", 0), ("items", 1, "price"), ("items", 2)]

leaves = (
    st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "x", "some text", "long " * 100, None, True])
)
keys = st.integers(0, KEYS - 1)
ways = st.sampled_from(WAYS)
steps = st.one_of(
    st.tuples(st.just("set"), keys, ways, leaves),
    st.tuples(st.just("set"), keys, ways, leaves),
    st.tuples(st.just("set kept"), st.integers(0, 5), ways, leaves),
    st.tuples(st.just("add"), keys, st.sampled_from(["new", "other"]), leaves),
    st.tuples(st.just("keep"), keys),
    st.tuples(st.just("read"), keys),
    st.tuples(st.just("replace"), keys),
    st.tuples(st.just("share"), keys, keys),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.sampled_from(["nest", "nest", "commit", "undo", "undo"])),
)


def document(seed: int) -> dict[str, Any]:
    """Make a document in which some texts are long enough to be stored once for all."""
    text = "some text that is long " * 30 if seed % 2 else "short"
    return {
        "n": seed,
        "text": text,
        "inner": {"n": 1.5, "text": text},
        "items": [seed, {"price": 0.5}, text],
        "t": (1, text),
    }


def assign(root: Any, way: tuple[Any, ...], leaf: object) -> None:
    """Change what lies at the end of a way."""
    for step in way[:-1]:
        root = root[step]
    root[way[-1]] = leaf


class Shadow:
    """What a map should hold, and the containers in it that something refers to."""

    def __init__(self) -> None:
        self.documents = {key: document(key) for key in range(KEYS)}
        self.kept: list[dict[str, Any]] = []


def elsewhere(assigning: Any) -> None:
    """Do something in another thread, and wait for it."""
    thread = threading.Thread(target=assigning)
    thread.start()
    thread.join()


@given(todo=st.lists(steps, max_size=40), threads=st.booleans())
def test_what_a_transaction_changes_is_what_is_read_and_committed(
    todo: list[tuple[Any, ...]], threads: bool
) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        OOCMap(Path(directory) / "m.ooc", durability="nometasync") as m,
    ):
        shadow = Shadow()
        m.update(shadow.documents)
        with m.transaction() as tx, ExitStack() as at_end:
            kept: list[Any] = []
            nested: list[tuple[Any, Shadow, int]] = []
            made = KEYS
            for number, (what, *how) in enumerate(todo):
                docs, through = shadow.documents, m if nested or number % 2 else tx
                if what == "set" and how[0] in docs:
                    key, way, leaf = how
                    assign(docs[key], way, leaf)
                    if threads and not nested:
                        elsewhere(lambda key=key, way=way, leaf=leaf: assign(tx[key], way, leaf))
                    else:
                        assign(through[key], way, leaf)
                elif what == "set kept" and how[0] < len(kept):
                    place, way, leaf = how
                    assign(shadow.kept[place], way, leaf)
                    assign(kept[place], way, leaf)
                elif what == "add" and how[0] in docs:
                    docs[how[0]][how[1]] = how[2]
                    through[how[0]][how[1]] = how[2]
                elif what == "keep" and how[0] in docs:
                    shadow.kept.append(docs[how[0]])
                    kept.append(through[how[0]])
                elif what == "replace":
                    made += 1
                    docs[how[0]] = document(made)
                    through[how[0]] = document(made)
                elif what == "share" and how[1] in docs:
                    docs[how[0]] = docs[how[1]]
                    through[how[0]] = through[how[1]]
                elif what == "delete" and how[0] in docs:
                    del docs[how[0]]
                    del through[how[0]]
                elif what == "nest":
                    inner = m.transaction()
                    nested.append((inner, copy.deepcopy(shadow), len(kept)))
                elif what in ("commit", "undo") and nested:
                    inner, before, known = nested.pop()
                    if what == "commit":
                        inner.commit()
                    else:
                        inner.rollback()
                        shadow = before
                        del kept[known:]
                elif what == "read" and how[0] in docs:
                    assert through[how[0]].eager(deep=True) == docs[how[0]]
                assert [each.eager(deep=True) for each in kept] == shadow.kept
            at_end.callback(lambda: [inner.commit() for inner, _, _ in reversed(nested)])
        assert {key: value.eager(deep=True) for key, value in m.items()} == shadow.documents
        assert [each.eager(deep=True) for each in kept] == shadow.kept
        assert m.check() == []


@pytest.mark.parametrize("durability", ["nometasync", "deferred"])
def test_fields_that_are_changed_outside_of_transactions(path: Path, durability: Any) -> None:
    with OOCMap(path, durability=durability) as m:
        shadow = document(1)
        m[1] = shadow
        stored = m[1]
        for number in range(30):
            way = WAYS[number % len(WAYS)]
            assign(shadow, way, number)
            assign(stored if number % 2 else m[1], way, number)
            assert m[1].eager(deep=True) == shadow


def test_what_was_read_before_a_change_stays_what_it_was(m: OOCMap) -> None:
    m["d"] = {"n": 1, "t": ("a tuple", 1.5), "items": ["x", "y"]}
    with m.transaction() as tx:
        whole, text, items = tx["d"]["t"], tx["d"]["items"][0], tx["d"].items()
        pairs = iter(items)
        first = next(pairs)
        tx["d"]["n"] = "another"
        tx["d"]["items"][0] = "z"
        assert (whole, text, first) == (("a tuple", 1.5), "x", ("n", 1))
        assert tx["d"]["n"] == "another"
        assert dict(items)["items"] == ["z", "y"]


def test_a_document_that_was_read_is_not_that_of_the_next_transaction(m: OOCMap) -> None:
    m["d"] = {"n": 1, "other": 1}
    with pytest.raises(ZeroDivisionError), m.transaction() as tx:
        tx["d"]["n"] = 2
        raise ZeroDivisionError
    with m.transaction() as tx:
        tx["d"]["other"] = 3
    assert m["d"] == {"n": 1, "other": 3}
