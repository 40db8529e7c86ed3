"""CIFAR: official archives, their division and their constants; real images where they are at hand."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from calkit.errors import FileFormatError, NotFoundError
from calkit_torch.data import cifar as module
from calkit_torch.data import get_dataset
from calkit_torch.data.cifar import CIFAR10, CIFAR100, CONSTANTS, CifarFiles, read_cifar
from calkit_torch.data.files import RemoteFile, md5_of
from calkit_torch.data.split import shuffled
from tests.calkit_torch.cifar_shards import load_shard, members, python2_batch, some_images, write_archive, write_folder
from tests.calkit_torch.test_data_files import Runs

BOTH = pytest.mark.parametrize("files", [CIFAR10, CIFAR100], ids=lambda files: files.name)


def expected(files: CifarFiles, part: tuple[str, ...], n: int) -> tuple[np.ndarray, list[int]]:
    seeds = [(files.train + files.test).index(name) for name in part]
    pairs = [some_images(n // len(part), 10, seed) for seed in seeds]
    return np.concatenate([x for x, _ in pairs]).transpose(0, 3, 1, 2), np.concatenate([y for _, y in pairs]).tolist()


def with_checksum_of(files: CifarFiles, archive: Path) -> CifarFiles:
    return replace(files, archive=replace(files.archive, md5=md5_of(archive)))


@BOTH
@pytest.mark.parametrize("named", ["parent", "itself"])
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_an_archive_is_read(tmp_path: Path, files: CifarFiles, form: str, named: str) -> None:
    if form == "folder":
        place = write_folder(tmp_path / files.folder, members(files))
    else:
        contents = {"readme.html": b"<html>", **members(files)}
        place = write_archive(tmp_path / files.archive.name, files.folder, contents)
        files = with_checksum_of(files, place)
    train, test, names = read_cifar(files, place if named == "itself" else tmp_path)
    assert names == tuple(f"class {k}" for k in range(10))
    for (images, labels), part, n in ((train, files.train, 100), (test, files.test, 30)):
        x, y = expected(files, part, n)
        assert images.dtype == torch.uint8
        assert np.array_equal(images.numpy(), x)
        assert labels.tolist() == y


@BOTH
def test_the_first_tenth_after_shuffling_is_for_validation(tmp_path: Path, files: CifarFiles) -> None:
    write_folder(tmp_path / files.folder, members(files))
    images, labels = expected(files, files.train, 100)
    for seed in (1, 5):
        data = get_dataset(files.name, folder=tmp_path, split_seed=seed)
        order = shuffled(100, seed)
        for split, rows in ((data.validation, order[:10]), (data.train, order[10:])):
            assert np.array_equal(split.inputs.numpy(), images[rows])
            assert split.labels.tolist() == [labels[i] for i in rows]
    assert len(data.test) == 30
    assert data.model_options == {"in_channels": 3, "in_features": 3072}
    assert data.class_names[3] == "class 3"


def test_constants(tmp_path: Path) -> None:
    """All splits with CIFAR's, but for the named option, which the published code has for CIFAR-100's test."""
    write_folder(tmp_path / CIFAR100.folder, members(CIFAR100))
    for spec, of_test in (
        ("cifar100", "cifar"),
        ("cifar100:test_constants=cifar", "cifar"),
        ("cifar100:test_constants=imagenet", "imagenet"),
    ):
        data = get_dataset(spec, folder=tmp_path)
        assert data.spec == spec
        for split, constants in (("train", "cifar"), ("validation", "cifar"), ("test", of_test)):
            x = torch.cat([x for x, _ in data.loader(split, batch_size=16)])
            assert torch.equal(x, CONSTANTS[constants](data.split(split).inputs))
    with pytest.raises(NotFoundError, match="unknown test_constants 'imagnet'. Did you mean 'imagenet'"):
        get_dataset("cifar100:test_constants=imagnet", folder=tmp_path)
    # facts of the published code: torchvision's usual transforms
    assert CONSTANTS["cifar"].mean == (0.4914, 0.4822, 0.4465)
    assert CONSTANTS["cifar"].std == (0.2023, 0.1994, 0.2010)
    assert CONSTANTS["imagenet"].mean == (0.485, 0.456, 0.406)
    assert CONSTANTS["imagenet"].std == (0.229, 0.224, 0.225)


def test_training_images_are_padded_by_four_and_flipped(tmp_path: Path) -> None:
    write_folder(tmp_path / CIFAR10.folder, members(CIFAR10))
    augmentation = get_dataset("cifar10", folder=tmp_path).feed.augmentation
    assert (augmentation.padding, augmentation.flip) == (4, True)


@BOTH
def test_missing_data_say_what_to_do(tmp_path: Path, files: CifarFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALKIT_DATA", str(tmp_path))
    with pytest.raises(FileFormatError) as caught:
        get_dataset(files.name)
    place = tmp_path / files.name
    command = f"mkdir -p {place} && curl -L -o {place / files.archive.name} {files.archive.url}"
    assert str(caught.value).startswith(f"{files.name} is not in {place}: ")
    assert command in str(caught.value)


def test_official_checksums() -> None:
    assert CIFAR10.archive.md5 == "c58f30108f718f92721af3b95e74349a"
    assert CIFAR100.archive.md5 == "eb9058c3a382ffc7106e4002c42a8d85"


@BOTH
def test_an_archive_with_another_checksum_is_refused(tmp_path: Path, files: CifarFiles) -> None:
    archive = write_archive(tmp_path / files.archive.name, files.folder, members(files))
    with pytest.raises(FileFormatError, match=f"has the MD5 checksum {md5_of(archive)}, and not {files.archive.md5}"):
        get_dataset(files.name, folder=tmp_path)


def test_a_download_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By way of a file: address, as if it were a server's."""
    source = write_archive(tmp_path / "server" / "cifar.tgz", CIFAR10.folder, members(CIFAR10))
    remote = RemoteFile(CIFAR10.archive.name, source.as_uri(), md5_of(source))
    monkeypatch.setattr(module, "CIFAR10", replace(CIFAR10, archive=remote))
    folder = tmp_path / "here"
    assert len(get_dataset("cifar10", folder=folder, download=True).train) == 90
    source.unlink()
    assert len(get_dataset("cifar10", folder=folder, download=True).train) == 90


