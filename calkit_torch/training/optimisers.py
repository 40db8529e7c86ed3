"""Optimisers by name: ``get_optimiser("sgd:0.1,momentum=0.9", parameters)``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from calkit.errors import CalkitError, InputError, UsageError
from calkit.parameters import is_number
from calkit.registry import Registry
from calkit.specs import Spec, call_with_spec, parse_spec

__all__ = ["OPTIMISERS", "JointOptimiser", "get_optimiser", "learning_rate_of", "with_learning_rate"]


class JointOptimiser(Optimizer):
    """Several optimisers, each of its own parameters, that step together.

    Parameters
    ----------
    parts : sequence of Optimizer

    Examples
    --------
    >>> import torch
    >>> a, b = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    >>> joint = JointOptimiser([SGD([a], lr=0.1), Adagrad([b], lr=0.05)])
    >>> [group["lr"] for group in joint.param_groups]
    [0.1, 0.05]
    """

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        super().__init__([p for part in parts for group in part.param_groups for p in group["params"]], {})
        self.parts = list(parts)
        self._gather()

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Let each take its step."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""
        for part, found in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(found)
        self._gather()

    def _gather(self) -> None:
        # The very groups of the parts, so that a change of the learning rate reaches them.
        self.param_groups = [group for part in self.parts for group in part.param_groups]


OPTIMISERS: Registry[Callable[..., Optimizer]] = Registry("optimiser")
"""Functions from parameters, the learning rate, parameters of their own and ``fused`` to an optimiser, by name."""


@OPTIMISERS.register("sgd")
def sgd(
    parameters: Iterable[nn.Parameter],
    lr: float = 0.1,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    *,
    fused: bool = False,
) -> Optimizer:
    """Return stochastic gradient descent."""
    return SGD(parameters, lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov, fused=fused or None)


@OPTIMISERS.register("adam")
def adam(
    parameters: Iterable[nn.Parameter],
    lr: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    *,
    fused: bool = False,
) -> Optimizer:
    """Return Adam."""
    betas = (beta1, beta2)
    return Adam(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused or None)


@OPTIMISERS.register("adamw")
def adamw(
    parameters: Iterable[nn.Parameter],
    lr: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    *,
    fused: bool = False,
) -> Optimizer:
    """Return Adam with decoupled weight decay."""
    betas = (beta1, beta2)
    return AdamW(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused or None)


@OPTIMISERS.register("adagrad")
def adagrad(
    parameters: Iterable[nn.Parameter],
    lr: float = 0.01,
    weight_decay: float = 0.0,
    eps: float = 1e-10,
    *,
    fused: bool = False,  # noqa: ARG001 (torch fuses Adagrad on CPUs only)
) -> Optimizer:
    """Return Adagrad."""
    return Adagrad(parameters, lr, weight_decay=weight_decay, eps=eps)


def get_optimiser(spec: str, parameters: Iterable[nn.Parameter], *, fused: bool = False) -> Optimizer:
    """Build an optimiser from its specification.

    Parameters
    ----------
    spec : str
        Name, learning rate and other parameters: ``"sgd:0.1,momentum=0.9,weight_decay=0.0005"``, ``"adam:0.001"``,
        ``"adamw:0.001,weight_decay=0.05"``, ``"adagrad:0.05"``.
    parameters : iterable of Parameter
        What to optimise.
    fused : bool, default=False
        Update all parameters in one kernel, where torch has one: faster on CUDA.

    Returns
    -------
    torch.optim.Optimizer

    Raises
    ------
    NotFoundError
        If there is no such optimiser.
    UsageError, InputError
        If a parameter is unknown or out of range.

    Examples
    --------
    >>> import torch
    >>> weights = [torch.nn.Parameter(torch.zeros(2))]
    >>> get_optimiser("sgd:0.1,momentum=0.9", weights).defaults["momentum"]
    0.9
    """
    parsed = _parse(spec)
    build = OPTIMISERS[parsed.name]

    def make(*args: Any, **kwargs: Any) -> Optimizer:
        return build(parameters, *args, **kwargs, fused=fused)

    make.__signature__ = _own_signature(build)  # type: ignore[attr-defined]
    try:
        return call_with_spec(make, parsed, "optimiser")
    except (ValueError, TypeError) as error:
        if isinstance(error, CalkitError):
            raise
        raise InputError(f"optimiser {spec!r}: {error}") from None


def learning_rate_of(spec: str) -> float:
    """Return the learning rate of a specification.

    Raises
    ------
    NotFoundError
        If there is no such optimiser.
    UsageError, InputError
        If a parameter is unknown, or the rate is not a positive number.

    Examples
    --------
    >>> learning_rate_of("adagrad:0.05,weight_decay=0.0001")
    0.05
    """
    parsed = _parse(spec)

    def bound(*args: Any, **kwargs: Any) -> Any:
        found = signature.bind(*args, **kwargs)
        found.apply_defaults()
        return found.arguments["lr"]

    signature = _own_signature(OPTIMISERS[parsed.name])
    bound.__signature__ = signature  # type: ignore[attr-defined]
    lr = call_with_spec(bound, parsed, "optimiser")
    if not is_number(lr) or not 0 < lr < float("inf"):
        raise InputError(f"optimiser {spec!r}: the learning rate must be a positive number, but is {lr!r}.")
    return float(lr)


def with_learning_rate(spec: str, lr: float) -> str:
    """Return a specification with another learning rate.

    Examples
    --------
    >>> with_learning_rate("sgd:0.1,momentum=0.9", 0.02)
    'sgd:0.02,momentum=0.9'
    """
    parsed = _parse(spec)
    kwargs = {key: value for key, value in parsed.kwargs.items() if key != "lr"}
    return str(replace(parsed, args=(lr, *parsed.args[1:]), kwargs=kwargs))


def _parse(spec: str) -> Spec:
    parsed = parse_spec(spec)
    OPTIMISERS.canonical(parsed.name)
    if parsed.at is not None:
        raise UsageError(f"optimiser {spec!r} takes nothing after '@'; epochs belong to lr_schedule.")
    return parsed


def _own_signature(build: Callable[..., Optimizer]) -> inspect.Signature:
    """What a specification may give: all but the tensors to optimise and how it is done."""
    return inspect.Signature(
        [p for p in list(inspect.signature(build).parameters.values())[1:] if p.kind is p.POSITIONAL_OR_KEYWORD]
    )
