"""What statistics need to know of a block of rows: each quantity computed once, when first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from calkit.predictions import RowBlock, log_floored

__all__ = ["Rows", "Workspace"]

# Up to this many classes, blocks are worked on transposed, so that the vector units run across rows.
_FEW_CLASSES = 32


class Workspace:
    """Scratch arrays that live as long as a pass, so that blocks do not allocate."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """Return an uninitialised array of this shape; its content lasts until the name is asked for again."""
        size = int(np.prod(shape))
        held = self._arrays.get(name)
        if held is None or held.size < size or held.dtype != dtype:
            held = self._arrays[name] = np.empty(size, dtype)
        return held[:size].reshape(shape)


class Rows:
    """A block of rows with the quantities that statistics are made of.

    All quantities are float64 arrays of shape (b,), whatever the precision of the scores; each row's values depend
    on that row alone, to the last bit, so that they are the same however the rows are split into blocks.

    Parameters
    ----------
    block : RowBlock
    workspace : Workspace
        Shared scratch; two blocks of the same workspace must not be used at the same time.
    inverse_temperature : float
        β = 1/T, multiplies logits.
    """

    def __init__(self, block: RowBlock, workspace: Workspace, inverse_temperature: float = 1.0) -> None:
        self.scores = block.scores
        self.y_true = block.y_true
        self.weight = block.sample_weight
        self.kind = block.kind
        self._workspace = workspace
        self._beta = inverse_temperature

    def __len__(self) -> int:
        return len(self.scores)

    def sum(self, values: NDArray[Any]) -> float:
        """Return the weighted sum of a quantity over the rows."""
        return float(values.sum(dtype=np.float64) if self.weight is None else (values * self.weight).sum())

    @cached_property
    def total_weight(self) -> float:
        """Sum of the weights."""
        return float(len(self)) if self.weight is None else float(self.weight.sum())

    @property
    def precision(self) -> np.dtype[Any]:
        """Precision the confidences were stored in; edges of bins are rounded to it before they are compared."""
        return np.dtype(np.float64) if self.kind == "logits" else self.scores.dtype

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """Probability of the predicted class."""
        if self.kind == "confidence":
            return self.scores.astype(np.float64)
        if self.kind == "probs":
            return self._top.astype(np.float64)
        return 1 / self._exponential_sums

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the predicted class (the first of the largest scores) is the true one."""
        if self.kind == "confidence":
            return self.y_true.astype(bool)
        return self._predicted == self.y_true

    @cached_property
    def nll(self) -> NDArray[np.float64]:
        """Negative log-likelihood: minus the log-probability of the true class, in nats."""
        if self.kind == "probs":
            return -log_floored(self._true)
        return np.log(self._exponential_sums) - self._beta * self._true_shift

    @cached_property
    def brier(self) -> NDArray[np.float64]:
        """Squared distance between the probabilities and the one-hot truth, in [0, 2]."""
        if self.kind == "probs":
            p = self.scores.astype(np.float64)
            return np.einsum("ij,ij->i", p, p) - 2 * self._true.astype(np.float64) + 1
        e, total = self._exponentials, self._exponential_sums
        squares = np.einsum("ji,ji->i" if self._transposed else "ij,ij->i", e, e)
        p_true = np.exp(self._beta * self._true_shift) / total
        return squares / (total * total) - 2 * p_true + 1

    def distances(self, name: str, exponent: int = 0) -> NDArray[np.float64]:
        """Return top logit minus each logit, times 2^-exponent: shape (K, b) if transposed, else (b, K)."""
        shape = self.scores.shape[::-1] if self._transposed else self.scores.shape
        out = self._workspace.array(name, shape)
        scores = self.scores.T if self._transposed else self.scores
        top = self._top if self._transposed else self._top[:, None]
        if exponent:
            np.ldexp(scores, -exponent, out=out, dtype=np.float64)
            np.subtract(np.ldexp(top, -exponent, dtype=np.float64), out, out=out)
        else:
            np.subtract(top, scores, out=out, dtype=np.float64)
        return out

    def scratch(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return an uninitialised array that lasts until the same name is asked for again."""
        return self._workspace.array(name, shape)

    @property
    def class_axis(self) -> int:
        """Axis of :meth:`distances` along which the classes run."""
        return 0 if self._transposed else 1

    @property
    def _transposed(self) -> bool:
        return bool(self.scores.shape[1] <= _FEW_CLASSES)

    @cached_property
    def _indices(self) -> NDArray[np.intp]:
        return np.arange(len(self))

    @cached_property
    def _predicted(self) -> NDArray[np.intp]:
        return self.scores.argmax(axis=1)

    @cached_property
    def _top(self) -> NDArray[Any]:
        return self.scores[self._indices, self._predicted]

    @cached_property
    def _true(self) -> NDArray[Any]:
        return self.scores[self._indices, self.y_true]

    @cached_property
    def _true_shift(self) -> NDArray[np.float64]:
        """Logit of the true class minus the top logit, not positive."""
        return np.subtract(self._true, self._top, dtype=np.float64)

    @cached_property
    def _exponentials(self) -> NDArray[np.float64]:
        """Return exp(β (z - z_top)), laid out as :meth:`distances`; valid until the next block."""
        out = self.distances("exponentials")
        np.multiply(out, -self._beta, out=out)
        return np.exp(out, out=out)

    @cached_property
    def _exponential_sums(self) -> NDArray[np.float64]:
        return np.add.reduce(self._exponentials, axis=self.class_axis)
