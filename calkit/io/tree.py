"""Nested dictionaries, lists and tuples of arrays, as checkpoints and pickles hold them, as named fields.

Members of dictionaries have their key for a name, joined by ``/``. A matrix paired with a vector is ``scores`` with
``labels``; a tuple of two such pairs is ``validation`` and ``test``, in that order, which is how published pickles of
logits have it. A list of arrays that differ in length only is one array in batches, and so are the members of
dictionaries or pairs in a list, if they look like the batches of a loader or like rows, one each. Other members have
their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import Field
from calkit.containers.sources import ConcatSource
from calkit.hardening.limits import MAX_ARRAYS, check
from calkit.roles.families import group_columns

__all__ = ["AsField", "array_field", "check_tree", "object_fields", "tree_fields"]

_MAX_DEPTH = 16

#: Takes a name, a leaf of a tree, and what gives that leaf again; returns its field, or None if it is no array.
AsField = Callable[[str, Any, Callable[[], Any]], Field | None]


def array_field(name: str, leaf: Any, load: Callable[[], Any]) -> Field | None:
    """Return the field of an array, a number, a word, or a list of such: the :data:`AsField` of NumPy."""
    if not (hasattr(leaf, "__array__") or isinstance(leaf, str | int | float | bool) or _is_written_out(leaf)):
        return None
    try:
        values = np.asarray(leaf)
    except ValueError:
        return None
    return Field(name, values.shape, values.dtype, lambda: np.asarray(load()))


def _is_written_out(node: Any) -> bool:
    """Tell whether a list begins like an array written out in numbers or words."""
    if isinstance(node, list | tuple) and node and isinstance(node[0], str):
        return True
    while isinstance(node, list | tuple) and node:
        node = node[0]
    return isinstance(node, int | float | bool | np.generic)


def check_tree(path: Path, tree: Any) -> None:
    """Refuse a tree with more members than its file has bytes: the same ones meant over and over, without end."""
    stored = path.stat().st_size
    count, pending = 0, [tree]
    while pending:
        node = pending.pop()
        members = node.values() if isinstance(node, Mapping) else node if isinstance(node, list | tuple) else ()
        count += len(members)
        check(path, stored=stored, members=count)
        if not isinstance(node, Mapping):
            longest = max((len(member) for member in members if isinstance(member, str)), default=0)
            check(f"{path}: a list", words=(len(members), longest))
        pending.extend(member for member in members if isinstance(member, Mapping | list | tuple))


def object_fields(name: str, load: Callable[[], NDArray[Any]]) -> list[Field]:
    """Return what an array of Python objects holds: words as they are, one object or several as a tree."""
    values = load()
    if values.shape == ():
        found = tree_fields(values.item(), array_field, lambda: load().item())
    elif all(isinstance(value, np.ndarray | list | tuple | Mapping) for value in values.flat):
        found = tree_fields(list(values), array_field, lambda: list(load()))
    else:
        found = []
    if not found:
        return [Field(name, values.shape, values.dtype, load)]
    return [item.renamed(f"{name}/{item.name}" if name else item.name) for item in found]


def tree_fields(tree: Any, as_field: AsField, load: Callable[[], Any]) -> list[Field]:
    """Return the arrays of a tree, whose leaves `as_field` makes fields of; these `load` it again, and keep nothing."""
    return list(_Walk(as_field).fields(tree, load, "", 0))


@dataclass(frozen=True)
class _Walk:
    as_field: AsField

    def fields(self, node: Any, load: Callable[[], Any], name: str, depth: int) -> Iterator[Field]:
        if _is_frame(node):
            place = {str(column): index for index, column in enumerate(node.columns)}
            for word, columns in group_columns(place).items():
                part = partial(_of_frame, load, [place[column] for _, column in columns])
                item = self.as_field(f"{name}/{word}" if name else word, part(), part)
                if item is not None and len(columns) > 1:
                    words, members = zip(*columns, strict=True)
                    item = replace(item, columns=words, members=members)
                if item is not None:
                    yield item
            return
        leaf = self.as_field(name or "0", node, load)
        if leaf is not None:
            yield leaf
            return
        if depth == _MAX_DEPTH or not isinstance(node, Mapping | list | tuple):
            return
        transposed = self._transposed(node)
        if transposed:
            for word, key, leaves in transposed:
                path, parts = f"{name}/{word}" if name else word, partial(_column_of, load, key)
                yield self._stacked(path, leaves, parts) if leaves else self._joined(path, self._leaves(parts()), parts)
            return
        if len(node) > MAX_ARRAYS:
            return
        batches = self._batches(node)
        if batches:
            yield self._joined(name or "0", batches, load)
            return
        for word, key in self._members(node):
            path = f"{name}/{word}" if name else word
            yield from self.fields(node[key], partial(_child, load, key), path, depth + 1)

    def _members(self, node: Any) -> list[tuple[str, Any]]:
        """Return the name and the key of each member."""
        if isinstance(node, Mapping):
            return [(str(key), key) for key in node]
        words: Sequence[str] = getattr(node, "_fields", None) or [str(index) for index in range(len(node))]
        pair = self._pair(node)
        if pair:
            words = pair
        elif len(node) == 2 and isinstance(node, tuple) and all(map(self._is_pair, node)):
            words = ("validation", "test")
        return [(word, index) for index, word in enumerate(words)]

    def _is_pair(self, node: Any) -> bool:
        return isinstance(node, list | tuple) and self._pair(node) is not None

    def _pair(self, node: Any) -> tuple[str, str] | None:
        """Return what the two members of a pair are, if their shapes tell: those of an array, or of one row of it."""
        if len(node) != 2:
            return None
        first, second = (self._leaf(child) for child in node)
        if first is None or second is None:
            return None
        row = {len(first.shape), len(second.shape)} == {0, 1}
        if not row and first.shape[:1] != second.shape[:1]:
            return None
        wide = [item.shape[-1] > 1 if row and item.shape else _is_matrix(item) for item in (first, second)]
        return None if wide[0] == wide[1] else ("scores", "labels") if wide[0] else ("labels", "scores")

    def _batches(self, node: Any) -> list[Field]:
        if not isinstance(node, list) or self._pair(node):
            return []
        items = [self._leaf(child) for child in node]
        found = [item for item in items if item is not None and item.shape]
        alike = len(found) == len(items) and len({item.shape[1:] for item in found}) == 1
        return found if alike else []

    def _transposed(self, node: Any) -> list[tuple[str, Any, list[Field]]]:
        """Return what the members of a list have in common, if they are batches or rows of the same arrays.

        Each array with its name, its key, and its rows; no rows if the members are batches.
        """
        if not isinstance(node, list) or len(node) < 2:
            return []
        if all(isinstance(child, Mapping) for child in node):
            keys = list(node[0])
            named = [(str(key), key) for key in keys] if all(list(child) == keys for child in node) else []
        elif all(map(self._is_pair, node)):
            pairs = {self._pair(child) for child in node}
            pair = pairs.pop() if len(pairs) == 1 else None
            named = [] if pair is None else [(pair[0], 0), (pair[1], 1)]
        else:
            return []
        columns = {word: self._leaves([child[key] for child in node]) for word, key in named}
        found = [(word, key, columns[word]) for word, key in named if columns[word]]
        if any(all(not leaf.shape for leaf in leaves) for _, _, leaves in found):
            return [entry for entry in found if len({leaf.shape for leaf in entry[2]}) == 1]
        alike = len(found) == len(named) and all(self._are_batches(leaves) for _, _, leaves in found)
        lengths = {tuple(leaf.shape[0] for leaf in leaves) for _, _, leaves in found} if alike else set()
        return [(word, key, []) for word, key, _ in found] if len(lengths) == 1 else []

    def _leaves(self, nodes: Sequence[Any]) -> list[Field]:
        """Return the arrays of some nodes, if all of them are arrays."""
        leaves = [self._leaf(node) for node in nodes]
        return [leaf for leaf in leaves if leaf is not None] if None not in leaves else []

    def _stacked(self, name: str, rows: Sequence[Field], load: Callable[[], Any]) -> Field:
        """Return the array whose rows are the members of a list."""
        numbers = all(row.dtype.kind in "biuf" for row in rows)
        dtype = np.result_type(*{row.dtype for row in rows}) if numbers else rows[0].dtype

        def load_rows() -> NDArray[Any]:
            values = np.stack([np.asarray(row.load()) for row in self._leaves(load())])
            return values.astype(dtype, copy=False) if numbers else values

        return Field(name, (len(rows), *rows[0].shape), dtype, load_rows, note=rows[0].note, itemsize=rows[0].itemsize)

    def _are_batches(self, items: Sequence[Field | None]) -> bool:
        """Tell whether arrays are of one length, the last one perhaps shorter."""
        lengths = [item.shape[0] for item in items if item is not None and item.shape]
        return len(lengths) == len(items) and set(lengths[:-1]) == {lengths[0]} and lengths[-1] <= lengths[0]

    def _leaf(self, node: Any) -> Field | None:
        return self.as_field("", node, lambda: node)

    def _joined(self, name: str, items: Sequence[Field], load: Callable[[], Any]) -> Field:
        shape = (sum(item.shape[0] for item in items), *items[0].shape[1:])
        if any(item.dtype.kind not in "biuf" for item in items):
            return Field(name, shape, items[0].dtype, lambda: np.concatenate([np.asarray(part) for part in load()]))
        dtype = np.result_type(*(item.dtype for item in items))
        first = items[0]

        def load_batches() -> ConcatSource:
            parts = [item for item in map(self._leaf, load()) if item is not None]
            return ConcatSource(shape, dtype, [(item.shape[0], item.load) for item in parts], first.itemsize)

        return Field(name, shape, dtype, load_batches, note=first.note, itemsize=first.itemsize)


def _is_matrix(item: Field) -> bool:
    return len(item.shape) == 2 and item.shape[1] > 1


def _is_frame(node: Any) -> bool:
    """Tell a pandas DataFrame, without importing pandas."""
    return type(node).__name__ == "DataFrame" and hasattr(node, "iloc")


def _of_frame(load: Callable[[], Any], columns: list[int]) -> NDArray[Any]:
    frame = load()
    values = frame.iloc[:, columns if len(columns) > 1 else columns[0]].to_numpy()
    return np.asarray(values)


def _column_of(load: Callable[[], Any], key: Any) -> list[Any]:
    return [child[key] for child in load()]


def _child(load: Callable[[], Any], key: Any) -> Any:
    return load()[key]
