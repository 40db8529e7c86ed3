"""Wide residual networks: Wide-ResNet-26-10, as its authors define the block and as the paper's code does.

Source: S. Zagoruyko, N. Komodakis: Wide residual networks, BMVC 2016, section 2 and table 1.

26 counts the stem, the 24 convolutions of the blocks and the linear layer. The authors count convolutions
only, the three 1 × 1 ones of the shortcuts included, and call the same stages of four blocks WRN-28-10.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from calkit.parameters import check_dropout, check_positive
from calkit_torch.models.classifier import Classifier, initialize_convolutions
from calkit_torch.models.registry import MODELS
from calkit_torch.models.resnet import BasicBlock, ResNet

__all__ = ["PreactivationBlock", "WideResNet", "wide_resnet_26_10", "wide_resnet_26_10_postactivation"]


class PreactivationBlock(nn.Module):
    """Batch norm, ReLU, 3 × 3 convolution, twice; dropout before the second convolution.

    Where the shape changes, the shortcut is a 1 × 1 convolution of the first ReLU's output.
    """

    def __init__(self, in_width: int, width: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_width)
        self.conv1 = nn.Conv2d(in_width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        changes = stride != 1 or in_width != width
        self.shortcut = nn.Conv2d(in_width, width, kernel_size=1, stride=stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_width, h, w) to (n, width, h / stride, w / stride)."""
        active = functional.relu(self.bn1(x))
        out = self.dropout(functional.relu(self.bn2(self.conv1(active))))
        return self.conv2(out) + (x if self.shortcut is None else self.shortcut(active))


class WideResNet(Classifier[Tensor]):
    """A wide residual network for small images.

    Layers: 3 × 3 convolution to 16 channels; three stages of ``blocks`` blocks, 16, 32 and 64 times
    ``widen`` wide, the second and the third beginning with stride 2; batch norm, ReLU, the mean over
    the pixels; the linear layer.

    Parameters
    ----------
    n_classes : int
        Number of logits.
    blocks : int
        Blocks a stage.
    widen : int
        The factor on the widths.
    dropout : float
        Rate of the dropout inside the blocks.
    in_channels : int
        Channels of the images.
    """

    def __init__(self, n_classes: int, *, blocks: int, widen: int, dropout: float = 0.0, in_channels: int = 3) -> None:
        super().__init__()
        check_positive(n_classes=n_classes, blocks=blocks, widen=widen, in_channels=in_channels)
        check_dropout(dropout)
        self.conv1 = nn.Conv2d(in_channels, 16, kernel_size=3, padding=1, bias=False)
        layers, in_width = [], 16
        for width in (16 * widen, 32 * widen, 64 * widen):
            for i in range(blocks):
                stride = 2 if i == 0 and width > 16 * widen else 1
                layers.append(PreactivationBlock(in_width, width, stride, dropout))
                in_width = width
        self.blocks = nn.Sequential(*layers)
        self.bn = nn.BatchNorm2d(in_width)
        self.classifier = nn.Linear(in_width, n_classes)
        initialize_convolutions(self)

    def features(self, inputs: Tensor) -> Tensor:
        """Map images (n, in_channels, h, w) to the means of the last stage's channels."""
        out = functional.relu(self.bn(self.blocks(self.conv1(inputs))))
        return functional.adaptive_avg_pool2d(out, 1).flatten(1)


@MODELS.register("wide-resnet-26-10", aliases=("wrn-26-10",))
def wide_resnet_26_10(n_classes: int, *, in_channels: int = 3, dropout: float = 0.0) -> WideResNet:
    """Return Zagoruyko and Komodakis' network: 3 stages of 4 preactivation blocks, ten times as wide."""
    return WideResNet(n_classes, blocks=4, widen=10, dropout=dropout, in_channels=in_channels)


@MODELS.register("wide-resnet-26-10-postactivation")
def wide_resnet_26_10_postactivation(n_classes: int, *, in_channels: int = 3) -> ResNet:
    """Return what the focal-loss calibration paper's code calls Wide-ResNet-26-10.

    The same widths, with He et al.'s basic block (ReLU after the sum) and projection shortcuts.
    """
    return ResNet(
        n_classes,
        block=BasicBlock,
        blocks=(4, 4, 4),
        widths=(160, 320, 640),
        stem_width=16,
        in_channels=in_channels,
    )
