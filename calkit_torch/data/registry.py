"""Data sets by name: ``get_dataset("cifar10")``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from calkit.errors import UsageError
from calkit.registry import Registry
from calkit.specs import call_with_spec, parse_spec
from calkit_torch.data.base import DataSet

__all__ = ["DATASETS", "available_datasets", "get_dataset", "register_dataset"]

DATASETS: Registry[Callable[..., DataSet]] = Registry("data set", entry_points="calkit.datasets")
"""Functions that read a data set, by name."""


def register_dataset(name: str) -> Callable[[Callable[..., DataSet]], Callable[..., DataSet]]:
    """Return a decorator that makes a function a data set.

    Parameters
    ----------
    name : str
        The name from then on.

    Notes
    -----
    The function returns a :class:`DataSet`. Its parameters are those of the data set's string; of ``folder``,
    ``split_seed`` and ``download`` it is given those that it has.

    See the user guide on data for an example.
    """
    return DATASETS.register(name)


def available_datasets() -> list[str]:
    """Return the names :func:`get_dataset` knows.

    Examples
    --------
    >>> {"20newsgroups", "cifar10", "cifar100", "digits", "sst"} <= set(available_datasets())
    True
    """
    return sorted(DATASETS)


def get_dataset(spec: str, *, folder: str | Path | None = None, split_seed: int = 1, download: bool = False) -> DataSet:
    """Read a data set.

    Parameters
    ----------
    spec : str
        A name, with parameters if wanted: ``"cifar10"``, ``"cifar100:test_constants=imagenet"``, ``"sst:task=fine"``.
    folder : str or Path, optional
        Where its files are, or come to be. By default the folder of its name in the one that the environment variable
        ``CALKIT_DATA`` names, or in ``~/.cache/calkit``.
    split_seed : int
        What the division into training and validation (and test) depends on, where none is given.
    download : bool
        Whether files that are missing are fetched, and checked.

    Returns
    -------
    DataSet

    Raises
    ------
    NotFoundError
        If there is no data set of that name.
    UsageError
        If a parameter is unknown or given twice.
    FileFormatError
        If files are missing or hold something else; the message says what to do.

    Examples
    --------
    >>> get_dataset("digits")
    DataSet('digits', train=997, validation=300, test=500, n_classes=10)
    """
    parsed = parse_spec(spec)
    build = DATASETS[parsed.name]
    beside: dict[str, Any] = {
        "folder": None if folder is None else Path(folder),
        "split_seed": split_seed,
        "download": download,
    }
    twice = sorted(beside.keys() & parsed.kwargs.keys())
    if twice:
        raise UsageError(f"{', '.join(twice)} cannot stand in {spec!r}; give it beside the string.")
    known = inspect.signature(build).parameters
    call = replace(parsed, kwargs={**parsed.kwargs, **{k: v for k, v in beside.items() if k in known}})
    name = DATASETS.canonical(parsed.name)
    return replace(call_with_spec(build, call, "data set"), spec=str(replace(parsed, name=name)))
