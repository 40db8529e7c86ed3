"""CIFAR as folders of PNGs, as an .npz and as Parquet: the images and labels that were put in."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from calkit.errors import FileFormatError
from calkit_torch.data import get_dataset
from calkit_torch.data.cifar import CIFAR10, CIFAR100, read_cifar
from calkit_torch.data.split import shuffled
from tests.calkit_torch.cifar_shards import some_images

NAMES = [f"class-{k}" for k in range(10)]
TRAIN, TEST = some_images(40, 10, seed=0), some_images(20, 10, seed=1)


def png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


def write_folders(folder: Path) -> None:
    for part, (images, labels) in (("train", TRAIN), ("test", TEST)):
        for name in NAMES:
            (folder / part / name).mkdir(parents=True)
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            (folder / part / NAMES[label] / f"{i:05}.png").write_bytes(png(image))


def write_npz(folder: Path) -> None:
    arrays = {"x_train": TRAIN[0], "y_train": TRAIN[1][:, None], "x_test": TEST[0], "y_test": TEST[1][:, None]}
    np.savez(folder / "cifar10.npz", **arrays)


def write_parquet(folder: Path, label: str = "label") -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    (folder / "plain_text").mkdir()
    about = json.dumps({"info": {"features": {label: {"names": NAMES}}}})
    for part, (images, labels) in (("train", TRAIN), ("test", TEST)):
        cells = [{"bytes": png(image), "path": None} for image in images]
        table = pa.table({"img": cells, label: labels.tolist()}).replace_schema_metadata({"huggingface": about})
        parquet.write_table(table, folder / "plain_text" / f"{part}-00000-of-00001.parquet")


def by_class(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The order of folders: class after class."""
    order = np.argsort(labels, kind="stable")
    return images[order], labels[order]


FORMS = {"folders": (write_folders, by_class, NAMES), "parquet": (write_parquet, lambda *x: x, NAMES)}
FORMS["npz"] = (write_npz, lambda *x: x, [str(k) for k in range(10)])


@pytest.mark.parametrize("form", FORMS)
def test_images_and_labels(form: str, tmp_path: Path) -> None:
    write, order, names = FORMS[form]
    write(tmp_path)
    train, test, class_names = read_cifar(CIFAR10, tmp_path)
    for (images, labels), expected in ((train, TRAIN), (test, TEST)):
        wanted, y = order(*expected)
        np.testing.assert_array_equal(images.numpy().transpose(0, 2, 3, 1), wanted)
        np.testing.assert_array_equal(labels.numpy(), y)
    assert list(class_names) == names
    data = get_dataset("cifar10", folder=tmp_path, split_seed=3)
    np.testing.assert_array_equal(data.validation.inputs, train[0][shuffled(40, 3)[:4]])


def test_the_parquet_of_a_hundred_classes(tmp_path: Path) -> None:
    write_parquet(tmp_path, "fine_label")
    assert read_cifar(CIFAR100, tmp_path)[0][1].tolist() == TRAIN[1].tolist()


def test_what_cannot_be_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "cifar10.npz", x_train=TRAIN[0])
    with pytest.raises(FileFormatError, match="must hold x_train, y_train, x_test and y_test"):
        read_cifar(CIFAR10, tmp_path)
    np.savez(tmp_path / "cifar10.npz", x_train=TRAIN[0], y_train=TRAIN[1] + 1, x_test=TEST[0], y_test=TEST[1])
    with pytest.raises(FileFormatError, match="must be whole numbers from 0 to 9"):
        read_cifar(CIFAR10, tmp_path)
    folder = tmp_path / "folders"
    write_folders(folder)
    next((folder / "train" / NAMES[0]).glob("*.png")).write_bytes(b"no image")
    with pytest.raises(FileFormatError, match="cannot read an image of"):
        read_cifar(CIFAR10, folder)
