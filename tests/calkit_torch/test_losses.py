"""Values and gradients of the losses."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from calkit import theory
from calkit.errors import InputError
from calkit_torch import losses
from calkit_torch.losses import AdaFocalLoss, _fused, _fused_numpy, available_losses, get_loss
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
        assert loss.bands()[torch.float64].gamma_of(np.array([p])) == [gamma]


@pytest.fixture(params=["numpy", "numba"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each of the two ways in which plain batches are computed in one node."""
    if request.param == "numba":
        pytest.importorskip("numba")
    monkeypatch.setenv("CALKIT_KERNELS", request.param)
    _fused._way.cache_clear()
    assert request.param in _fused._way().__module__.replace("compiled", "numba")
    yield
    _fused._way.cache_clear()


@pytest.mark.usefixtures("way")
def test_a_tie_of_two_classes_is_on_the_cut_at_one_half() -> None:
    """Equal logits give p = 0.5 exactly, as a zero-initialised head does at the first step."""
    logits, y = torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])
    for reduction in ("mean", "none"):
        right = get_loss("focal-adaptive:5,3,2@0.19,0.5", reduction=reduction)(logits, y).mean()
        left = get_loss("focal-adaptive:5,3,2,closed=left@0.19,0.5", reduction=reduction)(logits, y).mean()
        assert right.item() == pytest.approx(focal([0, 0], 0, 3), rel=1e-6)
        assert left.item() == pytest.approx(focal([0, 0], 0, 2), rel=1e-6)


