"""The Stanford Sentiment Treebank: sentences as trees with a label on every node.

Source: R. Socher et al.: Recursive deep models for semantic compositionality over a sentiment treebank, EMNLP 2013;
https://nlp.stanford.edu/sentiment/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch

from calkit.errors import FileFormatError, InputError
from calkit.registry import unknown_name
from calkit_torch.data.base import DataSet
from calkit_torch.data.feeds import TreeFeed
from calkit_torch.data.files import default_folder
from calkit_torch.data.registry import register_dataset
from calkit_torch.data.split import Split
from calkit_torch.data.text import build_vocabulary, lines
from calkit_torch.models import Tree, glove_embedding, parse_tree

__all__ = ["IGNORED", "TASKS", "Task", "load_sst", "read_trees"]

IGNORED = -100
"""The label of nodes that have no class, which torch's losses leave out."""

_UNKNOWN = 1
_FILES = {"train": "train.txt", "validation": "dev.txt", "test": "test.txt"}
_ENDINGS = ("", ".xz", ".gz", ".bz2")
_FIVE = ("very negative", "negative", "neutral", "positive", "very positive")


@dataclass(frozen=True)
class Task:
    """What is predicted of a tree.

    Attributes
    ----------
    class_names : tuple of str
        The classes of nodes in training.
    classes : tuple of int
        The class that each of the treebank's five labels becomes.
    judged : tuple of int
        The classes of roots in evaluation; trees with another root are left out.
    """

    class_names: tuple[str, ...]
    classes: tuple[int, ...]
    judged: tuple[int, ...]


TASKS: Mapping[str, Task] = {
    "binary": Task(("negative", "neutral", "positive"), (0, 0, 1, 2, 2), judged=(0, 2)),
    "two-class": Task(("negative", "positive"), (0, 0, IGNORED, 1, 1), judged=(0, 1)),
    "fine": Task(_FIVE, (0, 1, 2, 3, 4), judged=(0, 1, 2, 3, 4)),
}
"""What can be predicted of a tree, by name."""


@register_dataset("sst")
def load_sst(
    task: str = "binary", *, lowercase: bool = True, glove: str | None = None, folder: Path | None = None
) -> DataSet:
    """Return the Stanford Sentiment Treebank.

    Parameters
    ----------
    task : {"binary", "two-class", "fine"}
        "binary", the task of the focal-loss calibration paper: in training every node is negative, neutral or positive;
        in evaluation roots are negative or positive, and the logit of neutral is left out. Trees whose root is neutral
        are left out of all splits, which leaves 6,920, 872 and 1,821. "two-class": the same trees, but neutral nodes
        have the label -100, which losses ignore. "fine": all 8,544, 1,101 and 2,210 trees, five classes.
    lowercase : bool
        Whether words are taken in lower case.
    glove : str, optional
        A file of GloVe vectors, see :func:`~calkit_torch.models.read_glove`, trained along with the network. With it
        the vocabulary holds the words of all splits, else those of training. All other words share one id.
    folder : Path, optional
        What holds the trees: ``train.txt``, ``dev.txt`` and ``test.txt``, plain or compressed (.xz, .gz, .bz2).

    Returns
    -------
    DataSet
        Training batches have the labels of all nodes; in evaluation models classify the roots.

    Raises
    ------
    NotFoundError
        If there is no such task.
    FileFormatError
        If a file is missing or holds something else.
    """
    if task not in TASKS:
        raise unknown_name("task of sst", str(task), TASKS)
    place = default_folder("sst") if folder is None else folder
    chosen = TASKS[task]
    parts = {split: read_trees(_path(place, name)) for split, name in _FILES.items()}
    found = {split: [_prepared(tree, chosen.classes, lowercase) for tree in trees] for split, trees in parts.items()}
    kept = {split: [tree for tree in trees if tree.labels[-1] in chosen.judged] for split, trees in found.items()}
    known: Iterable[Tree] = chain(*kept.values()) if glove else kept["train"]
    vocabulary = build_vocabulary((tree.leaves for tree in known), first=_UNKNOWN + 1)
    splits = {split: Split(trees, torch.tensor([tree.labels[-1] for tree in trees])) for split, trees in kept.items()}
    return DataSet(
        "sst",
        splits["train"],
        splits["validation"],
        splits["test"],
        class_names=chosen.class_names,
        judged=chosen.judged,
        feed=TreeFeed(vocabulary, _UNKNOWN),
        options={"embedding": glove_embedding(glove, vocabulary)}
        if glove
        else {"vocabulary_size": _UNKNOWN + 1 + len(vocabulary)},
    )


def read_trees(path: Path) -> list[Tree]:
    """Read a file of trees, one a line, with labels from 0 to 4.

    Raises
    ------
    FileFormatError
        If a line holds something else; the message says which.
    """
    trees = []
    for where, line in lines(path):
        try:
            tree = parse_tree(line)
        except InputError as error:
            raise FileFormatError(f"{where}: {error}") from None
        if not 0 <= min(tree.labels) <= max(tree.labels) < len(_FIVE):
            raise FileFormatError(f"{where}: labels must be from 0 to 4, but are {sorted(set(tree.labels))}.")
        trees.append(tree)
    if not trees:
        raise FileFormatError(f"{path} is empty; expected a tree on each line.")
    return trees


def _path(place: Path, name: str) -> Path:
    for ending in _ENDINGS:
        if (path := place / f"{name}{ending}").is_file():
            return path
    raise FileFormatError(
        f"sst needs {', '.join(_FILES.values())} (or these with {', '.join(_ENDINGS[1:])}), but {place} has no {name}. "
        f"Name another folder, or fetch them:\n"
        f"  mkdir -p {place} && cd {place} && curl -LO https://nlp.stanford.edu/sentiment/trainDevTestTrees_PTB.zip && "
        "unzip -j trainDevTestTrees_PTB.zip"
    )


def _prepared(tree: Tree, classes: tuple[int, ...], lowercase: bool) -> Tree:
    labels = tuple(classes[label] for label in tree.labels)
    words = tuple(word.lower() if word and lowercase else word for word in tree.words)
    return Tree(labels, words)
