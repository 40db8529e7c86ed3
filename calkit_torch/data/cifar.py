"""CIFAR-10 and CIFAR-100, from their official Python archives or in another form.

Source: A. Krizhevsky: Learning multiple layers of features from tiny images, 2009;
https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from calkit.errors import FileFormatError
from calkit.registry import unknown_name
from calkit_torch.data.base import DataSet
from calkit_torch.data.cifar_forms import FORMS, Images
from calkit_torch.data.feeds import ImageFeed
from calkit_torch.data.files import RemoteFile, default_folder, fetch, md5_of
from calkit_torch.data.images import Augmentation, Pixels
from calkit_torch.data.registry import register_dataset
from calkit_torch.data.split import Split, shuffled
from calkit_torch.data.unpickling import load_plain_pickle

__all__ = ["CIFAR10", "CIFAR100", "CONSTANTS", "CifarFiles", "load_cifar10", "load_cifar100", "read_cifar"]

CONSTANTS = {
    "cifar": Pixels(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)),
    "imagenet": Pixels(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
}
"""Means and deviations of the channels that published code takes off and divides by."""

_SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class CifarFiles:
    """What an archive holds.

    Parameters
    ----------
    name : str
        That of the data set.
    archive : RemoteFile
    folder : str
        The folder in the archive.
    train, test : tuple of str
        The files with the images of the two parts, in order.
    label_key : str
        The key of the labels in them.
    names_file, names_key : str
        The file with the names of the classes, and their key in it.
    n_classes : int
        How many classes there are.
    """

    name: str
    archive: RemoteFile
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    label_key: str
    names_file: str
    names_key: str
    n_classes: int

    @property
    def members(self) -> tuple[str, ...]:
        """All files wanted."""
        return (*self.train, *self.test, self.names_file)


CIFAR10 = CifarFiles(
    name="cifar10",
    archive=RemoteFile(
        "cifar-10-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "c58f30108f718f92721af3b95e74349a",
    ),
    folder="cifar-10-batches-py",
    train=tuple(f"data_batch_{i}" for i in range(1, 6)),
    test=("test_batch",),
    label_key="labels",
    names_file="batches.meta",
    names_key="label_names",
    n_classes=10,
)

CIFAR100 = CifarFiles(
    name="cifar100",
    archive=RemoteFile(
        "cifar-100-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "eb9058c3a382ffc7106e4002c42a8d85",
    ),
    folder="cifar-100-python",
    train=("train",),
    test=("test",),
    label_key="fine_labels",
    names_file="meta",
    names_key="fine_label_names",
    n_classes=100,
)


@register_dataset("cifar10")
def load_cifar10(*, folder: Path | None = None, split_seed: int = 1, download: bool = False) -> DataSet:
    """Return CIFAR-10: 45,000 training, 5,000 validation and 10,000 test images of 10 classes.

    Parameters
    ----------
    folder : Path, optional
        The folder that holds the archive ``cifar-10-python.tar.gz`` or what was extracted from it, or one of the two.
        Or another form: the folders ``train`` and ``test`` with a folder of PNGs for each class; ``cifar*.npz`` with
        ``x_train``, ``y_train``, ``x_test``, ``y_test``; Parquet files ``train*.parquet`` and ``test*.parquet`` with
        the columns ``img`` and ``label`` (or ``fine_label``). These list the images in their own order, so that the
        division of a seed is another than that of the archive, but for an ``.npz`` in the official order.
    split_seed : int
        What the division of the 50,000 depends on: the first tenth after shuffling is for validation. Seed 1 gives
        that of the focal-loss calibration paper.
    download : bool
        Whether to fetch the archive if nothing is there.

    Returns
    -------
    DataSet
        Training images are cropped after padding by 4 pixels, and flipped.
    """
    return _dataset(CIFAR10, folder, split_seed, download, {})


@register_dataset("cifar100")
def load_cifar100(
    *, test_constants: str = "cifar", folder: Path | None = None, split_seed: int = 1, download: bool = False
) -> DataSet:
    """Return CIFAR-100: 45,000 training, 5,000 validation and 10,000 test images of 100 classes.

    Parameters
    ----------
    test_constants : {"cifar", "imagenet"}
        The means and deviations by which test images are normalised. The published code of the focal-loss
        calibration paper tests with those of ImageNet, though it trains and validates with those of CIFAR-10.
    folder, split_seed, download
        As for :func:`load_cifar10`; the archive is ``cifar-100-python.tar.gz``.

    Returns
    -------
    DataSet

    Raises
    ------
    NotFoundError
        If there are no such constants.
    """
    if test_constants not in CONSTANTS:
        raise unknown_name("test_constants", str(test_constants), CONSTANTS)
    return _dataset(CIFAR100, folder, split_seed, download, {"test": CONSTANTS[test_constants]})


def read_cifar(
    files: CifarFiles, folder: Path | None = None, *, download: bool = False
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[str, ...]]:
    """Read an archive, or what holds the images in another form.

    Parameters
    ----------
    files : CifarFiles
        What it holds.
    folder : Path, optional
        The archive, the folder it extracts to, or the folder that holds one of the two, of which the extracted one is
        taken. An archive must have the official checksum.
    download : bool
        Whether to fetch the archive if nothing is there.

    Returns
    -------
    train, test : (Tensor of uint8, shape (n, 3, 32, 32), Tensor of int64, shape (n,))
        In the order of the files.
    class_names : tuple of str

    Raises
    ------
    FileFormatError
        If nothing is there, a checksum is wrong or a file is broken.
    """
    other = _other_form(files, default_folder(files.name) if folder is None else folder)
    if other is not None:
        return other.train, other.test, other.class_names
    found: dict[str, Any] = {}
    with _members(files, folder, download) as members:
        for name, where, file in members:
            found[name] = (where, load_plain_pickle(file, where))
    names = _entry(found[files.names_file], files.names_key)
    parts = []
    for part in (files.train, files.test):
        pairs = [_images_and_labels(found[name], files.label_key, len(names)) for name in part]
        parts.append((torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs])))
    return parts[0], parts[1], tuple(map(str, names))


def _other_form(files: CifarFiles, place: Path) -> Images | None:
    """Return the images, if they are there in another form than the archive's, and that is not."""
    if any((place / name).exists() for name in (files.folder, files.archive.name, files.names_file)):
        return None
    for form in FORMS.values():
        if (found := form.find(place)) is not None:
            return form.read(found, files.n_classes)
    return None


