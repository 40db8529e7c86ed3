"""Networks by name: ``get_model("resnet50", n_classes=10)``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from calkit.errors import InputError, UsageError
from calkit.parameters import check_positive
from calkit.registry import Registry
from calkit.specs import call_with_spec, parse_spec

__all__ = ["MODELS", "available_models", "get_model"]

MODELS: Registry[Callable[..., nn.Module]] = Registry("model", entry_points="calkit.models")
"""Functions from ``n_classes`` and the model's own keywords to a network, by name."""


def available_models() -> list[str]:
    """Return the names :func:`get_model` knows.

    Examples
    --------
    >>> available_models()  # doctest: +NORMALIZE_WHITESPACE
    ['densenet121', 'global-pooling-cnn', 'mlp', 'resnet110', 'resnet110-bottleneck', 'resnet50',
     'small-resnet', 'tree-lstm', 'wide-resnet-26-10', 'wide-resnet-26-10-postactivation']
    """
    return sorted(MODELS)


def get_model(spec: str, n_classes: int, *, seed: int = 0, **parameters: Any) -> nn.Module:
    """Build a network with weights that depend on ``seed`` alone.

    Parameters
    ----------
    spec : str
        A name, with parameters if wanted: ``"resnet50"``, ``"mlp:hidden=256"``.
    n_classes : int
        Number of logits, at least 1.
    seed : int
        Equal seeds give equal weights, on every machine of the same torch version. The state of
        torch's own random generator is left as it was.
    **parameters
        The model's own parameters, as in ``spec``; for those that no string can hold, such as
        ``embedding``. One that the model does not have is an error.

    Returns
    -------
    nn.Module
        On the CPU, in training mode; its last linear layer is ``model.classifier``.

    Raises
    ------
    NotFoundError
        If there is no model of that name.
    UsageError
        If a parameter is unknown, missing or given twice.
    InputError
        If a value is out of range.

    Examples
    --------
    >>> model = get_model("mlp:hidden=256", n_classes=10, in_features=64)
    >>> model.classifier
    Linear(in_features=256, out_features=10, bias=True)
    """
    parsed = parse_spec(spec)
    build = MODELS[parsed.name]
    twice = sorted({"n_classes", *parameters} & parsed.kwargs.keys())
    if twice:
        raise UsageError(f"{', '.join(twice)} stands both in {spec!r} and beside it; give it once.")
    check_positive(n_classes=n_classes)
    call = replace(parsed, kwargs={"n_classes": n_classes, **parsed.kwargs, **parameters})
    # Only the CPU generator is forked and seeded: torch.manual_seed would seed the GPUs as well.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        try:
            return call_with_spec(build, call, "model")
        except (RuntimeError, MemoryError, OverflowError) as error:
            # Sizes beyond what memory holds, or beyond what torch counts with.
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"model {spec!r} cannot be built: {reason}. Choose a smaller one.") from None
