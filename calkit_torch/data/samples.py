"""Batches made sample by sample by torch's DataLoader, in this process or in workers.

The DataLoader is handed keys instead of row numbers: the row, and the random words of its place in the epoch. So
what comes out does not depend on the workers, and images are those of the resident pipeline.
"""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from calkit.errors import InputError, UsageError
from calkit_torch.bridge.batches import to_device
from calkit_torch.data.images import Augmentation, Pixels
from calkit_torch.data.loader import Batch, Loader, Request
from calkit_torch.data.order import EpochPlan
from calkit_torch.data.split import Split

__all__ = ["ImageSamples", "SampleLoader", "SeededSamples", "TensorSamples", "TreeSamples"]

Key = tuple[int, NDArray[np.uint64] | None]
"""A row, and the random words of its place."""

Collate = Callable[[list[Any]], Any]


class Samples(Dataset[Any]):
    """Samples by key."""

    #: Whether samples take random words in training, and in evaluation.
    draws = (False, False)

    def __len__(self) -> int:
        raise NotImplementedError


class TensorSamples(Samples):
    """Numbers as they are.

    Parameters
    ----------
    split : Split
    """

    def __init__(self, split: Split) -> None:
        # Not the split itself: it may hold copies on a device, which workers have no use for.
        self.inputs, self.labels = split.inputs, split.labels

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, key: Key) -> Any:
        row, _ = key
        return self.inputs[row], self._label(row)

    def _label(self, row: int) -> Any:
        return None if self.labels is None else self.labels[row]


class TreeSamples(TensorSamples):
    """Trees, which hold their labels themselves."""

    def __getitem__(self, key: Key) -> Any:
        return self.inputs[key[0]]


class ImageSamples(TensorSamples):
    """Images, one after the other: padded, cropped, mirrored, normalised.

    Parameters
    ----------
    split : Split
    pixels : Pixels
    augmentation : Augmentation or None
    """

    def __init__(self, split: Split, pixels: Pixels, augmentation: Augmentation | None) -> None:
        super().__init__(split)
        self.pixels = pixels
        self.augmentation = augmentation
        self.draws = (augmentation is not None, False)

    def __getitem__(self, key: Key) -> Any:
        row, words = key
        image = self.inputs[row]
        if words is not None and self.augmentation is not None:
            top, left, mirror = self.augmentation.draws(words).tolist()
            p = self.augmentation.padding
            padded = torch.nn.functional.pad(image, (p, p, p, p))
            image = padded[:, top : top + image.shape[1], left : left + image.shape[2]]
            if mirror:
                image = image.flip(2)
        return self.pixels(image[None])[0], self._label(row)


class SeededSamples(Samples):
    """A user's samples, made while the global random generators are seeded by the place in the epoch.

    The generators of ``random``, ``numpy.random`` and torch (CPU) have their old state back afterwards.

    Parameters
    ----------
    dataset : Dataset
    """

    draws = (True, True)

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, key: Key) -> Any:
        row, words = key
        with _seeded(0 if words is None else int(words[0])):
            return self.dataset[row]


class SampleLoader(Loader):
    """Batches made by torch's DataLoader.

    Parameters
    ----------
    samples : Samples
    request : Request
    collate : callable, optional
        Makes a batch of a list of samples; torch's own by default.
    channels_last : bool
        Whether inputs of shape (n, channels, height, width) are laid out pixel by pixel.

    Notes
    -----
    With workers, one iteration at a time: beginning another ends the one before.
    """

    def __init__(
        self, samples: Samples, request: Request, *, collate: Collate | None = None, channels_last: bool = False
    ) -> None:
        super().__init__(len(samples), request)
        self.draws = samples.draws
        self._channels_last = channels_last
        self._keys = _Keys()
        self._loader: DataLoader[Any] = DataLoader(
            samples,
            batch_sampler=self._keys,
            collate_fn=collate,
            num_workers=request.num_workers,
            persistent_workers=request.num_workers > 0,
            pin_memory=request.device.type == "cuda",
            worker_init_fn=_ignore_interrupts,
            # Its own generator: the DataLoader would otherwise draw from torch's at each epoch.
            generator=torch.Generator(),
        )

    def _give(self, plan: EpochPlan, start: int) -> Iterator[Batch]:
        self._keys.set(plan, start)
        for batch in self._loader:
            inputs, labels = _pair(batch)
            inputs, labels = to_device((inputs, labels), self.request.device)
            if self._channels_last and isinstance(inputs, Tensor) and inputs.ndim == 4:
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            yield inputs, labels.to(torch.int64)


class _Keys:
    """The keys of each batch of a plan, as a batch sampler gives them."""

    def set(self, plan: EpochPlan, start: int) -> None:
        self.plan, self.start = plan, start

    def __iter__(self) -> Iterator[list[Key]]:
        plan = self.plan
        ends = plan.starts.tolist()
        for begin, end in zip(ends[self.start :], ends[self.start + 1 :], strict=False):
            if begin < end:
                rows = plan.rows[begin:end].tolist()
                words = [None] * len(rows) if plan.words is None else list(plan.words[begin:end])
                yield list(zip(rows, words, strict=True))


def _ignore_interrupts(_: int) -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the one that trains: it ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _seeded(word: int) -> Iterator[None]:
    # A generator that a user's transform draws from is a global one, so these are lent for the time of one sample.
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(word)
    np.random.seed(word % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(word % 2**63)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


def _pair(batch: Any) -> tuple[Any, Tensor]:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        found = f"{len(batch)} parts" if isinstance(batch, tuple | list) else f"a {type(batch).__name__}"
        raise UsageError(
            f"samples must be pairs (inputs, label), but a batch of them has {found}; give collate=, a function that "
            "makes a pair of a list of samples."
        )
    inputs, labels = batch
    if not isinstance(labels, Tensor) or labels.is_floating_point():
        raise InputError(f"labels must be whole numbers, but a batch of them is {labels!r}.")
    return inputs, labels
