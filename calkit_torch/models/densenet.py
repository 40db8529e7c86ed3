"""DenseNet-121 for small images.

Source: G. Huang, Z. Liu, L. van der Maaten, K. Q. Weinberger: Densely connected convolutional networks,
CVPR 2017, section 3 and table 1 (DenseNet-BC: bottleneck layers, compression 0.5).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from calkit.parameters import check_positive
from calkit_torch.models.classifier import Classifier, initialize_convolutions
from calkit_torch.models.registry import MODELS

__all__ = ["DenseLayer", "DenseNet", "Transition", "densenet121"]


class DenseLayer(nn.Module):
    """Batch norm, ReLU, 1 × 1 convolution to 4 · growth; batch norm, ReLU, 3 × 3 convolution to growth channels.

    The result is put behind the input's channels.
    """

    def __init__(self, in_width: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_width)
        self.conv1 = nn.Conv2d(in_width, 4 * growth, kernel_size=1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_width, h, w) to (n, in_width + growth, h, w)."""
        out = self.conv1(functional.relu(self.bn1(x)))
        out = self.conv2(functional.relu(self.bn2(out)))
        return torch.cat((x, out), dim=1)


class Transition(nn.Module):
    """Batch norm, ReLU, 1 × 1 convolution to half the channels, mean over 2 × 2 pixels."""

    def __init__(self, in_width: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_width)
        self.conv = nn.Conv2d(in_width, in_width // 2, kernel_size=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_width, h, w) to (n, in_width / 2, h / 2, w / 2)."""
        return functional.avg_pool2d(self.conv(functional.relu(self.bn(x))), kernel_size=2)


class DenseNet(Classifier[Tensor]):
    """A densely connected network for small images.

    Layers: 3 × 3 convolution to 2 · ``growth`` channels (no pooling); dense blocks, a :class:`Transition`
    after each but the last; batch norm, ReLU, the mean over the pixels; the linear layer.

    Parameters
    ----------
    n_classes : int
        Number of logits.
    blocks : sequence of int
        Number of layers of each dense block.
    growth : int
        Channels that each layer adds.
    in_channels : int
        Channels of the images, which must measure at least 2 ** (len(blocks) - 1) pixels a side.
    """

    def __init__(self, n_classes: int, *, blocks: Sequence[int], growth: int, in_channels: int = 3) -> None:
        super().__init__()
        check_positive(n_classes=n_classes, growth=growth, in_channels=in_channels)
        width = 2 * growth
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=3, padding=1, bias=False)
        layers: list[nn.Module] = []
        for i, n_layers in enumerate(blocks):
            check_positive(blocks=n_layers)
            if i > 0:
                layers.append(Transition(width))
                width //= 2
            for _ in range(n_layers):
                layers.append(DenseLayer(width, growth))
                width += growth
        self.layers = nn.Sequential(*layers)
        self.bn = nn.BatchNorm2d(width)
        self.classifier = nn.Linear(width, n_classes)
        initialize_convolutions(self)

    def features(self, inputs: Tensor) -> Tensor:
        """Map images (n, in_channels, h, w) to the means of the last block's channels."""
        out = functional.relu(self.bn(self.layers(self.conv1(inputs))))
        return functional.adaptive_avg_pool2d(out, 1).flatten(1)


@MODELS.register("densenet121")
def densenet121(n_classes: int, *, in_channels: int = 3) -> DenseNet:
    """Return DenseNet-121 with a CIFAR stem: dense blocks of 6, 12, 24, 16 layers, growth 32 (table 1)."""
    return DenseNet(n_classes, blocks=(6, 12, 24, 16), growth=32, in_channels=in_channels)
