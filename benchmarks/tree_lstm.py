"""How much faster the Tree-LSTM runs on whole batches, level by level, than node by node.

Run from the root of the repository::

    PYTHONPATH=. python benchmarks/tree_lstm.py

Sizes as in Tai et al. (2015): word vectors of 300 numbers, states of 150, batches of 25 trees, logits at every node.
The trees are random but like those of the Stanford Sentiment Treebank: 19.1 words on average (standard deviation 9.3),
11 levels on average and 19 in the deepest tree of a batch; words follow Zipf's law. Two recursions serve as yardsticks:
one has a linear layer for each gate and child, as the published implementations have (it is also the oracle of the
tests); the other, stricter one takes all gates of a node in one product. All variants take turns, each for about the
same time; printed are the fastest runs, which other processes disturb least.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import mean

import torch
from machine import machine
from torch import Tensor, nn
from torch.nn import functional

from calkit_torch.models import Tree, TreeLSTM, collate_trees
from tests.calkit_torch.model_oracles import NodeByNodeTreeLSTM, split_tree

Batches = Sequence[Sequence[Tree]]
Variant = Callable[[Sequence[Tree]], Tensor]
Step = Callable[[Variant, Sequence[Tree]], None]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the Tree-LSTM in batches against recursions node by node.")
    parser.add_argument("--batch-size", type=int, default=25, help="trees a batch")
    parser.add_argument("--batches", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--vocabulary-size", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; more help the batch alone")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    batches, vocabulary = treebank_like(options.batches, options.batch_size, options.vocabulary_size)
    model = TreeLSTM(5, vocabulary_size=options.vocabulary_size + 1).eval()
    oracle = NodeByNodeTreeLSTM(model)
    collated = {id(trees): collate_trees(trees, vocabulary) for trees in batches}
    variants: dict[str, Variant] = {
        "node by node, as published": lambda trees: oracle(trees, vocabulary),
        "node by node, all gates at once": lambda trees: node_by_node_fused(model, trees, vocabulary),
        "batch, collation included": lambda trees: model(collate_trees(trees, vocabulary)),
        "batch": lambda trees: model(collated[id(trees)]),
    }
    steps: dict[str, Step] = {
        "forward": forward,
        "forward and backward": partial(forward_and_backward, (model, oracle)),
    }
    best = {what: fastest(variants, step, batches, options.rounds) for what, step in steps.items()}
    print(f"{machine('torch')}; {options.batches} batches of {options.batch_size} trees, {options.threads} thread(s)\n")
    print("| ms a batch (ratio) | " + " | ".join(steps) + " |")
    print("| --- |" + " ---: |" * len(steps))
    for name in variants:
        cells = " | ".join(f"{1e3 * found[name]:.2f} ({found[name] / found['batch']:.1f})" for found in best.values())
        print(f"| {name} | {cells} |")


def treebank_like(n_batches: int, batch_size: int, n_words: int) -> tuple[list[list[Tree]], dict[str, int]]:
    """Return batches of random trees and their vocabulary."""
    rng = random.Random(0)
    words = [f"word{i}" for i in range(n_words)]
    weights = [1 / (i + 1) for i in range(n_words)]

    def split(n: int) -> int:
        # The treebank's trees lean to the right: with this share of single words on the left they are as deep.
        return 1 if rng.random() < 0.55 else rng.randrange(1, n)

    def tree() -> Tree:
        return split_tree(split, lambda: rng.choices(words, weights)[0], min(52, max(2, round(rng.gauss(19.1, 9.3)))))

    batches = [[tree() for _ in range(batch_size)] for _ in range(n_batches)]
    return batches, {word: i for i, word in enumerate(words, start=1)}


def node_by_node_fused(model: TreeLSTM, trees: Sequence[Tree], vocabulary: Mapping[str, int]) -> Tensor:
    """Return the logits of all nodes by a recursion over single nodes, with one product a node."""
    ids = torch.tensor([vocabulary[word] for tree in trees for word in tree.leaves])
    vectors = iter(functional.embedding(ids, model.embedding.weight).unbind())
    logits = []

    def visit(tree: Tree, node: int) -> tuple[Tensor, Tensor]:
        left, right = tree.children[node].tolist()
        if left < 0:
            c, o = model.leaf(next(vectors)).chunk(2)
        else:
            (h_left, c_left), (h_right, c_right) = visit(tree, left), visit(tree, right)
            u, i, f_left, f_right, o = model.gates(torch.cat([h_left, h_right])).chunk(5)
            c = torch.sigmoid(i) * torch.tanh(u) + torch.sigmoid(f_left) * c_left + torch.sigmoid(f_right) * c_right
        h = torch.sigmoid(o) * torch.tanh(c)
        logits.append(model.classifier(h))
        return h, c

    for tree in trees:
        visit(tree, len(tree) - 1)
    return torch.stack(logits)


def forward(run: Variant, trees: Sequence[Tree]) -> None:
    with torch.no_grad():
        run(trees)


def forward_and_backward(networks: Sequence[nn.Module], run: Variant, trees: Sequence[Tree]) -> None:
    for network in networks:
        network.zero_grad()
    run(trees).square().mean().backward()


def fastest(variants: Mapping[str, Variant], step: Step, batches: Batches, rounds: int) -> dict[str, float]:
    """Return the seconds of each variant, the fastest run of each batch counting, averaged over the batches."""
    found = {name: [seconds(run, step, trees) for trees in batches] for name, run in variants.items()}
    slowest = max(map(sum, found.values()))
    repeats = {name: round(slowest / sum(times)) for name, times in found.items()}
    for _ in range(rounds):
        for name, run in variants.items():
            for _ in range(repeats[name]):
                found[name] = [min(t, seconds(run, step, b)) for t, b in zip(found[name], batches, strict=True)]
    return {name: mean(times) for name, times in found.items()}


def seconds(run: Variant, step: Step, trees: Sequence[Tree]) -> float:
    start = time.perf_counter()
    step(run, trees)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
