"""A data set: three splits, and how they become batches."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from calkit.errors import InputError, UsageError
from calkit.registry import unknown_name
from calkit.specs import parse_spec
from calkit_torch.data.arrays import (
    check_labels,
    described,
    inputs_tensor,
    labels_tensor,
    names_of_classes,
    options_of,
)
from calkit_torch.data.feeds import DatasetFeed, Feed, ImageFeed, TensorFeed
from calkit_torch.data.images import Augmentation, Pixels
from calkit_torch.data.loader import Loader, Request
from calkit_torch.data.split import SPLITS, Split
from calkit_torch.models import MODELS, get_model

__all__ = ["PIPELINES", "DataSet"]

PIPELINES = ("resident", "dataloader")


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set: three splits, and how they become batches.

    Parameters
    ----------
    name : str
        A short name, for tables.
    train, validation, test : Split
    class_names : tuple of str
        One name for each class, in the order of the labels.
    feed : Feed
        How inputs become batches.
    options : mapping
        What models may need to know: ``in_channels``, ``in_features``, ``vocabulary_size`` or ``embedding``.
    spec : str
        The string :func:`~calkit_torch.data.get_dataset` takes back; the name if there is none.
    judged : tuple of int
        The classes that a network is judged by, all by default. The logits of others, which it learns for the parts of
        an input (neutral phrases of a sentence), are left out in evaluation.

    Examples
    --------
    >>> from calkit_torch.data import get_dataset
    >>> digits = get_dataset("digits")
    >>> digits
    DataSet('digits', train=997, validation=300, test=500, n_classes=10)
    >>> images, labels = next(iter(digits.loader("train", batch_size=64, train=True)))
    >>> images.shape, labels.shape
    (torch.Size([64, 1, 8, 8]), torch.Size([64]))
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    feed: Feed
    options: Mapping[str, Any] = field(default_factory=dict)
    spec: str = ""
    judged: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.spec:
            object.__setattr__(self, "spec", self.name)
        if len(self.class_names) < 2:
            raise InputError(f"a data set needs at least two classes, but {self.name!r} has {len(self.class_names)}.")
        if not self.judged:
            object.__setattr__(self, "judged", tuple(range(self.n_classes)))
        for split in SPLITS:
            check_labels(self.split(split).labels, self.n_classes, split)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split}={len(self.split(split))}" for split in SPLITS)
        return f"DataSet({self.spec!r}, {sizes}, n_classes={self.n_classes})"

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def judged_names(self) -> tuple[str, ...]:
        """Names of the classes that a network is judged by."""
        return tuple(self.class_names[k] for k in self.judged)

    def only_judged(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the classes that are judged, and the labels as places among them.

        Parameters
        ----------
        logits : Tensor, shape (n, n_classes)
        labels : Tensor of int64, shape (n,)
        """
        if len(self.judged) == self.n_classes:
            return logits, labels
        kept = torch.tensor(self.judged, device=labels.device)
        return logits[:, kept], torch.searchsorted(kept, labels)

    @property
    def model_options(self) -> dict[str, Any]:
        """What models may need to know of the inputs; word vectors as a new copy, since training changes them."""
        return {
            name: copy.deepcopy(value) if isinstance(value, nn.Module) else value
            for name, value in self.options.items()
        }

    def split(self, name: str) -> Split:
        """Return the split of a name: "train", "validation" or "test".

        Raises
        ------
        NotFoundError
            If there is none of that name.
        """
        if name not in SPLITS:
            raise unknown_name("split", name, SPLITS)
        found: Split = getattr(self, name)
        return found

    def build_model(self, spec: str, *, seed: int = 0) -> nn.Module:
        """Build a network for these inputs and classes.

        Parameters
        ----------
        spec : str
            As for :func:`~calkit_torch.models.get_model`. Of :attr:`model_options` it is given those that it has
            parameters for and that do not stand in the string.
        seed : int
            What its weights depend on.

        Raises
        ------
        UsageError
            If it takes none of the options: it is made for another kind of input.

        Examples
        --------
        >>> from calkit_torch.data import get_dataset
        >>> get_dataset("digits").build_model("mlp:hidden=32").layers[0]
        Linear(in_features=64, out_features=32, bias=True)
        """
        parsed = parse_spec(spec)
        parameters = inspect.signature(MODELS[parsed.name]).parameters
        wanted = {name: value for name, value in self.model_options.items() if name in parameters}
        if self.options and not wanted:
            raise UsageError(
                f"model {spec!r} does not fit data set {self.name!r}: it takes none of {', '.join(self.options)}. "
                "Choose a network for this kind of input."
            )
        beside = {name: value for name, value in wanted.items() if name not in parsed.kwargs}
        return get_model(spec, self.n_classes, seed=seed, **beside)

    def loader(
        self,
        split: str,
        *,
        batch_size: int,
        train: bool = False,
        seed: int = 0,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
        pipeline: str = "resident",
        channels_last: bool = False,
        num_workers: int = 0,
    ) -> Loader:
        """Return what gives the batches of a split.

        Parameters
        ----------
        split : str
            "train", "validation" or "test".
        batch_size : int
            Size of a global batch, over all ranks.
        train : bool
            Whether to shuffle and augment. If not, rows keep their order, and each comes exactly once.
        seed : int
            What order and augmentation depend on, besides the epoch.
        device : torch.device or str
            Where batches are wanted.
        rank, world_size : int
            Which of how many processes: each takes its part of every batch.
        pipeline : {"resident", "dataloader"}
            "resident" keeps the split on the device, where that is possible: not for trees and for a torch Dataset.
            "dataloader" makes every sample by itself. Both give the same batches.
        channels_last : bool
            Whether images are laid out pixel by pixel, which suits the convolutions of GPUs.
        num_workers : int
            Processes that prepare the batches of the DataLoader; 0 for this one.

        Returns
        -------
        Loader

        Raises
        ------
        NotFoundError
            If there is no such split or pipeline.
        InputError
            If a number is out of range.
        UsageError
            If the last training batch has fewer rows than there are ranks.
        """
        if pipeline not in PIPELINES:
            raise unknown_name("pipeline", pipeline, PIPELINES)
        request = Request(
            split=split,
            batch_size=batch_size,
            train=train,
            seed=seed,
            device=torch.device(device),
            rank=rank,
            world_size=world_size,
            pipeline=pipeline,
            channels_last=channels_last,
            num_workers=num_workers,
        )
        return self.feed.open(self.split(split), request)

    @classmethod
    def from_arrays(
        cls,
        train: tuple[Any, Any],
        validation: tuple[Any, Any],
        test: tuple[Any, Any],
        *,
        name: str = "arrays",
        n_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        pixels: Pixels | None = None,
        augmentation: Augmentation | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> DataSet:
        """Make a data set of arrays.

        Parameters
        ----------
        train, validation, test : pair of array-likes
            Inputs and labels of each split, NumPy arrays or tensors. Inputs of uint8 are images (n, channels, height,
            width); all others are fed as they are: floating-point numbers as float32, whole numbers as int64 (0 is
            padding in documents). Labels are whole numbers from 0.
        name : str
            A short name, for tables.
        n_classes : int, optional
            Number of classes.
        class_names : sequence of str, optional
            Their names, instead of the number.
        pixels : Pixels, optional
            How pixels become numbers; by default they are divided by 255.
        augmentation : Augmentation, optional
            Crops and flips of training images; none by default.
        options : mapping, optional
            What models need to know. By default the channels of images, and the numbers in one input.

        Returns
        -------
        DataSet

        Raises
        ------
        InputError
            If shapes or labels do not fit.
        UsageError
            If the classes are not said, or what is said is for images and the inputs are none.

        Examples
        --------
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> parts = [(rng.normal(size=(n, 5)), rng.integers(3, size=n)) for n in (100, 20, 30)]
        >>> DataSet.from_arrays(*parts, n_classes=3)
        DataSet('arrays', train=100, validation=20, test=30, n_classes=3)
        """
        parts = dict(zip(SPLITS, (train, validation, test), strict=True))
        splits = {split: Split(inputs_tensor(x, split), labels_tensor(y, split)) for split, (x, y) in parts.items()}
        first: Tensor = splits["train"].inputs
        for split, part in splits.items():
            if part.inputs.dtype != first.dtype or part.inputs.shape[1:] != first.shape[1:]:
                raise InputError(
                    f"the inputs of all splits must be alike, but those of train are {described(first)} and those of "
                    f"{split} {described(part.inputs)}."
                )
        names = names_of_classes(n_classes, class_names)
        if first.dtype == torch.uint8:
            channels = first.shape[1]
            feed: Feed = ImageFeed(pixels or Pixels((0.0,) * channels, (1.0,) * channels), augmentation)
        elif pixels is not None or augmentation is not None:
            raise UsageError(f"pixels and augmentation are for images of uint8, but the inputs are {described(first)}.")
        else:
            feed = TensorFeed()
        found = options_of(first) if options is None else options
        return cls(
            name,
            splits["train"],
            splits["validation"],
            splits["test"],
            class_names=names,
            feed=feed,
            options=found,
        )

    @classmethod
    def from_datasets(
        cls,
        train: Dataset[Any],
        validation: Dataset[Any],
        test: Dataset[Any],
        *,
        name: str = "dataset",
        n_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> DataSet:
        """Make a data set of torch Datasets, which are read through torch's DataLoader.

        Parameters
        ----------
        train, validation, test : Dataset
            Each with ``__len__`` and ``__getitem__``, which gives a pair (inputs, label). What is random in it draws
            from the generators of ``random``, ``numpy.random`` or torch: they are seeded for each sample by the place
            in the epoch.
        name : str
            A short name, for tables.
        n_classes : int, optional
            Number of classes.
        class_names : sequence of str, optional
            Their names, instead of the number.
        collate : callable, optional
            Makes a pair (inputs, labels) of a list of samples; torch's own way by default.
        options : mapping, optional
            What models need to know, such as ``in_channels``.

        Returns
        -------
        DataSet

        Raises
        ------
        InputError
            If a Dataset has no length or is empty.
        UsageError
            If the classes are not said.
        """
        datasets = dict(zip(SPLITS, (train, validation, test), strict=True))
        for split, dataset in datasets.items():
            if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
                raise InputError(
                    f"{split} must have __len__ and __getitem__, so that an epoch can be shuffled and resumed, but "
                    f"is a {type(dataset).__name__}."
                )
        names = names_of_classes(n_classes, class_names)
        return cls(
            name,
            Split(train, None),
            Split(validation, None),
            Split(test, None),
            class_names=names,
            feed=DatasetFeed(collate),
            options=options or {},
        )
