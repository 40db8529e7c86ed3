"""Optimisers and learning rates: those of torch, with the parameters that the string says and no others."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from calkit.errors import InputError, NotFoundError, UsageError
from calkit_torch.epochs import scaled_epochs
from calkit_torch.training import OPTIMISERS, SCHEDULES, Recipe, get_optimiser, get_schedule
from calkit_torch.training.distributed import Processes
from calkit_torch.training.loop import _step
from calkit_torch.training.optimisers import learning_rate_of, with_learning_rate
from calkit_torch.training.schedules import scaled_schedule
from calkit_torch.training.setup import build_state
from tests.calkit_torch.training_samples import trees, vectors

PAIRS = [
    ("sgd:0.1", torch.optim.SGD, {"lr": 0.1}),
    ("sgd:0.1,momentum=0.9,weight_decay=0.0005", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}),
    ("sgd:0.1,0.9,nesterov=true", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("adam", torch.optim.Adam, {}),
    ("adam:0.01,beta1=0.8,beta2=0.99,eps=1e-6", torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6}),
    ("adamw:0.01", torch.optim.AdamW, {"lr": 0.01}),
    ("adamw:0.01,weight_decay=0.1", torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    ("adagrad:0.05,weight_decay=0.0001", torch.optim.Adagrad, {"lr": 0.05, "weight_decay": 1e-4}),
]


def network() -> nn.Module:
    torch.default_generator.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def descended(make: Any, steps: int = 5) -> list[torch.Tensor]:
    """Return the weights after some steps on the same batches."""
    with torch.random.fork_rng():
        model = network()
        x, y = torch.randn(steps, 6, 4), torch.randint(3, (steps, 6))
    optimiser = make(model.parameters())
    for i in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[i]), y[i]).backward()
        optimiser.step()
    return [p.detach() for p in model.parameters()]


@pytest.mark.parametrize(("spec", "kind", "options"), PAIRS)
def test_steps_are_those_of_torch(spec: str, kind: Any, options: dict[str, Any]) -> None:
    found = descended(lambda parameters: get_optimiser(spec, parameters))
    expected = descended(lambda parameters: kind(parameters, **options))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_each_optimiser_is_among_them() -> None:
    assert {spec.partition(":")[0] for spec, _, _ in PAIRS} == set(OPTIMISERS)


@pytest.mark.parametrize(("name", "decay"), [("sgd", 0), ("adam", 0), ("adagrad", 0), ("adamw", 0.01)])
def test_weight_decay_is_zero_unless_it_is_asked_for(name: str, decay: float) -> None:
    """But for AdamW, which is there for its decay: its default is torch's."""
    optimiser = get_optimiser(name, network().parameters())
    assert [group["weight_decay"] for group in optimiser.param_groups] == [decay]


def test_all_parameters_decay_alike() -> None:
    """As in the published code: those of batch normalisation and the biases as well."""
    recipe = Recipe("vectors", "mlp", "ce", optimiser="sgd:0.1,weight_decay=0.5")
    state = build_state(recipe, vectors(), Processes(), None)
    (group,) = state.optimiser.param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in state.model.parameters()}
    assert group["weight_decay"] == 0.5


def test_word_vectors_have_an_optimiser_of_their_own() -> None:
    """By hand: one step of SGD takes the rate times the gradient off the vectors; AdaGrad moves the others by its rate.

    AdaGrad's first step is lr * g / (|g| + eps): the sign of the gradient, times the rate.
    """
    recipe = Recipe("trees", "tree-lstm:hidden=4,embedding_dim=3", "ce", optimiser="adagrad:0.05")
    recipe = replace(recipe, embedding_optimiser="sgd:0.1", reduction="per-input", batch_size=2)
    state = build_state(recipe, trees(), Processes(), None)
    assert recipe.learning_rates == (0.05, 0.1)
    before = {name: p.detach().clone() for name, p in state.model.named_parameters()}
    inputs, labels = next(iter(state.loader("train", train=True)))
    state.model.eval()
    loss = nn.functional.cross_entropy(state.model(inputs), labels, reduction="sum") / 2
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in state.model.named_parameters()}
    state.optimiser.step()
    for name, p in state.model.named_parameters():
        g = gradients[name]
        step = 0.1 * g if name.startswith("embedding") else 0.05 * g / (g.abs() + 1e-10)
        torch.testing.assert_close(before[name] - p.detach(), step, rtol=1e-4, atol=1e-7)
    again = build_state(recipe, trees(), Processes(), None)
    again.optimiser.load_state_dict(state.optimiser.state_dict())
    assert [len(part.state) for part in again.optimiser.parts] == [len(part.state) for part in state.optimiser.parts]
    with pytest.raises(UsageError, match="is for word vectors that are trained, but 'mlp' has none"):
        build_state(Recipe("vectors", "mlp", "ce", embedding_optimiser="sgd:0.1"), vectors(), Processes(), None)


