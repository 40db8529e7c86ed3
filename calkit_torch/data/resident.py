"""A split that lies on the device as a whole, so that making a batch is a few operations there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calkit.errors import InputError
from calkit_torch.data.images import Augmentation, Pixels, crop_and_flip, pad_lines_first
from calkit_torch.data.loader import Batch, Loader, Request
from calkit_torch.data.order import EpochPlan
from calkit_torch.data.split import Split

__all__ = ["ImageSource", "ResidentLoader", "Source", "TensorSource"]


class Source(ABC):
    """A split on a device.

    Parameters
    ----------
    split : Split
    request : Request
    """

    def __init__(self, split: Split, request: Request) -> None:
        self.device = device = request.device
        self.channels_last = request.channels_last
        self.labels: Tensor = split.once(("labels", device), lambda: _labels(split).to(device))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_random(self) -> bool:
        """Whether batches take random numbers."""
        return False

    def draws(self, words: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Turn random words, three a sample, into what :meth:`inputs` takes."""
        raise NotImplementedError

    @abstractmethod
    def inputs(self, rows: Tensor, draws: Tensor | None) -> Tensor:
        """Return the inputs of some rows, given on the device, for the model."""


class TensorSource(Source):
    """Numbers that are fed as they are."""

    def __init__(self, split: Split, request: Request) -> None:
        super().__init__(split, request)
        self.numbers: Tensor = split.once(("inputs", self.device), lambda: split.inputs.to(self.device))

    def inputs(self, rows: Tensor, draws: Tensor | None) -> Tensor:  # noqa: ARG002
        """Return some rows."""
        found = self.numbers[rows]
        return found.contiguous(memory_format=torch.channels_last) if self.channels_last and found.ndim == 4 else found


class ImageSource(Source):
    """Images of uint8, normalised; cropped and flipped if they are to be augmented.

    Parameters
    ----------
    split : Split
    pixels : Pixels
    augmentation : Augmentation or None
    request : Request
    """

    def __init__(self, split: Split, pixels: Pixels, augmentation: Augmentation | None, request: Request) -> None:
        super().__init__(split, request)
        self.pixels = pixels
        self.constants = pixels.constants(self.device)
        self.augmentation = augmentation
        padding = augmentation.padding if augmentation else 0
        self.padded: Tensor = split.once(
            ("inputs", self.device, padding), lambda: pad_lines_first(split.inputs.to(self.device), padding)
        )

    @property
    def is_random(self) -> bool:
        """Whether images are augmented."""
        return self.augmentation is not None

    def draws(self, words: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return top, left and mirror of each image."""
        if self.augmentation is None:
            return np.zeros((len(words), 3), dtype=np.int64)
        return self.augmentation.draws(words)

    def inputs(self, rows: Tensor, draws: Tensor | None) -> Tensor:
        """Return some images, cropped and flipped as drawn."""
        if draws is None or self.augmentation is None:
            images = self.padded[rows]
        else:
            images = crop_and_flip(self.padded, rows, draws, padding=self.augmentation.padding)
        return self.pixels(images, self.constants, channels_last=self.channels_last)


class ResidentLoader(Loader):
    """The batches of a split that lies on the device.

    Order and random draws of an epoch are made on the CPU and brought over once, at its beginning.

    Parameters
    ----------
    source : Source
    request : Request
    """

    def __init__(self, source: Source, request: Request) -> None:
        super().__init__(len(source), request)
        self.source = source
        self.draws = (source.is_random, False)

    def _give(self, plan: EpochPlan, start: int) -> Iterator[Batch]:
        source = self.source
        rows = torch.from_numpy(plan.rows).to(source.device)
        draws = None if plan.words is None else torch.from_numpy(source.draws(plan.words)).to(source.device)
        ends = plan.starts.tolist()
        for begin, end in zip(ends[start:], ends[start + 1 :], strict=False):
            if begin < end:
                chosen = rows[begin:end]
                inputs = source.inputs(chosen, None if draws is None else draws[begin:end])
                yield inputs, source.labels[chosen]


def _labels(split: Split) -> Tensor:
    if split.labels is None:
        raise InputError("a split of tensors needs labels, but has none.")
    return split.labels
