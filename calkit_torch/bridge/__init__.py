"""The bridge between torch and calkit: models to predictions, metrics on the device, calibrated models to ship.

>>> import torch
>>> from calkit_torch.bridge import evaluate_model
>>> model, loader = torch.nn.Linear(4, 3), [(torch.zeros(8, 4), torch.zeros(8, dtype=torch.long))]
>>> sorted(evaluate_model(model, loader, ["error", "ece"]))
['ece', 'error']
"""

from calkit_torch import _torch  # noqa: F401 (first, for its error)
from calkit_torch.bridge.accumulator import Accumulator
from calkit_torch.bridge.deploy import TemperatureScaled
from calkit_torch.bridge.export import CalibratorModule, export_onnx, to_torch
from calkit_torch.bridge.metrics import CalibrationError, DeviceMetrics
from calkit_torch.bridge.predict import evaluate_model, predict

__all__ = [
    "Accumulator",
    "CalibrationError",
    "CalibratorModule",
    "DeviceMetrics",
    "TemperatureScaled",
    "evaluate_model",
    "export_onnx",
    "predict",
    "to_torch",
]
