"""Checkpoints of the published code: its names and order of channels, against networks written with these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from calkit.errors import FileFormatError, NotFoundError
from calkit_torch.models import load_published


def conv(a: int, b: int, k: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(a, b, k, stride, padding=k // 2, bias=False)


class TheirBlock(nn.Module):
    """A residual block with the published code's names; `word` is what it calls the shortcut."""

    def __init__(self, a: int, width: int, stride: int, *, bottleneck: bool, word: str) -> None:
        super().__init__()
        out = 4 * width if bottleneck else width
        shapes = [(a, width, 1, 1), (width, width, 3, stride), (width, out, 1, 1)]
        for i, shape in enumerate(shapes if bottleneck else [(a, width, 3, stride), (width, width, 3, 1)], start=1):
            setattr(self, f"conv{i}", conv(*shape))
            setattr(self, f"bn{i}", nn.BatchNorm2d(shape[1]))
        self.n, self.word = len(shapes) if bottleneck else 2, word
        changes = stride != 1 or a != out
        setattr(self, word, nn.Sequential(conv(a, out, 1, stride), nn.BatchNorm2d(out)) if changes else nn.Sequential())

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for i in range(1, self.n + 1):
            out = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(out))
            out = functional.relu(out) if i < self.n else out
        return functional.relu(out + getattr(self, self.word)(x))


class TheirResNet(nn.Module):
    def __init__(self, blocks: list[int], widths: list[int], stem: int, n: int, **options: object) -> None:
        super().__init__()
        self.conv1, self.bn1, self.stages = conv(3, stem, 3), nn.BatchNorm2d(stem), len(blocks)
        a = stem
        for k, (n_blocks, width) in enumerate(zip(blocks, widths, strict=True), start=1):
            layers = []
            for i in range(n_blocks):
                layers.append(TheirBlock(a, width, 2 if i == 0 and k > 1 else 1, **options))
                a = 4 * width if options["bottleneck"] else width
            setattr(self, f"layer{k}", nn.Sequential(*layers))
        self.fc = nn.Linear(a, n)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        for k in range(1, self.stages + 1):
            x = getattr(self, f"layer{k}")(x)
        return self.fc(x.mean(dim=(2, 3)))


class TheirLayer(nn.Module):
    def __init__(self, a: int, growth: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(a), conv(a, 4 * growth, 1)
        self.bn2, self.conv2 = nn.BatchNorm2d(4 * growth), conv(4 * growth, growth, 3)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(functional.relu(self.bn1(x)))
        # The new channels come first.
        return torch.cat([self.conv2(functional.relu(self.bn2(out))), x], 1)


class TheirTransition(nn.Module):
    def __init__(self, a: int) -> None:
        super().__init__()
        self.bn, self.conv = nn.BatchNorm2d(a), conv(a, a // 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(self.conv(functional.relu(self.bn(x))), 2)


class TheirDenseNet(nn.Module):
    def __init__(self, n: int, blocks: tuple[int, ...] = (6, 12, 24, 16), growth: int = 32) -> None:
        super().__init__()
        a, self.n_blocks = 2 * growth, len(blocks)
        self.conv1 = conv(3, a, 3)
        for k, n_layers in enumerate(blocks, start=1):
            setattr(self, f"dense{k}", nn.Sequential(*(TheirLayer(a + i * growth, growth) for i in range(n_layers))))
            a += n_layers * growth
            if k < self.n_blocks:
                setattr(self, f"trans{k}", TheirTransition(a))
                a //= 2
        self.bn, self.linear = nn.BatchNorm2d(a), nn.Linear(a, n)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for k in range(1, self.n_blocks + 1):
            x = getattr(self, f"dense{k}")(x)
            x = getattr(self, f"trans{k}")(x) if k < self.n_blocks else x
        return self.linear(functional.relu(self.bn(x)).mean(dim=(2, 3)))


FOUR = [64, 128, 256, 512]
THEIRS: dict[str, Callable[[], nn.Module]] = {
    "resnet50": lambda: TheirResNet([3, 4, 6, 3], FOUR, 64, 10, bottleneck=True, word="shortcut"),
    "resnet110": lambda: TheirResNet([3, 4, 26, 3], FOUR, 64, 100, bottleneck=True, word="shortcut"),
    "wide_resnet": lambda: TheirResNet([4, 4, 4], [160, 320, 640], 16, 10, bottleneck=False, word="downsample"),
    "densenet121": lambda: TheirDenseNet(100),
}


def written(model: nn.Module, path: Path, prefix: str = "module.") -> Path:
    """As DataParallel has it: a prefix before each name."""
    torch.save({prefix + name: tensor for name, tensor in model.state_dict().items()}, path)
    return path


def made(name: str) -> nn.Module:
    """With statistics of batch normalisation that differ from channel to channel."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = THEIRS[name]().eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight.data, module.running_var):
                    tensor.uniform_(0.5, 1.5)
                for tensor in (module.bias.data, module.running_mean):
                    tensor.uniform_(-0.2, 0.2)
    return model


@pytest.mark.parametrize("name", [*THEIRS, pytest.param("densenet121", id="dense without a prefix")])
def test_logits_are_those_of_the_published_code(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    theirs = made(name)
    prefix = "" if "without" in request.node.callspec.id else "module."
    ours = load_published(written(theirs, tmp_path / "x.model", prefix), name)
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert not ours.training


def test_names_of_this_package_are_taken_as_well(tmp_path: Path) -> None:
    path = written(made("resnet50"), tmp_path / "x.model")
    assert load_published(path, "resnet50").classifier.out_features == 10
    with pytest.raises(FileFormatError, match="is not a checkpoint of resnet110-bottleneck"):
        load_published(path, "resnet110-bottleneck")
    with pytest.raises(FileFormatError, match="is not a checkpoint of densenet121"):
        load_published(path, "densenet121")
    with pytest.raises(NotFoundError, match="unknown published network 'resnet51'. Did you mean 'resnet50'"):
        load_published(path, "resnet51")


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"a": torch.zeros(1)}])
def test_other_files(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.model")
    with pytest.raises(FileFormatError, match=r"not a dictionary of tensors|has no last layer"):
        load_published(tmp_path / "x.model", "resnet50")
    (tmp_path / "x.model").write_bytes(b"no archive")
    with pytest.raises(FileFormatError, match="cannot be read"):
        load_published(tmp_path / "x.model", "resnet50")
    with pytest.raises(FileFormatError, match="cannot be read"):
        load_published(tmp_path / "absent.model", "resnet50")
