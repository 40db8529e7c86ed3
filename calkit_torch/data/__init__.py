"""Data sets by name, or a user's own, as batches that can be resumed anywhere.

>>> from calkit_torch.data import get_dataset
>>> digits = get_dataset("digits")
>>> loader = digits.loader("train", batch_size=128, train=True, seed=0)
>>> for images, labels in loader.batches(epoch=0):
...     pass
"""

from calkit_torch.data import cifar, digits, newsgroups, sst  # noqa: F401 (they register themselves)
from calkit_torch.data.base import DataSet
from calkit_torch.data.images import Augmentation, Pixels
from calkit_torch.data.loader import Loader
from calkit_torch.data.registry import DATASETS, available_datasets, get_dataset, register_dataset
from calkit_torch.data.split import Split

__all__ = [
    "DATASETS",
    "Augmentation",
    "DataSet",
    "Loader",
    "Pixels",
    "Split",
    "available_datasets",
    "get_dataset",
    "register_dataset",
]
