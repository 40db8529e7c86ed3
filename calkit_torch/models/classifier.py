"""What every network of the package has in common: features, then one linear layer."""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, TypeVar

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
        """Return the logits, of shape (n, ``classifier.out_features``)."""
        logits: Tensor = self.classifier(self.features(inputs))
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
