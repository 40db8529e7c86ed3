"""Rows collected batch by batch on each rank, and put together at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn.functional import one_hot

from calkit.errors import InputError
from calkit.labels import TrueColumns
from calkit.predictions import Predictions
from calkit_torch.bridge.distributed import Share, is_distributed, largest_over_ranks
from calkit_torch.bridge.shapes import read_batch

__all__ = ["RowCollector", "gather_rows"]


class RowCollector:
    """Logits and labels of many batches, kept on the host.

    Parameters
    ----------
    ignore_index : int, default=-100
        Label of rows to leave out.

    Examples
    --------
    >>> rows = RowCollector()
    >>> rows.add(torch.zeros(4, 3), torch.tensor([0, 1, 2, -100]))
    >>> rows.predictions()
    Predictions(n_samples=3, n_classes=3, kind='logits')
    """

    def __init__(self, ignore_index: int = -100) -> None:
        self.ignore_index = ignore_index
        self._scores: list[Tensor] = []
        self._y: list[Tensor] = []
        self._votes: list[Tensor | None] = []

    def add(self, logits: Tensor, y: Tensor, share: Share = None) -> None:
        """Take in a batch.

        Parameters
        ----------
        logits : Tensor of floats, shape (n, K), (n, K, ...) or (n,)
            As for :meth:`calkit_torch.bridge.Accumulator.update`. Half precision is widened to float32.
        y : Tensor of integers, shape (n,) or (n, ...)
            Or soft labels, of the shape of the logits of all classes.
        share : tuple of int, optional
            Size of the batch, and how many of its first samples are no padding.

        Raises
        ------
        InputError
            If shapes or types do not fit.
        """
        real = slice(None) if share is None else slice(share[1])
        with torch.no_grad():
            rows = read_batch(logits[real], y[real])
            scores = rows.scores.movedim(1, 2).flatten(0, 1)
            labels = rows.y.flatten()
            keep = torch.ones_like(labels, dtype=torch.bool)
            if rows.votes is None:
                keep = labels != self.ignore_index
            elif rows.votes.isnan().any():
                raise InputError(
                    "y has the shape of the logits, so it holds soft labels, but a row holds neither shares of the "
                    "classes that sum to 1 nor whole numbers of votes; where several classes of a row are true, use "
                    "calkit.Predictions(logits, y, kind='logits', multilabel=True)."
                )
            scores = scores.float() if scores.dtype.itemsize < 4 else scores
            self._scores.append(scores[keep].cpu())
            self._y.append(labels[keep].cpu())
            self._votes.append(None if rows.votes is None else rows.votes.movedim(1, 2).flatten(0, 1).cpu().double())

    def predictions(self, device: torch.device | str = "cpu", class_names: Sequence[str] | None = None) -> Predictions:
        """Return the rows of all ranks, those of rank 0 first.

        Parameters
        ----------
        device : torch.device or str
            Where ranks exchange rows: their own GPU, if the process group is NCCL's.
        class_names : sequence of str, optional
            A name per class.

        Raises
        ------
        InputError
            If there are none, or the number of classes changed.
        """
        if len({part.shape[1] for part in self._scores}) > 1:
            widths = sorted({part.shape[1] for part in self._scores})
            raise InputError(f"batches differ in their number of classes: {', '.join(map(str, widths))}.")
        scores = torch.cat(self._scores) if self._scores else torch.zeros(0, 0)
        y = torch.cat(self._y) if self._y else torch.zeros(0, dtype=torch.long)
        votes = self._all_votes(scores.shape[1], torch.device(device))
        scores, y = gather_rows(scores, device), gather_rows(y, device)
        if not len(y):
            raise InputError("there are no rows with a label.")
        return Predictions(scores.numpy(), TrueColumns(y.numpy(), votes), kind="logits", class_names=class_names)

    def _all_votes(self, n_classes: int, device: torch.device) -> Any:
        """Return the soft labels of all ranks, those of one class among them; None where no label is soft."""
        if not largest_over_ranks(int(any(part is not None for part in self._votes)), device):
            return None
        parts = [
            one_hot(y, n_classes).double() if votes is None else votes
            for y, votes in zip(self._y, self._votes, strict=True)
        ]
        return gather_rows(torch.cat(parts) if parts else torch.zeros(0, 0, dtype=torch.double), device).numpy()


def gather_rows(rows: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Return the rows of all ranks, in the order of the ranks, on the host; ranks may have different numbers of them.

    Parameters
    ----------
    rows : Tensor of shape (n,) or (n, K)
        Of the same type on every rank; a rank without rows need not know K.
    device : torch.device or str
        Where the exchange happens.
    """
    if not is_distributed():
        return rows
    width = rows.shape[1] if rows.ndim > 1 else 1
    shape = torch.tensor([len(rows), width], device=device)
    shapes = [torch.empty_like(shape) for _ in range(dist.get_world_size())]
    dist.all_gather(shapes, shape)
    lengths, widths = torch.stack(shapes).T.tolist()
    padded = torch.zeros(max(lengths), max(widths), dtype=rows.dtype, device=device)
    if len(rows):
        padded[: len(rows), :width] = rows.reshape(len(rows), width).to(device)
    parts = [torch.empty_like(padded) for _ in shapes]
    dist.all_gather(parts, padded)
    whole = torch.cat([part[:n] for part, n in zip(parts, lengths, strict=True)]).cpu()
    return whole if rows.ndim > 1 else whole[:, 0]
