"""Learning-rate schedules: pure functions of the epoch, so that a run can be resumed anywhere."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from calkit.errors import InputError, UsageError
from calkit.registry import Registry
from calkit.specs import Spec, Value, call_with_spec, parse_spec
from calkit_torch.epochs import scaled_epochs

__all__ = ["SCHEDULES", "Schedule", "get_schedule", "scaled_schedule"]

#: From an epoch, counted from 0, to the factor of the base learning rate.
Schedule = Callable[[int], float]

SCHEDULES: Registry[Callable[..., Schedule]] = Registry("learning-rate schedule")
"""By name: functions from the number of epochs, the numbers after ``@`` and parameters of their own to a schedule."""


@SCHEDULES.register("constant")
def constant(epochs: int, at: Sequence[float]) -> Schedule:  # noqa: ARG001
    """Return a schedule that never changes the rate."""
    _nothing_after_at("constant", at)
    return lambda _: 1.0


@SCHEDULES.register("step")
def step(epochs: int, at: Sequence[float], factor: float = 0.1) -> Schedule:  # noqa: ARG001
    """Return a schedule that multiplies the rate by ``factor`` at the beginning of each epoch in ``at``."""
    if not 0 < factor <= 1:
        raise InputError(f"the factor of a step schedule must lie in (0, 1], but is {factor!r}.")
    if not at or any(e != int(e) or e < 1 for e in at) or list(at) != sorted(set(at)):
        raise UsageError(f"a step schedule needs increasing whole epochs, step:0.1@150,250, but got {list(at)}.")
    return lambda epoch: float(factor ** sum(epoch >= first for first in at))


@SCHEDULES.register("cosine")
def cosine(epochs: int, at: Sequence[float], final: float = 0.0, warmup: float = 0) -> Schedule:
    """Return half a cosine from 1 to ``final``, after ``warmup`` epochs in which the rate rises linearly."""
    _nothing_after_at("cosine", at)
    if not 0 <= final <= 1:
        raise InputError(f"the final factor of a cosine schedule must lie in [0, 1], but is {final!r}.")
    if warmup != int(warmup) or not 0 <= warmup < epochs:
        raise InputError(f"warmup must be a whole number of epochs below {epochs}, but is {warmup!r}.")

    def factor(epoch: int) -> float:
        if epoch < warmup:
            return (epoch + 1) / (warmup + 1)
        done = (epoch - warmup) / (epochs - warmup)
        return final + (1 - final) * (1 + math.cos(math.pi * done)) / 2

    return factor


def get_schedule(spec: str, epochs: int) -> Schedule:
    """Build a learning-rate schedule from its specification.

    Parameters
    ----------
    spec : str
        ``"constant"``, ``"step:0.1@150,250"`` (times 0.1 from the epochs 150 and 250 on, counted from 0),
        ``"cosine"``, ``"cosine:final=0.01,warmup=5"``.
    epochs : int
        Number of epochs of the run.

    Returns
    -------
    callable
        From the epoch, counted from 0, to the factor of the base learning rate.

    Raises
    ------
    NotFoundError
        If there is no such schedule.
    UsageError, InputError
        If the parameters do not fit.

    Examples
    --------
    >>> factor = get_schedule("step:0.1@150,250", epochs=350)
    >>> [round(factor(epoch), 6) for epoch in (0, 149, 150, 250)]
    [1.0, 1.0, 0.1, 0.01]
    """
    parsed = parse_spec(spec)
    build = SCHEDULES[parsed.name]

    def schedule(*args: float, **kwargs: float) -> Schedule:
        return build(epochs, parsed.at or (), *args, **kwargs)

    schedule.__signature__ = _own_parameters(build)  # type: ignore[attr-defined]
    return call_with_spec(schedule, replace(parsed, at=None), "learning-rate schedule")


def scaled_schedule(spec: str, scale: float) -> str:
    """Return the specification of a schedule whose epochs, after ``@`` and of a warm-up, are multiplied.

    Examples
    --------
    >>> scaled_schedule("step:0.1@150,250", 0.1), scaled_schedule("cosine:0,5", 2)
    ('step:0.1@15,25', 'cosine:0,10')
    """
    parsed = parse_spec(spec)

    def scaled(name: str, value: Value) -> Value:
        # Rounded down, so that it stays shorter than the run.
        return math.floor(value * scale + 1e-9) if name == "warmup" and isinstance(value, int | float) else value

    names = _own_parameters(SCHEDULES[parsed.name]).parameters
    changed = Spec(
        parsed.name,
        tuple(scaled(name, value) for name, value in zip(names, parsed.args, strict=False)),
        {name: scaled(name, value) for name, value in parsed.kwargs.items()},
        None if parsed.at is None else scaled_epochs(parsed.at, scale),
    )
    return spec if changed == parsed else str(changed)


def _own_parameters(build: Callable[..., Schedule]) -> inspect.Signature:
    signature = inspect.signature(build)
    return signature.replace(parameters=list(signature.parameters.values())[2:])


def _nothing_after_at(name: str, at: Sequence[float]) -> None:
    if at:
        raise UsageError(f"a {name} schedule takes nothing after '@', but got {list(at)}.")
