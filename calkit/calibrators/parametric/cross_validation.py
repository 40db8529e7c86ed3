"""The strength of a penalty by cross-validation along a path from strong to weak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from calkit.calibrators.parametric.features import Kept, Split
from calkit.calibrators.parametric.objective import can_be_kept
from calkit.calibrators.parametric.problem import Penalty, Problem

__all__ = ["choose_penalty"]

# Fits of the path are compared, not used: they need not be exact.
_TOL = 1e-6

# The path ends when the loss has risen this number of times in a row.
_RISES = 2


def choose_penalty(problem: Problem, path: Mapping[float, Penalty], n_folds: int, n_used: int) -> float:
    """Return the key of the penalty with the least log-loss of rows held out.

    Parameters
    ----------
    problem : Problem
    path : mapping of float to Penalty
        From strong to weak. Each fit begins where the one before ended, and the path ends where the loss rises.
    n_folds : int
    n_used : int
        How many of the folds are held out in turn.

    Returns
    -------
    float
        The first key if the rows do not make two folds.
    """
    folds = [_Fold(problem, Split(fold, n_folds), n_used) for fold in range(n_used)]
    folds = [fold for fold in folds if fold.is_usable]
    losses: dict[float, float] = {}
    rises = 0
    for key, penalty in path.items():
        losses[key] = sum(fold.loss(penalty) for fold in folds)
        rises = rises + 1 if losses[key] > min(losses.values()) else 0
        if rises == _RISES:
            break
    problem.n_passes += sum(fold.n_passes for fold in folds)
    return min(losses, key=losses.__getitem__)


class _Fold:
    """A fold held out, and the last fit to the rest."""

    def __init__(self, problem: Problem, split: Split, n_side_by_side: int) -> None:
        kept = Kept(active=can_be_kept(problem.data, n_times=n_side_by_side))
        self._rest = replace(problem, model=replace(problem.model, split=split, kept=kept), tol=_TOL, n_passes=0)
        held_out = replace(split, held_out=True)
        self._held_out = replace(
            problem, model=replace(problem.model, split=held_out, kept=Kept(active=False)), n_passes=0
        )
        self._theta = problem.start
        _, weight = self._held_out.losses(problem.start)
        self.is_usable = 0 < weight < problem.totals.weight

    @property
    def n_passes(self) -> int:
        """Passes over the rows."""
        return self._rest.n_passes + self._held_out.n_passes

    def loss(self, penalty: Penalty) -> float:
        """Fit to the rest; return the sum of the log-losses of the rows held out."""
        self._theta = self._rest.minimise(penalty, self._theta).theta
        return self._held_out.losses(self._theta)[0]
