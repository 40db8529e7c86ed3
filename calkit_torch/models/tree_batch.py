"""Many trees as a few tensors, ordered level by level, so that a level is computed in one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calkit.errors import InputError, NotFoundError
from calkit_torch.models.trees import Tree

__all__ = ["TreeBatch", "collate_trees"]


@dataclass(frozen=True)
class TreeBatch:
    """A forest in level order: all roots, then their children from left to right, then theirs, and so on.

    So the first ``n_trees`` nodes are the roots, and the children of inner node k (counted from 0 in
    the same order) are the nodes ``n_trees + 2 * k`` and ``n_trees + 2 * k + 1``: with the states of
    all nodes in one matrix, the pairs of children are a view of it.

    Attributes
    ----------
    n_trees : int
        Number of trees.
    words : Tensor of int64, shape (n_words,)
        Ids of the distinct words.
    leaf_words : Tensor of int64, shape (n_leaves,)
        The word of each leaf, as an index to ``words``.
    leaf_nodes, inner_nodes : Tensor of int64, shapes (n_leaves,) and (n_trees - n_leaves,)
        The leaves and the inner nodes, in level order.
    node_labels : Tensor of int64, shape (n_nodes,)
        The label of each node.
    source : Tensor of int64, shape (n_nodes,)
        Where each node stands in the post-orders of the trees, one tree after the other.
    level_sizes : tuple of int
        Number of inner nodes of each level that has any, from the roots down.
    roots_only : bool
        Whether a model is to classify the roots only, instead of every node.
    """

    n_trees: int
    words: Tensor
    leaf_words: Tensor
    leaf_nodes: Tensor
    inner_nodes: Tensor
    node_labels: Tensor
    source: Tensor
    level_sizes: tuple[int, ...]
    roots_only: bool = False

    def __len__(self) -> int:
        return self.n_trees

    @property
    def labels(self) -> Tensor:
        """The labels of the nodes to classify, in the order of a model's logits."""
        return self.node_labels[: self.n_trees] if self.roots_only else self.node_labels

    @property
    def rows_by_level(self) -> tuple[int, ...]:
        """Numbers of nodes to classify: of the roots, and of each level below them."""
        return (self.n_trees,) if self.roots_only else (self.n_trees, *(2 * n for n in self.level_sizes))

    def at_roots(self) -> TreeBatch:
        """Return the same trees, to be classified as wholes: models give logits for the roots only."""
        return replace(self, roots_only=True)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> TreeBatch:
        """Return the batch with its tensors on ``device``."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TreeBatch:
        """Return the batch in page-locked memory; a DataLoader with ``pin_memory=True`` calls this."""
        return self._map(Tensor.pin_memory)

    def _map(self, change: Callable[[Tensor], Tensor]) -> TreeBatch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: change(v) for name, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **changed)


def collate_trees(trees: Sequence[Tree], vocabulary: Mapping[str, int], *, unknown: int | None = None) -> TreeBatch:
    """Put trees together into one batch.

    Parameters
    ----------
    trees : sequence of Tree
        At least one.
    vocabulary : mapping of str to int
        The ids of the words.
    unknown : int, optional
        The id of words that the vocabulary does not hold. Without it such a word is an error.

    Returns
    -------
    TreeBatch

    Raises
    ------
    InputError
        If there is no tree.
    NotFoundError
        If a word has no id.

    Examples
    --------
    >>> from calkit_torch.models import parse_tree
    >>> trees = [parse_tree("(3 (2 very) (4 (3 very) (4 good)))"), parse_tree("(1 bad)")]
    >>> batch = collate_trees(trees, {"very": 7, "good": 8, "bad": 9})
    >>> batch.labels
    tensor([3, 1, 2, 4, 3, 4])
    >>> batch.at_roots().labels
    tensor([3, 1])
    """
    if not trees:
        raise InputError("a batch needs at least one tree, but got none.")
    sizes = np.array([len(tree) for tree in trees])
    starts = np.cumsum(sizes) - sizes
    children = np.concatenate([tree.children for tree in trees])
    children += np.where(children < 0, 0, np.repeat(starts, sizes)[:, None])
    levels = _levels(children, roots=starts + sizes - 1)
    source = np.concatenate(levels)
    is_inner = children[source, 0] >= 0
    counts = [int((children[level, 0] >= 0).sum()) for level in levels]
    leaf_nodes = np.flatnonzero(~is_inner)
    ids = _word_ids(trees, vocabulary, unknown)
    words, leaf_words = np.unique(ids[source[leaf_nodes]], return_inverse=True)
    labels = np.array([label for tree in trees for label in tree.labels])
    return TreeBatch(
        n_trees=len(trees),
        words=torch.from_numpy(words),
        leaf_words=torch.from_numpy(leaf_words),
        leaf_nodes=torch.from_numpy(leaf_nodes),
        inner_nodes=torch.from_numpy(np.flatnonzero(is_inner)),
        node_labels=torch.from_numpy(labels[source]),
        source=torch.from_numpy(source),
        level_sizes=tuple(count for count in counts if count),
    )


def _levels(children: NDArray[np.int64], roots: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the nodes of each level, from the roots down."""
    levels = [roots]
    while True:
        below = children[levels[-1]]
        below = below[below[:, 0] >= 0].ravel()
        if not below.size:
            return levels
        levels.append(below)


def _word_ids(trees: Sequence[Tree], vocabulary: Mapping[str, int], unknown: int | None) -> NDArray[np.int64]:
    """Return the id of each node's word, -1 for inner nodes."""
    ids = [-1 if word is None else vocabulary.get(word, unknown) for tree in trees for word in tree.words]
    if None in ids:
        word = [word for tree in trees for word in tree.words][ids.index(None)]
        raise NotFoundError(
            f"the word {word!r} is not among the {len(vocabulary)} of the vocabulary; "
            "give unknown=, the id of all such words, or add it."
        )
    return np.array(ids, dtype=np.int64)
