"""Values, diagrams and curves of a report, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calkit.stats import BinSums

__all__ = ["ClassErrors", "Diagram", "Group", "Measure", "MetricInfo", "Sweep", "WorstClass"]


@dataclass(frozen=True)
class MetricInfo:
    """A metric of the report.

    Attributes
    ----------
    spec : str
        The word that stands for it: ``"ece:n_bins=25"``.
    heading : str
        As tables show it, with the unit: ``"ECE (n_bins=25) %"``.
    percent : bool
        Whether people see it times 100.
    higher_is_better : bool
    """

    spec: str
    heading: str
    percent: bool
    higher_is_better: bool


@dataclass(frozen=True)
class Measure:
    """A value, and the interval it lies in, if one was asked for.

    Attributes
    ----------
    value : float
    low, high : float or None
    floor, p_value : float or None
        Of a calibration error: what a perfectly calibrated model with these predictions would show in the mean, and the
        probability that it would show as much.
    """

    value: float
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    p_value: float | None = None

    @property
    def is_clear(self) -> bool:
        """Of a difference: whether the interval excludes 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Diagram:
    """Sums over bins of confidence of equal width: all that a reliability diagram shows.

    Attributes
    ----------
    lower, upper : tuple of float
        Edges of the bins.
    count : tuple of int
        Samples; of a target with several events (classes), a sample counts once for each.
    weight, confidence, correct : tuple of float
        Sums of the weights, of the confidences, and of the right answers, weighted.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    count: tuple[int, ...]
    weight: tuple[float, ...]
    confidence: tuple[float, ...]
    correct: tuple[float, ...]

    @classmethod
    def from_bins(cls, bins: BinSums) -> Diagram:
        """Take the sums of one row of bins, or of several keys (classes), which are added."""
        sums = (bins.count, bins.weight, bins.confidence, bins.correct)
        added = (array.reshape(-1, bins.n_bins).sum(axis=0) for array in sums)
        return cls(*(tuple(array.tolist()) for array in (*bins.edges, *added)))

    def to_bins(self) -> BinSums:
        """Return the sums as displays take them."""
        return BinSums(
            np.array(self.count),
            np.array(self.weight),
            np.array(self.confidence),
            np.array(self.correct),
        )

    @property
    def weighted(self) -> bool:
        """Whether some samples count more than others: then their number does not tell how sure a share is."""
        return self.weight != tuple(map(float, self.count))

    @property
    def mean_accuracy(self) -> float:
        """Share of right answers, over all bins."""
        return math.fsum(self.correct) / math.fsum(self.weight)

    @property
    def mean_confidence(self) -> float:
        """Mean confidence, over all bins."""
        return math.fsum(self.confidence) / math.fsum(self.weight)


@dataclass(frozen=True)
class Group:
    """The rows with one value of a column.

    Attributes
    ----------
    label : str
    n_samples : int
    values : mapping of str to Measure
        By the spec of the metric; p-values are corrected for the number of groups.
    """

    label: str
    n_samples: int
    values: Mapping[str, Measure]


@dataclass(frozen=True)
class WorstClass:
    """A class whose probability is miscalibrated beyond noise.

    Attributes
    ----------
    name : str
    weight : float
        Samples whose true class it is; with weights, their sum.
    frequency, probability : float
        Share of the samples whose true class it is, and its mean probability.
    ece : Measure
        With limits that hold for all classes at once, and a p-value corrected for their number.
    """

    name: str
    weight: float
    frequency: float
    probability: float
    ece: Measure


@dataclass(frozen=True)
class ClassErrors:
    """How well the probability of each class fits, one number per class.

    Attributes
    ----------
    frequency : tuple of float
        Share of the samples whose true class it is.
    probability : tuple of float
        Mean probability of the class, over all samples.
    ece : tuple of float
        ECE of that probability; their mean is the classwise ECE.
    floor : tuple of float
        The ECE that a perfectly calibrated model with these probabilities would show in the mean; empty where that was
        not asked for.
    p_value : tuple of float
        Probability that it would show as much, corrected for the number of classes (Holm's method); empty likewise.
    worst : tuple of WorstClass
        Classes whose error is no noise, the largest first; 15 at most.
    n_sure : int
        How many such classes there are.
    """

    frequency: tuple[float, ...]
    probability: tuple[float, ...]
    ece: tuple[float, ...]
    floor: tuple[float, ...] = ()
    p_value: tuple[float, ...] = ()
    worst: tuple[WorstClass, ...] = ()
    n_sure: int = 0

    @classmethod
    def from_bins(cls, bins: BinSums) -> ClassErrors:
        """Take the sums of :class:`~calkit.stats.ClasswiseBins`."""
        weight = bins.weight.sum(axis=1)
        gaps = np.abs(bins.confidence - bins.correct).sum(axis=1)
        arrays = (bins.correct.sum(axis=1), bins.confidence.sum(axis=1), gaps)
        frequency, probability, ece = (tuple((array / weight).tolist()) for array in arrays)
        return cls(frequency, probability, ece)


@dataclass(frozen=True)
class Sweep:
    """The scores at many temperatures.

    Attributes
    ----------
    temperature : tuple of float
        Rising; 1 is one of them, and so is every temperature that was fitted.
    nll, ece : tuple of float
        One value per temperature.
    weight, confidence, correct : tuple of tuple of float
        For each temperature the sums of a :class:`Diagram` whose bins have equal width.
    """

    temperature: tuple[float, ...]
    nll: tuple[float, ...]
    ece: tuple[float, ...]
    weight: tuple[tuple[float, ...], ...]
    confidence: tuple[tuple[float, ...], ...]
    correct: tuple[tuple[float, ...], ...]