def test_a_malicious_batch_does_not_run(tmp_path: Path) -> None:
    import os
    import pickle

    contents = members(CIFAR10)
    contents["data_batch_3"] = pickle.dumps(Runs(os.system, f"touch {tmp_path / 'trace'}"), protocol=2)
    write_folder(tmp_path / CIFAR10.folder, contents)
    with pytest.raises(FileFormatError, match=r"data_batch_3 as plain data: it asks for posix\.system"):
        get_dataset("cifar10", folder=tmp_path)
    assert not (tmp_path / "trace").exists()


def pickled(**entries: Any) -> bytes:
    import pickle

    return pickle.dumps(entries, protocol=2)


PIXELS = np.zeros((2, 3072), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("test_batch", None, "test_batch is missing; extract"),
        ("test_batch", b"", "cannot read .*test_batch as plain data"),
        ("test_batch", pickled(labels=[1, 2]), "must hold 'data'"),
        ("test_batch", pickled(data=PIXELS, fine_labels=[1, 2]), "must hold 'labels', but does not; is it another"),
        ("test_batch", pickled(data=PIXELS[:, :-1], labels=[1, 2]), r"must be uint8 of shape \(n, 3072\)"),
        ("test_batch", pickled(data=PIXELS.astype(np.int16), labels=[1, 2]), "must be uint8"),
        ("test_batch", pickled(data=PIXELS, labels=[1, 10]), "must be 2 whole numbers from 0 to 9"),
        ("test_batch", pickled(data=PIXELS, labels=[1]), "must be 2 whole numbers"),
        ("test_batch", pickled(data=PIXELS, labels=["a", "b"]), "must be 2 whole numbers"),
        ("batches.meta", pickled(fine_label_names=["a"]), "must hold 'label_names'"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    contents = {**members(CIFAR10), name: content}
    write_folder(tmp_path / CIFAR10.folder, {k: v for k, v in contents.items() if v is not None})
    with pytest.raises(FileFormatError, match=words):
        get_dataset("cifar10", folder=tmp_path)


def test_an_archive_that_lacks_a_file_is_refused(tmp_path: Path) -> None:
    contents = members(CIFAR10)
    del contents["data_batch_5"]
    archive = write_archive(tmp_path / CIFAR10.archive.name, CIFAR10.folder, contents)
    with pytest.raises(FileFormatError, match="lacks data_batch_5"):
        read_cifar(with_checksum_of(CIFAR10, archive), tmp_path)
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(FileFormatError, match="cannot read .*: Compressed file ended"):
        read_cifar(with_checksum_of(CIFAR10, archive), tmp_path)


def real_folder(folder: Path, files: CifarFiles, place: Path) -> tuple[np.ndarray, np.ndarray]:
    """Write all images of the data folder as the extracted archive holds them; return those of training."""
    names = sorted(folder.glob("*-train*.npz"))
    parts = [load_shard(path) for path in names]
    images, labels = np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
    test_images, test_labels = load_shard(folder / f"{files.name}-test.npz")
    with np.load(folder / f"{files.name}-labels.npz") as found:
        class_names = found["classes"].tolist()
    contents = {files.names_file: pickled(**{files.names_key: class_names})}
    contents["test_batch" if files is CIFAR10 else "test"] = python2_batch(test_images, test_labels, files.label_key)
    for name, x, y in zip(
        files.train, np.split(images, len(files.train)), np.split(labels, len(files.train)), strict=True
    ):
        contents[name] = python2_batch(x, y, files.label_key)
    write_folder(place / files.folder, contents)
    return images, labels


@pytest.mark.slow
@pytest.mark.data
@BOTH
def test_the_papers_split_of_the_real_images(data_folder: Path, tmp_path: Path, files: CifarFiles) -> None:
    """45,000, 5,000 and 10,000; validation begins with the rows that the published code's seed puts first."""
    images, labels = real_folder(data_folder / files.name, files, tmp_path)
    data = get_dataset(files.name, folder=tmp_path)
    assert tuple(map(len, (data.train, data.validation, data.test))) == (45_000, 5_000, 10_000)
    first = [26247, 35067, 34590, 16668, 12196]
    assert np.array_equal(data.validation.inputs[:5].numpy(), images[first].transpose(0, 3, 1, 2))
    assert data.validation.labels[:5].tolist() == labels[first].tolist()
    together = torch.cat([data.train.labels, data.validation.labels])
    assert together.bincount().tolist() == [50_000 // data.n_classes] * data.n_classes
    assert data.test.labels.bincount().tolist() == [10_000 // data.n_classes] * data.n_classes
    if files is CIFAR10:
        assert hashlib.md5(images.tobytes()).hexdigest() == "c5f00ff6ce3db7abd1d3678cac66a6c0"
        assert data.class_names[:2] == ("airplane", "automobile")


@pytest.mark.data
def test_real_images_come_through_an_archive(data_folder: Path, tmp_path: Path) -> None:
    """The shard's own note gives the MD5 of all decoded images; the labels follow the official numbering."""
    images, labels = load_shard(data_folder / "cifar10" / "cifar10-test.npz")
    assert hashlib.md5(images.tobytes()).hexdigest() == "85353b0a5e252ca00ae8eb36a2965a81"
    contents = members(CIFAR10)
    contents["test_batch"] = python2_batch(images, labels, "labels")
    write_folder(tmp_path / CIFAR10.folder, contents)
    data = get_dataset("cifar10", folder=tmp_path)
    assert np.array_equal(data.test.inputs.numpy(), images.transpose(0, 3, 1, 2))
    assert data.test.labels.tolist() == labels.tolist()
    # The published means are those of the training images; the test images are alike.
    x = torch.cat([x for x, _ in data.loader("test", batch_size=1000)])
    assert x.mean(dim=(0, 2, 3)).abs().max() < 0.05
