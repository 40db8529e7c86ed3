"""Residual networks for small images: ResNet-50, both networks called ResNet-110, and a small one.

Source: K. He, X. Zhang, S. Ren, J. Sun: Deep residual learning for image recognition, CVPR 2016.

All have the stem of section 4.2 (CIFAR): one 3 × 3 convolution of stride 1 and no pooling, so that
a 32 × 32 image enters the first stage at full size. A block's last ReLU follows the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn import functional

from calkit.parameters import check_positive
from calkit_torch.models.classifier import Classifier, initialize_convolutions
from calkit_torch.models.registry import MODELS

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "ResNet",
    "padded_shortcut",
    "projection_shortcut",
    "resnet50",
    "resnet110",
    "resnet110_bottleneck",
    "small_resnet",
]

Shortcut = Callable[[int, int, int], nn.Module]


def projection_shortcut(in_width: int, out_width: int, stride: int) -> nn.Module:
    """Return the identity, or a 1 × 1 convolution and batch norm where the shape changes (option B)."""
    if stride == 1 and in_width == out_width:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(in_width, out_width, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(out_width)
    )


def padded_shortcut(in_width: int, out_width: int, stride: int) -> nn.Module:
    """Return the identity, with pixels skipped and channels of zeros added where the shape changes (option A)."""
    return _Padded(out_width - in_width, stride)


class _Padded(nn.Module):
    def __init__(self, extra: int, stride: int) -> None:
        super().__init__()
        self.extra, self.stride = extra, stride

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions (He et al., figure 5, left); the first has the stride."""

    expansion = 1

    def __init__(self, in_width: int, width: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = shortcut(in_width, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_width, h, w) to (n, width, h / stride, w / stride)."""
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return functional.relu(out + self.shortcut(x))


class Bottleneck(nn.Module):
    """Convolutions 1 × 1, 3 × 3 (with the stride) and 1 × 1 to four times the width (figure 5, right)."""

    expansion = 4

    def __init__(self, in_width: int, width: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        out_width = self.expansion * width
        self.conv1 = nn.Conv2d(in_width, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_width, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_width)
        self.shortcut = shortcut(in_width, out_width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_width, h, w) to (n, 4 · width, h / stride, w / stride)."""
        out = functional.relu(self.bn1(self.conv1(x)))
        out = functional.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return functional.relu(out + self.shortcut(x))


class ResNet(Classifier[Tensor]):
    """A residual network for small images.

    Layers: 3 × 3 convolution to ``widths[0]`` channels, batch norm, ReLU; the stages, of which all but
    the first begin with stride 2; the mean over the pixels; the linear layer.

    Parameters
    ----------
    n_classes : int
        Number of logits.
    block : type
        :class:`BasicBlock` or :class:`Bottleneck`.
    blocks, widths : sequence of int
        Number of blocks of each stage, and their width.
    stem_width : int, optional
        Channels after the first convolution; by default those of the first stage.
    shortcut : callable
        :func:`projection_shortcut` or :func:`padded_shortcut`.
    in_channels : int
        Channels of the images: 3 for colour, 1 for grey.
    """

    def __init__(
        self,
        n_classes: int,
        *,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: Sequence[int],
        widths: Sequence[int],
        stem_width: int | None = None,
        shortcut: Shortcut = projection_shortcut,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        in_width = widths[0] if stem_width is None else stem_width
        check_positive(n_classes=n_classes, in_channels=in_channels, stem_width=in_width)
        self.conv1 = nn.Conv2d(in_channels, in_width, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(in_width)
        stages = []
        for stage, (n_blocks, width) in enumerate(zip(blocks, widths, strict=True)):
            check_positive(blocks=n_blocks, width=width)
            layers = []
            for i in range(n_blocks):
                layers.append(block(in_width, width, 2 if i == 0 and stage > 0 else 1, shortcut))
                in_width = block.expansion * width
            stages.append(nn.Sequential(*layers))
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(in_width, n_classes)
        initialize_convolutions(self)

    def features(self, inputs: Tensor) -> Tensor:
        """Map images (n, in_channels, h, w) to the means of the last stage's channels."""
        out = self.stages(functional.relu(self.bn1(self.conv1(inputs))))
        return functional.adaptive_avg_pool2d(out, 1).flatten(1)


@MODELS.register("resnet50")
def resnet50(n_classes: int, *, in_channels: int = 3) -> ResNet:
    """Return ResNet-50 with a CIFAR stem: bottleneck stages of 3, 4, 6, 3 blocks (He et al., table 1)."""
    return ResNet(n_classes, block=Bottleneck, blocks=(3, 4, 6, 3), widths=(64, 128, 256, 512), in_channels=in_channels)


@MODELS.register("resnet110")
def resnet110(n_classes: int, *, in_channels: int = 3) -> ResNet:
    """Return He et al.'s ResNet-110 for CIFAR: 3 stages of 18 basic blocks, widths 16, 32, 64 (section 4.2).

    Shortcuts hold no parameters (option A), so the network has 1.73 M.
    """
    return ResNet(
        n_classes,
        block=BasicBlock,
        blocks=(18, 18, 18),
        widths=(16, 32, 64),
        shortcut=padded_shortcut,
        in_channels=in_channels,
    )


@MODELS.register("resnet110-bottleneck")
def resnet110_bottleneck(n_classes: int, *, in_channels: int = 3) -> ResNet:
    """Return what the focal-loss calibration paper's code calls ResNet-110.

    Bottleneck stages of 3, 4, 26, 3 blocks: ResNet-101 with three blocks more in its third stage.
    """
    return ResNet(
        n_classes, block=Bottleneck, blocks=(3, 4, 26, 3), widths=(64, 128, 256, 512), in_channels=in_channels
    )


@MODELS.register("small-resnet")
def small_resnet(n_classes: int, *, in_channels: int = 3, blocks: int = 1, width: int = 16) -> ResNet:
    """Return He et al.'s CIFAR network at its smallest: 3 stages of ``blocks`` basic blocks (6 · blocks + 2 layers).

    The stages are ``width``, 2 · ``width`` and 4 · ``width`` wide. It suits a CPU, and images from 4 × 4 on.
    """
    check_positive(blocks=blocks, width=width)
    return ResNet(
        n_classes,
        block=BasicBlock,
        blocks=(blocks,) * 3,
        widths=(width, 2 * width, 4 * width),
        shortcut=padded_shortcut,
        in_channels=in_channels,
    )
