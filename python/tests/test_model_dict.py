"""A stored dict does what a dict does, order and first keys included, short and long."""

from __future__ import annotations

import operator
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from machines import LONGEST, STEPS, TwinMachine, alike, counts, elements, failing

# Equal keys of different types meet: the first one stays.
keys = st.one_of(
    st.integers(0, 6),
    st.sampled_from([0.0, 1.0, True, False, 2.5, None, "a", "b", "", b"a", (), (1, "a"), (True, "a")]),
    st.sampled_from([frozenset([1]), "k" * 200, "l" * 1500, 10**30, -1]),
    st.integers(0, LONGEST),
    st.integers(0, LONGEST).map(str),
)


def numbered(start: int, count: int, as_text: bool) -> dict[Any, Any]:
    """Return a dict of that many items."""
    return {str(n) if as_text else n: n * n for n in range(start, start + count)}


class DictMachine(TwinMachine):
    """A stored dict beside a dict."""

    empty = dict

    def alike(self, found: Any, expected: Any) -> bool:
        if type(found) is dict and type(expected) is dict:
            return alike(list(found), list(expected)) and alike(list(found.values()), list(expected.values()))
        return super().alike(found, expected)

    def holds(self, stored: Any) -> bool:
        return self.alike(stored.eager(deep=True), self.model)

    def known(self, data: st.DataObject) -> Any:
        """Draw a key that is there, more often than not."""
        if self.model and data.draw(st.integers(0, 3)):
            return list(self.model)[data.draw(st.integers(0, len(self.model) - 1))]
        return data.draw(keys)

    @rule(key=keys, value=elements)
    def set_item(self, key: Any, value: Any) -> None:
        self.both(lambda x: operator.setitem(x, key, value))

    @rule(data=st.data(), value=elements)
    def overwrite(self, data: st.DataObject, value: Any) -> None:
        key = self.known(data)
        self.both(lambda x: operator.setitem(x, key, value))

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        key = self.known(data)
        self.both(lambda x: operator.delitem(x, key))

    @rule(data=st.data())
    def look_up(self, data: st.DataObject) -> None:
        key = self.known(data)
        self.both(lambda x: x[key])
        self.both(lambda x: (key in x, x.get(key), x.get(key, "default"), key in x.keys()))

    @rule(data=st.data(), default=st.booleans())
    def pop(self, data: st.DataObject, default: bool) -> None:
        key = self.known(data)
        self.both(lambda x: x.pop(key, "default") if default else x.pop(key))

    @rule()
    def pop_item(self) -> None:
        self.both(lambda x: x.popitem())

    @rule(data=st.data(), value=elements)
    def set_default(self, data: st.DataObject, value: Any) -> None:
        key = self.known(data)
        self.both(lambda x: x.setdefault(key, value))

    @rule(start=st.integers(0, LONGEST), count=counts, as_text=st.booleans(), as_pairs=st.booleans())
    def update(self, start: int, count: int, as_text: bool, as_pairs: bool) -> None:
        items = numbered(start, min(count, LONGEST - len(self.model)), as_text)
        self.both(lambda x: x.update(iter(items.items()) if as_pairs else items))

    @rule(items=st.dictionaries(keys, elements, max_size=4))
    def update_in_place(self, items: dict[Any, Any]) -> None:
        def update(x: Any) -> None:
            before = x
            x |= items
            assert x is before

        self.both(update)

    @rule(items=st.dictionaries(keys, elements, min_size=1, max_size=4))
    def update_that_fails(self, items: dict[Any, Any]) -> None:
        with pytest.raises(LookupError, match="no more"):
            self.stored.update(failing(list(items.items())))

    @rule(bad=st.sampled_from([[], {}, ([],), set()]))
    def use_an_unhashable_key(self, bad: Any) -> None:
        self.both(lambda x: operator.setitem(x, bad, 1))
        self.both(lambda x: x.get(bad))
        if self.model:  # an empty dict does not look
            self.both(lambda x: x.pop(bad, None))

    @rule(start=st.integers(0, LONGEST), count=counts, as_text=st.booleans())
    def delete_many(self, start: int, count: int, as_text: bool) -> None:
        wanted = [key for key in numbered(start, count, as_text) if key in self.model]

        def delete(x: Any) -> None:
            for key in wanted:
                del x[key]

        with self.m.transaction():
            self.both(delete)

    @precondition(lambda self: len(self.model) > 4000)
    @rule()
    def clear(self) -> None:
        self.both(lambda x: x.clear())

    # --- reading ---

    @rule()
    def read_views(self) -> None:
        self.both(lambda x: (list(x), list(reversed(x)) == list(x)[::-1]))
        self.both(lambda x: list(x.values()))
        self.both(lambda x: list(reversed(x.items())))

    @rule(data=st.data(), others=st.frozensets(keys, max_size=4))
    def combine_keys(self, data: st.DataObject, others: frozenset[Any]) -> None:
        others |= {self.known(data)}
        self.both(lambda x: (set(x.keys() & others), set(x.keys() - others), x.keys() >= others))
        self.both(lambda x: x.keys().isdisjoint(others))
        self.both(lambda x: len(x.keys() | others) + len(x.keys() ^ others))

    @rule(items=st.dictionaries(keys, elements, max_size=3))
    def join(self, items: dict[Any, Any]) -> None:
        self.both(lambda x: x | items)
        self.both(lambda x: items | x)

    @rule(data=st.data(), value=elements)
    def compare(self, data: st.DataObject, value: Any) -> None:
        assert self.stored == self.model
        assert not self.stored != self.model  # noqa: SIM202
        other = {**self.model, self.known(data): value}
        self.both(lambda x: (x == other, other == x, x != other))

    @precondition(lambda self: self.model)
    @rule(value=elements)
    def change_while_iterating(self, value: Any) -> None:
        def change(x: Any) -> None:
            for number, key in enumerate(x):
                if number == 0:
                    x["a new key"] = value
                else:
                    assert key is not None

        if "a new key" not in self.model:
            self.both(change)


TestDict = DictMachine.TestCase
TestDict.settings = STEPS
