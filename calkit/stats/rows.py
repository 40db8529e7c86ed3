"""What statistics need to know of a block of rows: each quantity computed once, when first asked for."""

from __future__ import annotations

import copy
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from calkit.blocks import log_floored, places
from calkit.errors import InputError
from calkit.predictions import RowBlock
from calkit.registry import unknown_name
from calkit.stats.grouping import groups_of
from calkit.stats.kernels import NllMoments, SoftmaxSums, Workspace, blocked, choose_kernels
from calkit.stats.once import once

if TYPE_CHECKING:
    from calkit.stats.forecasts import Forecasts
    from calkit.stats.transforms import Transform
    from calkit.stats.views import View

__all__ = ["CLASS_COLUMNS", "PREDICTED_CLASS", "TRUE_CLASS", "Rows", "Workspace"]

#: Columns that all predictions of classes have: the column of scores that is largest, and that of the true class.
PREDICTED_CLASS, TRUE_CLASS = "predicted class", "true class"
CLASS_COLUMNS = {PREDICTED_CLASS: "predicted", TRUE_CLASS: "y_true"}

# Confidences of float32 logits, computed in float32, are right to far less than this.
_FLOAT32_ERROR = 2e-6


class Rows:
    """A block of rows with the quantities that statistics are made of.

    Each quantity is a float64 array of shape (b,). Softmax runs in the precision of the logits (float32, or float64),
    sums over rows in float64. Each row's values depend on that row alone, to the last bit, so that they are the same
    however the rows are split into blocks.

    Parameters
    ----------
    block : RowBlock
    workspace : Workspace
        Shared scratch; two blocks of the same workspace must not be used at the same time.
    inverse_temperature : float
        β = 1/T, multiplies logits.
    first_row : int
        Rows that come before those the block counts its own from: those of the files before its own.
    """

    def __init__(
        self, block: RowBlock, workspace: Workspace, inverse_temperature: float = 1.0, first_row: int = 0
    ) -> None:
        self.scores = block.scores
        self.y_true = block.require_labels()
        self.votes = block.votes
        self.weight = block.sample_weight
        self.kind = block.kind
        self.multilabel = block.multilabel
        self._block = block
        self._workspace = workspace
        self._beta = inverse_temperature
        self._first_row = first_row
        self._transformed: dict[Transform, Rows] = {}
        self._forecasts: dict[View, Forecasts] = {}
        self._groups: dict[str, dict[Any, NDArray[np.intp]]] = {}
        self._parts: dict[tuple[str, Any], Rows] = {}
        #: What was found on the way to something else, by the statistic that will ask for it.
        self.kept: dict[Any, Any] = {}
        if self.kind != "logits":
            block.check()

    def __len__(self) -> int:
        return len(self.scores)

    def check(self) -> None:
        """Raise for the first score that is impossible, unless the scores were checked before."""
        self._block.check()

    def sum(self, values: NDArray[Any]) -> float:
        """Return the weighted sum of a quantity over the rows."""
        return float(values.sum(dtype=np.float64) if self.weight is None else (values * self.weight).sum())

    @property
    def numbers(self) -> NDArray[np.intp]:
        """Places of the rows among all rows, of all files."""
        return places(self._block.numbers) + self._first_row

    def forecasts(self, view: View) -> Forecasts:
        """Return the forecasts that a view sees; they are made once.

        They must not outlive the rows, which they know by a weak reference alone: a circle would keep each block in
        memory until Python looks for circles.
        """
        if view not in self._forecasts:
            self._forecasts[view] = view.of(weakref.proxy(self))
        return self._forecasts[view]

    def column(self, name: str) -> NDArray[Any]:
        """Return another column of the rows, by its name, or one of :data:`CLASS_COLUMNS`.

        Raises
        ------
        InputError
            If it is a class, and the rows have none.
        NotFoundError
            If the predictions have no such column.
        """
        if name in CLASS_COLUMNS:
            if self.kind == "confidence" or self.multilabel:
                raise InputError(
                    f"rows have a {name} only where one of several classes is true; choose another column."
                )
            return np.asarray(getattr(self, CLASS_COLUMNS[name]))
        if name not in self._block.columns:
            raise unknown_name("column", name, self._block.columns, of="the predictions")
        return self._block.columns[name]

    def groups(self, column: str) -> dict[Any, NDArray[np.intp]]:
        """Return the values of a column, each with the places of its rows."""
        if column not in self._groups:
            self._groups[column] = groups_of(column, self.column(column))
        return self._groups[column]

    def group(self, column: str, value: Any) -> Rows:
        """Return the rows of one value of a column; they are made once."""
        key = column, value
        if key not in self._parts:
            self._parts[key] = self.take(self.groups(column)[value])
        return self._parts[key]

    def take(self, rows: NDArray[np.intp]) -> Rows:
        """Return some of the rows, given by their places in the block."""
        return Rows(self._block.take(rows), self._workspace, self._beta, self._first_row)

    def at(self, transform: Transform) -> Rows:
        """Return the same rows with their logits transformed; the last ones are kept, with what was computed of them.

        Raises
        ------
        InputError
            If the scores are not logits.
        """
        if self.kind != "logits":
            raise InputError(f"only logits can be scaled by a temperature, but these scores are {self.kind}.")
        if transform not in self._transformed:
            # The kernels multiply by β themselves; what another transform makes of the logits is computed first.
            beta = getattr(transform, "inverse_temperature", None)
            block = self._block if beta is not None else replace(self._block, scores=transform(self.scores))
            rows = Rows(block, self._workspace, 1.0 if beta is None else beta, self._first_row)
            self._transformed = {transform: rows}
        return self._transformed[transform]

    def reweighted(self, weight: NDArray[np.float64]) -> Rows:
        """Return the same rows with other weights, which share what was computed so far."""
        rows = copy.copy(self)
        rows.weight = weight
        rows._block = replace(self._block, sample_weight=weight)
        rows._forecasts, rows._parts, rows._transformed, rows.kept = {}, {}, {}, {}
        rows.__dict__.pop("total_weight", None)
        return rows

    @once
    def total_weight(self) -> float:
        """Sum of the weights."""
        return float(len(self)) if self.weight is None else float(self.weight.sum())

    @property
    def precision(self) -> np.dtype[Any]:
        """Precision the confidences were stored in; edges of bins are rounded to it before they are compared."""
        return np.dtype(np.float64) if self.kind == "logits" else self._block.precision

    @property
    def excess(self) -> NDArray[np.float64] | None:
        """How far rounding may have put the probability of each class above what it was; None where it may not.

        The first of two classes has what one column of probabilities leaves: 1 - 0.7 is above 0.3 by its rounding.
        """
        if self.kind != "probs" or not self._block.one_column:
            return None
        return np.array([float(np.finfo(self.precision).epsneg), 0.0])

    @once
    def confidence(self) -> NDArray[np.float64]:
        """Probability of the predicted class."""
        if self.kind == "confidence":
            return self.scores.astype(np.float64)
        if self.kind == "probs":
            return self.scores[np.arange(len(self)), self.predicted].astype(np.float64)
        return 1 / (1 + self._sums.rest)

    @property
    def rest(self) -> NDArray[np.float64]:
        """Of logits: Σ e_j over all but the predicted class, with e_j = exp(β (z_j - z_top))."""
        return self._sums.rest

    @property
    def squares(self) -> NDArray[np.float64]:
        """Of logits: Σ e_j² over all but the predicted class."""
        if not self._workspace.squares:
            # From the next block on, the squares come with the sums.
            self._workspace.squares = True
            self.__dict__.pop("_sums", None)
        return self._sums.squares

    @property
    def confidence_error(self) -> float:
        """Bound on the error of the confidences: 0 where they are as good as float64 has them."""
        return _FLOAT32_ERROR if self.kind == "logits" and self.softmax_precision is np.float32 else 0.0

    def exact_confidence(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the confidences of a few rows, computed in float64: for those too close to an edge to tell."""
        if not len(rows):
            return np.empty(0)
        # NumPy's kernel, whichever the others are, so that counts do not depend on the choice.
        arguments = (self._beta, np.float64, False, self._workspace)
        return 1 / (1 + blocked.softmax_sums(self.scores[rows], self.y_true[rows], *arguments).rest)

    @once
    def correct(self) -> NDArray[np.bool_]:
        """Whether the predicted class (the first of the largest scores) is the true one."""
        if self.kind == "confidence":
            return self.y_true.astype(bool)
        if self.kind == "logits" and (self._workspace.sums or "_sums" in self.__dict__):
            return self._sums.correct
        self.check()
        return self.predicted == self.y_true

    @property
    def hit(self) -> NDArray[Any]:
        """As :attr:`correct`; with soft labels, the share of the votes for the predicted class."""
        return self.correct if self.votes is None else self.votes[np.arange(len(self)), self.predicted]

    @property
    def beta(self) -> float:
        """Inverse temperature by which logits are to be multiplied."""
        return self._beta

    @property
    def plain(self) -> bool:
        """Whether one of the classes is true and edges are compared exactly, as the kernels for all classes suppose."""
        return self.votes is None and not self.multilabel and self.excess is None

    @once
    def one_hot(self) -> NDArray[np.bool_]:
        """Whether each class is the true one, of shape (b, K)."""
        return np.asarray(self.y_true[:, None] == np.arange(self.scores.shape[1]))

    @once
    def probabilities(self) -> NDArray[np.float64]:
        """Probabilities of all classes, of shape (b, K)."""
        if self.kind == "probs":
            return self.scores.astype(np.float64)
        p = self.scores.astype(np.float64)
        p *= self._beta
        if self.multilabel:
            small = np.exp(-np.abs(p))
            p = np.where(p >= 0, 1, small) / (1 + small)
        else:
            p -= p.max(axis=1, keepdims=True)
            np.exp(p, out=p)
            p /= p.sum(axis=1, keepdims=True)
        if not np.isfinite(p.sum()):
            self.check()
        return np.asarray(p)

    @once
    def log_probabilities(self) -> NDArray[np.float64]:
        """Logarithms of the probabilities of all classes, of shape (b, K); from logits without loss."""
        if self.kind == "probs":
            return log_floored(self.scores, self.precision)
        if self.multilabel:
            return -np.logaddexp(0, -self._beta * self.scores.astype(np.float64))
        return np.asarray(self._shift - np.log(np.exp(self._shift).sum(axis=1, keepdims=True)))

    @once
    def nll(self) -> NDArray[np.float64]:
        """Negative log-likelihood: minus the log-probability of the true class, in nats; the mean over the votes."""
        if self.votes is not None and self.kind == "probs":
            return -self._mean_over_votes(self.log_probabilities)
        if self.votes is not None:
            return np.log1p(self._sums.rest) - self._mean_over_votes(self._shift)
        if self.kind == "probs":
            return -log_floored(self._true, self.precision)
        return np.log1p(self._sums.rest) - self._beta * self._sums.true_shift

    @once
    def brier(self) -> NDArray[np.float64]:
        """Squared distance between the probabilities and the one-hot truth, in [0, 2]; the mean over the votes."""
        if self.kind == "probs":
            p = self.scores.astype(np.float64)
            return np.einsum("ij,ij->i", p, p) - 2 * self.p_true + 1
        squares, rest = self.squares, self.rest
        total = 1 + rest
        wrong = (1 + squares) / (total * total) - 2 * self.p_true + 1
        if self.votes is not None:
            return wrong
        # With the top class true, (1 - p)² + Σ p_j² is written without the difference of near-equal numbers.
        right = (rest * rest + squares) / (total * total)
        return np.where(self._sums.true_shift == 0, right, wrong)

    @once
    def p_true(self) -> NDArray[np.float64]:
        """Probability of the true class; with soft labels, its mean over the votes."""
        if self.votes is not None and self.kind == "probs":
            return np.asarray((self.votes * self.probabilities).sum(axis=1))
        if self.votes is not None:
            # As of hard labels: one of them with all votes has the same numbers.
            return np.asarray((self.votes * np.exp(self._shift)).sum(axis=1)) / (1 + self._sums.rest)
        if self.kind == "probs":
            return self._true.astype(np.float64)
        return np.exp(self._beta * self._sums.true_shift) / (1 + self._sums.rest)

    @once
    def _shift(self) -> NDArray[np.float64]:
        """β (z - z_top) of each class, shape (b, K)."""
        return np.asarray(
            self._beta * (self.scores.astype(np.float64) - self.scores.max(axis=1, keepdims=True)), dtype=np.float64
        )

    def _mean_over_votes(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of values of the classes over the votes; a product with 0 would spoil what is infinite."""
        votes = cast("NDArray[np.float64]", self.votes)
        return np.multiply(votes, values, where=votes > 0, out=np.zeros(votes.shape)).sum(axis=1)

    @once
    def entropy(self) -> NDArray[np.float64]:
        """Entropy of the probabilities, in nats."""
        if self.kind == "probs":
            p = np.clip(self.scores, 0, None)
            return -(p * log_floored(p, self.precision)).sum(axis=1)
        # log Σ e_j + β Σ p_j d_j. Differences of float64 logits are halved twice, so that none overflows.
        exponent = 2 if self.scores.dtype.itemsize > 4 else 0
        beta = self._beta * 2**exponent
        found = self.nll_moments(beta, exponent)
        return np.asarray(np.log1p(found.rest) + beta * found.moments[0])

    def nll_moments(
        self,
        inverse_temperature: float,
        exponent: int = 0,
        precision: type[np.floating[Any]] = np.float64,
        orders: int = 4,
    ) -> NllMoments:
        """Return `orders` moments (2 or 4) of the distances from the top logit, of logits times 2^-exponent."""
        self.check()
        arguments = (inverse_temperature, exponent, precision, self._workspace, orders)
        return self.kernels.nll_moments(self.scores, self.y_true, *arguments)

    @property
    def workspace(self) -> Workspace:
        """Scratch that is free until another quantity is asked for."""
        return self._workspace

    @property
    def kernels(self) -> Any:
        """Kernels that serve the rows, all of a pass alike."""
        if self._workspace.kernels is None:
            n_scores = self._block.n_total * int(self.scores.shape[1])
            self._workspace.kernels = choose_kernels(n_scores, self._workspace.policy)
        return self._workspace.kernels

    @property
    def softmax_precision(self) -> type[np.floating[Any]]:
        """Precision of exponentials: float32, or float64 where the logits are."""
        return np.float32 if self.scores.dtype.itemsize <= 4 else np.float64

    @once
    def _sums(self) -> SoftmaxSums:
        self._workspace.sums = True
        arguments = (self._beta, self.softmax_precision, self._workspace.squares, self._workspace)
        sums: SoftmaxSums = self.kernels.softmax_sums(self.scores, self.y_true, *arguments)
        if not sums.finite:
            self.check()
        return sums

    @once
    def predicted(self) -> NDArray[np.intp]:
        """The predicted class: the first of the largest scores."""
        return blocked.largest(self.scores, self._workspace)

    @once
    def _true(self) -> NDArray[Any]:
        return self.scores[np.arange(len(self)), self.y_true]