def test_the_sum_over_an_input_is_averaged_over_the_inputs() -> None:
    """Against the sum, divided by hand by the two trees of the batch."""
    found = []
    for reduction, rate in (("per-input", 0.3), ("sum", 0.15)):
        recipe = Recipe("trees", "tree-lstm:hidden=4,embedding_dim=3,dropout=0", "ce", optimiser=f"sgd:{rate}")
        state = build_state(replace(recipe, reduction=reduction, batch_size=2), trees(), Processes(), None)
        inputs, labels = next(iter(state.loader("train", train=True)))
        _step(state, [], inputs, labels)
        scale = 2 if reduction == "per-input" else 1
        found.append([*(p.detach() for p in state.model.parameters()), state.batch_loss * scale, state.total_loss])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_frozen_parameters_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    data = vectors()
    model = data.build_model("mlp:hidden=4")
    model.classifier.requires_grad_(False)
    monkeypatch.setattr(type(data), "build_model", lambda *_, **__: model)
    state = build_state(Recipe("vectors", "mlp", "ce"), data, Processes(), None)
    assert len(state.optimiser.param_groups[0]["params"]) == 2


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_fused_is_asked_for_on_cuda_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = []
    real = OPTIMISERS[name]
    monkeypatch.setitem(
        OPTIMISERS._items, name, lambda parameters, lr=0.1, *, fused=False: wanted.append(fused) or real(parameters, lr)
    )
    build_state(Recipe("vectors", "mlp", "ce", optimiser=name), vectors(), Processes(), None)
    assert wanted == [False]
    on_meta = Processes(device=torch.device("meta"))
    build_state(Recipe("vectors", "mlp", "ce", optimiser=name), vectors(), on_meta, None)
    assert wanted == [False, False]
    monkeypatch.undo()
    assert get_optimiser(name, network().parameters(), fused=True).defaults["fused"] is True
    assert get_optimiser(name, network().parameters()).defaults["fused"] is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_fused_on_cuda() -> None:
    state = build_state(Recipe("vectors", "mlp", "ce"), vectors(), Processes(device=torch.device("cuda:0")), None)
    assert state.optimiser.defaults["fused"] is True


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("sdg:0.1", NotFoundError, "unknown optimiser 'sdg'. Did you mean 'sgd'"),
        ("sgd:0.1,momentu=0.9", UsageError, "Parameters: lr=0.1, momentum=0.0, weight_decay=0.0, nesterov=False"),
        ("sgd:0.1@30", UsageError, "takes nothing after '@'; epochs belong to lr_schedule"),
        ("sgd:0.1,fused=true", UsageError, "unexpected keyword argument 'fused'"),
        ("sgd:0.1,nesterov=true", InputError, "Nesterov momentum requires a momentum"),
        ("adam:0.1,beta1=1.5", InputError, "Invalid beta parameter"),
    ],
)
def test_optimisers_that_cannot_be(spec: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        get_optimiser(spec, network().parameters())


@pytest.mark.parametrize("spec", ["sgd:0", "sgd:-1", "sgd:inf", "sgd:nan", "sgd:fast", "adam:lr=true"])
def test_learning_rates_that_cannot_be(spec: str) -> None:
    with pytest.raises(InputError, match="the learning rate must be a positive number"):
        learning_rate_of(spec)


@pytest.mark.parametrize(
    ("spec", "lr", "other"),
    [
        ("sgd", 0.1, "sgd:0.5"),
        ("sgd:0.2,0.9", 0.2, "sgd:0.5,0.9"),
        ("sgd:lr=0.3,momentum=0.9", 0.3, "sgd:0.5,momentum=0.9"),
        ("adam:beta1=0.5", 0.001, "adam:0.5,beta1=0.5"),
    ],
)
def test_another_learning_rate(spec: str, lr: float, other: str) -> None:
    assert learning_rate_of(spec) == lr
    assert with_learning_rate(spec, 0.5) == other


def test_steps_at_their_epochs() -> None:
    factor = get_schedule("step:0.1@150,250", 350)
    expected = {0: 1, 149: 1, 150: 0.1, 249: 0.1, 250: 0.01, 349: 0.01}
    assert {epoch: factor(epoch) for epoch in expected} == pytest.approx(expected)


def test_a_constant_rate() -> None:
    assert {get_schedule("constant", 10)(epoch) for epoch in range(10)} == {1.0}


@pytest.mark.parametrize(("spec", "final", "warmup"), [("cosine", 0, 0), ("cosine:0.1,3", 0.1, 3)])
def test_the_cosine(spec: str, final: float, warmup: int) -> None:
    epochs = 20
    factor = get_schedule(spec, epochs)
    for epoch in range(warmup):
        assert factor(epoch) == pytest.approx((epoch + 1) / (warmup + 1))
    for epoch in range(warmup, epochs):
        share = (epoch - warmup) / (epochs - warmup)
        assert factor(epoch) == pytest.approx(final + (1 - final) * math.cos(math.pi * share / 2) ** 2)
    assert factor(warmup) == 1.0
    assert final <= factor(epochs - 1) < 0.15


def test_every_schedule_is_tested() -> None:
    assert set(SCHEDULES) == {"constant", "step", "cosine"}


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("stp:0.1@3", NotFoundError, "Did you mean 'step'"),
        ("step:0.1", UsageError, "needs increasing whole epochs"),
        ("step:0.1@5,5", UsageError, "needs increasing whole epochs"),
        ("step:0.1@5,3", UsageError, "needs increasing whole epochs"),
        ("step:0.1@0", UsageError, "needs increasing whole epochs"),
        ("step:0.1@2.5", UsageError, "needs increasing whole epochs"),
        ("step:2@5", InputError, r"must lie in \(0, 1\]"),
        ("step:0@5", InputError, r"must lie in \(0, 1\]"),
        ("constant@5", UsageError, "takes nothing after '@'"),
        ("cosine@5", UsageError, "takes nothing after '@'"),
        ("cosine:final=2", InputError, r"must lie in \[0, 1\]"),
        ("cosine:warmup=10", InputError, "must be a whole number of epochs below 10"),
        ("cosine:warmup=1.5", InputError, "must be a whole number of epochs below 10"),
        ("cosine:start=1", UsageError, "Parameters: final=0.0, warmup=0"),
    ],
)
def test_schedules_that_cannot_be(spec: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        get_schedule(spec, 10)


@pytest.mark.parametrize(
    ("spec", "scale", "expected"),
    [
        ("step:0.1@150,250", 0.1, "step:0.1@15,25"),
        ("step:0.1@150,250", 2 / 350, "step:0.1@1,2"),
        ("constant", 0.1, "constant"),
        ("cosine:final=0.1,warmup=5", 2, "cosine:final=0.1,warmup=10"),
        ("cosine:0.1,5", 0.5, "cosine:0.1,2"),
        ("cosine", 7, "cosine"),
    ],
)
def test_scaled_schedules(spec: str, scale: float, expected: str) -> None:
    assert scaled_schedule(spec, scale) == expected


@pytest.mark.parametrize("epochs", range(1, 60))
def test_a_scaled_warmup_stays_shorter_than_the_run(epochs: int) -> None:
    get_schedule(scaled_schedule("cosine:warmup=29", epochs / 30), epochs)


def test_scaled_epochs_stay_apart() -> None:
    assert scaled_epochs((150, 250), 1 / 350) == (1, 2)
    assert scaled_epochs((), 0.5) == ()
