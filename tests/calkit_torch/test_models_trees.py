"""Trees: the bracket notation, its errors, and the level order of a batch."""

from __future__ import annotations

import dataclasses
import pickle
import random
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from calkit.errors import InputError, NotFoundError
from calkit_torch.models import Tree, TreeBatch, collate_trees, parse_tree
from tests.calkit_torch.model_oracles import leaf_chain, random_tree

WORDS = [f"w{i}" for i in range(20)]
VOCABULARY = {word: 3 * i + 1 for i, word in enumerate(WORDS)}
TREES = st.builds(
    lambda n, seed: random_tree(lambda: random.Random(seed + n).choice(WORDS), n, random.Random(seed)),
    st.integers(1, 12),
    st.integers(0, 10_000),
)


def bracketed(tree: Tree, node: int) -> str:
    """The notation by its definition, from the children of each node."""
    left, right = tree.children[node].tolist()
    if left < 0:
        return f"({tree.labels[node]} {tree.words[node]})"
    return f"({tree.labels[node]} {bracketed(tree, left)} {bracketed(tree, right)})"


@given(TREES)
def test_text_and_tree_say_the_same(tree: Tree) -> None:
    text = bracketed(tree, len(tree) - 1)
    assert str(tree) == text
    assert parse_tree(text) == tree
    assert parse_tree(re.sub(r"([()])", r" \1 ", text)) == tree
    assert len(tree) == text.count("(") == 2 * len(tree.leaves) - 1


def test_a_tree_of_the_treebank() -> None:
    # The first words of the treebank's first training tree, read off by eye.
    tree = parse_tree("(3 (2 (2 The) (2 Rock)) (4 (3 is) (0 -LRB-\\/)))\n")
    assert tree.words == ("The", "Rock", None, "is", "-LRB-\\/", None, None)
    assert tree.labels == (2, 2, 2, 3, 0, 4, 3)
    assert tree.leaves == ("The", "Rock", "is", "-LRB-\\/")
    assert tree.children.tolist() == [[-1, -1], [-1, -1], [0, 1], [-1, -1], [-1, -1], [3, 4], [2, 5]]


def test_a_word_may_hold_a_no_break_space() -> None:
    # As "8 1/2" does in the treebank.
    assert parse_tree("(2 8\N{NO-BREAK SPACE}1\\/2)").words == ("8\N{NO-BREAK SPACE}1\\/2",)


def test_a_leaf_alone_is_a_tree() -> None:
    assert parse_tree("(-1 x)") == Tree((-1,), ("x",))


@pytest.mark.parametrize("left", [False, True])
def test_depth_costs_no_recursion(left: bool) -> None:
    deep = leaf_chain(["w"] * 5000, left=left)
    assert parse_tree(str(deep)) == deep
    assert collate_trees([deep], {"w": 1}).level_sizes == (1,) * 4999


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at character 0: expected a tree, but found the end"),
        ("   ", "at character 0: expected a tree, but found the end"),
        ("word", "at character 0: expected '(label word)', '(label' before a subtree, or ')', but found 'word'"),
        (")", "at character 0: expected a tree, but found ')'"),
        ("(2 The", "at character 0: expected '(label word)'"),
        ("(2 (2 The) (2 Rock)", "at character 19: expected a subtree or ')', but found the end"),
        ("(2 (2 The) (2 Rock)))", "at character 20: expected the end, but found ')'"),
        ("(2 The) (2 Rock)", "at character 8: expected the end, but found '(2 Rock)'"),
        ("(2 (2 The))", "at character 10: expected a subtree, but found ')'"),
        ("(2 (2 a) (2 b) (2 c))", "at character 15: expected ')', but found '(2 c))'"),
        ("(2 (2 a) (2 b) c)", "at character 15: expected '(label word)'"),
        ("(2 (2 a) b)", "at character 9: expected '(label word)'"),
        ("(2 a b)", "at character 0: expected '(label word)'"),
        ("(2)", "at character 0: expected '(label word)'"),
        ("()", "at character 0: expected '(label word)'"),
        ("(good (2 a) (2 b))", "at character 0: expected '(label word)'"),
        ("(2.5 a)", "at character 0: expected '(label word)'"),
        ("((2 a) (2 b))", "at character 0: expected '(label word)'"),
    ],
)
def test_malformed_text_says_where(text: str, message: str) -> None:
    with pytest.raises(InputError, match="malformed tree " + re.escape(message)):
        parse_tree(text)


@given(TREES, st.data())
def test_any_bracket_removed_is_an_error(tree: Tree, data: st.DataObject) -> None:
    text = str(tree)
    at = data.draw(st.sampled_from([i for i, char in enumerate(text) if char in "()"]))
    with pytest.raises(InputError, match="malformed tree at character"):
        parse_tree(text[:at] + text[at + 1 :])


