"""What the networks must compute, written out layer by layer, node by node and document by document.

The oracles take a model's parameters and nothing else from it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from calkit_torch.models import GlobalPoolingCNN, Tree, TreeLSTM

__all__ = [
    "NodeByNodeTreeLSTM",
    "densenet_logits",
    "document_logits",
    "leaf_chain",
    "random_tree",
    "resnet_logits",
    "split_tree",
    "wide_resnet_logits",
]

State = Mapping[str, Tensor]


def resnet_logits(state: State, x: Tensor, blocks: Sequence[int], *, padded: bool) -> Tensor:
    """Return the logits of a residual network in evaluation mode (He et al. 2016, section 3.3 and figure 5)."""
    x = torch.relu(_norm(state, "bn1", _conv(state, "conv1", x, padding=1)))
    for stage, n_blocks in enumerate(blocks):
        for block in range(n_blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            x = _residual_block(state, f"stages.{stage}.{block}.", x, stride, padded=padded)
    return _classify(state, x)


def _residual_block(state: State, at: str, x: Tensor, stride: int, *, padded: bool) -> Tensor:
    if at + "conv3.weight" in state:
        out = torch.relu(_norm(state, at + "bn1", _conv(state, at + "conv1", x)))
        out = torch.relu(_norm(state, at + "bn2", _conv(state, at + "conv2", out, stride, padding=1)))
        out = _norm(state, at + "bn3", _conv(state, at + "conv3", out))
    else:
        out = torch.relu(_norm(state, at + "bn1", _conv(state, at + "conv1", x, stride, padding=1)))
        out = _norm(state, at + "bn2", _conv(state, at + "conv2", out, padding=1))
    if out.shape != x.shape and padded:
        kept = x[:, :, ::stride, ::stride]
        x = torch.zeros_like(out)
        x[:, : kept.shape[1]] = kept
    elif out.shape != x.shape:
        x = _norm(state, at + "shortcut.1", _conv(state, at + "shortcut.0", x, stride))
    return torch.relu(out + x)


def wide_resnet_logits(state: State, x: Tensor, blocks: int) -> Tensor:
    """Return the logits of a wide residual network in evaluation mode (Zagoruyko and Komodakis 2016, figure 1)."""
    x = _conv(state, "conv1", x, padding=1)
    for i in range(3 * blocks):
        at, stride = f"blocks.{i}.", 2 if i in (blocks, 2 * blocks) else 1
        active = torch.relu(_norm(state, at + "bn1", x))
        out = torch.relu(_norm(state, at + "bn2", _conv(state, at + "conv1", active, stride, padding=1)))
        out = _conv(state, at + "conv2", out, padding=1)
        x = out + (_conv(state, at + "shortcut", active, stride) if out.shape != x.shape else x)
    return _classify(state, torch.relu(_norm(state, "bn", x)))


def densenet_logits(state: State, x: Tensor, blocks: Sequence[int]) -> Tensor:
    """Return the logits of a DenseNet-BC in evaluation mode (Huang et al. 2017, section 3)."""
    x = _conv(state, "conv1", x, padding=1)
    i = 0
    for block, n_layers in enumerate(blocks):
        if block > 0:
            x = _conv(state, f"layers.{i}.conv", torch.relu(_norm(state, f"layers.{i}.bn", x)))
            x = (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4
            i += 1
        for _ in range(n_layers):
            new = _conv(state, f"layers.{i}.conv1", torch.relu(_norm(state, f"layers.{i}.bn1", x)))
            new = _conv(state, f"layers.{i}.conv2", torch.relu(_norm(state, f"layers.{i}.bn2", new)), padding=1)
            x = torch.cat([x, new], dim=1)
            i += 1
    return _classify(state, torch.relu(_norm(state, "bn", x)))


def _conv(state: State, at: str, x: Tensor, stride: int = 1, *, padding: int = 0) -> Tensor:
    return functional.conv2d(x, state[at + ".weight"], stride=stride, padding=padding)


def _norm(state: State, at: str, x: Tensor) -> Tensor:
    mean, var, weight, bias = (
        state[f"{at}.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def _classify(state: State, x: Tensor) -> Tensor:
    return x.mean(dim=(2, 3)) @ state["classifier.weight"].T + state["classifier.bias"]


def document_logits(model: GlobalPoolingCNN, words: Sequence[int]) -> Tensor:
    """Return the logits of one document, without padding, in evaluation mode.

    A document shorter than the 21 words that one output depends on is followed by vectors of zeros.
    """
    state = model.state_dict()
    x = state["embedding.weight"][list(words)]
    x = torch.cat([x, x.new_zeros(max(0, 21 - len(words)), x.shape[1])])
    for name in ("conv1", "conv2", "conv3"):
        weight, bias = state[name + ".weight"], state[name + ".bias"]
        x = torch.stack([torch.einsum("oik,ki->o", weight, x[t : t + 5]) + bias for t in range(len(x) - 4)]).relu()
        if name != "conv3":
            x = torch.stack([x[t : t + 5].max(dim=0).values for t in range(len(x) - 4)])
    hidden = (state["hidden.weight"] @ x.max(dim=0).values + state["hidden.bias"]).relu()
    return state["classifier.weight"] @ hidden + state["classifier.bias"]


class NodeByNodeTreeLSTM(nn.Module):
    """A Tree-LSTM that visits one node after the other, as the published implementations do.

    Every gate has a matrix for each child, and every node computes equations 9 to 14 of Tai et al. (2015).

    Parameters
    ----------
    model : TreeLSTM
        Its parameters are copied.
    """

    GATES = ("u", "i", "f_left", "f_right", "o")

    def __init__(self, model: TreeLSTM) -> None:
        super().__init__()
        self.embedding = copy.deepcopy(model.embedding)
        self.classifier = copy.deepcopy(model.classifier)
        size = model.classifier.in_features
        self.cell, self.output = _linears(model.leaf.weight, model.leaf.bias, size)
        left = _linears(model.gates.weight[:, :size], model.gates.bias, size)
        right = _linears(model.gates.weight[:, size:], None, size)
        self.left = nn.ModuleDict(dict(zip(self.GATES, left, strict=True)))
        self.right = nn.ModuleDict(dict(zip(self.GATES, right, strict=True)))

    def forward(self, trees: Sequence[Tree], vocabulary: Mapping[str, int]) -> Tensor:
        """Return the logits of all nodes, tree after tree in post-order."""
        logits: list[Tensor] = []
        for tree in trees:
            words = self.embedding(torch.tensor([vocabulary[word] for word in tree.leaves]))
            self._visit(tree, len(tree) - 1, iter(words.split(1)), logits)
        return torch.cat(logits)

    def _visit(self, tree: Tree, node: int, words: Iterator[Tensor], logits: list[Tensor]) -> tuple[Tensor, Tensor]:
        left, right = tree.children[node].tolist()
        if left < 0:
            word = next(words)
            c = self.cell(word)
            h = torch.sigmoid(self.output(word)) * torch.tanh(c)
        else:
            h_left, c_left = self._visit(tree, left, words, logits)
            h_right, c_right = self._visit(tree, right, words, logits)
            gate = {name: self.left[name](h_left) + self.right[name](h_right) for name in self.GATES}
            c = torch.sigmoid(gate["i"]) * torch.tanh(gate["u"])
            c = c + torch.sigmoid(gate["f_left"]) * c_left + torch.sigmoid(gate["f_right"]) * c_right
            h = torch.sigmoid(gate["o"]) * torch.tanh(c)
        logits.append(self.classifier(h))
        return h, c

    def gradients(self) -> dict[str, Tensor]:
        """Return the gradients under the names and in the shapes of the model's parameters."""
        left, right = (torch.cat([_grad(m[name].weight) for name in self.GATES]) for m in (self.left, self.right))
        return {
            "embedding.weight": _grad(self.embedding.weight),
            "leaf.weight": torch.cat([_grad(self.cell.weight), _grad(self.output.weight)]),
            "leaf.bias": torch.cat([_grad(self.cell.bias), _grad(self.output.bias)]),
            "gates.weight": torch.cat([left, right], dim=1),
            "gates.bias": torch.cat([_grad(self.left[name].bias) for name in self.GATES]),
            "classifier.weight": _grad(self.classifier.weight),
            "classifier.bias": _grad(self.classifier.bias),
        }


