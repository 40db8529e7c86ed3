"""A multilayer perceptron for inputs of any shape."""

from __future__ import annotations

from torch import Tensor, nn

from calkit.parameters import check_dropout, check_positive
from calkit_torch.models.classifier import Classifier
from calkit_torch.models.registry import MODELS
from calkit_torch.models.row_dropout import RowDropout

__all__ = ["MLP"]


class MLP(Classifier[Tensor]):
    """A multilayer perceptron.

    Layers: the input flattened; ``depth`` times a linear layer to ``hidden`` units, ReLU and dropout;
    the linear layer ``classifier``. Weights and biases start within ±1 / sqrt(inputs), as torch has them.

    Parameters
    ----------
    n_classes : int
        Number of logits.
    in_features : int
        Numbers in one input: 64 for 8 × 8 digits; by default those of a 3 × 32 × 32 image.
    hidden : int
        Units of each hidden layer.
    depth : int
        Number of hidden layers.
    dropout : float
        Rate of the dropout after each hidden layer.

    Examples
    --------
    >>> import torch
    >>> MLP(10, in_features=64, hidden=32)(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self, n_classes: int, *, in_features: int = 3 * 32 * 32, hidden: int = 128, depth: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_positive(n_classes=n_classes, in_features=in_features, hidden=hidden, depth=depth)
        check_dropout(dropout)
        layers: list[nn.Module] = []
        for i in range(depth):
            layers += [nn.Linear(in_features if i == 0 else hidden, hidden), nn.ReLU(), RowDropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(hidden, n_classes)

    def features(self, inputs: Tensor) -> Tensor:
        """Map inputs (n, ...) to the last hidden layer, of shape (n, hidden)."""
        hidden: Tensor = self.layers(inputs.flatten(1))
        return hidden


MODELS.register("mlp")(MLP)