@pytest.mark.parametrize(
    ("labels", "words", "message"),
    [
        ((1,), ("a", "b"), "one label a node, but got 1 for 2 nodes"),
        ((), (), "make 0 trees"),
        ((1, 1), ("a", "b"), "make 2 trees"),
        ((1, 1), ("a", None), "node 1 of the tree is an inner node"),
        ((1, 1, 1), (None, "a", "b"), "node 0 of the tree is an inner node"),
    ],
)
def test_nodes_that_make_no_tree(labels: tuple[int, ...], words: tuple[str | None, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Tree(labels, words)


@given(st.lists(TREES, min_size=1, max_size=6))
def test_the_level_order_of_a_batch(trees: list[Tree]) -> None:
    batch = collate_trees(trees, VOCABULARY)
    sizes = [len(tree) for tree in trees]
    # Every node, numbered as in the post-orders one after the other: tree, node in the tree, depth by definition.
    nodes = [(t, i) for t, size in enumerate(sizes) for i in range(size)]
    depth = {(t, size - 1): 0 for t, size in enumerate(sizes)}
    for t, i in reversed(nodes):
        for child in trees[t].children[i].tolist():
            if child >= 0:
                depth[t, child] = depth[t, i] + 1
    order = [nodes[i] for i in batch.source.tolist()]
    assert sorted(order) == nodes
    assert order[: len(trees)] == [(t, size - 1) for t, size in enumerate(sizes)]
    assert [depth[node] for node in order] == sorted(depth.values())
    inner = [order[i] for i in batch.inner_nodes.tolist()]
    for k, (t, i) in enumerate(inner):
        pair = order[len(trees) + 2 * k : len(trees) + 2 * k + 2]
        assert pair == [(t, child) for child in trees[t].children[i].tolist()]
    per_level = [sum(depth[node] == d for node in inner) for d in range(max(depth.values()))]
    assert list(batch.level_sizes) == per_level
    assert batch.node_labels.tolist() == [trees[t].labels[i] for t, i in order]
    leaves = [order[i] for i in batch.leaf_nodes.tolist()]
    ids = batch.words[batch.leaf_words].tolist()
    assert ids == [VOCABULARY[str(trees[t].words[i])] for t, i in leaves]
    assert sorted(leaves + inner) == nodes
    assert len(set(batch.words.tolist())) == len(batch.words)


def test_labels_of_all_nodes_or_of_the_roots() -> None:
    batch = collate_trees([parse_tree("(3 (2 a) (4 (0 b) (1 a)))"), parse_tree("(2 b)")], {"a": 5, "b": 6})
    assert len(batch) == 2
    assert batch.labels.tolist() == [3, 2, 2, 4, 0, 1]
    assert batch.at_roots().labels.tolist() == [3, 2]
    assert batch.at_roots().node_labels.tolist() == batch.node_labels.tolist()
    assert not batch.roots_only


def test_words_without_an_id() -> None:
    tree = parse_tree("(3 (2 good) (4 goood))")
    with pytest.raises(NotFoundError, match="the word 'goood' is not among the 1 of the vocabulary; give unknown="):
        collate_trees([tree], {"good": 2})
    batch = collate_trees([tree], {"good": 2}, unknown=1)
    assert batch.words[batch.leaf_words].tolist() == [2, 1]


def test_no_trees() -> None:
    with pytest.raises(InputError, match="at least one tree"):
        collate_trees([], {})


def test_all_tensors_move() -> None:
    batch = collate_trees([parse_tree("(3 (2 a) (4 a))")], {"a": 1}).at_roots().to("meta")
    tensors = [v for v in vars(batch).values() if isinstance(v, torch.Tensor)]
    assert len(tensors) == 6
    assert {t.device.type for t in tensors} == {"meta"}
    assert batch.roots_only
    assert dataclasses.replace(batch, roots_only=False).level_sizes == (1,)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_pinned_memory() -> None:
    batch = collate_trees([parse_tree("(3 (2 a) (4 a))")], {"a": 1}).pin_memory()
    assert all(v.is_pinned() for v in vars(batch).values() if isinstance(v, torch.Tensor))


def test_a_data_loader_collates_and_trees_can_be_pickled() -> None:
    trees = [parse_tree(f"(3 (2 a) (4 {word}))") for word in "abcde"]
    assert pickle.loads(pickle.dumps(trees)) == trees
    vocabulary = {word: i for i, word in enumerate("abcde", start=1)}
    loader: DataLoader[TreeBatch] = DataLoader(
        trees,  # type: ignore[arg-type]
        batch_size=2,
        collate_fn=lambda trees: collate_trees(trees, vocabulary),
    )
    assert [len(batch) for batch in loader] == [2, 2, 1]
