"""Values and gradients of the losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from calkit import theory
from calkit_torch import losses
from calkit_torch.losses import AdaFocalLoss, available_losses, get_loss
from calkit_torch.losses._focal import FocalFamilyLoss
from tests.calkit_torch.loss_oracles import (
    BATCH_ORACLES,
    SAMPLE_ORACLES,
    adafocal,
    adafocal_update,
    cross_entropy,
    focal,
    mmce,
    mmce_w,
)

ALL = [*SAMPLE_ORACLES, *BATCH_ORACLES]


def batch(n: int = 12, k: int = 5, *, seed: int = 0, scale: float = 2.0, kind: str = "mixed") -> tuple[Tensor, Tensor]:
    """Random logits in float64, and labels of which some, all or none are predicted."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, k, generator=generator, dtype=torch.float64)
    predicted = logits.argmax(1)
    if kind == "right":
        return logits, predicted
    if kind == "wrong":
        return logits, (predicted + 1) % k
    return logits, torch.where(torch.arange(n) % 2 == 0, predicted, torch.randint(k, (n,), generator=generator))


BATCHES = {
    "mixed": batch(),
    "two classes": batch(k=2),
    "right": batch(kind="right"),
    "wrong": batch(kind="wrong"),
    "one right": batch(n=1, kind="right"),
    "one wrong": batch(n=1, kind="wrong"),
    "confident": batch(scale=12.0),
}


def expected(spec: str, logits: Tensor, y: Tensor) -> list[float]:
    rows, labels = logits.tolist(), y.tolist()
    if spec in SAMPLE_ORACLES:
        return [SAMPLE_ORACLES[spec](row, label) for row, label in zip(rows, labels, strict=True)]
    penalty = BATCH_ORACLES[spec](rows, labels)
    return [cross_entropy(row, label) + penalty for row, label in zip(rows, labels, strict=True)]


def test_every_loss_has_an_oracle() -> None:
    scheduled = {"focal-scheduled"}  # its stages are focal losses, see test_losses_specs
    assert {spec.partition(":")[0] for spec in ALL} | scheduled == set(available_losses())


@pytest.mark.parametrize("data", BATCHES)
@pytest.mark.parametrize("spec", ALL)
def test_value(spec: str, data: str) -> None:
    """Values are those of the plain-Python oracles, in float64, in all three reductions."""
    logits, y = BATCHES[data]
    values = torch.tensor(expected(spec, logits, y), dtype=torch.float64)
    # A root turns rounding of 1e-17 into 1e-9 where MMCE is 0, which it is for no batch here but the confident one.
    loose = 1e-8 if data == "confident" and "mmce" in spec else 1e-12
    for reduction, value in {"none": values, "sum": values.sum(), "mean": values.mean()}.items():
        torch.testing.assert_close(get_loss(spec, reduction=reduction)(logits, y), value, rtol=1e-12, atol=loose)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("spec", [spec for spec in ALL if "continuous" not in spec])
def test_gradient(spec: str, reduction: str) -> None:
    """Gradients, and their gradients, are those of finite differences."""
    logits, y = batch(n=5, k=4)
    loss = get_loss(spec, reduction=reduction)
    assert torch.autograd.gradcheck(lambda z: loss(z, y), logits.requires_grad_())
    assert torch.autograd.gradgradcheck(lambda z: loss(z, y), logits)


@pytest.mark.parametrize("data", ["right", "wrong", "one right", "one wrong"])
@pytest.mark.parametrize("spec", [spec for spec in ALL if "continuous" not in spec])
def test_gradient_of_uniform_batches(spec: str, data: str) -> None:
    logits, y = BATCHES[data]
    loss = get_loss(spec)
    assert torch.autograd.gradcheck(lambda z: loss(z, y), logits.clone().requires_grad_())


