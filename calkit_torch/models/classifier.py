"""What every network of the package has in common: features, then one linear layer."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import nullcontext
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["Classifier", "initialize_convolutions"]

Inputs = TypeVar("Inputs")


class Classifier(nn.Module, Generic[Inputs]):
    """A network that ends in the linear layer ``classifier``.

    A subclass sets ``classifier`` and defines :meth:`features`; the logits follow.

    Attributes
    ----------
    classifier : nn.Linear
        The last layer, under this name in every network, so that its weights and gradients can
        be measured whatever comes before.
    """

    classifier: nn.Linear

    @abstractmethod
    def features(self, inputs: Inputs) -> Tensor:
        """Return what the last layer sees, of shape (n, ``classifier.in_features``)."""

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the logits, of shape (n, ``classifier.out_features``).

        Under autocast the last layer is computed in the precision of its weights: half precision would round logits
        of size 10 to 1/16, which moves confidences.
        """
        features = self.features(inputs)
        plain = torch.is_autocast_enabled(features.device.type)
        with torch.autocast(features.device.type, enabled=False) if plain else nullcontext():
            logits: Tensor = self.classifier(features.to(self.classifier.weight.dtype))
        return logits


def initialize_convolutions(network: nn.Module) -> None:
    """Draw the weights of all 2-D convolutions from He et al.'s normal distribution.

    The standard deviation is sqrt(2 / (k² · outputs)) for a k × k kernel. Batch normalisation
    starts at scale 1 and shift 0 and linear layers within ±1 / sqrt(inputs), as torch has them.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun: Delving deep into rectifiers, ICCV 2015, section 2.2.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
