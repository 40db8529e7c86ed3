"""Which group of rows is worst, allowing for how many groups were looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from calkit.inference.judgement import Judgement, Limits
from calkit.inference.paired import holm
from calkit.inference.resampling import Resampling

__all__ = ["WorstGroup", "among", "corrected"]

# Replicates that an interval of a small tail asks for, per share of the tail; and the most there are.
_PER_TAIL, _MOST_RESAMPLES = 20, 10_000


@dataclass(frozen=True)
class WorstGroup:
    """The group with the worst value of a metric.

    Attributes
    ----------
    group : object
        Its label.
    value : float
    n_samples : int
        Its rows.
    n_groups : int
        Groups that were looked at.
    interval : tuple of float, or None
        Limits for its value that allow for its having been picked: those of all groups hold at once with the confidence
        level (Bonferroni). None where no intervals were asked for, or the metric has none.
    p_value, p_adjusted : float or None
        How often a perfect model would have a value as large in that group; and corrected by Holm's method for the
        number of groups.
    """

    group: Any
    value: float
    n_samples: int
    n_groups: int
    interval: Limits | None = None
    p_value: float | None = None
    p_adjusted: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        data = asdict(self)
        return {**data, "interval": None if self.interval is None else list(self.interval)}


def among(resampling: Resampling, n_groups: int) -> Resampling:
    """Return what is asked of the interval of one group, so that those of all groups hold at once (Bonferroni).

    Examples
    --------
    >>> round(among(Resampling(0.95), 5).level, 12)
    0.99
    """
    if resampling.confidence_level is None or n_groups < 2:
        return resampling
    tail = (1 - resampling.level) / n_groups
    n = max(resampling.n_resamples, min(round(_PER_TAIL / tail), _MOST_RESAMPLES))
    return replace(resampling, confidence_level=1 - tail, n_resamples=n)


def corrected(judgements: Mapping[Any, Mapping[str, Judgement]]) -> dict[Any, dict[str, Judgement]]:
    """Return the judgements of groups, by label and spec, with p-values corrected for the number of groups."""
    found = {label: dict(own) for label, own in judgements.items()}
    for spec in dict.fromkeys(spec for own in found.values() for spec in own):
        p_values = {label: own[spec].p_value for label, own in found.items() if spec in own}
        known = {label: p for label, p in p_values.items() if p is not None}
        for label, p in zip(known, holm(list(known.values())), strict=True):
            found[label][spec] = replace(found[label][spec], p_adjusted=p)
    return found