def last_layer_gradients(spec: str, features: Tensor, weight: Tensor, y: Tensor) -> Tensor:
    """Gradient of each sample's loss with respect to the weights of a linear last layer, (n, K, d)."""
    loss = get_loss(spec, reduction="none")
    weight = weight.clone().requires_grad_()
    values = loss(features @ weight.T, y)
    return torch.stack([torch.autograd.grad(v, weight, retain_graph=True)[0] for v in values])


@pytest.mark.parametrize(
    ("spec", "gamma"),
    [
        ("focal:0.3", lambda p: 0.3),
        ("focal:1", lambda p: 1.0),
        ("focal:5", lambda p: 5.0),
        ("focal-adaptive:5,3@0.19", lambda p: 5.0 if p <= 0.19 else 3.0),
        ("focal-continuous:0", theory.gamma_star),
        ("focal-continuous:2", lambda p: max(theory.gamma_star(p), 2.0)),
    ],
)
def test_proposition_1(spec: str, gamma: object) -> None:
    """The last layer's gradient is g(p, γ) times that of cross-entropy, sample by sample."""
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(20, 6, generator=generator, dtype=torch.float64)
    weight = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    y = torch.randint(4, (20,), generator=generator)
    p = torch.softmax(features @ weight.T, 1)[torch.arange(20), y]
    ratio = [theory.gradient_ratio(v, gamma(v)) for v in p.tolist()]
    reference = last_layer_gradients("ce", features, weight, y)
    focal_gradients = last_layer_gradients(spec, features, weight, y)
    torch.testing.assert_close(focal_gradients, torch.tensor(ratio)[:, None, None] * reference, rtol=1e-9, atol=1e-12)


def test_continuous_gamma_has_the_gradient_of_cross_entropy() -> None:
    """γ*(p) is where g = 1, and 0 from p = 0.5 on, where g = 1 again."""
    logits, y = batch(n=40)
    gradients = []
    for spec in ("focal-continuous", "ce"):
        z = logits.clone().requires_grad_()
        get_loss(spec)(z, y).backward()
        gradients.append(z.grad)
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 1e-4)])
def test_gamma_star_on_the_device_is_that_of_theory(dtype: torch.dtype, tolerance: float) -> None:
    p = torch.cat([torch.logspace(-25, -2, 50), torch.linspace(0.01, 0.499, 200), torch.linspace(0.5, 1, 20)]).to(dtype)
    own = losses._gamma_star.gamma_star(p).double().numpy()
    np.testing.assert_allclose(own, theory.gamma_star(p.double().numpy()), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("p", "text", "code"),
    [(0.19, 5.0, 3.0), (0.5, 3.0, 2.0), (0.3, 3.0, 3.0)],
)
def test_ends_of_bands(p: float, text: float, code: float) -> None:
    """A probability on a cut belongs below in the paper's text, above in the published code."""
    for closed, gamma in (("right", text), ("left", code)):
        loss = get_loss(f"focal-adaptive:5,3,2,closed={closed}@0.19,0.5")
        factor = loss.modulation(torch.tensor(p, dtype=torch.float64))
        assert factor.item() == pytest.approx((1 - p) ** gamma, rel=1e-12)


def test_a_tie_of_two_classes_is_on_the_cut_at_one_half() -> None:
    """Equal logits give p = 0.5 exactly, as a zero-initialised head does at the first step."""
    logits, y = torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])
    for reduction in ("mean", "none"):
        right = get_loss("focal-adaptive:5,3,2@0.19,0.5", reduction=reduction)(logits, y).mean()
        left = get_loss("focal-adaptive:5,3,2,closed=left@0.19,0.5", reduction=reduction)(logits, y).mean()
        assert right.item() == pytest.approx(focal([0, 0], 0, 3), rel=1e-6)
        assert left.item() == pytest.approx(focal([0, 0], 0, 2), rel=1e-6)


FOCAL = ("focal:1", "focal:2.5", "FLA-53", "FLA-532", "FLSD-53")


