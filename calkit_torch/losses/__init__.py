"""Losses that train networks to be calibrated, as modules, as functions, and under readable names.

``get_loss("focal-adaptive:5,3@0.19")``, or by the paper's name ``get_loss("FLA-53")``, returns a module that takes
the place of ``torch.nn.CrossEntropyLoss``; ``available_losses()`` lists the names.
"""

from __future__ import annotations

from calkit_torch import _torch  # noqa: F401 (first, for its error)
from calkit_torch.losses._base import PAPER_NAMES, Loss, available_losses, get_loss, register_loss
from calkit_torch.losses._batch import Targets, check_labels

# The order of these imports is the order in which the losses are listed.
from calkit_torch.losses._likelihood import (  # isort: skip
    CrossEntropyLoss,
    LabelSmoothingLoss,
    LogitNormLoss,
    cross_entropy,
    label_smoothing,
    logit_norm,
)
from calkit_torch.losses._brier import BrierLoss, brier  # isort: skip
from calkit_torch.losses._focal import (  # isort: skip
    FocalLoss,
    InverseFocalLoss,
    ScheduledFocalLoss,
    focal,
    inverse_focal,
)
from calkit_torch.losses._focal_adaptive import (  # isort: skip
    AdaptiveFocalLoss,
    ContinuousFocalLoss,
    focal_adaptive,
    focal_continuous,
)
from calkit_torch.losses._dual_focal import DualFocalLoss, dual_focal  # isort: skip
from calkit_torch.losses._adafocal import AdaFocalLoss  # isort: skip
from calkit_torch.losses._regularised import RegularisedLoss  # isort: skip
from calkit_torch.losses._mmce import MMCELoss, WeightedMMCELoss, mmce, mmce_w  # isort: skip
from calkit_torch.losses._binned import (  # isort: skip
    DCALoss,
    MDCALoss,
    SoftBinnedECELoss,
    dca,
    mdca,
    soft_binned_ece,
)
from calkit_torch.losses._output_penalties import (  # isort: skip
    ConfidencePenaltyLoss,
    MbLSLoss,
    confidence_penalty,
    mbls,
)

__all__ = [
    "PAPER_NAMES",
    "AdaFocalLoss",
    "AdaptiveFocalLoss",
    "BrierLoss",
    "ConfidencePenaltyLoss",
    "ContinuousFocalLoss",
    "CrossEntropyLoss",
    "DCALoss",
    "DualFocalLoss",
    "FocalLoss",
    "InverseFocalLoss",
    "LabelSmoothingLoss",
    "LogitNormLoss",
    "Loss",
    "MDCALoss",
    "MMCELoss",
    "MbLSLoss",
    "RegularisedLoss",
    "ScheduledFocalLoss",
    "SoftBinnedECELoss",
    "Targets",
    "WeightedMMCELoss",
    "available_losses",
    "brier",
    "check_labels",
    "confidence_penalty",
    "cross_entropy",
    "dca",
    "dual_focal",
    "focal",
    "focal_adaptive",
    "focal_continuous",
    "get_loss",
    "inverse_focal",
    "label_smoothing",
    "logit_norm",
    "mbls",
    "mdca",
    "mmce",
    "mmce_w",
    "register_loss",
    "soft_binned_ece",
]