def _dataset(
    files: CifarFiles, folder: Path | None, split_seed: int, download: bool, exceptions: dict[str, Pixels]
) -> DataSet:
    (images, labels), test, class_names = read_cifar(files, folder, download=download)
    order = torch.from_numpy(shuffled(len(labels), split_seed))
    n_validation = len(order) // 10
    validation, train = order[:n_validation], order[n_validation:]
    return DataSet(
        files.name,
        train=Split(images[train], labels[train]),
        validation=Split(images[validation], labels[validation]),
        test=Split(*test),
        class_names=class_names,
        feed=ImageFeed(CONSTANTS["cifar"], Augmentation(), exceptions),
        options={"in_channels": 3, "in_features": 3 * 32 * 32},
    )


@contextmanager
def _members(files: CifarFiles, folder: Path | None, download: bool) -> Iterator[Iterator[tuple[str, str, IO[bytes]]]]:
    """Give the files wanted, each with its name, what to call it in a message, and its contents."""
    found = _find(files, folder, download)
    if found.is_dir():
        yield _extracted(files, found)
        return
    if (md5 := md5_of(found)) != files.archive.md5:
        raise FileFormatError(
            f"{found} has the MD5 checksum {md5}, and not {files.archive.md5}: it is damaged or another file. Remove "
            f"it and download {files.archive.url} again, or extract it, if it is what you want."
        )
    try:
        with tarfile.open(found) as archive:
            yield _archived(files, found, archive)
    except (tarfile.TarError, EOFError) as error:
        raise FileFormatError(f"cannot read {found} as an archive: {error}.") from None


def _find(files: CifarFiles, folder: Path | None, download: bool) -> Path:
    """Return the archive or the extracted folder."""
    place = default_folder(files.name) if folder is None else folder
    candidates = (place / files.folder, place / files.archive.name)
    for candidate in candidates:
        if candidate.exists():
            return candidate
    if place.is_file() or (place / files.names_file).is_file():
        return place
    if download:
        return fetch(files.archive, place)
    raise FileFormatError(
        f"{files.name} is not in {place}: put {files.archive.name} there, or the folder {files.folder} that it "
        f"extracts to, or folders of PNGs, an .npz or Parquet files, or name another folder, or download it (163 MB):\n"
        f"  mkdir -p {place} && curl -L -o {place / files.archive.name} {files.archive.url}\n"
        f"calkit train --download does that, and from Python get_dataset({files.name!r}, download=True)."
    )


def _extracted(files: CifarFiles, folder: Path) -> Iterator[tuple[str, str, IO[bytes]]]:
    for name in files.members:
        path = folder / name
        try:
            with path.open("rb") as file:
                yield name, str(path), file
        except FileNotFoundError:
            raise FileFormatError(
                f"{path} is missing; extract {files.archive.name} again: tar -xzf {files.archive.name}"
            ) from None


def _archived(files: CifarFiles, path: Path, archive: tarfile.TarFile) -> Iterator[tuple[str, str, IO[bytes]]]:
    missing = set(files.members)
    # In the order of the archive, since going back in a compressed one means reading it again.
    for member in archive:
        name = member.name.rpartition("/")[2]
        file = archive.extractfile(member) if member.name == f"{files.folder}/{name}" and name in missing else None
        if file is not None:
            missing.discard(name)
            yield name, f"{name} in {path}", file
    if missing:
        raise FileFormatError(f"{path} lacks {', '.join(sorted(missing))}.")


def _entry(found: tuple[str, Any], key: str) -> Any:
    where, content = found
    if not isinstance(content, dict) or key not in content:
        raise FileFormatError(f"{where} must hold {key!r}, but does not; is it another data set?")
    return content[key]


def _images_and_labels(found: tuple[str, Any], label_key: str, n_classes: int) -> tuple[Tensor, Tensor]:
    where = found[0]
    pixels, labels = _entry(found, "data"), _entry(found, label_key)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (int(np.prod(_SHAPE)),):
        raise FileFormatError(f"the images of {where} must be uint8 of shape (n, 3072), but are not.")
    y = np.asarray(labels)
    if (
        y.shape != pixels.shape[:1]
        or y.dtype.kind not in "iu"
        or y.size == 0
        or not 0 <= y.min() <= y.max() < n_classes
    ):
        raise FileFormatError(
            f"the labels of {where} must be {len(pixels)} whole numbers from 0 to {n_classes - 1}, but are not."
        )
    return torch.from_numpy(np.array(pixels, subok=False).reshape(-1, *_SHAPE)), torch.from_numpy(y.astype(np.int64))
