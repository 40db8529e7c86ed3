"""The constituency Tree-LSTM, evaluated level by level over whole batches of trees.

Source: K. S. Tai, R. Socher, C. D. Manning: Improved semantic representations from tree-structured long
short-term memory networks, ACL 2015, section 3.2 (N-ary Tree-LSTM, N = 2) and 4.1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from calkit.parameters import check_dropout, check_positive
from calkit_torch.models.classifier import Classifier
from calkit_torch.models.embeddings import resolve_embedding
from calkit_torch.models.registry import MODELS
from calkit_torch.models.row_dropout import RowDropout
from calkit_torch.models.tree_batch import TreeBatch
from calkit_torch.models.tree_recursion import tree_states

__all__ = ["TreeLSTM"]


class TreeLSTM(Classifier[TreeBatch]):
    """A binary Tree-LSTM with words at the leaves, for a label on every node.

    Layers: word vectors (300 numbers); at a leaf with the word vector x

    | c = W x + b,   h = sigmoid(W' x + b') * tanh(c);

    at an inner node with the children l and r, z standing for each of u, i, f_l, f_r, o,

    | z = U_z [h_l, h_r] + b_z,
    | c = sigmoid(i) * tanh(u) + sigmoid(f_l) * c_l + sigmoid(f_r) * c_r,
    | h = sigmoid(o) * tanh(c);

    dropout on h; the linear layer ``classifier``.

    Parameters
    ----------
    n_classes : int
        Number of logits.
    vocabulary_size, embedding_dim : int, optional
        Number of ids and length of the word vectors to be learned from scratch (300 by default).
    embedding : nn.Embedding, optional
        Word vectors, instead of the two.
    hidden : int
        Length of h and of c.
    dropout : float
        Rate of the dropout.

    Notes
    -----
    Inner nodes take no input, and leaves have two matrices of their own, as in the authors' code, which gives
    the size they print for sentiment classification: 316,800 numbers for 300 and 150, less 750 here, since
    they add two biases in each gate. All start within ±1 / sqrt(hidden), those of the leaves within
    ±1 / sqrt(embedding_dim). The code of the focal-loss calibration paper leaves out the output gate o of the
    inner nodes; this class has it.

    Examples
    --------
    >>> from calkit_torch.models import collate_trees, parse_tree
    >>> trees = [parse_tree("(3 (2 very) (4 good))"), parse_tree("(1 bad)")]
    >>> batch = collate_trees(trees, {"very": 1, "good": 2, "bad": 3})
    >>> model = TreeLSTM(5, vocabulary_size=4)
    >>> model(batch).shape, model(batch.at_roots()).shape
    (torch.Size([4, 5]), torch.Size([2, 5]))
    """

    def __init__(
        self,
        n_classes: int,
        *,
        vocabulary_size: int | None = None,
        embedding_dim: int | None = None,
        embedding: nn.Embedding | None = None,
        hidden: int = 150,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_positive(n_classes=n_classes, hidden=hidden)
        check_dropout(dropout)
        self.embedding = resolve_embedding(embedding, vocabulary_size, embedding_dim, default_dim=300)
        self.leaf = nn.Linear(self.embedding.embedding_dim, 2 * hidden)  # c and the output gate
        self.gates = nn.Linear(2 * hidden, 5 * hidden)  # u, i, f_l, f_r, o
        for parameter in self.gates.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(hidden), 1 / math.sqrt(hidden))
        self.dropout = RowDropout(dropout)
        self.classifier = nn.Linear(hidden, n_classes)

    def states(self, batch: TreeBatch) -> Tensor:
        """Return the hidden state of every node, of shape (n_nodes, hidden), in the order of the batch."""
        cell, output = self.leaf(self.embedding(batch.words)).chunk(2, dim=1)
        word_hidden = torch.sigmoid(output) * torch.tanh(cell)
        # Under autocast the leaves come in half precision; a sum along a deep tree is kept in the weights' own.
        dtype = self.gates.weight.dtype
        return tree_states(word_hidden.to(dtype), cell.to(dtype), self.gates.weight, self.gates.bias, batch)

    def features(self, inputs: TreeBatch) -> Tensor:
        """Return the hidden states of the nodes to classify, after dropout."""
        states = self.states(inputs)
        dropped: Tensor = self.dropout(states[: inputs.n_trees] if inputs.roots_only else states)
        return dropped


MODELS.register("tree-lstm")(TreeLSTM)
