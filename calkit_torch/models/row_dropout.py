"""Dropout of rows whose masks do not depend on how a batch is divided between processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from calkit.errors import InputError

__all__ = ["BatchMasks", "RowDropout", "shared_masks"]


class BatchMasks:
    """Masks of a whole batch, of which this process has some rows.

    Every process draws them all from a generator of the same seed, in the order of the layers, with the very call that
    one process would make, and takes its rows.

    Parameters
    ----------
    n_rows : int
        Rows of the whole batch.
    rows : Tensor of int64, shape (m,)
        Those of this process.
    seed : int
        Of the generator.
    """

    def __init__(self, n_rows: int, rows: Tensor, seed: int) -> None:
        self.n_rows = n_rows
        self.rows = rows
        self.generator = torch.Generator(rows.device).manual_seed(seed)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def scale(self, x: Tensor, p: float) -> Tensor:
        """Return 0 for what is left out of ``x``, the rows of this process, and 1 / (1 - p) for what is kept."""
        if len(x) != len(self.rows):
            raise InputError(
                f"RowDropout takes one row for each row of the logits, {len(self.rows)} here, but got {len(x)}; "
                "use torch.nn.Dropout for anything else."
            )
        with _in_place_of_default(self.generator):
            return functional.dropout(x.new_ones(self.n_rows, *x.shape[1:]), p)[self.rows]


class RowDropout(nn.Dropout):
    """Dropout on the rows of a batch, of shape (n, ...), one for each row of the logits.

    In one process it is :class:`torch.nn.Dropout`. Where ``calkit train`` runs in several, each drops of its rows what
    one process would have dropped, whereas the masks of ``torch.nn.Dropout`` differ with the number of processes.

    Parameters
    ----------
    p : float, default=0.5
        Rate of the dropout.

    Examples
    --------
    >>> RowDropout(0.3)
    RowDropout(p=0.3, inplace=False)
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)
        self.masks: BatchMasks | None = None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Return the input with some of its numbers set to 0, and the others larger to make up for them."""
        if self.masks is None or not self.training:
            return super().forward(input)
        return input * self.masks.scale(input, self.p)


@contextmanager
def shared_masks(layers: list[RowDropout], masks: BatchMasks | None) -> Iterator[None]:
    """Let layers take their masks from those of a whole batch while the block runs."""
    for layer in layers:
        layer.masks = masks
    try:
        yield
    finally:
        for layer in layers:
            layer.masks = None


@contextmanager
def _in_place_of_default(generator: torch.Generator) -> Iterator[None]:
    """Draw from a generator where torch draws from the default one, which dropout cannot be told to do."""
    device = generator.device
    default = torch.cuda.default_generators[device.index] if device.type == "cuda" else torch.default_generator
    before = default.get_state()
    default.set_state(generator.get_state())
    try:
        yield
        generator.set_state(default.get_state())
    finally:
        default.set_state(before)