@pytest.mark.usefixtures("way")
class TestFusedFocal:
    """The short way of plain batches, against the general way it stands for."""

    SPECS = ("focal:1", "focal:2.5", "FLA-53", "FLA-532", "FLSD-53")

    @staticmethod
    def composed(spec: str, logits: Tensor, y: Tensor, reduction: str) -> Tensor:
        loss = get_loss(spec, reduction=reduction)
        return losses.Loss.forward(loss, logits, y)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        seed=st.integers(0, 10**6),
        n=st.integers(1, 20),
        k=st.integers(2, 12),
        scale=st.sampled_from([0.0, 1.0, 10.0, 60.0]),
        spec=st.sampled_from(SPECS),
        reduction=st.sampled_from(["mean", "sum"]),
    )
    def test_equals_the_general_way(self, seed: int, n: int, k: int, scale: float, spec: str, reduction: str) -> None:
        logits, y = batch(n, k, seed=seed, scale=scale)
        results = []
        for compute in (get_loss(spec, reduction=reduction), lambda z, y: self.composed(spec, z, y, reduction)):
            z = logits.clone().requires_grad_()
            value = compute(z, y)
            (3 * value).backward()
            results.append((value.detach(), z.grad))
        torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("spec", SPECS)
    def test_is_taken_and_twice_differentiable(self, spec: str) -> None:
        logits, y = batch(n=4, k=3)
        loss = get_loss(spec)
        logits.requires_grad_()
        assert "FusedFocal" in loss(logits, y).grad_fn.name()
        assert torch.autograd.gradgradcheck(lambda z: loss(z, y), logits)

    @pytest.mark.parametrize(
        ("spec", "options", "change"),
        [
            ("focal:0.5", {}, lambda z, y: (z, y)),
            ("focal-adaptive:3,0.5@0.3", {}, lambda z, y: (z, y)),
            ("focal:3", {"weight": torch.ones(5, dtype=torch.float64)}, lambda z, y: (z, y)),
            ("focal:3", {}, lambda z, y: (z, torch.where(y == 0, -100, y))),
            ("focal:3", {"ignore_index": 2}, lambda z, y: (z, torch.where(y == 2, 1, y))),
            ("focal:3", {}, lambda z, y: (z * 1e4, (z.argmax(1) + 1) % 5)),
            ("focal:3", {}, lambda z, y: (z.T.contiguous().T, y)),
            ("focal:3", {}, lambda z, y: (z[:, :, None], y[:, None])),
        ],
        ids=["γ < 1", "a γ < 1", "weights", "ignored", "another label ignored", "p = 0", "strided", "pixels"],
    )
    def test_falls_back(self, spec: str, options: dict[str, object], change: object) -> None:
        """Where the short way does not serve, the general way does."""
        logits, y = change(*batch())
        loss = get_loss(spec, **options)
        value = loss(logits.requires_grad_(), y)
        torch.testing.assert_close(value, losses.Loss.forward(loss, logits, y), rtol=1e-12, atol=1e-12)

    def test_logits_may_be_changed_in_place_before_the_backward_pass(self) -> None:
        """As with cross_entropy, which keeps none of them."""
        logits, y = batch()
        gradients = []
        for change in (False, True):
            leaf = logits.clone().requires_grad_()
            z = 1 * leaf
            value = get_loss("focal:3")(z, y)
            if change:
                z.sigmoid_()
            value.backward()
            gradients.append(leaf.grad)
        torch.testing.assert_close(*gradients, rtol=0, atol=0)

    @pytest.mark.parametrize("shift", [-85.0, -60.0, -20.0, 20.0, 60.0, 85.0, 300.0])
    @pytest.mark.parametrize("spec", SPECS)
    def test_logits_far_from_zero_keep_their_digits(self, spec: str, shift: float) -> None:
        """Exponentials are taken of the logits as they are; float32 against the oracle of float64."""
        logits, y = batch(n=40, k=6, scale=3.0, seed=7)
        logits = (logits + shift).float().requires_grad_()
        wide = logits.detach().double().requires_grad_()
        loss = get_loss(spec)
        value, reference = loss(logits, y), self.composed(spec, wide, y, "mean")
        value.backward()
        reference.backward()
        torch.testing.assert_close(value.double(), reference, rtol=1e-5, atol=0)
        torch.testing.assert_close(logits.grad.double(), wide.grad, rtol=1e-4, atol=1e-7)

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_logits_that_are_not_finite_give_what_cross_entropy_gives(self, bad: float) -> None:
        """NaN, without a warning of NumPy's (warnings are errors here)."""
        logits, y = batch()
        logits[3, (y[3] + 1) % 5] = bad
        value = get_loss("focal:3")(logits, y)
        torch.testing.assert_close(value, self.composed("focal:3", logits, y, "mean"), equal_nan=True)

    def test_passes_backward_can_be_repeated_scaled_and_added(self) -> None:
        """The gradient is handed on by the first pass; a second one makes it anew, to the last bit."""
        logits, y = batch()
        z = logits.clone().requires_grad_()
        value = get_loss("FLA-53")(z, y)
        (first,) = torch.autograd.grad(value, z, retain_graph=True)
        kept = first.clone()
        (second,) = torch.autograd.grad(value, z, retain_graph=True)
        (scaled,) = torch.autograd.grad(value, z, torch.tensor(1024.0, dtype=torch.float64), retain_graph=True)
        assert torch.equal(second, kept)
        assert torch.equal(scaled, 1024 * kept)
        first.zero_()  # it belongs to the caller
        value.backward(retain_graph=True)
        value.backward()
        assert torch.equal(z.grad, 2 * kept)
        y_z = logits.clone().requires_grad_()
        (2 * get_loss("FLA-53")(y_z, y) + get_loss("FLA-53")(y_z, y)).backward()
        torch.testing.assert_close(y_z.grad, 3 * kept, rtol=1e-14, atol=0)

    @pytest.mark.parametrize("label", [5, -1, -100, 2**40])
    def test_labels_are_looked_at_before_they_are_used(self, label: int) -> None:
        logits, y = batch()
        y[-1] = label
        if label == -100:
            kept = get_loss("focal:3")(logits[:-1], y[:-1])
            torch.testing.assert_close(get_loss("focal:3")(logits, y), kept, rtol=1e-14, atol=0)
        else:
            with pytest.raises(InputError, match=str(label)):
                get_loss("focal:3")(logits, y)

    def test_rows_of_many_blocks_and_strided_labels(self) -> None:
        """Also with a last block that is not full."""
        logits, y = batch(n=250, k=130)
        labels = torch.stack([y, y], 1)[:, 0]
        z = logits.clone().requires_grad_()
        value = get_loss("FLA-532")(z, labels)
        value.backward()
        reference = logits.clone().requires_grad_()
        self.composed("FLA-532", reference, y, "mean").backward()
        torch.testing.assert_close(value.detach(), self.composed("FLA-532", logits, y, "mean"), rtol=1e-12, atol=0)
        torch.testing.assert_close(z.grad, reference.grad, rtol=1e-12, atol=1e-15)
        torch.testing.assert_close(get_loss("FLA-532")(logits, labels), value.detach(), rtol=0, atol=0)

    def test_logits_are_not_written_to(self) -> None:
        logits, y = batch()
        before = logits.clone()
        get_loss("focal:3")(logits.requires_grad_(), y).backward()
        assert torch.equal(logits, before)

    def test_ignored_samples_are_no_hidden_classes(self) -> None:
        """ignore_index may be a class: its samples must not be counted by the short way."""
        logits, y = batch()
        ignored = get_loss("focal:3", ignore_index=int(y[0]))(logits, y)
        kept = y != y[0]
        torch.testing.assert_close(ignored, get_loss("focal:3")(logits[kept], y[kept]), rtol=1e-12, atol=0)

    def test_forward_mode_and_functorch_see_the_gradient(self) -> None:
        logits, y = batch()
        loss = get_loss("FLA-53")
        z = logits.clone().requires_grad_()
        loss(z, y).backward()
        torch.testing.assert_close(torch.func.grad(lambda z: loss(z, y))(logits), z.grad)
        per_sample = torch.func.vmap(torch.func.grad(lambda a, b: loss(a[None], b[None])))(logits, y)
        torch.testing.assert_close(per_sample / len(y), z.grad)


def test_large_batches_and_installations_without_numba_compile_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, y = batch(n=400, k=300)
    with monkeypatch.context() as patch:
        patch.setattr(_fused, "_way", lambda: pytest.fail("a large batch asked for compiled code"))
        value = get_loss("FLA-53")(logits, y)
    torch.testing.assert_close(value, get_loss("FLA-53", reduction="none")(logits, y).mean(), rtol=1e-12, atol=0)
    monkeypatch.delenv("CALKIT_KERNELS", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert _fused._way.__wrapped__() is _fused_numpy.value_and_gradient


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
