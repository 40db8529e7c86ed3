"""The recursion of a binary Tree-LSTM over a whole batch, one level at a time, with its gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from calkit_torch.models.tree_batch import TreeBatch

__all__ = ["tree_states"]


def tree_states(word_hidden: Tensor, word_cell: Tensor, weight: Tensor, bias: Tensor, batch: TreeBatch) -> Tensor:
    """Compute the hidden states of all nodes from those of the words.

    With u, i, f_l, f_r, o the fifths of ``weight @ [h_l, h_r] + bias``, an inner node with the children l and r has

    | c = sigmoid(i) * tanh(u) + sigmoid(f_l) * c_l + sigmoid(f_r) * c_r,
    | h = sigmoid(o) * tanh(c).

    Parameters
    ----------
    word_hidden, word_cell : Tensor, shape (n_words, H)
        The states of ``batch.words``.
    weight, bias : Tensor, shapes (5 · H, 2 · H) and (5 · H,)
        Those of the gates.
    batch : TreeBatch
        The trees.

    Returns
    -------
    Tensor, shape (n_nodes, H)
        In the order of the batch. It can be differentiated once.

    Notes
    -----
    The gradient is written out because autograd, working through the levels, would add to a matrix as large as
    ``weight`` at each of them and fill zeros around every slice. Here the gradient of ``weight`` is one product over
    all inner nodes.
    """
    states: Tensor = _TreeRecursion.apply(word_hidden, word_cell, weight, bias, batch)  # type: ignore[no-untyped-call]
    return states


class _TreeRecursion(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, word_hidden: Tensor, word_cell: Tensor, weight: Tensor, bias: Tensor, batch: TreeBatch
    ) -> Tensor:
        size = word_hidden.shape[1]
        hidden, cell = (word_hidden.new_empty(len(batch.source), size) for _ in range(2))
        hidden.index_copy_(0, batch.leaf_nodes, word_hidden.index_select(0, batch.leaf_words))
        cell.index_copy_(0, batch.leaf_nodes, word_cell.index_select(0, batch.leaf_words))
        gates = hidden.new_empty(len(batch.inner_nodes), 5 * size)
        tanh_cell = hidden.new_empty(len(batch.inner_nodes), size)
        _go_up(hidden, cell, gates, tanh_cell, weight, bias, batch)
        ctx.save_for_backward(hidden, cell, gates, tanh_cell, weight)
        ctx.batch, ctx.n_words = batch, len(word_hidden)
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, cell, gates, tanh_cell, weight = ctx.saved_tensors
        batch = ctx.batch
        grad_hidden = grad.clone(memory_format=torch.contiguous_format)
        grad_cell, grad_gates = torch.zeros_like(cell), torch.empty_like(gates)
        slopes = _slopes(gates, tanh_cell, _pairs(cell, batch))
        _go_down(grad_hidden, grad_cell, grad_gates, slopes, gates, tanh_cell, weight, batch)
        return (
            _sum_leaves(grad_hidden, batch, ctx.n_words),
            _sum_leaves(grad_cell, batch, ctx.n_words),
            grad_gates.t() @ _pairs(hidden, batch),
            grad_gates.sum(dim=0),
            None,
        )


def _go_up(
    hidden: Tensor, cell: Tensor, gates: Tensor, tanh_cell: Tensor, weight: Tensor, bias: Tensor, batch: TreeBatch
) -> None:
    """Fill in the inner nodes' states and gates, from the deepest level to the roots."""
    size, weight_t = hidden.shape[1], weight.t()
    # All views are made at once: made one by one, they would take a tenth of the time.
    levels = _by_level(
        batch,
        _pairs(hidden, batch),
        *_pairs(cell, batch).chunk(2, dim=1),
        gates,
        gates[:, size:],
        *gates.chunk(5, dim=1),
        tanh_cell,
        batch.inner_nodes,
    )
    for h_pair, c_left, c_right, all_gates, sigmoids, u, i, f_left, f_right, o, tanh_c, nodes in reversed(levels):
        torch.addmm(bias, h_pair, weight_t, out=all_gates)
        u.tanh_()
        sigmoids.sigmoid_()
        c = (i * u).addcmul_(f_left, c_left).addcmul_(f_right, c_right)
        torch.tanh(c, out=tanh_c)
        cell.index_copy_(0, nodes, c)
        hidden.index_copy_(0, nodes, o * tanh_c)


def _go_down(
    grad_hidden: Tensor,
    grad_cell: Tensor,
    grad_gates: Tensor,
    slopes: Tensor,
    gates: Tensor,
    tanh_cell: Tensor,
    weight: Tensor,
    batch: TreeBatch,
) -> None:
    """Add to the states' gradients what reaches them through their parents, from the roots down."""
    size = tanh_cell.shape[1]
    # The gates u, i and both f act through c, the gate o on h alone.
    by_c, by_h = slice(None, 4 * size), slice(4 * size, None)
    levels = _by_level(
        batch,
        slopes[:, by_c],
        slopes[:, by_h],
        gates[:, by_h] * (1 - tanh_cell.square()),
        gates[:, 2 * size : 4 * size],
        grad_gates,
        grad_gates[:, by_c],
        grad_gates[:, by_h],
        _pairs(grad_hidden, batch),
        _pairs(grad_cell, batch),
        batch.inner_nodes,
    )
    for slope_c, slope_h, h_by_c, forget, d_gates, d_by_c, d_by_h, dh_pair, dc_pair, nodes in levels:
        dh = grad_hidden.index_select(0, nodes)
        dc = grad_cell.index_select(0, nodes).addcmul_(dh, h_by_c)
        _multiply_blocks(slope_c, dc, out=d_by_c)
        torch.mul(slope_h, dh, out=d_by_h)
        _multiply_blocks(forget, dc, out=dc_pair)
        dh_pair.addmm_(d_gates, weight)


def _by_level(batch: TreeBatch, *matrices: Tensor) -> list[tuple[Tensor, ...]]:
    """Cut matrices with a row for each inner node into the levels, from the roots down."""
    return list(zip(*(torch.split(matrix, list(batch.level_sizes)) for matrix in matrices), strict=True))


def _pairs(states: Tensor, batch: TreeBatch) -> Tensor:
    """View the states of all nodes but the roots as one row [left, right] for each inner node."""
    return states[batch.n_trees :].view(len(batch.inner_nodes), 2 * states.shape[1])


def _slopes(gates: Tensor, tanh_cell: Tensor, child_cell: Tensor) -> Tensor:
    """Return the derivatives by what enters the sigmoid or tanh of each gate: of c, and for o of h."""
    size = tanh_cell.shape[1]
    u, i = gates[:, :size], gates[:, size : 2 * size]
    slopes = gates - gates.square()
    slopes[:, :size] = i * (1 - u.square())
    slopes[:, size : 2 * size] *= u
    slopes[:, 2 * size : 4 * size] *= child_cell
    slopes[:, 4 * size :] *= tanh_cell
    return slopes


def _multiply_blocks(blocks: Tensor, factor: Tensor, *, out: Tensor) -> None:
    """Multiply each block of columns, as wide as ``factor``, by ``factor``."""
    shape = (len(factor), -1, factor.shape[1])
    torch.mul(blocks.view(shape), factor.unsqueeze(1), out=out.view(shape))


def _sum_leaves(grad: Tensor, batch: TreeBatch, n_words: int) -> Tensor:
    """Sum the gradients of the leaves of each word."""
    total = grad.new_zeros(n_words, grad.shape[1])
    return total.index_add_(0, batch.leaf_words, grad.index_select(0, batch.leaf_nodes))
