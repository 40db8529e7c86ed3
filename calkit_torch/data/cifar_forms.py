"""CIFAR in other forms than the official archives: a folder of PNGs, an ``.npz``, Parquet files.

Each form has a function that says whether it is there and one that reads it, in :data:`FORMS`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calkit.errors import FileFormatError, MissingDependencyError

__all__ = ["FORMS", "Form", "Images"]

_SIDE = 32
_PARTS = ("train", "test")
_LABELS = ("label", "fine_label", "labels", "fine_labels")


@dataclass(frozen=True)
class Images:
    """Images and labels of training and test, and the names of the classes.

    Attributes
    ----------
    train, test : (Tensor of uint8, shape (n, 3, 32, 32), Tensor of int64, shape (n,))
    class_names : tuple of str
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """A form in which the images may come.

    Attributes
    ----------
    find : callable
        From a folder or file to what is read, or None.
    read : callable
        From what was found and the number of classes to the images.
    """

    find: Callable[[Path], Any]
    read: Callable[[Any, int], Images]


def _find_folders(place: Path) -> Path | None:
    return place if all((place / part).is_dir() for part in _PARTS) else None


def _read_folders(place: Path, n_classes: int) -> Images:
    names = sorted(path.name for path in (place / "train").iterdir() if path.is_dir())
    parts = []
    for part in _PARTS:
        files = [(path, k) for k, name in enumerate(names) for path in sorted((place / part / name).glob("*.png"))]
        pictures = np.array([_picture(path, path) for path, _ in files]).reshape(-1, _SIDE, _SIDE, 3)
        parts.append(_checked(pictures, [k for _, k in files], n_classes, str(place / part)))
    return Images(parts[0], parts[1], tuple(names))


def _find_npz(place: Path) -> Path | None:
    files = [place] if place.is_file() else sorted(place.glob("cifar*.npz"))
    return files[0] if len(files) == 1 and files[0].suffix == ".npz" else None


def _read_npz(path: Path, n_classes: int) -> Images:
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for part in _PARTS for name in (f"x_{part}", f"y_{part}")}
    except (OSError, EOFError, KeyError, ValueError) as error:
        raise FileFormatError(
            f"cannot read {path}: {error}. It must hold x_train, y_train, x_test and y_test, as Keras has them."
        ) from None
    parts = [_checked(arrays[f"x_{part}"], arrays[f"y_{part}"].reshape(-1), n_classes, str(path)) for part in _PARTS]
    return Images(parts[0], parts[1], tuple(map(str, range(n_classes))))


def _find_parquet(place: Path) -> Mapping[str, list[Path]] | None:
    found = {part: sorted(place.rglob(f"{part}*.parquet")) for part in _PARTS} if place.is_dir() else {}
    return found if found and all(found.values()) else None


def _read_parquet(found: Mapping[str, list[Path]], n_classes: int) -> Images:
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingDependencyError(
            "reading Parquet needs pyarrow; install it with: pip install 'calkit-calibration[formats]'"
        ) from None
    parts, names = [], tuple(map(str, range(n_classes)))
    for part in _PARTS:
        pictures: list[NDArray[np.uint8]] = []
        labels: list[int] = []
        for path in found[part]:
            table = parquet.read_table(path)
            label = next((name for name in _LABELS if name in table.column_names), None)
            image = next((name for name in ("img", "image") if name in table.column_names), None)
            if label is None or image is None:
                raise FileFormatError(
                    f"{path} must have columns img and label, but has {', '.join(table.column_names)}."
                )
            pictures += [_picture(io.BytesIO(cell["bytes"]), path) for cell in table.column(image).to_pylist()]
            labels += table.column(label).to_pylist()
            names = _names_of(table.schema.metadata, label) or names
        parts.append(_checked(np.array(pictures), labels, n_classes, str(found[part][0])))
    return Images(parts[0], parts[1], names)


def _names_of(metadata: Mapping[bytes, bytes] | None, label: str) -> tuple[str, ...]:
    """Return the names of the classes that Hugging Face's datasets leave in a Parquet file, if there are any."""
    try:
        about = json.loads((metadata or {}).get(b"huggingface", b"{}"))
        return tuple(about["info"]["features"][label]["names"])
    except (ValueError, KeyError, TypeError):
        return ()


def _picture(source: Any, where: Path) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(source) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError) as error:
        raise FileFormatError(f"cannot read an image of {where}: {error}.") from None


def _checked(pictures: NDArray[Any], labels: Iterable[Any], n_classes: int, where: str) -> tuple[Tensor, Tensor]:
    """Return images with the channels first, and labels."""
    y = np.asarray(labels)
    if pictures.dtype != np.uint8 or pictures.shape[1:] != (_SIDE, _SIDE, 3) or not len(pictures):
        raise FileFormatError(f"the images of {where} must be 32 × 32 in colour, uint8, but are {pictures.shape[1:]}.")
    if y.shape != (len(pictures),) or y.dtype.kind not in "iu" or not 0 <= y.min() <= y.max() < n_classes:
        raise FileFormatError(f"the labels of {where} must be whole numbers from 0 to {n_classes - 1}, one an image.")
    images = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))
    return torch.from_numpy(images), torch.from_numpy(y.astype(np.int64))


FORMS: Mapping[str, Form] = {
    "folders of PNGs": Form(_find_folders, _read_folders),
    "npz": Form(_find_npz, _read_npz),
    "parquet": Form(_find_parquet, _read_parquet),
}
"""The other forms, in the order in which they are looked for."""
