"""Write CIFAR-10 as run.py reads it from shards of lossless WebP: python cifar10.py ../shared/data/cifar10 data/cifar10

A shard is an .npz with ``blob``, pictures of 128 images in a column, ``ends``, where each picture ends, and ``labels``.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from calkit.atomic import atomic_write


def load_shard(path: Path, n_pictures: int | None = None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (n, 32, 32, 3) and labels of the first pictures, or of all."""
    with np.load(path) as shard:
        blob, ends, labels = shard["blob"], shard["ends"][:n_pictures], shard["labels"]
    images, start = [], 0
    for end in ends:
        picture = np.asarray(Image.open(io.BytesIO(blob[start:end].tobytes())).convert("RGB"))
        height, width, start = picture.shape[0] // 32, picture.shape[1] // 32, int(end)
        grid = picture.reshape(height, 32, width, 32, 3).transpose(0, 2, 1, 3, 4)
        images.append(grid.reshape(-1, 32, 32, 3))
    found = np.concatenate(images)
    return found, labels[: len(found)]


def main(shards: Path, folder: Path) -> None:
    """Join the training shards in their order, and the test shard."""
    arrays = {}
    for part in ("train", "test"):
        found = [load_shard(path) for path in sorted(shards.glob(f"cifar10-{part}*.npz"))]
        if not found:
            sys.exit(f"{shards} holds no cifar10-{part}*.npz; name the folder of the shards.")
        arrays[f"x_{part}"], arrays[f"y_{part}"] = (np.concatenate(parts) for parts in zip(*found, strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "cifar10.npz") as temporary:
        np.savez(temporary, **arrays)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
