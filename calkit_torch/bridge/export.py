"""Calibrators as torch modules and ONNX files, compared with the original before they are handed out."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calkit.atomic import atomic_write
from calkit.calibrators.parametric.features import LARGEST_IN_SINGLE, LOWEST
from calkit.errors import CalkitError, MissingDependencyError, UsageError

__all__ = ["CalibratorModule", "export_onnx", "to_torch"]

Returns = Literal["probs", "logits"]

# Rows on which an export is compared, and how far probabilities may differ: in float64, and in float32 files.
_ROWS = 1000
_CLOSE, _CLOSE_SINGLE = 1e-9, 2e-5


class CalibratorModule(nn.Module):
    """A fitted calibrator as a torch module: logits of shape (n, K) in, probabilities out.

    Made by :func:`to_torch`. Put it behind a network, ``nn.Sequential(model, module)``, to ship both as one.

    Parameters
    ----------
    formula : calkit.calibrators.formula.Formula
    returns : {"probs", "logits"}, default="probs"
        Probabilities, or their logarithms.
    """

    matrix: Tensor

    def __init__(self, formula: Any, *, returns: Returns = "probs") -> None:
        super().__init__()
        self.register_buffer("matrix", torch.as_tensor(formula.matrix, dtype=torch.float64))
        # Numbers, so that the module can be traced: whether classes have frequency 0, and products ask for float64.
        self.excludes = bool(np.isneginf(formula.matrix).any())
        self.is_wide = bool((abs(formula.matrix[np.isfinite(formula.matrix)]) > LARGEST_IN_SINGLE).any())
        self.features, self.returns = formula.features, returns
        self.beta, self.floor, self.mix, self.share, self.own = (
            float(formula.inverse_temperature),
            float(formula.floor),
            float(formula.mix),
            float(formula.share),
            float(formula.own),
        )

    def forward(self, logits: Tensor) -> Tensor:
        """Return calibrated probabilities, or log-probabilities, in the precision of the logits (at least float32)."""
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        return self._mapped(logits.double() if self.is_wide else logits).to(logits.dtype)

    def _mapped(self, logits: Tensor) -> Tensor:
        masked = torch.isneginf(logits)
        # Differences first: the products of large or of tiny logits would have lost their digits.
        x = logits - logits.amax(1, keepdim=True)
        if self.floor:
            x = torch.log_softmax(torch.log_softmax(x, 1).clamp(min=math.log(self.floor)), 1)
        x = torch.log_softmax(self.beta * x, 1)
        if self.mix:
            x = torch.log((1 - self.mix) * x.exp() + self.mix / logits.shape[1])
        elif not self.floor:
            x = torch.where(masked, torch.zeros_like(x), x)
        # Squares of masks such as -1e30 would overflow in float32; the calibrators have the same bound.
        x = x.clamp(min=LOWEST)
        u = self._features(x) @ self.matrix.to(x.dtype)
        if not self.floor:
            u = u.masked_fill(masked, -torch.inf)
        if self.excludes:
            # Rows of which the formula would leave no class stay.
            u = torch.where(torch.isneginf(u).all(1, keepdim=True), x.masked_fill(masked, -torch.inf), u)
        if not self.share and not self.own:
            return torch.softmax(u, 1) if self.returns == "probs" else torch.log_softmax(u, 1)
        probs = (1 - self.share - self.own) * torch.softmax(u, 1) + self.share * self._uniform(masked, x)
        if self.own:
            probs = probs + self.own * torch.softmax(logits, 1)
        return probs if self.returns == "probs" else probs.log()

    def _uniform(self, masked: Tensor, x: Tensor) -> Tensor:
        possible = torch.ones_like(x) if self.floor else (~masked).to(x.dtype)
        return possible / possible.sum(1, keepdim=True)

    def _features(self, x: Tensor) -> Tensor:
        one = torch.ones_like(x[:, :1])
        if self.features == "linear":
            return torch.cat([x, one], 1)
        s = x[:, 1:] - x[:, :1]
        return torch.cat([x, s * s, s * s.abs() / (1 + s.abs()), one], 1)


def to_torch(calibrator: Any, *, returns: Returns = "probs") -> CalibratorModule:
    """Return a fitted calibrator as a torch module.

    Parameters
    ----------
    calibrator : Calibrator
        One whose map is a formula: temperature, ensemble temperature, the parametric family that is linear in
        log-probabilities, prior correction, auto.
    returns : {"probs", "logits"}, default="probs"
        Probabilities, or their logarithms.

    Returns
    -------
    CalibratorModule
        In evaluation mode. On 1,000 rows, edge cases among them, it was compared with the calibrator.

    Raises
    ------
    UsageError
        If the calibrator has no formula, or `returns` is unknown.
    CalkitError
        If the module gives other probabilities than the calibrator.

    Examples
    --------
    >>> import torch
    >>> from calkit.calibrators import VectorScaling
    >>> from calkit.datasets import load_digits_logits
    >>> from calkit_torch.bridge import to_torch
    >>> module = to_torch(VectorScaling().fit_predictions(load_digits_logits("validation")))
    >>> module(torch.zeros(1, 10)).sum().round(decimals=6).item()
    1.0
    """
    from sklearn.utils.validation import check_is_fitted

    if returns not in get_args(Returns):
        raise UsageError(f"returns must be one of {', '.join(get_args(Returns))}, but is {returns!r}.")
    check_is_fitted(calibrator)
    formula = calibrator.formula()
    if formula is None:
        raise UsageError(
            f"{calibrator.name} has no formula that torch could compute; apply it to predictions, "
            "calibrator.apply(...), or fit another one: auto, svs, sms, vector, beta."
        )
    module = CalibratorModule(formula, returns=returns).eval()
    rows = _edge_cases(calibrator.n_features_in_)
    with torch.no_grad():
        found = CalibratorModule(formula)(torch.from_numpy(rows)).numpy()
    _compare("the torch module", found, calibrator.predict_proba(rows), _CLOSE)
    return module


def export_onnx(calibrator: Any, path: str | Path) -> None:
    """Write a fitted calibrator as an ONNX file: float32 logits (n, K) named ``logits`` in, ``probs`` out.

    Parameters
    ----------
    calibrator : Calibrator
        As for :func:`to_torch`.
    path : str or Path
        Written only after the file gave the calibrator's probabilities on 1,000 rows, edge cases among them.

    Raises
    ------
    UsageError
        If the calibrator has no formula.
    CalkitError
        If the file gives other probabilities than the calibrator.
    MissingDependencyError
        If onnx, onnxscript or onnxruntime is not installed.
    """
    try:
        import onnxruntime  # type: ignore[import-untyped]
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"exporting to ONNX needs {error.name}: pip install onnxscript onnxruntime"
        ) from None
    module = to_torch(calibrator).float()
    example = torch.zeros(2, calibrator.n_features_in_)
    rows = _edge_cases(calibrator.n_features_in_).astype(np.float32)
    with atomic_write(path) as temporary:
        with warnings.catch_warnings():
            # torch's exporter calls functions that torch and its dependencies have deprecated.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                input_names=["logits"],
                output_names=["probs"],
                verbose=False,
            )
        assert program is not None  # noqa: S101 - that of dynamo=True
        program.save(temporary)
        session = onnxruntime.InferenceSession(temporary)
        (found,) = session.run(["probs"], {"logits": rows})
        _compare("the ONNX file", found, calibrator.predict_proba(rows.astype(np.float64)), _CLOSE_SINGLE)


def _edge_cases(n_classes: int) -> NDArray[np.float64]:
    """Return 1,000 rows of logits: of many scales, with ties, certain ones, and impossible classes."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(_ROWS, n_classes)) * np.repeat([0.0, 0.1, 1, 3, 10, 30, 100, 1000], _ROWS // 8)[:, None]
    rows[::7] = np.round(rows[::7])
    rows[3::11, 0] = -np.inf
    rows[5::50] = rows[5::50] + 1e4
    return rows.astype(np.float32).astype(np.float64)


def _compare(what: str, found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> None:
    differences = np.abs(found - expected)
    worst = float(np.nan_to_num(differences, nan=np.inf).max())
    if not worst <= tolerance:
        raise CalkitError(
            f"{what} gives other probabilities than the calibrator, by up to {worst:.3g}; nothing is written."
        )
