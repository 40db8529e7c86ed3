"""Norms of the samples' gradients: against autograd on a layer with weights of its own for each sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from calkit.errors import InputError, UsageError
from calkit.theory import gradient_ratio
from calkit_torch.data import DataSet, get_dataset
from calkit_torch.losses import available_losses, get_loss
from calkit_torch.training import Recipe, train
from calkit_torch.training.callbacks import GradientNorms, sample_gradient_norms
from calkit_torch.training.distributed import Processes
from calkit_torch.training.setup import build_state

DIGITS = get_dataset("digits")


def state_of(loss="focal:3", **options):
    return build_state(Recipe("digits", "mlp:hidden=16", loss, **options), DIGITS, Processes(), run=None)


def by_autograd(features, weight, bias, labels, loss):
    """Each sample has a copy of the weights: the gradient of a copy is the sample's share."""
    copies = weight.detach().repeat(len(labels), 1, 1).requires_grad_()
    logits = torch.einsum("nkd,nd->nk", copies, features) + bias.detach()
    (gradient,) = torch.autograd.grad(loss(logits, labels), copies)
    return gradient.flatten(1).norm(dim=1)


def layer(n=40, d=7, k=5):
    generator = torch.Generator().manual_seed(0)
    features, weight, bias = (torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((n, d), (k, d), (k,)))
    return features, weight, bias, torch.randint(k, (n,), generator=generator)


# mmce_w and the losses that take a square root of what is 0 need no special care: random logits are in general place.
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", [*available_losses(), "mmce:2,base=focal:3", "FLA-53"])
def test_equals_autograd(name, reduction):
    features, weight, bias, labels = layer()
    # The names of some losses need an argument.
    spec = {"focal-scheduled": "FLS-532", "focal-adaptive": "FLA-53"}.get(name, name)
    loss, summed = (get_loss(spec, reduction=r).for_epoch(0) for r in (reduction, "sum"))
    found = sample_gradient_norms(features, features @ weight.T + bias, labels, loss)
    torch.testing.assert_close(found, by_autograd(features, weight, bias, labels, summed), rtol=1e-9, atol=1e-12)
    assert loss.reduction == reduction


@pytest.mark.parametrize("gamma", [1, 3, 5])
def test_focal_over_cross_entropy_is_the_ratio_of_the_paper(gamma):
    """Proposition 1 of the paper: the ratio is g(p, γ)."""
    features, weight, bias, labels = layer()
    logits = features @ weight.T + bias
    norms = [sample_gradient_norms(features, logits, labels, get_loss(s)) for s in (f"focal:{gamma}", "ce")]
    p = torch.softmax(logits, 1)[torch.arange(len(labels)), labels].numpy()
    np.testing.assert_allclose((norms[0] / norms[1]).numpy(), np.abs(gradient_ratio(p, gamma)), rtol=1e-9)


def test_the_histogram_of_a_training_set():
    state = state_of(batch_size=1000)
    state.epoch = 9
    GradientNorms().on_epoch_end(state)
    found = state.record["gradient_norms"]

    x = (DIGITS.train.inputs.float() / 16 - 0.305) / 0.376
    features = state.model.eval().features(x).detach()
    last = state.model.classifier
    norms = by_autograd(features, last.weight, last.bias, DIGITS.train.labels, get_loss("focal:3", reduction="sum"))
    counts, _ = np.histogram(norms.numpy(), found["edges"])
    assert found["counts"] == counts.tolist()
    assert sum(found["counts"]) == 997
    assert found["mean"] == pytest.approx(norms.mean().item(), rel=1e-5)
    np.testing.assert_allclose(found["edges"][::10], 10.0 ** np.arange(-6, 4), rtol=1e-12)


def test_samples_without_a_label_do_not_count():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 5, generator=generator), torch.randint(3, (40,), generator=generator)
    y[::2] = -100
    norms = []
    for rows in (slice(None), slice(1, None, 2)):
        part = TensorDataset(x[rows], y[rows])
        found = DataSet.from_datasets(part, part, part, n_classes=3, options={"in_features": 5})
        state = build_state(Recipe(found.name, "mlp:hidden=16", "focal:3"), found, Processes(), run=None)
        norms.append(GradientNorms().measure(state))
    assert sum(norms[0]["counts"]) == 20
    assert norms[0]["counts"] == norms[1]["counts"]
    assert norms[0]["mean"] == pytest.approx(norms[1]["mean"], rel=1e-6)


def test_norms_outside_the_edges_are_in_the_bins_at_the_ends():
    state = state_of()
    with torch.no_grad():
        state.model.layers[0].weight.zero_()
        state.model.layers[0].bias.zero_()  # no features: all norms are 0
    found = GradientNorms(edges=[1, 2, 3]).measure(state)
    assert (found["counts"], found["mean"]) == ([997, 0], 0.0)
    assert sum(GradientNorms(edges=[-2, -1]).measure(state)["counts"]) == 997


def test_only_chosen_epochs_and_nothing_is_left_behind():
    state = state_of()
    state.model.train()
    callback = GradientNorms([2])
    callback.on_start(state)
    for state.epoch in range(3):
        state.record = {}
        callback.on_epoch_end(state)
        assert bool(state.record) == (state.epoch == 1)
    assert state.model.training
    assert not state.model.classifier._forward_pre_hooks
    assert all(p.grad is None for p in state.model.parameters())


def test_the_hook_goes_also_after_an_error():
    state = state_of()
    state.loss = None
    with pytest.raises(AttributeError):
        GradientNorms().measure(state)
    assert not state.model.classifier._forward_pre_hooks


def test_mixed_precision():
    state = state_of(precision="bfloat16")
    wide = state_of()
    found, expected = (GradientNorms().measure(s) for s in (state, wide))
    assert found["mean"] == pytest.approx(expected["mean"], rel=0.02)


def test_in_the_history_of_a_run(tmp_path):
    """After 40 epochs nearly all training images are right, and their gradients small."""
    recipe = Recipe("digits", "mlp:hidden=32", "FLS-532", optimiser="adam:0.01", epochs=40)
    run = train(recipe, DIGITS, out=tmp_path / "run", device="cpu", callbacks=[GradientNorms([1, 40])])
    assert [record["epoch"] for record in run.history if "gradient_norms" in record] == [1, 40]
    first, last = (run.history[i]["gradient_norms"] for i in (0, -1))
    assert sum(first["counts"]) == sum(last["counts"]) == 997
    assert last["mean"] < first["mean"] / 10


@pytest.mark.parametrize(("name", "message"), [("head", "has none of that name"), ("layers", "has a Sequential there")])
def test_layers_that_are_not_there(name, message):
    with pytest.raises(UsageError, match=f"{message}; name its last layer"):
        GradientNorms(layer=name).on_start(state_of())


def test_other_names_of_the_last_layer():
    state = state_of()
    state.model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    assert sum(GradientNorms(layer="1").measure(state)["counts"]) == 997


@pytest.mark.parametrize("epochs", [[0], [1.5], [True], ["1"]])
def test_impossible_epochs(epochs):
    with pytest.raises(InputError, match="counted from 1"):
        GradientNorms(epochs)


@pytest.mark.parametrize("edges", [[1], [1, 1], [2, 1], [1, np.inf], [[1, 2]]])
def test_impossible_edges(edges):
    with pytest.raises(InputError, match="edges must be at least two finite numbers that rise"):
        GradientNorms(edges=edges)
