"""Loaders: pure in (seed, epoch, batch), alike in both pipelines, whole over ranks."""

# ruff: noqa: NPY002 (the global generators are what some tests are about)

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from calkit.errors import InputError, NotFoundError, UsageError
from calkit_torch.data import DATASETS, Augmentation, DataSet, Pixels, available_datasets, get_dataset, register_dataset
from calkit_torch.models import parse_tree
from tests.calkit_torch.test_data_images import crop_by_loop

PIPELINES = ["resident", "dataloader"]
PIXELS = Pixels(mean=(0.3, 0.5), std=(0.2, 0.4))


class Noisy(Dataset[Any]):
    """A user's Dataset that draws from all three global generators."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return torch.tensor([float(i), random.random(), np.random.random(), torch.rand(()).item()]), i % 3


def images_set(n: int = 23) -> DataSet:
    rng = np.random.default_rng(0)
    parts = [(rng.integers(256, size=(m, 2, 5, 4), dtype=np.uint8), np.arange(m) % 4) for m in (n, 7, 9)]
    return DataSet.from_arrays(*parts, n_classes=4, pixels=PIXELS, augmentation=Augmentation(padding=2))


def features_set() -> DataSet:
    parts = [(torch.arange(3.0 * n).view(n, 3), torch.arange(n) % 4) for n in (23, 7, 9)]
    return DataSet.from_arrays(*parts, n_classes=4)


def noisy_set() -> DataSet:
    return DataSet.from_datasets(Noisy(23), Noisy(7), Noisy(9), n_classes=3)


def trees_set() -> DataSet:
    from calkit_torch.data.feeds import TreeFeed
    from calkit_torch.data.split import Split

    def split(n: int) -> Split:
        trees = [parse_tree(f"({i % 2} (-100 word{i}) (1 (0 good) (-100 other)))") for i in range(n)]
        return Split(trees, torch.arange(n) % 2)

    feed = TreeFeed({f"word{i}": i + 2 for i in range(15)}, unknown=1)
    return DataSet("trees", split(23), split(7), split(9), ("no", "yes"), feed, {"vocabulary_size": 17})


KINDS = {"images": images_set, "features": features_set, "dataset": noisy_set, "trees": trees_set}


@pytest.fixture(params=list(KINDS))
def data(request: pytest.FixtureRequest) -> DataSet:
    return KINDS[request.param]()


def flat(batches: Iterable[Any]) -> list[list[Tensor]]:
    """Each batch as a list of tensors."""
    found = []
    for inputs, labels in batches:
        parts = [inputs] if isinstance(inputs, Tensor) else [inputs.words, inputs.leaf_words, inputs.node_labels]
        found.append([*parts, labels])
    return found


def same(first: list[list[Tensor]], second: list[list[Tensor]]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(x, y) for a, b in zip(first, second, strict=True) for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_an_epoch_can_be_resumed_at_any_batch(data: DataSet, pipeline: str) -> None:
    def loader() -> Any:
        return data.loader("train", batch_size=5, train=True, seed=3, pipeline=pipeline)

    whole = flat(loader().batches(epoch=2))
    assert len(whole) == len(loader()) == 5
    used = loader()
    next(used.batches(0))
    for start in range(6):
        assert same(flat(loader().batches(2, start)), whole[start:])
        assert same(flat(used.batches(2, start)), whole[start:])
    assert not same(flat(loader().batches(1)), whole)
    assert not same(flat(data.loader("train", batch_size=5, train=True, seed=4).batches(2)), whole)


@pytest.mark.parametrize("kind", list(KINDS))
def test_both_pipelines_give_the_same_bits(kind: str) -> None:
    for options in ({"split": "train", "train": True, "seed": 1}, {"split": "train"}, {"split": "test"}):
        found = [
            flat(KINDS[kind]().loader(batch_size=6, pipeline=pipeline, **options).batches(3)) for pipeline in PIPELINES
        ]
        assert same(*found)


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("kind", ["images", "features", "dataset"])
def test_ranks_together_give_what_one_process_gives(kind: str, world_size: int, pipeline: str) -> None:
    data = KINDS[kind]()
    options = {"batch_size": 6, "train": True, "seed": 7, "pipeline": pipeline}
    one = flat(data.loader("train", **options).batches(1))
    ranks = [
        flat(data.loader("train", rank=rank, world_size=world_size, **options).batches(1)) for rank in range(world_size)
    ]
    joined = [[torch.cat(parts) for parts in zip(*batches, strict=True)] for batches in zip(*ranks, strict=True)]
    assert same(joined, one)


def test_ranks_share_trees() -> None:
    data = trees_set()
    loaders = [data.loader("train", batch_size=6, train=True, rank=rank, world_size=2) for rank in range(2)]
    for b, batches in enumerate(zip(*(loader.batches(4) for loader in loaders), strict=True)):
        for loader, (forest, _) in zip(loaders, batches, strict=True):
            expected = [data.train.inputs[i].labels[-1] for i in loader.rows(4, b)]
            assert forest.at_roots().labels.tolist() == expected


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_in_evaluation_each_row_comes_exactly_once(data: DataSet, world_size: int, pipeline: str) -> None:
    """23 rows in batches of 7 leave 2 for the last: with 4 ranks two of them get none."""
    n, labels = 0, []
    for rank in range(world_size):
        loader = data.loader("train", batch_size=7, rank=rank, world_size=world_size, pipeline=pipeline)
        assert len(loader) == 4
        assert loader.n_samples == 23
        batches = list(loader.batches(0))
        rows = [loader.rows(0, b) for b in range(4)]
        assert [len(y) for _, y in batches] == [len(r) for r in rows if len(r)]
        n += sum(len(y) for _, y in batches)
        labels += [
            (int(r), int(y)) for r, y in zip(np.concatenate(rows), torch.cat([y for _, y in batches]), strict=True)
        ]
    assert n == 23
    classes = 2 if data.name == "trees" else data.n_classes
    assert sorted(labels) == [(i, i % classes) for i in range(23)]


def test_training_sees_each_row_once_an_epoch() -> None:
    found = torch.cat([x[:, 0] for x, _ in features_set().loader("train", batch_size=5, train=True)])
    assert sorted(found.tolist()) == [3.0 * i for i in range(23)]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_images_are_cropped_flipped_and_normalised_as_drawn(pipeline: str) -> None:
    """The loop oracle, fed with the draws of the plan."""
    data = images_set()
    loader = data.loader("train", batch_size=23, train=True, seed=2, pipeline=pipeline)
    plan = loader._plan(0)
    draws = Augmentation(padding=2).draws(plan.words)
    images, labels = next(loader.batches(0))
    originals = data.train.inputs.numpy()
    assert len({tuple(d) for d in draws.tolist()}) > 10
    for image, row, (top, left, mirror) in zip(images, plan.rows, draws, strict=True):
        cropped = torch.from_numpy(crop_by_loop(originals[row], top, left, bool(mirror), 2))
        assert torch.equal(image, PIXELS(cropped[None])[0])
    assert labels.tolist() == (plan.rows % 4).tolist()


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_evaluation_neither_shuffles_nor_augments(pipeline: str) -> None:
    data = images_set()
    loader = data.loader("train", batch_size=10, pipeline=pipeline)
    for epoch in (0, 5):
        assert torch.equal(torch.cat([x for x, _ in loader.batches(epoch)]), PIXELS(data.train.inputs))


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("train", [False, True])
def test_channels_last_changes_the_layout_alone(pipeline: str, train: bool) -> None:
    options = {"batch_size": 8, "train": train, "pipeline": pipeline}
    plain, laid_out = (
        [x for x, _ in images_set().loader("train", channels_last=flag, **options)] for flag in (False, True)
    )
    for x, y in zip(plain, laid_out, strict=True):
        assert torch.equal(x, y)
        assert x.is_contiguous()
        assert y.is_contiguous(memory_format=torch.channels_last)


def test_types_are_those_that_networks_and_losses_want() -> None:
    documents = [(np.ones((n, 6), dtype=np.uint16), np.zeros(n, dtype=np.uint8)) for n in (5, 2, 2)]
    x, y = next(iter(DataSet.from_arrays(*documents, n_classes=2).loader("train", batch_size=2)))
    assert (x.dtype, y.dtype) == (torch.int64, torch.int64)
    doubles = [(np.ones((n, 6), dtype=">f8"), np.zeros(n, dtype=">i4")) for n in (5, 2, 2)]
    x, y = next(iter(DataSet.from_arrays(*doubles, n_classes=2).loader("train", batch_size=2)))
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)


def test_read_only_arrays_are_taken() -> None:
    x = np.zeros((4, 2), dtype=np.float32)
    x.flags.writeable = False
    parts = [(x, [0, 1, 0, 1])] * 3
    assert len(DataSet.from_arrays(*parts, n_classes=2).train) == 4


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_users_random_samples_depend_on_seed_and_epoch_alone(num_workers: int, train: bool) -> None:
    data = noisy_set()
    expected = flat(data.loader("train", batch_size=4, train=train, seed=1).batches(2))
    random.seed(99)
    np.random.seed(99)
    loader = data.loader("train", batch_size=4, train=train, seed=1, num_workers=num_workers)
    other = flat(loader.batches(1))
    assert same(flat(loader.batches(2)), expected)
    assert same(flat(loader.batches(2, 3)), expected[3:])
    assert not same(other, expected)
    numbers = torch.cat([x[0] for x in expected])[:, 1:].unique()
    assert len(numbers) == 3 * 23  # each sample draws its own


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_give_the_same_images() -> None:
    data = images_set()
    options = {"batch_size": 5, "train": True, "seed": 1}
    found = data.loader("train", pipeline="dataloader", num_workers=2, **options)
    for epoch in range(2):
        assert same(flat(found.batches(epoch)), flat(data.loader("train", **options).batches(epoch)))


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_global_generators_are_left_alone(data: DataSet, pipeline: str) -> None:
    def states() -> list[Any]:
        return [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]

    before = states()
    for _ in data.loader("train", batch_size=5, train=True, pipeline=pipeline):
        assert states() == before
    assert states() == before


def test_splits_lie_on_the_device_once() -> None:
    data = images_set()
    first, second = (data.loader("train", batch_size=4, train=True) for _ in range(2))
    assert first.source.padded is second.source.padded
    assert first.source.labels is data.loader("train", batch_size=4).source.labels


def test_trees_have_all_labels_in_training_and_the_roots_in_evaluation() -> None:
    data = trees_set()
    forest, labels = next(iter(data.loader("train", batch_size=5, train=True)))
    assert labels.shape == (25,)
    assert labels is forest.labels
    assert sorted(labels.tolist()).count(-100) == 10
    forest, labels = next(iter(data.loader("train", batch_size=5)))
    assert forest.roots_only
    assert labels.tolist() == [0, 1, 0, 1, 0]


def test_the_model_is_told_what_it_needs() -> None:
    data = images_set()
    assert data.model_options == {"in_channels": 2, "in_features": 40}
    x, _ = next(iter(data.loader("train", batch_size=3)))
    for spec in ("small-resnet", "mlp:hidden=8", "mlp:hidden=8,in_features=40"):
        assert data.build_model(spec, seed=4)(x).shape == (3, 4)
    with pytest.raises(UsageError, match="'tree-lstm' does not fit data set 'arrays': it takes none of in_features"):
        data.build_model("tree-lstm")
    assert noisy_set().build_model("mlp:in_features=4")(torch.zeros(2, 4)).shape == (2, 3)


def test_word_vectors_are_copied_for_each_model() -> None:
    embedding = torch.nn.Embedding(5, 3)
    parts = [(np.ones((3, 4), dtype=np.int64), [0, 1, 0])] * 3
    data = DataSet.from_arrays(*parts, n_classes=2, options={"embedding": embedding})
    first, second = (data.build_model("global-pooling-cnn") for _ in range(2))
    torch.nn.init.zeros_(first.embedding.weight)
    assert torch.equal(second.embedding.weight, embedding.weight)
    assert embedding.weight.abs().sum() > 0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"split": "training"}, NotFoundError, "unknown split 'training'. Did you mean 'train'"),
        ({"pipeline": "residnet"}, NotFoundError, "Did you mean 'resident'"),
        ({"batch_size": 0}, InputError, "batch_size must be a whole number of at least 1, but is 0"),
        ({"seed": -1}, InputError, "seed must be"),
        ({"rank": 2, "world_size": 2}, InputError, "rank counts from 0 to world_size - 1 = 1, but is 2"),
        (
            {"batch_size": 7, "train": True, "world_size": 3},
            UsageError,
            "the last of the batches of 7 holds 2 of 23 rows, which is too few for 3 processes; choose another",
        ),
    ],
)
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_loader_that_cannot_be(kind: str, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        KINDS[kind]().loader(**{"split": "train", "batch_size": 5, **options})


@pytest.mark.parametrize(("epoch", "start"), [(-1, 0), (0, -1), (0, 6), (0.5, 0)])
def test_a_batch_that_cannot_be(epoch: Any, start: Any) -> None:
    with pytest.raises(InputError, match="epoch must|batch must|5 batches, but batch 6"):
        features_set().loader("train", batch_size=5).batches(epoch, start)


GOOD = (np.zeros((3, 2)), [0, 1, 1])


@pytest.mark.parametrize(
    ("train", "options", "words"),
    [
        (GOOD, {}, "say either n_classes or class_names"),
        (GOOD, {"n_classes": 2, "class_names": ("a", "b")}, "say either n_classes or class_names"),
        (GOOD, {"n_classes": 1}, "at least two classes"),
        (GOOD, {"class_names": ("a", "b"), "pixels": PIXELS}, "for images of uint8, but the inputs are float32"),
        ((np.zeros((3, 2)), [0, 1]), {"n_classes": 2}, "2 labels for 3 samples"),
        ((np.zeros((0, 2)), []), {"n_classes": 2}, "each of train, validation and test needs at least one sample"),
        ((np.zeros((3, 2)), [0, 1, 2]), {"n_classes": 2}, "train labels must be from 0 to n_classes - 1 = 1"),
        ((np.zeros((3, 2)), [0, -1, 1]), {"n_classes": 2}, "but include -1"),
        ((np.zeros((3, 2)), [0.0, 1.0, 1.0]), {"n_classes": 2}, "train labels must be whole numbers"),
        ((np.zeros((3, 2)), ["a", "b", "c"]), {"n_classes": 2}, "train labels must be an array of numbers"),
        ((np.zeros((3, 3)), [0, 1, 1]), {"n_classes": 2}, r"those of train are float32 of shape \(3, 3\)"),
        ((np.zeros((3, 2), dtype=complex), [0, 1, 1]), {"n_classes": 2}, "train inputs must be an array of numbers"),
        ((np.zeros((3, 2), dtype=np.uint8), [0, 1, 1]), {"n_classes": 2}, "images of uint8 have the shape"),
    ],
)
def test_arrays_that_cannot_be_used(train: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises((InputError, UsageError), match=words):
        DataSet.from_arrays(train, GOOD, GOOD, **options)


def test_datasets_that_cannot_be_used() -> None:
    class Stream(IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter(range(3))

    class Triples(Noisy):
        def __getitem__(self, i: int) -> Any:
            return i, i, i

    class Real(Noisy):
        def __getitem__(self, i: int) -> Any:
            return torch.zeros(2), 0.5

    with pytest.raises(InputError, match="train must have __len__ and __getitem__.*but is a Stream"):
        DataSet.from_datasets(Stream(), Noisy(3), Noisy(3), n_classes=3)
    for kind, words in (
        (Triples, "pairs \\(inputs, label\\), but a batch of them has 3 parts"),
        (Real, "whole numbers"),
    ):
        loader = DataSet.from_datasets(kind(3), Noisy(3), Noisy(3), n_classes=3).loader("train", batch_size=2)
        with pytest.raises((InputError, UsageError), match=words):
            next(iter(loader))


def test_collate_makes_pairs_of_other_samples() -> None:
    class Mappings(Noisy):
        def __getitem__(self, i: int) -> Any:
            return {"x": torch.tensor([float(i)]), "y": i % 3}

    def collate(samples: list[Any]) -> Any:
        return {"x": torch.stack([s["x"] for s in samples])}, torch.tensor([s["y"] for s in samples])

    data = DataSet.from_datasets(Mappings(5), Mappings(5), Mappings(5), n_classes=3, collate=collate)
    inputs, labels = next(iter(data.loader("train", batch_size=5)))
    assert inputs["x"].flatten().tolist() == [0, 1, 2, 3, 4]
    assert labels.tolist() == [0, 1, 2, 0, 1]


def test_digits_are_divided_by_the_seed() -> None:
    first, again, other = (get_dataset("digits", split_seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.test.inputs, again.test.inputs)
    assert not torch.equal(first.test.inputs, other.test.inputs)
    from sklearn.datasets import load_digits

    total = sum(part.inputs.sum(dtype=torch.int64) for part in (first.train, first.validation, first.test))
    assert total == int(load_digits().images.sum())
    x = torch.cat([x for x, _ in first.loader("train", batch_size=500)])
    assert abs(x.mean()) < 0.02
    assert abs(x.std() - 1) < 0.02


def test_noise_on_the_digits_is_the_same_in_every_call() -> None:
    plain, noisy, again = (get_dataset(spec) for spec in ("digits", "digits:noise=6", "digits:noise=6"))
    assert torch.equal(noisy.train.inputs, again.train.inputs)
    assert torch.equal(noisy.train.labels, plain.train.labels)
    difference = noisy.test.inputs.float() - plain.test.inputs
    assert 3 < difference.std() < 6  # grey levels below 0 are cut off, which halves the noise on black


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("cifar01", NotFoundError, "unknown data set 'cifar01'. Did you mean 'cifar10'"),
        ("digits@3", UsageError, "takes nothing after '@'"),
        ("digits:size=3", UsageError, "unexpected keyword argument 'size'. Parameters: .*split_seed"),
        ("digits:noise=-1", InputError, "noise must be a number from 0 on, but is -1"),
        ("digits:noise=true", InputError, "noise must be a number from 0 on"),
        ("digits:split_seed=3", UsageError, "split_seed cannot stand in"),
    ],
)
def test_a_data_set_that_cannot_be(spec: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        get_dataset(spec)


def test_a_data_set_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DATASETS, "_items", dict(DATASETS._items))

    @register_dataset("mine")
    def mine(*, size: int = 3, folder: Any = None) -> DataSet:
        assert str(folder) == "here"
        return DataSet.from_arrays(*[(np.zeros((size, 2)), [0] * size)] * 3, n_classes=2)

    found = get_dataset("mine: size=4", folder="here", download=True)
    assert len(found.test) == 4
    assert found.spec == "mine:size=4"
    assert "mine" in available_datasets()


def test_votes_to_train_on_are_refused_with_a_remedy():
    from calkit_torch.data.arrays import labels_tensor

    with pytest.raises(InputError, match=r"labels\.argmax\(axis=1\); calkit\.evaluate"):
        labels_tensor(np.full((4, 2), 0.5), "train")