@pytest.mark.parametrize("spec", FOCAL)
def test_focal_losses_are_twice_differentiable(spec: str) -> None:
    logits, y = batch(n=4, k=3)
    assert torch.autograd.gradgradcheck(lambda z: get_loss(spec)(z, y), logits.requires_grad_())


@pytest.mark.parametrize("shift", [-85.0, 85.0, 300.0])
@pytest.mark.parametrize("spec", FOCAL)
def test_logits_far_from_zero_keep_their_digits(spec: str, shift: float) -> None:
    """float32 against float64."""
    logits, y = batch(n=40, k=6, scale=3.0, seed=7)
    logits = (logits + shift).float().requires_grad_()
    wide = logits.detach().double().requires_grad_()
    loss = get_loss(spec)
    value, reference = loss(logits, y), loss(wide, y)
    value.backward()
    reference.backward()
    torch.testing.assert_close(value.double(), reference, rtol=1e-5, atol=0)
    torch.testing.assert_close(logits.grad.double(), wide.grad, rtol=1e-4, atol=1e-7)


def test_forward_mode_and_functorch_see_the_gradient() -> None:
    logits, y = batch()
    loss = get_loss("FLA-53")
    z = logits.clone().requires_grad_()
    loss(z, y).backward()
    torch.testing.assert_close(torch.func.grad(lambda z: loss(z, y))(logits), z.grad)
    per_sample = torch.func.vmap(torch.func.grad(lambda a, b: loss(a[None], b[None])))(logits, y)
    torch.testing.assert_close(per_sample / len(y), z.grad)


def test_the_paper_names_mmce_by_pairs() -> None:
    """The running sums give the pairs' MMCE also where many confidences tie."""
    logits = torch.tensor([[1.0, 0], [1.0, 0], [0, 1.0], [3.0, 0], [0, 3.0]], dtype=torch.float64)
    y = torch.tensor([0, 1, 1, 0, 0])
    for function, oracle in ((losses.mmce, mmce), (losses.mmce_w, mmce_w)):
        for scaling in ("paper", "code"):
            value = function(logits, y, scaling=scaling).item()
            assert value == pytest.approx(oracle(logits.tolist(), y.tolist(), scaling), rel=1e-12)


def test_published_scaling_of_mmce_w_is_smaller() -> None:
    """Means over pairs, divided by the counts again: n = 256 gives about a hundredth."""
    logits, y = batch(n=256, k=10, seed=1)
    ratio = losses.mmce_w(logits, y) / losses.mmce_w(logits, y, scaling="code")
    assert 50 < ratio < 300


def test_cross_entropy_and_label_smoothing_are_those_of_pytorch() -> None:
    """All options at once; PyTorch is the reference."""
    logits, y = batch(n=30)
    y[3] = 4
    weight = torch.tensor([1.0, 2, 0.5, 3, 0], dtype=torch.float64)
    for spec, smoothing in (("ce", 0.0), ("label-smoothing:0.2", 0.2)):
        for reduction in ("mean", "sum", "none"):
            own = get_loss(spec, weight=weight, ignore_index=4, reduction=reduction)(logits, y)
            reference = functional.cross_entropy(
                logits, y, weight, ignore_index=4, reduction=reduction, label_smoothing=smoothing
            )
            torch.testing.assert_close(own, reference, rtol=0, atol=0)


