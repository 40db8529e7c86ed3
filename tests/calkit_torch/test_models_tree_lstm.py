"""The batched Tree-LSTM against a recursion node by node: values, gradients, every shape of tree."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calkit_torch.models import Tree, TreeLSTM, collate_trees, random_embedding
from calkit_torch.models.tree_recursion import tree_states
from tests.calkit_torch.model_oracles import NodeByNodeTreeLSTM, leaf_chain, random_tree, split_tree

WORDS = [f"w{i}" for i in range(12)]
VOCABULARY = {word: i for i, word in enumerate(WORDS, start=1)}


def shapes() -> dict[str, list[Tree]]:
    rng = random.Random(0)

    def draw() -> str:
        return rng.choice(WORDS)

    def balanced(n_leaves: int) -> Tree:
        return split_tree(lambda n: n // 2, draw, n_leaves)

    kinds = {
        "one leaf": [random_tree(draw, 1, rng)],
        "leaves": [random_tree(draw, 1, rng) for _ in range(4)],
        "two leaves": [random_tree(draw, 2, rng)],
        "left chain": [leaf_chain(WORDS, left=True)],
        "right chain": [leaf_chain(WORDS[::-1], left=False)],
        "balanced": [balanced(16), balanced(11)],
        "random": [random_tree(draw, n, rng) for n in (3, 8, 19, 31)],
    }
    kinds["mixed"] = [tree for trees in kinds.values() for tree in trees]
    return kinds


SHAPES = shapes()


def small_model(dtype: torch.dtype = torch.float64, seed: int = 0) -> TreeLSTM:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = TreeLSTM(5, vocabulary_size=len(WORDS) + 1, embedding_dim=7, hidden=6, dropout=0.0).to(dtype)
        # Word vectors as large as trained ones: with those of the start, within 0.05, all states would nearly agree.
        torch.nn.init.normal_(model.embedding.weight)
        return model


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", SHAPES)
def test_values_and_gradients_equal_the_recursion(kind: str, dtype: torch.dtype) -> None:
    check_equal(small_model(dtype), SHAPES[kind], tolerance=1e-10 if dtype == torch.float64 else 1e-6)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 15), min_size=1, max_size=6), st.integers(0, 1000))
def test_values_and_gradients_of_any_batch(n_leaves: list[int], seed: int) -> None:
    rng = random.Random(seed)
    check_equal(small_model(seed=seed), [random_tree(lambda: rng.choice(WORDS), n, rng) for n in n_leaves], 1e-10)


def check_equal(model: TreeLSTM, trees: Sequence[Tree], tolerance: float) -> None:
    batch, oracle = collate_trees(trees, VOCABULARY), NodeByNodeTreeLSTM(model)
    expected, got = oracle(trees, VOCABULARY), model(batch)
    torch.testing.assert_close(got, expected[batch.source], rtol=tolerance, atol=tolerance)
    # Any weights will do that tell the nodes apart; their scale keeps float32 sums near 1.
    weights = torch.sin(torch.arange(expected.numel(), dtype=expected.dtype)).view_as(expected) / len(expected)
    (expected * weights).sum().backward()
    (got * weights[batch.source]).sum().backward()
    wanted = oracle.gradients()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        torch.testing.assert_close(parameter.grad, wanted[name], rtol=tolerance, atol=tolerance, msg=name)


def test_the_sizes_of_the_paper() -> None:
    rng = random.Random(3)
    words = [random_tree(lambda: rng.choice(WORDS), n, rng) for n in (19, 28, 7)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TreeLSTM(5, vocabulary_size=len(WORDS) + 1).double().eval()
    check_equal(model, words, 1e-10)


def test_logits_at_the_roots_are_those_of_the_whole() -> None:
    model, batch = small_model(), collate_trees(SHAPES["mixed"], VOCABULARY)
    at_roots, of_all = model(batch.at_roots()), model(batch)[: len(batch)]
    assert torch.equal(at_roots, of_all)
    weights = torch.sin(torch.arange(5 * len(batch), dtype=torch.float64)).view(len(batch), 5)
    parameters = list(model.parameters())
    expected = torch.autograd.grad((of_all * weights).sum(), parameters)
    for gradient, wanted in zip(torch.autograd.grad((at_roots * weights).sum(), parameters), expected, strict=True):
        torch.testing.assert_close(gradient, wanted)


def test_a_tree_has_the_same_logits_in_any_batch() -> None:
    model, trees = small_model(), SHAPES["mixed"]
    together = model(collate_trees(trees, VOCABULARY).at_roots())
    backwards = model(collate_trees(trees[::-1], VOCABULARY).at_roots())
    torch.testing.assert_close(backwards.flip(0), together)
    for tree, logits in zip(trees, together, strict=True):
        torch.testing.assert_close(model(collate_trees([tree], VOCABULARY).at_roots())[0], logits)


def test_the_written_gradient_is_the_numerical_one() -> None:
    batch = collate_trees(SHAPES["random"][:2] + SHAPES["one leaf"], VOCABULARY)
    size, generator = 3, torch.Generator().manual_seed(0)

    def tensor(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()

    inputs = (
        tensor(len(batch.words), size),
        tensor(len(batch.words), size),
        tensor(5 * size, 2 * size),
        tensor(5 * size),
    )
    assert torch.autograd.gradcheck(lambda *args: tree_states(*args, batch), inputs)


def test_a_chain_deeper_than_pythons_stack() -> None:
    model, n = small_model(), 3000
    words = (WORDS * n)[:n]
    logits = model(collate_trees([leaf_chain(words, left=True)], VOCABULARY).at_roots())
    logits.sum().backward()
    assert logits.isfinite().all()
    # Far from the root nothing is left of the beginning: a chain of the last 500 words gives the same.
    short = model(collate_trees([leaf_chain(words[-500:], left=True)], VOCABULARY).at_roots())
    torch.testing.assert_close(logits, short)


def test_dropout_acts_in_training_only() -> None:
    batch = collate_trees(SHAPES["mixed"], VOCABULARY)
    model = TreeLSTM(5, vocabulary_size=len(WORDS) + 1, embedding_dim=7, hidden=400, dropout=0.5)
    states = model.states(batch)
    dropped = model.features(batch)
    kept = dropped != 0
    assert kept.float().mean().item() == pytest.approx(0.5, abs=0.02)
    torch.testing.assert_close(dropped[kept], 2 * states[kept])
    assert torch.equal(model.eval().features(batch), states)


def test_vectors_given_are_used_and_frozen_ones_stay() -> None:
    vectors = random_embedding(len(WORDS) + 1, 9, seed=4)
    vectors.weight.requires_grad_(False)
    model = TreeLSTM(5, embedding=vectors, hidden=4)
    assert model.embedding is vectors
    model(collate_trees(SHAPES["random"], VOCABULARY)).sum().backward()
    assert vectors.weight.grad is None
    assert model.leaf.in_features == 9


def test_under_autocast() -> None:
    model, batch = small_model(torch.float32), collate_trees(SHAPES["random"], VOCABULARY)
    expected = model(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(batch)
    # Half precision carries 8 bits; the logits are of the order of 1.
    torch.testing.assert_close(logits.float(), expected, rtol=0, atol=0.03)
    logits.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
