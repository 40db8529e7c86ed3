"""Images as uint8 tensors: cropped, flipped and normalised in whole batches, where the network is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from calkit.errors import InputError
from calkit.parameters import check_count

__all__ = ["Augmentation", "Pixels", "crop_and_flip", "pad_lines_first"]


@dataclass(frozen=True)
class Pixels:
    """How pixels become numbers: ``(pixel / scale - mean) / std``, per channel.

    Each step is one rounded float32 operation, so the numbers are the same on every device, and those of torchvision's
    ``ToTensor`` and ``Normalize``.

    Parameters
    ----------
    mean, std : tuple of float
        One number a channel.
    scale : float
        The pixel that becomes 1 before the mean is taken off.

    Examples
    --------
    >>> pixels = Pixels(mean=(0.5,), std=(0.25,))
    >>> pixels(torch.tensor([[[[0, 255]]]], dtype=torch.uint8))
    tensor([[[[-2.,  2.]]]])
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float = 255.0

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std):
            raise InputError(f"mean and std need one number a channel each, but have {self.mean} and {self.std}.")
        if min(self.std) <= 0 or self.scale <= 0:
            raise InputError(f"std and scale must be positive, but are {self.std} and {self.scale}.")

    def constants(self, device: torch.device) -> Tensor:
        """Return scale, means and deviations on a device, of shape (3, channels, 1, 1)."""
        table = [(self.scale,) * len(self.mean), self.mean, self.std]
        return torch.tensor(table, dtype=torch.float32, device=device)[:, :, None, None]

    def __call__(self, images: Tensor, constants: Tensor | None = None, *, channels_last: bool = False) -> Tensor:
        """Return float32 images.

        Parameters
        ----------
        images : Tensor of uint8, shape (n, channels, height, width)
        constants : Tensor, optional
            As :meth:`constants` gives them, to spare the copy to the device.
        channels_last : bool
            Whether the result is laid out channel by channel within each pixel.
        """
        scale, mean, std = (self.constants(images.device) if constants is None else constants).unbind()
        numbers = images.to(torch.float32, memory_format=torch.contiguous_format).div_(scale).sub_(mean).div_(std)
        return numbers.contiguous(memory_format=torch.channels_last) if channels_last else numbers


@dataclass(frozen=True)
class Augmentation:
    """Random crops and flips of training images.

    Parameters
    ----------
    padding : int
        Black pixels added on each side; a crop of the old size is then taken at one of (2 · padding + 1)² places,
        all equally probable.
    flip : bool
        Whether every other image, by chance, is mirrored.
    """

    padding: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        check_count(0, padding=self.padding)

    def draws(self, words: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Turn three random words for each image into top and left of its crop and whether to mirror it (0 or 1).

        Parameters
        ----------
        words : ndarray of uint64, shape (n, 3)

        Returns
        -------
        ndarray of int64, shape (n, 3)
        """
        places = 2 * self.padding + 1
        return (words % np.array([places, places, 2 if self.flip else 1], dtype=np.uint64)).astype(np.int64)


def crop_and_flip(padded: Tensor, rows: Tensor, draws: Tensor, *, padding: int) -> Tensor:
    """Take some images out of padded ones, each at its own place, some of them mirrored.

    Parameters
    ----------
    padded : Tensor, shape (n, channels, height + 2 · padding, width + 2 · padding)
        All images, with their margins.
    rows : Tensor of int64, shape (m,)
        The images wanted.
    draws : Tensor of int64, shape (m, 3)
        Of each: the first line and the first column of its crop, and 1 to mirror it, 0 to leave it.
    padding : int

    Returns
    -------
    Tensor, shape (m, channels, height, width)
        Pixel (i, j) of image k is pixel (top + i, left + j) of the padded image ``rows[k]``, or, mirrored,
        pixel (top + i, left + width - 1 - j).

    Examples
    --------
    >>> padded = torch.arange(16).view(1, 1, 4, 4)
    >>> crop_and_flip(padded, torch.tensor([0, 0]), torch.tensor([[0, 1, 0], [2, 0, 1]]), padding=1).flatten(1)
    tensor([[ 1,  2,  5,  6],
            [ 9,  8, 13, 12]])
    """
    height, width = (size - 2 * padding for size in padded.shape[2:])
    top, left, mirror = draws.unbind(1)
    lines = top[:, None] + torch.arange(height, device=padded.device)
    columns = torch.arange(width, device=padded.device)
    columns = left[:, None] + torch.where(mirror[:, None] > 0, columns.flip(0), columns)
    # Whole lines are copied first, which is fast where pad_lines_first has laid them out, then their columns.
    found = padded.transpose(1, 2)[rows[:, None], lines]
    columns = columns[:, None, None, :].expand(-1, height, padded.shape[1], -1)
    return found.gather(3, columns).transpose(1, 2)


def pad_lines_first(images: Tensor, padding: int) -> Tensor:
    """Return images with a black margin, of the usual shape, laid out line by line, all channels of a line together.

    Without a margin they are returned as they are.
    """
    if padding == 0:
        return images
    return functional.pad(images.transpose(1, 2), (padding, padding, 0, 0, padding, padding)).transpose(1, 2)
