"""Log-probabilities of blocks of rows: the features of every parametric map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from calkit.calibrators.inputs import largest, row_slices
from calkit.stats.rows import Rows

__all__ = [
    "FEW_CLASSES_BY_ROW",
    "LARGEST_IN_SINGLE",
    "LOWEST",
    "Block",
    "Kept",
    "Split",
    "bounded_logits",
    "labelled_pieces",
    "log_probabilities",
    "pieces",
    "probabilities",
    "shifted_logits",
    "softmax_in_place",
]

Floats = NDArray[np.floating[Any]]

# Pieces of rows of this size stay in a core's second cache while they are worked on; smaller ones cost more calls.
_PIECE_BYTES = 1 << 20

# Up to this many classes, pieces lie in memory class by class, so that the vector units run across rows; fewer where
# the result is wanted row by row.
_FEW_CLASSES = 128
FEW_CLASSES_BY_ROW = 32

# Log-probabilities below this count as this: squares of them stay finite in float32.
LOWEST = -1e18

# Larger parameters make visible what float32 leaves out of log-probabilities, whose digits they multiply.
LARGEST_IN_SINGLE = 100.0

# A sum of exponentials of log-probabilities between these needs no maximum taken off first.
_SAFE_SUM = 1e30


@dataclass(frozen=True, eq=False)
class Split:
    """A part of the rows for cross-validation, by a hash of each row's largest and smallest logit.

    It does not depend on the order of the rows, or on how they are stored; copies of a row go the same way.

    Parameters
    ----------
    fold : int
        Which of the `n_folds` is held out.
    n_folds : int
    held_out : bool
        Whether the part is the fold held out, or the rest.
    """

    fold: int
    n_folds: int
    held_out: bool = False

    def chosen(self, scores: Floats) -> NDArray[np.bool_]:
        """Return which rows are of the part."""
        ends = np.stack([scores.max(axis=1), scores.min(axis=1)], axis=1).astype(np.float64)
        bits = (ends + 0.0).view(np.uint64)
        with np.errstate(over="ignore"):
            mixed = (bits[:, 0] ^ (bits[:, 1] * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)
        folds = (mixed >> np.uint64(33)) % np.uint64(self.n_folds)
        return (folds == self.fold) == self.held_out


class Kept:
    """Blocks with their current probabilities in float32, kept between the passes of a fit in memory.

    A copy in another process is empty, and stays so.
    """

    def __init__(self, *, active: bool = True) -> None:
        self.active = active
        self.blocks: dict[tuple[int, int, int], list[Block]] = {}
        self.probabilities: dict[tuple[int, int], Floats] = {}
        # What products at these probabilities need.
        self.factors: dict[tuple[int, int], Any] = {}

    def __reduce__(self) -> Any:
        return _nothing_kept, ()


def _nothing_kept() -> Kept:
    return Kept(active=False)


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows as a map sees them.

    Attributes
    ----------
    x : ndarray, shape (m, K)
        Log-probabilities; 0 where the class is masked.
    basis : ndarray or None
        What the map computes of `x` once.
    masked : ndarray of bool, shape (m, K), or None
        Classes of probability 0, whatever the parameters.
    y : ndarray of intp, shape (m,)
        The true class.
    votes : ndarray of shape (m, K), or None
        Shares of the classes, in place of the true class.
    weight : ndarray of float64, shape (m,), or None
    key : tuple of int
        The place of the rows among all.
    """

    x: Floats
    y: NDArray[np.intp]
    basis: Any = None
    masked: NDArray[np.bool_] | None = None
    votes: Floats | None = None
    weight: NDArray[np.float64] | None = None
    key: tuple[int, int] = (0, 0)

    def over_rows(self, values: Floats) -> Floats:
        """Return values of shape (m,) times the weights."""
        return values if self.weight is None else values * self.weight.astype(values.dtype)

    def narrowed(self) -> Block:
        """Return the block in float32, without a basis."""
        votes = None if self.votes is None else self.votes.astype(np.float32)
        return replace(self, x=self.x.astype(np.float32, order="K"), votes=votes, basis=None)

    @property
    def total(self) -> float:
        """Sum of the weights."""
        return float(len(self.y)) if self.weight is None else float(self.weight.sum())


