"""Crops, flips and normalisation against plain loops, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from calkit.errors import InputError
from calkit_torch.data.images import Augmentation, Pixels, crop_and_flip, pad_lines_first


def crop_by_loop(image: np.ndarray, top: int, left: int, mirror: bool, padding: int) -> np.ndarray:
    """As one reads the definition: black outside, then the crop, then the mirror."""
    channels, height, width = image.shape
    out = np.zeros_like(image)
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                y = top + i - padding
                x = left + (width - 1 - j if mirror else j) - padding
                if 0 <= y < height and 0 <= x < width:
                    out[c, i, j] = image[c, y, x]
    return out


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    st.integers(0, 3),
    st.integers(0, 2**32),
)
def test_crops_and_flips_are_those_of_the_loop(shape: tuple[int, int, int], padding: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(256, size=(4, *shape), dtype=np.uint8)
    rows = rng.integers(4, size=6)
    draws = np.stack([*rng.integers(2 * padding + 1, size=(2, 6)), rng.integers(2, size=6)], axis=1)
    padded = pad_lines_first(torch.from_numpy(images), padding)
    found = crop_and_flip(padded, torch.from_numpy(rows), torch.from_numpy(draws), padding=padding)
    expected = [crop_by_loop(images[r], t, left, bool(m), padding) for r, (t, left, m) in zip(rows, draws, strict=True)]
    np.testing.assert_array_equal(found.numpy(), np.stack(expected))


def test_padding_gives_a_black_margin() -> None:
    images = torch.arange(1, 1 + 2 * 3 * 4 * 5, dtype=torch.uint8).view(2, 3, 4, 5)
    expected = torch.zeros(2, 3, 8, 9, dtype=torch.uint8)
    expected[:, :, 2:6, 2:7] = images
    assert torch.equal(pad_lines_first(images, 2), expected)


def test_each_crop_and_flip_is_as_probable() -> None:
    """50,000 draws over 81 places and 2 mirrors: 309 expected in each, with a deviation of 17.5."""
    words = np.random.Philox(0).random_raw(150_000).reshape(-1, 3)
    draws = Augmentation(padding=4).draws(words)
    counts = np.zeros((9, 9, 2))
    np.add.at(counts, tuple(draws.T), 1)
    assert counts.min() > 309 - 4.5 * 17.5
    assert counts.max() < 309 + 4.5 * 17.5


def test_augmentation_can_do_without_flips_or_crops() -> None:
    words = np.random.Philox(0).random_raw(300).reshape(-1, 3)
    assert not Augmentation(flip=False).draws(words)[:, 2].any()
    assert not Augmentation(padding=0).draws(words)[:, :2].any()


@pytest.mark.parametrize("channels_last", [False, True])
def test_normalisation_is_that_of_torchvision(channels_last: bool) -> None:
    """``ToTensor`` divides by 255 in float32, ``Normalize`` takes off the mean, then divides: the same bits."""
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(2, 3, 16, 16)
    of_channels = [torch.tensor(values, dtype=torch.float32)[:, None, None] for values in (mean, std)]
    expected = torch.stack(
        [image.to(torch.float32).div(255).sub(of_channels[0]).div(of_channels[1]) for image in images]
    )
    found = Pixels(mean, std)(images, channels_last=channels_last)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


@pytest.mark.parametrize(
    "arguments", [{"mean": (), "std": ()}, {"mean": (0.1, 0.2), "std": (1.0,)}, {"mean": (0.1,), "std": (0.0,)}]
)
def test_constants_that_cannot_be(arguments: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(InputError, match="std"):
        Pixels(**arguments)


@pytest.mark.parametrize("padding", [-1, 0.5])
def test_a_padding_that_cannot_be(padding: object) -> None:
    with pytest.raises(InputError, match="padding must be a whole number"):
        Augmentation(padding=padding)
