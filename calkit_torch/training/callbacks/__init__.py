"""What may happen beside training: measuring, saving, stopping, showing.

>>> from calkit_torch.training.callbacks import CalibrationHistory, EarlyStopping, SaveLogits
>>> callbacks = [CalibrationHistory(train=False), EarlyStopping("nll", patience=5), SaveLogits()]
"""

from calkit_torch.training.callbacks.base import Callback
from calkit_torch.training.callbacks.console import Console
from calkit_torch.training.callbacks.early_stopping import EarlyStopping
from calkit_torch.training.callbacks.gradient_norms import GradientNorms, sample_gradient_norms
from calkit_torch.training.callbacks.history import CalibrationHistory
from calkit_torch.training.callbacks.save_logits import SaveLogits
from calkit_torch.training.callbacks.tensorboard import TensorBoard

__all__ = [
    "CalibrationHistory",
    "Callback",
    "Console",
    "EarlyStopping",
    "GradientNorms",
    "SaveLogits",
    "TensorBoard",
    "sample_gradient_norms",
]