def log_probabilities(
    scores: Floats, beta: float, mix: float, dtype: DTypeLike, few_classes: int = _FEW_CLASSES
) -> tuple[Floats, NDArray[np.bool_] | None]:
    """Return log softmax(β z), and where it is masked (0 stands there).

    Parameters
    ----------
    scores : ndarray of shape (m, K)
        Logits; -inf is a masked class.
    beta : float
        Inverse temperature.
    mix : float
        Share of the uniform distribution that is mixed in before the logarithm.
    dtype : dtype
        Precision of the result. Differences of logits are taken in the precision of the scores.
    few_classes : int
        Up to this many classes the result is Fortran-ordered.

    Returns
    -------
    x : ndarray of shape (m, K)
    masked : ndarray of bool, shape (m, K), or None
    """
    n_classes = scores.shape[1]
    x = shifted_logits(scores, beta, dtype, few_classes)
    lowest = x.min()
    masked = None if lowest > -np.inf else np.isneginf(scores)
    e = np.exp(x)
    total = e @ np.ones(n_classes, e.dtype)
    if mix:
        e *= ((1 - mix) / total)[:, None]
        e += e.dtype.type(mix / n_classes)
        x = np.log(e, out=e)
    else:
        x -= np.log(total)[:, None]
        if lowest < LOWEST:
            np.maximum(x, LOWEST, out=x)
            if masked is not None:
                x[masked] = 0
    return x, masked


def shifted_logits(scores: Floats, beta: float, dtype: DTypeLike, few_classes: int = FEW_CLASSES_BY_ROW) -> Floats:
    """Return β times logits less the largest of their row: log-probabilities up to a constant per row.

    Parameters
    ----------
    scores : ndarray of shape (m, K)
    beta : float
    dtype : dtype
        Precision of the result.
    few_classes : int
        Up to this many classes the result is Fortran-ordered.

    Returns
    -------
    ndarray of shape (m, K)
        -inf where the logit is.
    """
    wide = np.promote_types(dtype, scores.dtype)
    given = np.asarray(scores, dtype=wide, order="F" if scores.shape[1] <= few_classes else "C")
    x = given - largest(given)[:, None]
    if beta != 1:
        # Where logits are tiny, β may be too large for the precision.
        x *= wide.type(min(beta, float(np.finfo(wide).max)))
    return x.astype(dtype, order="K", copy=False)


def bounded_logits(scores: Floats, beta: float) -> tuple[Floats, NDArray[np.bool_] | None]:
    """Return :func:`shifted_logits` in the precision of the scores and, as :func:`log_probabilities`, what is masked.

    None is infinite: a negative number of a map would make it the largest.
    """
    x = shifted_logits(scores, beta, scores.dtype)
    lowest = x.min(initial=0)
    if lowest < LOWEST:
        np.maximum(x, LOWEST, out=x)
    return x, None if lowest > -np.inf else np.isneginf(scores)


def probabilities(scores: Floats, beta: float, dtype: DTypeLike) -> Floats:
    """Return softmax(β z) of scores of shape (m, K), in a precision."""
    p = shifted_logits(scores, beta, dtype)
    softmax_in_place(p)
    return p


def labelled_pieces(rows: Rows) -> Iterator[tuple[Floats, Floats, Any]]:
    """Yield scores (m, K), the shares of the classes (m, K), and the weights (m,) or 1, of a few rows at a time."""
    n_classes, votes = rows.scores.shape[1], rows.votes
    for part in row_slices(len(rows), 8 * n_classes):
        truth = np.eye(n_classes)[rows.y_true[part]] if votes is None else votes[part]
        yield rows.scores[part], truth, 1.0 if rows.weight is None else rows.weight[part]


def softmax_in_place(u: Floats) -> Floats:
    """Turn logits near log-probabilities into probabilities; return the log of the sum of the exponentials."""
    ones = np.ones(u.shape[1], u.dtype)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        e = np.exp(u)
        total = e @ ones
        top: Any = 0.0
        if not (total.min() > 1 / _SAFE_SUM and total.max() < _SAFE_SUM):
            top = u.max(axis=1)
            u -= top[:, None]
            e = np.exp(u)
            total = e @ ones
        np.multiply(e, (1 / total)[:, None], out=u)
    return np.log(total) + top


def pieces(rows: Rows, beta: float, mix: float, dtype: DTypeLike, split: Split | None) -> Iterator[Block]:
    """Yield the rows in pieces that fit the cache, without the basis of a map."""
    n_classes = rows.scores.shape[1]
    first = int(rows.numbers[0])
    votes = rows.votes
    for part in row_slices(len(rows), 4 * n_classes, _PIECE_BYTES):
        scores = rows.scores[part]
        chosen = np.ones(len(scores), bool) if split is None else split.chosen(scores)
        if not chosen.any():
            continue
        if split is not None:
            scores = scores[chosen]
        x, masked = log_probabilities(scores, beta, mix, dtype)
        block = Block(x, rows.y_true[part], masked=masked, key=(first, part.start))
        if votes is not None:
            block = replace(block, votes=votes[part].astype(dtype))
        if rows.weight is not None:
            block = replace(block, weight=rows.weight[part])
        if split is not None:
            block = _subset(block, chosen)
        yield block


def _subset(block: Block, chosen: NDArray[np.bool_]) -> Block:
    """Return the block with labels, shares and weights of the chosen rows; its features are of these already."""
    return replace(
        block,
        y=block.y[chosen],
        votes=None if block.votes is None else block.votes[chosen],
        weight=None if block.weight is None else block.weight[chosen],
    )
