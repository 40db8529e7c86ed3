"""A network with its temperature inside: one module to ship."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from calkit.errors import InputError, UsageError

__all__ = ["TemperatureScaled"]

Returns = Literal["logits", "probs"]


class TemperatureScaled(nn.Module):
    """A model whose logits are divided by a fitted temperature.

    It is called as the model is and takes its place: it can be moved, compiled, exported (``torch.export``, ONNX) and
    saved as any module. The temperature is a number, no tensor, so that ``.half()`` does not round it, and is part of
    the ``state_dict``.

    Parameters
    ----------
    model : nn.Module
        Its logits have shape (n, K), (n, K, ...), or (n,) for the logit of class 1 of two.
    calibrator : TemperatureScaling or float
        A fitted calibrator, or a temperature.
    returns : {"logits", "probs"}, default="logits"
        Calibrated logits, which take the place of the model's own, or calibrated probabilities, in the same shape.
    output : callable, optional
        Takes what the model returns and returns the logits, e.g. ``lambda found: found.logits``. By default the model
        returns the logits themselves.

    Attributes
    ----------
    temperature : float
    returns : str

    Raises
    ------
    InputError
        If the temperature is not a positive number.
    UsageError
        If `calibrator` is neither a number nor a TemperatureScaling, or `returns` is unknown.

    Notes
    -----
    Logits in half precision are widened to float32 first: rounded to bfloat16, a confidence moves by up to 0.002.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 3)
    >>> calibrated = TemperatureScaled(model, 2.0)
    >>> x = torch.ones(1, 2)
    >>> bool((calibrated(x) == model(x) / 2).all())
    True
    """

    def __init__(
        self,
        model: nn.Module,
        calibrator: Any,
        *,
        returns: Returns = "logits",
        output: Callable[[Any], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if returns not in get_args(Returns):
            raise UsageError(f"returns must be one of {', '.join(get_args(Returns))}, but is {returns!r}.")
        self.model = model
        self.temperature = _temperature_of(calibrator)
        self.returns = returns
        self.output = output

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return calibrated logits or probabilities of what the model says of these inputs."""
        found = self.model(*args, **kwargs)
        logits: Tensor = found if self.output is None else self.output(found)
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        logits = logits / self.temperature
        return logits if self.returns == "logits" else _probabilities(logits)

    def extra_repr(self) -> str:
        """Return what ``repr`` shows between the parentheses."""
        return f"temperature={self.temperature:.6g}, returns={self.returns!r}"

    def get_extra_state(self) -> dict[str, float]:
        """Return what the ``state_dict`` holds beside the model's tensors."""
        return {"temperature": self.temperature}

    def set_extra_state(self, state: Any) -> None:
        """Take the temperature of a ``state_dict``."""
        self.temperature = _temperature_of(state["temperature"])


def _probabilities(logits: Tensor) -> Tensor:
    if logits.ndim == 1:
        return torch.sigmoid(logits)
    if logits.shape[1] == 1:
        raise InputError(
            f"logits of shape {tuple(logits.shape)} have one class, which softmax makes certain; if it is the logit of "
            "class 1 of two, pass output=lambda logits: logits.squeeze(1)."
        )
    return torch.softmax(logits, dim=1)


def _temperature_of(calibrator: Any) -> float:
    if isinstance(calibrator, int | float) and not isinstance(calibrator, bool):
        temperature = float(calibrator)
    else:
        temperature = _fitted_temperature(calibrator)
    if not (math.isfinite(temperature) and temperature > 0):
        raise InputError(f"the temperature must be a positive number, but is {temperature!r}.")
    return temperature


def _fitted_temperature(calibrator: Any) -> float:
    # Loaded only where there is a calibrator, which has loaded them already.
    from sklearn.utils.validation import check_is_fitted

    from calkit.calibrators import Calibrator

    found = None
    if isinstance(calibrator, Calibrator):
        check_is_fitted(calibrator)
        found = calibrator.describe().temperature
    if found is None:
        raise UsageError(
            f"calibrator must be a fitted TemperatureScaling or a temperature, but is a {type(calibrator).__name__}; "
            "other calibrators go behind the model, nn.Sequential(model, to_torch(calibrator)), or are applied to "
            "predictions: calibrator.apply(predict(model, loader))."
        )
    return float(found)
