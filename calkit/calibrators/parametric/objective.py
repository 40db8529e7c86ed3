"""The regularised log-loss of a parametric map: values, gradients and Hessians as sums over blocks of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from calkit.calibrators.parametric.features import Block, Kept, Split, pieces, softmax_in_place
from calkit.calibrators.parametric.maps import LinearMap, Preconditioner
from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.stats import Statistic, summarize
from calkit.stats.rows import Rows

__all__ = ["Model", "Objective", "RowSums", "can_be_kept"]

Floats = NDArray[np.floating[Any]]
Wanted = Literal["slope", "newton", "product", "curvature"]

# Blocks in memory are kept between passes, with what products need of them, if that takes no more than this.
_KEPT_BYTES = 3 << 27

# Blocks of so few scores are made in float64 first, and kept, so that logarithms are taken once.
_KEPT_DOUBLES = 1 << 20


@dataclass(frozen=True, eq=False)
class RowSums:
    """Sums over rows; ``+`` adds them one by one.

    Attributes
    ----------
    total : float
        Sum of the weights.
    arrays : tuple of ndarray
    """

    total: float
    arrays: tuple[Any, ...]

    def __add__(self, other: RowSums) -> RowSums:
        if not self.arrays or not other.arrays:
            return self if self.arrays else other
        return RowSums(self.total + other.total, tuple(a + b for a, b in zip(self.arrays, other.arrays, strict=True)))


@dataclass(frozen=True, eq=False)
class Model:
    """How features and labels of rows are made for a map.

    Parameters
    ----------
    map : LinearMap
    beta : float
        Inverse temperature that comes before the log-probabilities.
    mix : float
        Share of the uniform distribution that is mixed into the probabilities before their logarithm.
    targets : ndarray of shape (K, K), optional
        The shares of the classes that a true class stands for, if it does not stand for itself alone.
    split : Split, optional
        Which rows count.
    kept : Kept
    """

    map: LinearMap
    beta: float = 1.0
    mix: float = 0.0
    targets: NDArray[np.float64] | None = None
    split: Split | None = None
    kept: Kept = field(default_factory=lambda: Kept(active=False))

    def blocks(self, rows: Rows, dtype: DTypeLike) -> Iterator[Block]:
        """Yield the rows in pieces, with the basis of the map."""
        size = np.dtype(dtype).itemsize
        doubles = self.kept.active and rows.scores.size <= _KEPT_DOUBLES
        keeping = self.kept.active and (size == 4 or doubles)
        key = (int(rows.numbers[0]), len(rows), size)
        if keeping and key in self.kept.blocks:
            yield from self.kept.blocks[key]
            return
        made = []
        for full in self._narrowed(rows) if doubles and size == 4 else self._made(rows, dtype):
            if keeping:
                made.append(full)
            yield full
        if keeping:
            self.kept.blocks[key] = made

    def _made(self, rows: Rows, dtype: DTypeLike) -> Iterator[Block]:
        for block in pieces(rows, self.beta, self.mix, dtype, self.split):
            full = replace(block, basis=self.map.basis(block))
            yield full if self.targets is None else replace(full, votes=self._shares(full))

    def _narrowed(self, rows: Rows) -> Iterator[Block]:
        for block in self.blocks(rows, np.float64):
            single = block.narrowed()
            yield replace(single, basis=self.map.basis(single))

    def _shares(self, block: Block) -> Floats:
        """Return the shares of the classes that the true classes stand for; none for a class of probability 0."""
        targets = np.asarray(self.targets, dtype=block.x.dtype)
        shares = targets[block.y] if block.votes is None else block.votes @ targets
        if block.masked is None:
            return shares
        shares = np.where(block.masked, 0, shares)
        return shares / shares.sum(axis=1)[:, None]

    def logits(self, theta: Floats, block: Block) -> Floats:
        """Return J(x) θ, with -inf for masked classes."""
        u = self.map.push(theta, block)
        if block.masked is not None:
            u[block.masked] = -np.inf
        return u

    def probabilities(self, theta: Floats, block: Block) -> Floats:
        """Return the probabilities of a block: those kept of the last slope, or new ones."""
        kept = self.kept.probabilities.get(block.key) if theta.dtype == np.float32 else None
        if kept is not None:
            return kept
        p = self.logits(theta, block)
        softmax_in_place(p)
        return p

    def factors(self, theta: Floats, block: Block) -> Any:
        """Return what products with the Hessian need of a block; kept with its probabilities."""
        found = self.kept.factors.get(block.key)
        if found is None:
            found = self.map.factors(self.probabilities(theta, block), block)
            if block.key in self.kept.probabilities:
                self.kept.factors[block.key] = found
        return found


@dataclass(frozen=True, eq=False)
class _Statistic(Statistic[RowSums]):
    """What one pass over the rows adds up, at parameters θ."""

    model: Model
    wanted: Wanted
    theta: NDArray[np.float64]
    dtype: Any
    v: NDArray[np.float64] | None = None
    ridge: NDArray[np.float64] | None = None
    is_sum: ClassVar[bool] = True
    needs_distribution = True

    def measure(self, rows: Rows) -> RowSums:
        """Return the sums of one block of rows."""
        return self.over(self.model.blocks(rows, self.dtype))

    def over(self, blocks: Iterable[Block]) -> RowSums:
        """Return the sums of pieces of rows."""
        add = getattr(self, f"_{self.wanted}")
        theta = self.theta.astype(self.dtype)
        total = RowSums(0.0, ())
        for block in blocks:
            total = total + RowSums(block.total, add(theta, block))
        return total

    def _slope(self, theta: Floats, block: Block) -> tuple[Any, ...]:
        value, _, t = self._residuals(theta, block, keep=self.model.kept.active)
        return value, self.model.map.pull(t, block).astype(np.float64)

    def _newton(self, theta: Floats, block: Block) -> tuple[Any, ...]:
        value, p, t = self._residuals(theta, block, copy=True)
        gradient = self.model.map.pull(t, block).astype(np.float64)
        return value, gradient, self.model.map.hessian(p, block).astype(np.float64)

    def _residuals(
        self, theta: Floats, block: Block, *, keep: bool = False, copy: bool = False
    ) -> tuple[float, Floats, Floats]:
        """Return the sum of the losses, the probabilities, and what is left of them less the truth, times weights."""
        u = self.model.logits(theta, block)
        rows = np.arange(len(u))
        if block.votes is None:
            right = u[rows, block.y]
        else:
            right = np.einsum("mk,mk->m", block.votes, u if block.masked is None else _unmasked(u, block))
        loss = softmax_in_place(u) - right
        if keep:
            self._keep(u, block)
        p = u.copy(order="K") if copy else u
        if block.votes is None:
            u[rows, block.y] -= 1
        else:
            u -= block.votes
        if block.weight is not None:
            u *= block.weight.astype(u.dtype)[:, None]
            loss = loss * block.weight
        return float(loss.sum(dtype=np.float64)), p, u

    def _keep(self, p: Floats, block: Block) -> None:
        self.model.kept.factors.pop(block.key, None)
        held = self.model.kept.probabilities.get(block.key)
        if held is None:
            self.model.kept.probabilities[block.key] = p.astype(np.float32, order="K")
        else:
            held[...] = p

    def _product(self, theta: Floats, block: Block) -> tuple[Any, ...]:
        assert self.v is not None  # noqa: S101 - set by Objective.product
        return (
            self.model.map.product(self.model.factors(theta, block), self.v.astype(self.dtype), block).astype(
                np.float64
            ),
        )

    def _curvature(self, theta: Floats, block: Block) -> tuple[Any, ...]:
        assert self.ridge is not None  # noqa: S101 - set by Objective.preconditioner
        return self.model.map.curvature(self.model.probabilities(theta, block), block, self.ridge)


def _unmasked(u: Floats, block: Block) -> Floats:
    """Return logits with 0 where the class is masked and nobody voted for it, whose share of the loss is 0."""
    return np.where(block.masked & (block.votes == 0), 0, u) if block.masked is not None else u


class Objective:
    """``F(θ) = mean NLL + Σ ridge (θ - center)²``, of the logits of a model.

    Parameters
    ----------
    data : Predictions or Shards
        Of kind "logits", checked.
    model : Model
    ridge : ndarray of shape (P,)
    center : ndarray of shape (P,)
    """

    def __init__(
        self, data: Predictions | Shards, model: Model, ridge: NDArray[np.float64], center: NDArray[np.float64]
    ) -> None:
        self.data, self.model, self.ridge, self.center = data, model, ridge, center
        self.n_passes = 0

    def slope(self, theta: NDArray[np.float64], dtype: Any) -> tuple[float, NDArray[np.float64]]:
        """Return the value and the gradient."""
        found = self._sum("slope", theta, dtype)
        value, gradient = (array / found.total for array in found.arrays)
        return self._penalised(theta, value, gradient)

    def losses(self, theta: NDArray[np.float64]) -> tuple[float, float]:
        """Return the sum of the log-losses, in float32, and that of the weights; both are 0 without rows."""
        found = self._sum("slope", theta, np.float32)
        return (float(found.arrays[0]), found.total) if found.arrays else (0.0, 0.0)

    def newton(self, theta: NDArray[np.float64], dtype: Any) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Return the value, the gradient and the Hessian."""
        found = self._sum("newton", theta, dtype)
        value, gradient, hessian = (array / found.total for array in found.arrays)
        hessian[np.diag_indices_from(hessian)] += 2 * self.ridge
        return *self._penalised(theta, value, gradient), hessian

    def product(self, theta: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the Hessian times a vector, computed in float32."""
        found = self._sum("product", theta, np.float32, v=v)
        return found.arrays[0] / found.total + 2 * self.ridge * v

    def preconditioner(self, theta: NDArray[np.float64]) -> Preconditioner:
        """Return an approximate inverse of the Hessian, from one pass in float32."""
        found = self._sum("curvature", theta, np.float32, ridge=self.ridge)
        return self.model.map.preconditioner(found.arrays, found.total, self.ridge)

    def _penalised(
        self, theta: NDArray[np.float64], value: Any, gradient: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64]]:
        d = theta - self.center
        return float(value + self.ridge @ (d * d)), gradient + 2 * self.ridge * d

    def _sum(self, wanted: Wanted, theta: NDArray[np.float64], dtype: Any, **more: Any) -> RowSums:
        statistic = _Statistic(self.model, wanted, theta, dtype, **more)
        self.n_passes += 1
        blocks = self._blocks_of_all_rows(np.dtype(dtype).itemsize)
        if blocks is not None:
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                return statistic.over(blocks)
        found: RowSums = summarize(self.data, [statistic], check=False)[statistic]
        return found

    def _blocks_of_all_rows(self, size: int) -> list[Block] | None:
        """Return the kept blocks, if rows so few that they are read at once are kept in such a precision."""
        few = isinstance(self.data, Predictions) and self.data.n_samples <= self.data.default_block_rows()
        found = [blocks for key, blocks in self.model.kept.blocks.items() if key[2] == size] if few else []
        return found[0] if found else None


def can_be_kept(data: Predictions | Shards, n_times: int = 1) -> bool:
    """Tell whether copies of the blocks may be kept between passes: of arrays in memory that are not too large."""
    if not isinstance(data, Predictions) or type(data.scores) is not np.ndarray:
        return False
    base: Any = data.scores
    while base is not None:
        if isinstance(base, np.memmap):
            return False
        base = getattr(base, "base", None)
    return 12 * n_times * data.n_samples * (data.n_classes or 1) <= _KEPT_BYTES
