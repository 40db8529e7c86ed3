"""Pairs of confidence and correctness that are kept of every row, for what ranks the rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from calkit.errors import UsageError
from calkit.stats import ConfidencePairs, Statistic, View
from calkit_torch.bridge.distributed import join_over_ranks
from calkit_torch.bridge.statistics import keeps_pairs

__all__ = ["confidence_pairs", "views_of_pairs"]


def views_of_pairs(statistics: Iterable[Statistic[Any]]) -> list[View]:
    """Return the views whose pairs are to be kept.

    Raises
    ------
    UsageError
        If one has several forecasts a row.
    """
    views = dict.fromkeys(statistic.streamed.view for statistic in statistics if keeps_pairs(statistic))  # type: ignore[attr-defined]
    for view in views:
        if view.keyed:
            raise UsageError(
                f"what ranks the rows, as AdaECE does, is not kept for the several forecasts a row of target "
                f"{view.spec!r}. Bring the rows to the host: "
                f"calkit.evaluate(calkit_torch.bridge.predict(model, loader), target={view.spec!r})."
            )
    return list(views)


def confidence_pairs(pairs: Tensor, sync: bool, group: Any) -> list[ConfidencePairs]:
    """Bring the pairs of all ranks to the host, of each view, without the rows that do not count."""
    if sync:
        pairs = join_over_ranks(pairs, group)
    *numbers, weight = pairs[:, pairs[-1] > 0].cpu().double().numpy()
    weights = None if (weight == 1).all() else weight
    whole = [((correct == 0) | (correct == 1)).all() for correct in numbers[1::2]]
    outcomes = [correct > 0 if hard else correct for correct, hard in zip(numbers[1::2], whole, strict=True)]
    return [ConfidencePairs(p, y, weights) for p, y in zip(numbers[::2], outcomes, strict=True)]
