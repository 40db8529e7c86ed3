"""How each kind of input becomes batches.

A feed opens a split. Where it can, it keeps the whole split on the device (:mod:`calkit_torch.data.resident`); else,
or if asked to, it goes through torch's DataLoader (:mod:`calkit_torch.data.samples`). Both give the same batches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from calkit_torch.data.images import Augmentation, Pixels
from calkit_torch.data.loader import Loader, Request
from calkit_torch.data.resident import ImageSource, ResidentLoader, TensorSource
from calkit_torch.data.samples import ImageSamples, SampleLoader, SeededSamples, TensorSamples, TreeSamples
from calkit_torch.data.split import Split
from calkit_torch.models import Tree, collate_trees

__all__ = ["DatasetFeed", "Feed", "ImageFeed", "TensorFeed", "TreeFeed"]


class Feed(ABC):
    """How one kind of input becomes batches."""

    @abstractmethod
    def open(self, split: Split, request: Request) -> Loader:
        """Return the loader of a split.

        Parameters
        ----------
        split : Split
        request : Request
        """


@dataclass(frozen=True)
class ImageFeed(Feed):
    """Images of uint8, normalised, and in training cropped and flipped.

    Parameters
    ----------
    pixels : Pixels
        How pixels become numbers.
    augmentation : Augmentation, optional
        Without it training images are as they are.
    exceptions : mapping of str to Pixels
        Splits whose pixels become numbers in another way.
    """

    pixels: Pixels
    augmentation: Augmentation | None = None
    exceptions: Mapping[str, Pixels] = field(default_factory=dict)

    def open(self, split: Split, request: Request) -> Loader:
        """Return the loader of a split."""
        pixels = self.exceptions.get(request.split, self.pixels)
        augmentation = self.augmentation if request.train else None
        if request.pipeline == "dataloader":
            samples = ImageSamples(split, pixels, augmentation)
            return SampleLoader(samples, request, channels_last=request.channels_last)
        return ResidentLoader(ImageSource(split, pixels, augmentation, request), request)


@dataclass(frozen=True)
class TensorFeed(Feed):
    """Numbers that are fed as they are: features, or documents as word ids."""

    def open(self, split: Split, request: Request) -> Loader:
        """Return the loader of a split."""
        if request.pipeline == "dataloader":
            return SampleLoader(TensorSamples(split), request, channels_last=request.channels_last)
        return ResidentLoader(TensorSource(split, request), request)


@dataclass(frozen=True)
class TreeFeed(Feed):
    """Trees: in training with the labels of all nodes, in evaluation with those of the roots.

    Parameters
    ----------
    vocabulary : mapping of str to int
        The ids of the words.
    unknown : int
        The id of all other words.
    """

    vocabulary: Mapping[str, int]
    unknown: int

    def open(self, split: Split, request: Request) -> Loader:
        """Return the loader of a split."""
        return SampleLoader(
            TreeSamples(split), request, collate=self.collate_nodes if request.train else self.collate_roots
        )

    def collate_nodes(self, trees: list[Tree]) -> tuple[Any, Tensor]:
        """Return the trees as one batch, and the labels of all nodes."""
        batch = collate_trees(trees, self.vocabulary, unknown=self.unknown)
        return batch, batch.labels

    def collate_roots(self, trees: list[Tree]) -> tuple[Any, Tensor]:
        """Return the trees as one batch, to be classified as wholes, and the labels of the roots."""
        batch = collate_trees(trees, self.vocabulary, unknown=self.unknown).at_roots()
        return batch, batch.labels


@dataclass(frozen=True)
class DatasetFeed(Feed):
    """A torch Dataset of pairs (inputs, label), which may do anything at random in training.

    Parameters
    ----------
    collate : callable, optional
        Makes a batch of a list of samples; torch's own by default.
    """

    collate: Callable[[list[Any]], Any] | None = None

    def open(self, split: Split, request: Request) -> Loader:
        """Return the loader of a split."""
        dataset: Dataset[Any] = split.inputs
        return SampleLoader(SeededSamples(dataset), request, collate=self.collate, channels_last=request.channels_last)
