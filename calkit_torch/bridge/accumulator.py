"""Statistics accumulated batch by batch on the device of the batches: sums, and pairs where sums do not do."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calkit.errors import InputError, UsageError
from calkit.stats import Statistic
from calkit.stats.rows import CLASS_COLUMNS
from calkit.stats.views import MultiLabel
from calkit_torch.bridge.counted import CHECKS, CountedRows
from calkit_torch.bridge.distributed import is_distributed, join_over_ranks, largest_over_ranks, sum_over_ranks
from calkit_torch.bridge.kept import KeptRows, keeps_rows
from calkit_torch.bridge.row_errors import raise_for_rows
from calkit_torch.bridge.rows import rows_of
from calkit_torch.bridge.shapes import Batch, as_score_kind, read_batch, transfer, working_dtype
from calkit_torch.bridge.statistics import as_groups, check_groups, counter_of
from calkit_torch.bridge.sums import added, exact, joined, moved

__all__ = ["Accumulator"]

# Scores worked on at once: they bound the memory that is needed beside them.
_CHUNK = {"cpu": 1 << 20}
_ACCELERATOR_CHUNK = 1 << 22

# Scores of small batches that are kept until they are counted together: a few megabytes.
_WAITING = {"cpu": 1 << 18}
_ACCELERATOR_WAITING = 1 << 20


class Accumulator:
    """Counts statistics over batches of scores, on their device; in constant memory, if they are sums.

    Updating reads nothing back from the device, so it never waits for it: what is wrong with labels, scores or
    weights is counted there, and reported when the result is asked for. Sums run in float64 (in float32, with the
    rounding of each addition kept, on Apple's MPS, which has nothing wider).

    Parameters
    ----------
    statistics : iterable of Statistic
        From :mod:`calkit.stats`: UniformBins, RowMean, Tail, Residuals, Moments, NllDerivatives and others that are
        sums, of the forecasts of any view, and By of them. Repeated ones are counted once. For Pairs and EqualMass
        (AdaECE) probability and outcome of each forecast are kept, and the weight of each row: 24 bytes a row where it
        has one forecast, 16 more for each other one.
    kind : {"logits", "probs"}, default="logits"
        What the scores will be. Never guessed.
    ignore_index : int, default=-100
        Label of rows that do not count.
    groups : mapping of str to sequence, optional
        By the name of a column, the values it has: the groups of :class:`~calkit.stats.By`. One column at most.
    process_group : ProcessGroup, optional
        The processes whose sums belong together; by default all of them, if torch.distributed is initialised.

    Raises
    ------
    UsageError
        If a statistic is none of these, or those of multi-label rows are mixed with others.

    Examples
    --------
    >>> import torch
    >>> from calkit.stats import RowMean
    >>> accumulator = Accumulator([RowMean("correct")])
    >>> accumulator.update(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])).summaries()
    {RowMean(quantity='correct', view=None): WeightedTotal(count=2, weight=2.0, total=1.0)}
    """

    #: Whether the number of classes has to be known in the end.
    _needs_classes = False

    def __init__(
        self,
        statistics: Iterable[Statistic[Any]],
        *,
        kind: str = "logits",
        ignore_index: int = -100,
        groups: Mapping[str, Sequence[Any]] | None = None,
        process_group: Any = None,
    ) -> None:
        self.kind = as_score_kind(kind)
        self.ignore_index = ignore_index
        self.process_group = process_group
        self._groups = as_groups(groups or {})
        self._count(tuple(dict.fromkeys(statistics)))
        self.reset()

    def _count(self, statistics: tuple[Statistic[Any], ...]) -> None:
        """Prepare for some statistics; others of the same number may take their places before the first batch."""
        for statistic in statistics:
            check_groups(statistic, self._groups)
        self._statistics = statistics
        self._kept = KeptRows(statistics)
        sums = [statistic for statistic in statistics if not keeps_rows(statistic)]
        # Those whose size depends on the number of classes come last: the others' places are known before it is.
        counters = (counter_of(statistic, self.kind, self._groups) for statistic in sums)
        self._counters = sorted(counters, key=lambda c: c.per_class)
        self._known_products: dict[tuple[int | None, torch.device], Tensor | None] = {}
        views = [getattr(getattr(statistic, "statistic", statistic), "view", None) for statistic in statistics]
        self._multilabel = any(isinstance(view, MultiLabel) for view in views)
        if self._multilabel and not all(isinstance(view, MultiLabel) for view in views):
            raise UsageError("labels of which several may be true have no other target than 'multilabel'.")
        if self._multilabel and any(getattr(statistic, "column", None) in CLASS_COLUMNS for statistic in statistics):
            raise UsageError("rows with several labels have no one class to be grouped by; choose another column.")

    @property
    def device(self) -> torch.device:
        """Where the sums are: on the CPU at first, then wherever the last batch was."""
        return self._sums.device

    @property
    def n_classes(self) -> int | None:
        """Number of classes of the batches so far; None before the first."""
        return self._n_classes

    def reset(self) -> Self:
        """Forget all batches."""
        self._n_classes: int | None = None
        # The sums, and below them what their additions have rounded away.
        self._sums = torch.zeros(2, sum(self._sizes(0)), dtype=torch.float64, device="cpu")
        # What is kept of the rows of each batch, as far as there are statistics that are no sums.
        self._pairs: list[Tensor] = []
        # Small batches that are not counted yet, and how many scores they have together.
        self._waiting: tuple[Batch, ...] = ()
        self._n_waiting = 0
        return self

    def to(self, device: torch.device | str) -> Self:
        """Bring the sums to a device. Not needed before :meth:`update`, which does so itself."""
        self._catch_up()
        device = torch.device(device)
        self._sums = moved(self._sums, device)
        self._pairs = [transfer(pairs.to(working_dtype(device)), device) for pairs in self._pairs]
        return self

    @torch.no_grad()
    def update(
        self, scores: Tensor, y: Tensor, sample_weight: Tensor | None = None, *, by: Tensor | None = None
    ) -> Self:
        """Take in a batch, without waiting for its device.

        Parameters
        ----------
        scores : Tensor of floats, shape (n, K), (n, K, ...) for pixels, or (n,) for two classes
            Logits (or probabilities, with ``kind="probs"``) in any precision. One dimension is the score of class 1.
        y : Tensor of integers, shape (n,), or (n, ...) for pixels
            Labels in 0..K-1, or `ignore_index`. Or of the shape of scores of all classes: one-hot, or soft labels
            (shares of the classes that sum to 1, or whole numbers of votes). Of multi-label rows, 0 and 1 in the shape
            of the scores.
        sample_weight : Tensor, optional
            A weight per label, or of shape (n,): finite and not negative. A row of weight 0 counts as absent, whatever
            its scores and label.
        by : Tensor of integers, optional
            Of each label, or of shape (n,): the number of its group among the values of the column, from 0 on.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If shapes or types do not fit. Impossible values are counted, and raise in :meth:`summaries`.
        """
        batch = self._read(scores, y, sample_weight, by)
        if self._n_classes not in (None, batch.n_classes):
            raise InputError(
                f"the scores have {batch.n_classes} classes, but those of earlier batches had {self._n_classes}; call "
                "reset() between data sets."
            )
        self._begin(batch)
        if batch.scores.device != self.device:
            self.to(batch.scores.device)
        most = _WAITING.get(self.device.type, _ACCELERATOR_WAITING)
        if 4 * batch.scores.numel() > most:
            self._take_in(batch)
        else:
            self._wait(batch, most)
        self._n_classes = batch.n_classes
        return self

    def _wait(self, batch: Batch, most: int) -> None:
        """Keep a copy of a small batch: to count few rows takes as long as to count some thousands."""
        if self._waiting and not batch.fits(self._waiting[0]):
            self._catch_up()
        self._waiting = (*self._waiting, batch.copied())
        self._n_waiting += batch.scores.numel()
        if self._n_waiting >= most:
            self._catch_up()

    @torch.no_grad()
    def _catch_up(self) -> None:
        """Count the batches that wait."""
        if self._waiting:
            self._take_in(Batch.joined(self._waiting))
        self._waiting, self._n_waiting = (), 0

    def _take_in(self, batch: Batch) -> None:
        """Count a batch."""
        sums, products, pairs = self._widened(batch.n_classes), self._products(batch.n_classes), []
        for chunk in batch.chunks(_CHUNK.get(self.device.type, _ACCELERATOR_CHUNK)):
            rows = rows_of(chunk, self.kind, self.ignore_index, multilabel=self._multilabel)
            sums = added(sums, torch.cat([rows.checks, *self._measured(rows)]), products=products)
            if self._kept:
                pairs.append(self._kept.of(rows))
        # Set only now, so that a batch that failed has left nothing behind.
        self._sums, self._pairs = sums, [*self._pairs, *pairs]

    def _read(self, scores: Tensor, y: Tensor, sample_weight: Tensor | None, by: Tensor | None) -> Batch:
        (column, labels), *_ = [*self._groups.items(), (None, ())]
        if (column is None) != (by is None):
            asked = f"by= is missing: the number of the group of each row, by {column!r}"
            raise UsageError("by= needs groups, which were not named." if column is None else f"{asked}.")
        how: Any = {"kind": self.kind, "multilabel": self._multilabel}
        return read_batch(scores, y, sample_weight, group=by, n_groups=len(labels), **how)

    def _begin(self, batch: Batch) -> None:
        """Learn from a batch what is counted."""

    def _measured(self, rows: CountedRows) -> list[Tensor]:
        """Return the sums of each counter over rows; equal statistics are counted once."""
        found: dict[Statistic[Any], Tensor] = {}
        for counter in self._counters:
            if counter.statistic not in found:
                found[counter.statistic] = counter.measure(rows)
        return [found[counter.statistic] for counter in self._counters]

    def merge(self, *others: Self) -> Self:
        """Take in what other accumulators of the same statistics have counted.

        Raises
        ------
        UsageError
            If they count something else.
        """
        self._catch_up()
        for other in others:
            other._catch_up()
            self._check_layout(other._layout())
            if None not in (self._n_classes, other._n_classes) and self._n_classes != other._n_classes:
                raise InputError(f"sums over {self._n_classes} and {other._n_classes} classes do not belong together.")
            n_classes = other._n_classes if self._n_classes is None else self._n_classes
            values, rest = moved(other._widened(n_classes), self.device)
            self._sums = added(self._widened(n_classes), values, rest, self._products(n_classes))
            self._pairs = [*self._pairs, *copy.copy(other).to(self.device)._pairs]
            self._n_classes = n_classes
        return self

    def __add__(self, other: Self) -> Self:
        if not isinstance(other, Accumulator):
            return NotImplemented
        return copy.copy(self).merge(other)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of this process as plain data and tensors, for ``torch.save``."""
        self._catch_up()
        state = {**self._layout(), "n_classes": self._n_classes, "sums": self._sums.clone()}
        return {**state, "pairs": self._all_pairs()} if self._kept else state

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Take the state that :meth:`state_dict` returned in place of the present one.

        Raises
        ------
        UsageError
            If the state is not that of an accumulator of the same statistics.
        """
        self._check_layout(state)
        self._waiting, self._n_waiting = (), 0
        self._n_classes = state["n_classes"]
        self._sums = moved(state["sums"].detach().clone(), state["sums"].device)
        self._pairs = [state["pairs"].detach().clone()] if self._kept else []
        return self

    def summaries(self, *, sync: bool = True) -> dict[Statistic[Any], Any]:
        """Return the summary of each statistic, over all ranks: one all-reduce and one transfer to the host.

        What depends on the number of classes needs that of all ranks first; sums over pairs of rows, and rows that are
        kept, are gathered.

        Parameters
        ----------
        sync : bool, default=True
            Add the sums of all ranks, if torch.distributed is initialised; then every rank must call this. False:
            those of this process alone.

        Returns
        -------
        dict
            As :func:`calkit.stats.summarize` returns; the state does not change.

        Raises
        ------
        InputError
            If a label, a score or a weight was impossible, on whatever rank, or no row counts.
        """
        return self._result(sync)[1]

    def _result(self, sync: bool) -> tuple[int, dict[Statistic[Any], Any]]:
        """Return the number of rows, and the summaries."""
        self._catch_up()
        values = self._collect(sync)
        raise_for_rows(
            values[: len(CHECKS)].astype(np.int64).tolist(),
            kind=self.kind,
            multilabel=self._multilabel,
            n_classes=self._n_classes,
            ignore_index=self.ignore_index,
            groups=self._groups,
        )
        parts = np.split(values, np.cumsum(self._sizes(self._n_classes or 0)))[1:]
        found = {c.statistic: c.summary(part) for c, part in zip(self._counters, parts, strict=False)}
        if self._kept:
            # Only here, where all ranks know that no row is wrong on any of them.
            pairs = self._all_pairs()
            pairs = join_over_ranks(pairs, self.process_group) if sync else pairs
            found |= self._kept.summaries(pairs, self._n_classes or 0, self._groups)
        return int(values[len(CHECKS) - 1]), {statistic: found[statistic] for statistic in self._statistics}

    def _collect(self, sync: bool) -> NDArray[np.float64]:
        per_class = self._kept.per_class or any(counter.per_class for counter in self._counters)
        if sync and is_distributed() and (per_class or self._needs_classes):
            # A rank that has seen no batch does not know how many sums there are.
            n_classes = largest_over_ranks(self._n_classes or 0, self.device, self.process_group)
            self._sums, self._n_classes = self._widened(n_classes), n_classes or None
        total = exact(self._sums)
        products = self._products(self._n_classes)
        if sync and is_distributed() and products is not None:
            total = joined(join_over_ranks(total.unsqueeze(1), self.process_group), products)
        elif sync:
            total = sum_over_ranks(total, self.process_group)
        return total.cpu().numpy()

    def _sizes(self, n_classes: int) -> list[int]:
        """Return how many numbers the checks and each counter take."""
        return [len(CHECKS), *(counter.size(n_classes) for counter in self._counters)]

    def _products(self, n_classes: int | None) -> Tensor | None:
        """Return the places of sums over pairs of rows, if there are any; see :meth:`Counter.products`."""
        asked = n_classes, self.device
        if asked not in self._known_products:
            starts = np.cumsum(self._sizes(n_classes or 0))
            places = [start + c.products(n_classes or 0) for start, c in zip(starts, self._counters, strict=False)]
            together = np.concatenate([np.empty((0, 2), dtype=np.int64), *places])
            found = transfer(torch.from_numpy(together.T.copy()), self.device)
            self._known_products[asked] = found if len(together) else None
        return self._known_products[asked]

    def _widened(self, n_classes: int | None) -> Tensor:
        """Return the sums with room for those that depend on the number of classes."""
        missing = sum(self._sizes(n_classes or 0)) - self._sums.shape[1]
        return nn.functional.pad(self._sums, (0, missing)) if missing else self._sums

    def _all_pairs(self) -> Tensor:
        size = self._kept.numbers(self._n_classes or 0)
        return torch.cat([torch.zeros(size, 0, dtype=self._sums.dtype, device=self.device), *self._pairs], dim=1)

    def _layout(self) -> dict[str, Any]:
        """Return what must be equal for sums to be added."""
        named = {"groups": self._groups} if self._groups else {}
        return {"statistics": [repr(statistic) for statistic in self._statistics], "kind": self.kind, **named}

    def _check_layout(self, other: Mapping[str, Any]) -> None:
        for key, value in self._layout().items():
            if other.get(key) != value:
                raise UsageError(f"these sums have {key} {value}, but the others have {other.get(key)}.")