class TestAdaFocal:
    def test_update_and_value(self) -> None:
        logits, y = batch(n=50, k=4, seed=5)
        loss = AdaFocalLoss(n_bins=6, reduction="none")
        gammas: list[float] = [1.0] * 6
        for _ in range(3):
            loss.update(logits, y)
            gammas, edges = adafocal_update(logits.tolist(), y.tolist(), gammas)
        np.testing.assert_allclose(loss.gammas, gammas, rtol=1e-6)
        np.testing.assert_allclose(loss.edges, edges, rtol=1e-6)
        other, labels = batch(n=30, k=4, seed=6)
        values = [
            adafocal(row, label, gammas, edges) for row, label in zip(other.tolist(), labels.tolist(), strict=True)
        ]
        np.testing.assert_allclose(loss(other, labels), values, rtol=1e-5)

    def test_overconfident_bins_get_a_larger_gamma_and_calm_ones_change_sides(self) -> None:
        wrong, y_wrong = batch(n=20, kind="wrong")
        right, y_right = batch(n=20, kind="right", scale=0.1)
        loss = AdaFocalLoss(n_bins=1)
        loss.update(wrong, y_wrong)
        assert loss.gammas.item() > 1
        loss = AdaFocalLoss(n_bins=1)
        for _ in range(10):
            loss.update(right, y_right)
        assert loss.gammas.item() == -2  # through the switch at 0.2 down to gamma_min

    def test_state_travels_in_a_checkpoint(self) -> None:
        loss, fresh = AdaFocalLoss(n_bins=5), AdaFocalLoss(n_bins=5)
        logits, y = batch(n=40)
        loss.update(logits, y)
        assert not torch.equal(loss(logits, y), fresh(logits, y))
        fresh.load_state_dict(loss.state_dict())
        assert torch.equal(loss(logits, y), fresh(logits, y))

    def test_ignored_samples_teach_nothing(self) -> None:
        logits, y = batch(n=40)
        loss, without = AdaFocalLoss(n_bins=4), AdaFocalLoss(n_bins=4)
        loss.update(torch.cat([logits, 5 * logits]), torch.cat([y, torch.full_like(y, -100)]))
        without.update(logits, y)
        torch.testing.assert_close(loss.gammas, without.gammas)


def test_modules_and_functions_agree() -> None:
    logits, y = batch()
    functions = {
        "ce": losses.cross_entropy,
        "label-smoothing": losses.label_smoothing,
        "logit-norm": losses.logit_norm,
        "brier": losses.brier,
        "focal": losses.focal,
        "focal-adaptive": losses.focal_adaptive,
        "focal-continuous": losses.focal_continuous,
        "inverse-focal": losses.inverse_focal,
        "dual-focal": losses.dual_focal,
        "confidence-penalty": losses.confidence_penalty,
        "mbls": losses.mbls,
    }
    for name, function in functions.items():
        torch.testing.assert_close(function(logits, y), get_loss(name, reduction="none")(logits, y), rtol=0, atol=0)
    for name, function in {
        "mmce": losses.mmce,
        "mmce-w": losses.mmce_w,
        "dca": losses.dca,
        "mdca": losses.mdca,
    }.items():
        loss = get_loss(f"{name}:1")
        torch.testing.assert_close(
            loss(logits, y), functional.cross_entropy(logits, y) + function(logits, y), rtol=1e-14, atol=0
        )
    loss = get_loss("soft-binned-ece:1")
    torch.testing.assert_close(loss(logits, y), functional.cross_entropy(logits, y) + losses.soft_binned_ece(logits, y))


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("spec", ALL)
def test_order_of_the_samples_does_not_matter(spec: str, seed: int) -> None:
    logits, y = batch(seed=seed)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    loss = get_loss(spec, reduction="none")
    torch.testing.assert_close(loss(logits, y)[order], loss(logits[order], y[order]), rtol=1e-10, atol=1e-10)


def test_gamma_zero_is_cross_entropy() -> None:
    logits, y = batch()
    for spec in ("focal:0", "inverse-focal:0", "dual-focal:0", "focal-adaptive:0,0@0.5", "mmce:0", "mbls:0"):
        torch.testing.assert_close(get_loss(spec)(logits, y), functional.cross_entropy(logits, y), rtol=1e-14, atol=0)


def test_the_focal_family_is_what_it_says() -> None:
    for spec in ("focal", "focal-adaptive", "focal-continuous", "inverse-focal"):
        assert isinstance(get_loss(spec), FocalFamilyLoss)
