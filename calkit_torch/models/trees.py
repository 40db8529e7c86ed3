"""Binary trees of words with a label on every node, as in the Stanford Sentiment Treebank."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError

__all__ = ["Tree", "parse_tree"]

_SPACE = " \t\n\r\f\v"
_PIECE = re.compile(
    r"""\s* (?: \( \s* (?P<label> -?[0-9]+ ) \s+ (?P<word> [^\s()]+ ) \s* \)   # a leaf
             |  \( \s* (?P<inner> -?[0-9]+ ) (?= \s* \( )                      # the head of an inner node
             |  (?P<end> \) )                                                  # its end
        )""",
    re.VERBOSE | re.ASCII,  # some words of the treebank hold a no-break space
)


@dataclass(frozen=True)
class Tree:
    """A binary tree, its nodes in post-order: left subtree, right subtree, node.

    Post-order makes it flat: an inner node joins the two subtrees completed last, and the root is the
    last node. So a tree of any depth costs no recursion.

    Parameters
    ----------
    labels : tuple of int
        The label of each node.
    words : tuple of str or None
        The word of each leaf, None for an inner node.

    Raises
    ------
    InputError
        If the nodes do not make one binary tree.

    Examples
    --------
    >>> tree = parse_tree("(3 (2 very) (4 good))")
    >>> tree.labels, tree.words
    ((2, 4, 3), ('very', 'good', None))
    >>> str(tree)
    '(3 (2 very) (4 good))'
    """

    labels: tuple[int, ...]
    words: tuple[str | None, ...]

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.words):
            raise InputError(f"a tree has one label a node, but got {len(self.labels)} for {len(self.words)} nodes.")
        open_subtrees = 0
        for i, word in enumerate(self.words):
            if word is None and open_subtrees < 2:
                raise InputError(f"node {i} of the tree is an inner node, but fewer than two subtrees precede it.")
            open_subtrees += 1 if word is not None else -1
        if open_subtrees != 1:
            raise InputError(f"the nodes make {open_subtrees} trees; expected one, whose root is the last node.")

    def __len__(self) -> int:
        return len(self.labels)

    def __str__(self) -> str:
        text = ""
        todo: list[int | str] = [len(self) - 1]
        while todo:
            item = todo.pop()
            if isinstance(item, str):
                text += item
            elif (word := self.words[item]) is not None:
                text += f"({self.labels[item]} {word})"
            else:
                left, right = self.children[item].tolist()
                todo += [")", right, " ", left, f"({self.labels[item]} "]
        return text

    @property
    def leaves(self) -> tuple[str, ...]:
        """The words, from left to right."""
        return tuple(word for word in self.words if word is not None)

    @cached_property
    def children(self) -> NDArray[np.int64]:
        """Left and right child of each node, of shape (n_nodes, 2); -1 for leaves."""
        children = np.full((len(self), 2), -1)
        stack: list[int] = []
        for i, word in enumerate(self.words):
            if word is None:
                right, left = stack.pop(), stack.pop()
                children[i] = left, right
            stack.append(i)
        return children


def parse_tree(text: str) -> Tree:
    """Read a tree in the bracket notation of the Penn Treebank.

    Parameters
    ----------
    text : str
        ``(label word)`` is a leaf, ``(label left right)`` an inner node; labels are whole numbers.

    Returns
    -------
    Tree

    Raises
    ------
    InputError
        If the text is no such tree; the message says where and what was expected.

    Examples
    --------
    >>> parse_tree("(3 (2 The) (4 (3 best) (2 film)))").leaves
    ('The', 'best', 'film')
    >>> parse_tree("(3 (2 The))")
    Traceback (most recent call last):
    calkit.errors.InputError: malformed tree at character 10: expected a subtree, but found ')'.
    """
    text = text.rstrip(_SPACE)
    labels: list[int] = []
    words: list[str | None] = []
    open_labels: list[int] = []  # of the inner nodes that are not complete
    n_subtrees = [0]  # complete ones: of the whole text, then of each open node
    at = 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            raise _malformed(text, at, "'(label word)', '(label' before a subtree, or ')'")
        full = n_subtrees[-1] == (2 if open_labels else 1)
        if piece["end"] and not (full and open_labels):
            raise _malformed(text, at, "a subtree" if open_labels else "the end" if full else "a tree")
        if full and not piece["end"]:
            raise _malformed(text, at, "')'" if open_labels else "the end")
        if piece["inner"]:
            open_labels.append(int(piece["inner"]))
            n_subtrees.append(0)
        else:
            labels.append(int(piece["label"]) if piece["label"] else open_labels.pop())
            words.append(piece["word"])
            if piece["end"]:
                n_subtrees.pop()
            n_subtrees[-1] += 1
        at = piece.end()
    if open_labels or not labels:
        raise _malformed(text, at, "a subtree or ')'" if open_labels else "a tree")
    return Tree(tuple(labels), tuple(words))


def _malformed(text: str, at: int, expected: str) -> InputError:
    rest = text[at:].lstrip(_SPACE)
    found = repr(rest if len(rest) <= 30 else rest[:27] + "...") if rest else "the end"
    return InputError(f"malformed tree at character {len(text) - len(rest)}: expected {expected}, but found {found}.")