def _linears(weight: Tensor, bias: Tensor | None, size: int) -> list[nn.Linear]:
    """Cut a matrix into linear layers of ``size`` outputs each."""
    layers = []
    for i in range(0, len(weight), size):
        layer = nn.Linear(weight.shape[1], size, bias=bias is not None, dtype=weight.dtype)
        layer.weight.data.copy_(weight[i : i + size])
        if bias is not None:
            layer.bias.data.copy_(bias[i : i + size])
        layers.append(layer)
    return layers


def _grad(parameter: Tensor) -> Tensor:
    # A recursion over leaves alone never meets the gates: their gradient is zero.
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def random_tree(draw_word: Callable[[], str], n_leaves: int, rng: random.Random) -> Tree:
    """Return a tree of random shape, each split of a span of words being equally probable, with labels 0 to 4."""
    return split_tree(lambda n: rng.randrange(1, n), draw_word, n_leaves)


def split_tree(split: Callable[[int], int], draw_word: Callable[[], str], n_leaves: int) -> Tree:
    """Return the tree in which ``split(n)`` of the ``n`` words of a span go to the left."""
    words: list[str | None] = []

    def build(n: int) -> None:
        if n > 1:
            left = split(n)
            build(left)
            build(n - left)
        words.append(None if n > 1 else draw_word())

    build(n_leaves)
    return _labelled(words)


def leaf_chain(words: Sequence[str], *, left: bool) -> Tree:
    """Return the tree in which every inner node has a leaf on one side and grows on the other, ``left`` or right."""
    inner = [None] * (len(words) - 1)
    if left:
        return _labelled([words[0], *(node for word in words[1:] for node in (word, None))])
    return _labelled([*words, *inner])


def _labelled(words: Sequence[str | None]) -> Tree:
    return Tree(tuple((3 * i + 1) % 5 for i in range(len(words))), tuple(words))
