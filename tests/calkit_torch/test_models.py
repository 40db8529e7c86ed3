"""Laws of all networks: size, shapes, seeds, gradients, and the image networks against oracles layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from calkit.errors import InputError, NotFoundError, UsageError
from calkit.registry import Registry
from calkit_torch.models import (
    MLP,
    MODELS,
    DenseNet,
    ResNet,
    WideResNet,
    available_models,
    collate_trees,
    get_model,
    parse_tree,
)
from calkit_torch.models.resnet import BasicBlock, Bottleneck, padded_shortcut, projection_shortcut
from tests.calkit_torch.model_oracles import densenet_logits, resnet_logits, wide_resnet_logits

IMAGE_MODELS = [
    "resnet50",
    "resnet110",
    "resnet110-bottleneck",
    "small-resnet",
    "wide-resnet-26-10",
    "wide-resnet-26-10-postactivation",
    "densenet121",
]
SIZES: dict[str, dict[str, Any]] = {
    "mlp": {"in_features": 64},
    "global-pooling-cnn": {"vocabulary_size": 30},
    "tree-lstm": {"vocabulary_size": 4},
}


def conv(inputs: int, outputs: int, kernel: int) -> int:
    return kernel * kernel * inputs * outputs


def norm(channels: int) -> int:
    return 2 * channels


def linear(inputs: int, outputs: int) -> int:
    return (inputs + 1) * outputs


def bottleneck(inputs: int, width: int, *, shortcut: bool) -> int:
    layers = conv(inputs, width, 1) + norm(width) + conv(width, width, 3) + norm(width) + conv(width, 4 * width, 1)
    return layers + norm(4 * width) + (conv(inputs, 4 * width, 1) + norm(4 * width) if shortcut else 0)


def bottleneck_resnet(third_stage: int, n_classes: int) -> int:
    total, inputs = conv(3, 64, 3) + norm(64), 64
    for width, blocks in ((64, 3), (128, 4), (256, third_stage), (512, 3)):
        total += bottleneck(inputs, width, shortcut=True) + (blocks - 1) * bottleneck(4 * width, width, shortcut=False)
        inputs = 4 * width
    return total + linear(2048, n_classes)


def basic(inputs: int, width: int) -> int:
    return conv(inputs, width, 3) + norm(width) + conv(width, width, 3) + norm(width)


def cifar_resnet(blocks: int, n_classes: int) -> int:
    stem = conv(3, 16, 3) + norm(16)
    same = (blocks * basic(16, 16)) + (blocks - 1) * (basic(32, 32) + basic(64, 64))
    return stem + same + basic(16, 32) + basic(32, 64) + linear(64, n_classes)


def preactivation(inputs: int, width: int) -> int:
    shortcut = conv(inputs, width, 1) if inputs != width else 0
    return norm(inputs) + conv(inputs, width, 3) + norm(width) + conv(width, width, 3) + shortcut


def wide_resnet(n_classes: int) -> int:
    changes = preactivation(16, 160) + preactivation(160, 320) + preactivation(320, 640)
    same = 3 * (preactivation(160, 160) + preactivation(320, 320) + preactivation(640, 640))
    return conv(3, 16, 3) + changes + same + norm(640) + linear(640, n_classes)


def wide_resnet_postactivation(n_classes: int) -> int:
    total, inputs = conv(3, 16, 3) + norm(16), 16
    for width in (160, 320, 640):
        total += basic(inputs, width) + conv(inputs, width, 1) + norm(width) + 3 * basic(width, width)
        inputs = width
    return total + linear(640, n_classes)


def densenet(n_classes: int) -> int:
    total, width = conv(3, 64, 3), 64
    for layers, last in ((6, False), (12, False), (24, False), (16, True)):
        for _ in range(layers):
            total += norm(width) + conv(width, 128, 1) + norm(128) + conv(128, 32, 3)
            width += 32
        total += norm(width)
        if not last:
            total += conv(width, width // 2, 1)
            width //= 2
    return total + linear(1024, n_classes)


def pooling_cnn(n_classes: int) -> int:
    conv1 = 5 * 100 * 128 + 128
    conv2 = conv3 = 5 * 128 * 128 + 128
    return 30 * 100 + conv1 + conv2 + conv3 + linear(128, 128) + linear(128, n_classes)


def tree_lstm(n_classes: int) -> int:
    # Tai et al. (2015), table 1: 316,800 parameters, with two biases in each of the five gates.
    return 4 * 300 + 316_800 - 5 * 150 + linear(150, n_classes)


# The formulas follow the papers' tables of layers. Printed by the authors: 1.7 M for ResNet-110 (He et al.,
# table 6) and 36.5 M for the wide network (Zagoruyko and Komodakis, table 5, there WRN-28-10).
COUNTS: dict[str, tuple[Callable[[int], int], int]] = {
    "resnet50": (lambda k: bottleneck_resnet(6, k), 23_520_842),
    "resnet110": (lambda k: cifar_resnet(18, k), 1_727_962),
    "resnet110-bottleneck": (lambda k: bottleneck_resnet(26, k), 45_864_522),
    "small-resnet": (lambda k: cifar_resnet(1, k), 75_290),
    "wide-resnet-26-10": (wide_resnet, 36_479_194),
    "wide-resnet-26-10-postactivation": (wide_resnet_postactivation, 36_481_434),
    "densenet121": (densenet, 6_956_298),
    "mlp": (lambda k: linear(64, 128) + linear(128, k), 9_610),
    "global-pooling-cnn": (pooling_cnn, 30 * 100 + 246_026),
    "tree-lstm": (tree_lstm, 4 * 300 + 317_560),
}


SMALL: dict[str, Callable[[], nn.Module]] = {
    "basic, padded": lambda: ResNet(3, block=BasicBlock, blocks=(2, 2), widths=(4, 8), shortcut=padded_shortcut),
    "basic, projected": lambda: ResNet(3, block=BasicBlock, blocks=(2, 1), widths=(8, 12), stem_width=4),
    "bottleneck": lambda: ResNet(3, block=Bottleneck, blocks=(2, 2), widths=(3, 5), shortcut=projection_shortcut),
    "wide": lambda: WideResNet(3, blocks=2, widen=1),
    "dense": lambda: DenseNet(3, blocks=(2, 1, 2), growth=4),
}
ORACLES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "basic, padded": lambda state, x: resnet_logits(state, x, (2, 2), padded=True),
    "basic, projected": lambda state, x: resnet_logits(state, x, (2, 1), padded=False),
    "bottleneck": lambda state, x: resnet_logits(state, x, (2, 2), padded=False),
    "wide": lambda state, x: wide_resnet_logits(state, x, 2),
    "dense": lambda state, x: densenet_logits(state, x, (2, 1, 2)),
}


def build(name: str, n_classes: int = 3, seed: int = 0) -> nn.Module:
    return get_model(name, n_classes, seed=seed, **SIZES.get(name, {}))


def inputs_for(name: str, n: int = 4, side: int = 16) -> Any:
    generator = torch.Generator().manual_seed(7)
    if name == "tree-lstm":
        trees = [parse_tree("(1 (0 a) (2 (1 b) (0 c)))"), parse_tree("(0 c)")] * (n // 2)
        return collate_trees(trees, {"a": 1, "b": 2, "c": 3}).at_roots()
    if name == "global-pooling-cnn":
        return torch.randint(1, 30, (n, 40), generator=generator)
    return torch.randn(n, *((64,) if name == "mlp" else (3, side, side)), generator=generator)


@cache
def frozen(name: str) -> nn.Module:
    """Return the network in evaluation mode, built once: for tests that do not change it."""
    return build(name).eval().requires_grad_(False)


def with_random_norms(model: nn.Module) -> nn.Module:
    """Give every batch norm random statistics, so that none of them is the identity."""
    generator = torch.Generator().manual_seed(11)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5, generator=generator)
    return model.double().eval().requires_grad_(False)


def test_every_model_is_listed_here() -> None:
    assert available_models() == sorted(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_number_of_parameters(name: str) -> None:
    formula, ten = COUNTS[name]
    assert formula(10) == ten
    for n_classes in (10, 1, 101):
        # On the meta device a network has shapes but no memory.
        with torch.device("meta"):
            model = MODELS[name](n_classes, **SIZES.get(name, {}))
        assert sum(p.numel() for p in model.parameters()) == formula(n_classes)


@pytest.mark.parametrize("name", COUNTS)
def test_logits_are_the_classifier_of_the_features(name: str) -> None:
    model, inputs = frozen(name), inputs_for(name)
    logits = model(inputs)
    assert isinstance(model.classifier, nn.Linear)
    assert logits.shape == (4, 3)
    assert torch.equal(model.classifier(model.features(inputs)), logits)


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_images_of_32_pixels_reach_the_last_stage_at_the_size_of_the_papers(name: str) -> None:
    # Stages end at 32 / 2**(stages - 1) pixels: 4 with four stages (ResNet-50, DenseNet-121), 8 with three.
    sizes = []
    last = [m for m in frozen(name).modules() if isinstance(m, nn.Conv2d)][-1]
    hook = last.register_forward_hook(lambda _module, _inputs, output: sizes.append(output.shape[2:]))
    assert frozen(name)(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    hook.remove()
    four_stages = name in ("resnet50", "resnet110-bottleneck", "densenet121")
    assert sizes == [(4, 4) if four_stages else (8, 8)]


@pytest.mark.parametrize("name", COUNTS)
def test_weights_depend_on_the_seed_alone(name: str) -> None:
    first = frozen(name).state_dict()
    torch.rand(5)
    before = torch.get_rng_state()
    second, other = build(name, seed=0).state_dict(), build(name, seed=4).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


@pytest.mark.parametrize("name", sorted(COUNTS.keys() - {"tree-lstm"}))
def test_one_input_gives_the_same_logits_alone_and_in_a_batch(name: str) -> None:
    inputs = inputs_for(name)
    torch.testing.assert_close(frozen(name)(inputs[:1]), frozen(name)(inputs)[:1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", COUNTS)
def test_the_gradient_reaches_every_parameter_and_inputs_stay(name: str) -> None:
    model, inputs = build(name), inputs_for(name)
    kept = inputs.clone() if isinstance(inputs, Tensor) else None
    logits = model(inputs)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key
    if kept is not None:
        assert torch.equal(inputs, kept)


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_memory_format_does_not_change_the_logits(name: str) -> None:
    inputs = inputs_for(name, n=2)
    expected = frozen(name)(inputs)
    got = build(name).eval().to(memory_format=torch.channels_last)(inputs.to(memory_format=torch.channels_last))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", SMALL)
def test_channels_last_stays_channels_last(kind: str) -> None:
    model = SMALL[kind]().to(memory_format=torch.channels_last)
    layouts = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda _module, inputs, output: layouts.extend([inputs[0].stride(1), output.stride(1)])
            )
    model(torch.ones(2, 3, 8, 8).to(memory_format=torch.channels_last))
    assert set(layouts) == {1}


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_grey_images_and_images_of_8_pixels(name: str) -> None:
    model = get_model(name, 10, in_channels=1).eval()
    with torch.no_grad():
        assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("side", [8, 16])
def test_image_networks_equal_the_recipe_written_out(kind: str, side: int) -> None:
    model = with_random_norms(SMALL[kind]())
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), ORACLES[kind](model.state_dict(), x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("resnet50", lambda state, x: resnet_logits(state, x, (3, 4, 6, 3), padded=False)),
        ("resnet110", lambda state, x: resnet_logits(state, x, (18, 18, 18), padded=True)),
        ("resnet110-bottleneck", lambda state, x: resnet_logits(state, x, (3, 4, 26, 3), padded=False)),
        ("small-resnet", lambda state, x: resnet_logits(state, x, (1, 1, 1), padded=True)),
        ("wide-resnet-26-10", lambda state, x: wide_resnet_logits(state, x, 4)),
        ("wide-resnet-26-10-postactivation", lambda state, x: resnet_logits(state, x, (4, 4, 4), padded=False)),
        ("densenet121", lambda state, x: densenet_logits(state, x, (6, 12, 24, 16))),
    ],
)
def test_named_image_networks_equal_the_recipe_written_out(name: str, oracle: Callable[[Any, Tensor], Tensor]) -> None:
    model, x = build(name).double().eval(), inputs_for(name, n=1, side=8).double()
    with torch.no_grad():
        torch.testing.assert_close(model(x), oracle(model.state_dict(), x), rtol=1e-8, atol=1e-8)


def test_convolutions_start_with_he_et_als_deviation() -> None:
    # sqrt(2 / (9 * 512)) for the 2.4 million weights of a 3 x 3 convolution from 512 to 512 channels.
    weight = build("resnet50").get_parameter("stages.3.1.conv2.weight")
    assert weight.std().item() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=5e-3)
    assert weight.mean().item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", ["small-resnet", "mlp", "global-pooling-cnn"])
def test_compiles_into_one_graph(name: str) -> None:
    model, inputs = build(name).eval(), inputs_for(name)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(inputs), model(inputs))


@pytest.mark.parametrize("kind", ["bottleneck", "wide", "dense"])
def test_blocks_compile_into_one_graph(kind: str) -> None:
    model, x = SMALL[kind]().eval(), torch.ones(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(x), model(x))


def test_parameters_in_the_string_and_beside_it_are_the_same() -> None:
    model = get_model("mlp:hidden=16,depth=2,dropout=0.5", 10, in_features=64)
    assert isinstance(model, MLP)
    assert [m.out_features for m in model.modules() if isinstance(m, nn.Linear)] == [16, 16, 10]
    beside = get_model("mlp", 10, in_features=64, hidden=16, depth=2, dropout=0.5)
    assert str(beside) == str(model)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), beside.parameters(), strict=True))


def test_an_alias_gives_the_same_model() -> None:
    assert MODELS["wrn-26-10"] is MODELS["wide-resnet-26-10"]


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "message"),
    [
        (("resnet5", 10), {}, NotFoundError, "unknown model 'resnet5'. Did you mean 'resnet50'?"),
        (("mlp:hiden=3", 10), {}, UsageError, "unexpected keyword argument 'hiden'"),
        (("mlp", 10), {"hiden": 3}, UsageError, "unexpected keyword argument 'hiden'"),
        (("mlp:hidden=3", 10), {"hidden": 4}, UsageError, "hidden stands both in 'mlp:hidden=3' and beside it"),
        (("mlp:n_classes=3", 10), {}, UsageError, "n_classes stands both in"),
        (("mlp:64", 10), {}, UsageError, "n_classes"),
        (("mlp@3", 10), {}, UsageError, "nothing after '@'"),
        (("mlp:hidden=3@3", 10), {}, UsageError, "nothing after '@'"),
        (("mlp", 0), {}, InputError, "n_classes must be a whole number of at least 1, but is 0"),
        (("mlp", 2.5), {}, InputError, "n_classes must be a whole number of at least 1, but is 2.5"),
        (("mlp:hidden=0", 10), {}, InputError, "hidden must be a whole number of at least 1, but is 0"),
        (("mlp:dropout=1", 10), {}, InputError, r"dropout is the share of units left out, in \[0, 1\), but is 1"),
        (("resnet50", 10), {"in_channels": True}, InputError, "in_channels must be a whole number"),
        (("small-resnet:blocks=-1", 10), {}, InputError, "blocks must be a whole number"),
        (("tree-lstm", 5), {}, UsageError, "give either embedding, with vectors, or vocabulary_size"),
        (("global-pooling-cnn", 5), {"vocabulary_size": 0}, InputError, "vocabulary_size must be a whole number"),
    ],
)
def test_bad_arguments_get_one_clear_error(
    arguments: tuple[Any, ...], keywords: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message.replace("?", r"\?")):
        get_model(*arguments, **keywords)


def test_a_model_of_ones_own_is_built_by_name_and_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    models: Registry[Callable[..., nn.Module]] = Registry("model")
    monkeypatch.setattr("calkit_torch.models.registry.MODELS", models)

    @models.register("mine")
    class Linear(nn.Module):
        def __init__(self, n_classes: int, *, in_features: int = 2) -> None:
            super().__init__()
            self.classifier = nn.Linear(in_features, n_classes)

    first, second = (get_model("mine:in_features=3", 4, seed=9) for _ in range(2))
    assert first.classifier.weight.shape == (4, 3)
    assert torch.equal(first.classifier.weight, second.classifier.weight)


@pytest.mark.parametrize("hidden", [99_999_999_999, 10**15, 10**30])
def test_networks_larger_than_the_memory_are_one_clear_error(hidden: int) -> None:
    with pytest.raises(InputError, match="cannot be built: .*Choose a smaller one|hidden must be at most"):
        get_model(f"mlp:hidden={hidden}", 10, in_features=64)
