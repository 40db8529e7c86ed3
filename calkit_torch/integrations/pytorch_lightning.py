"""The callback for Lightning's Trainer (the package ``pytorch_lightning``).

>>> from calkit_torch.integrations.pytorch_lightning import CalibrationCallback
>>> callback = CalibrationCallback(metrics=["ece", "nll"])  # Trainer(callbacks=[callback])
"""

from __future__ import annotations

from calkit.errors import MissingDependencyError
from calkit_torch.integrations._lightning import LightningHooks

try:
    from pytorch_lightning.callbacks import Callback
except ImportError as error:
    raise MissingDependencyError(
        "this callback needs pytorch_lightning: pip install pytorch-lightning. For the package lightning, import it "
        "from calkit_torch.integrations.lightning."
    ) from error

__all__ = ["CalibrationCallback"]


class CalibrationCallback(LightningHooks, Callback):  # type: ignore[misc]  # noqa: D101 (that of the hooks)
    __doc__ = LightningHooks.__doc__
