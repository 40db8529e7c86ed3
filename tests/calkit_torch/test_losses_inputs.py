"""What the losses accept (pixels, class weights, ignored labels, soft targets) and what they refuse."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from calkit.errors import InputError, UsageError
from calkit_torch.losses import available_losses, check_labels, get_loss

# The scheduled loss of an epoch is a focal loss.
NAMES = [name for name in available_losses() if name != "focal-scheduled"]
PENALTIES = ["mmce", "mmce-w", "dca", "mdca", "soft-binned-ece"]
# Losses with a meaning for class probabilities; the others ask which class is right.
SOFT = [
    "ce",
    "label-smoothing",
    "logit-norm",
    "brier",
    "focal",
    "focal-adaptive",
    "focal-continuous",
    "inverse-focal",
    "mdca",
    "confidence-penalty",
    "mbls",
]
# Those that are linear in the target: the loss of a mixture of labels is the mixture of the losses.
LINEAR = [name for name in SOFT if name not in ("brier", "mdca")]


def pixels(n: int = 3, k: int = 4, shape: tuple[int, ...] = (2, 5), seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, k, *shape, generator=generator, dtype=torch.float64)
    return logits, torch.randint(k, (n, *shape), generator=generator)


def flat(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return logits.movedim(1, -1).flatten(0, -2), y.flatten()


def equal(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def gradient(spec: str, logits: Tensor, y: Tensor, **options: object) -> Tensor:
    z = logits.clone().requires_grad_()
    get_loss(spec, **options)(z, y).sum().backward()
    return z.grad


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_samples(name: str, reduction: str) -> None:
    """(n, K, height, width) against (n, height, width), as in cross_entropy."""
    logits, y = pixels()
    weight = torch.tensor([1.0, 2, 0.5, 3])
    for options in ({}, {"weight": weight}, {"ignore_index": 2}):
        loss = get_loss(name, reduction=reduction, **options)
        value = loss(logits, y)
        assert value.shape == (y.shape if reduction == "none" else ())
        equal(value.flatten(), loss(*flat(logits, y)).flatten())


@pytest.mark.parametrize("name", NAMES)
def test_one_sample_needs_no_batch_axis(name: str) -> None:
    logits, y = pixels(n=1, shape=())
    for reduction in ("mean", "none"):
        loss = get_loss(name, reduction=reduction)
        value = loss(logits[0], y[0])
        assert value.shape == ()
        equal(value, loss(logits, y).sum())


@pytest.mark.parametrize("options", [{}, {"weight": torch.tensor([1.0, 2, 0.5, 3], dtype=torch.float64)}])
@pytest.mark.parametrize("name", NAMES)
def test_ignoring_is_removing(name: str, options: dict[str, Tensor]) -> None:
    logits, y = pixels(n=12, shape=())
    for ignored in (-100, 2, 7):
        dropped = torch.arange(12) % 3 == 0
        kept = ~dropped & (y != ignored)
        labels = torch.where(dropped, ignored, y)
        for reduction in ("mean", "sum"):
            loss = get_loss(name, ignore_index=ignored, reduction=reduction, **options)
            equal(loss(logits, labels), loss(logits[kept], y[kept]))
        values = get_loss(name, ignore_index=ignored, reduction="none", **options)(logits, labels)
        assert (values[~kept] == 0).all()
        gradients = gradient(name, logits, labels, ignore_index=ignored, **options)
        assert (gradients[~kept] == 0).all()
        equal(gradients[kept], gradient(name, logits[kept], y[kept], **options))


@given(counts=st.lists(st.integers(0, 4), min_size=4, max_size=4).filter(any))
@pytest.mark.parametrize("name", [name for name in NAMES if name not in PENALTIES])
def test_whole_class_weights_are_repeated_samples(name: str, counts: list[int]) -> None:
    """For losses of samples; the penalties of a batch count each sample once whatever the weights."""
    logits, y = pixels(n=15, shape=())
    times = torch.tensor(counts)[y]
    if not times.any():
        return
    repeated = logits.repeat_interleave(times, 0), y.repeat_interleave(times)
    weight = torch.tensor(counts, dtype=torch.float64)
    for reduction in ("sum", "mean"):
        weighted = get_loss(name, weight=weight, reduction=reduction)(logits, y)
        reference = get_loss(name, reduction=reduction)(*repeated)
        if name == "label-smoothing" and len(set(counts)) > 1:
            # PyTorch weights the smoothed part by the classes it goes to, not by the label.
            reference = functional.cross_entropy(logits, y, weight, reduction=reduction, label_smoothing=0.05)
        equal(weighted, reference)


@pytest.mark.parametrize("name", PENALTIES)
def test_class_weights_leave_the_penalty_of_the_batch_alone(name: str) -> None:
    logits, y = pixels(n=15, shape=())
    weight = torch.tensor([1.0, 2, 0, 3], dtype=torch.float64)
    penalty = get_loss(f"{name}:1")(logits, y) - functional.cross_entropy(logits, y)
    equal(get_loss(f"{name}:1", weight=weight)(logits, y), functional.cross_entropy(logits, y, weight) + penalty)


@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 2, 0.5, 3])])
@pytest.mark.parametrize("name", SOFT)
def test_one_hot_targets_are_labels(name: str, weight: Tensor | None) -> None:
    logits, y = pixels()
    one_hot = functional.one_hot(y, 4).movedim(-1, 1).double()
    loss = get_loss(name, weight=weight, reduction="none")
    equal(loss(logits, one_hot), loss(logits, y))
    equal(
        gradient(name, logits, one_hot, weight=weight, reduction="sum"),
        gradient(name, logits, y, weight=weight, reduction="sum"),
    )
    # As in cross_entropy, the mean over probabilities divides by their number, whatever the weights.
    equal(get_loss(name, weight=weight)(logits, one_hot), loss(logits, y).mean())


@given(share=st.floats(0, 1))
@pytest.mark.parametrize("name", LINEAR)
def test_mixup_is_the_mixture_of_the_losses(name: str, share: float) -> None:
    """λ L(y_a) + (1 - λ) L(y_b), the way mixup is computed with labels (Zhang et al. 2018)."""
    logits, y = pixels(n=6, shape=())
    first, second = functional.one_hot(y, 4).double(), functional.one_hot(y.flip(0), 4).double()
    loss = get_loss(name, reduction="none")
    mixture = loss(logits, share * first + (1 - share) * second)
    equal(mixture, share * loss(logits, y) + (1 - share) * loss(logits, y.flip(0)))


def test_soft_brier_is_the_squared_distance() -> None:
    """Two classes at p = (.5, .5) and a target of (.8, .2): .3² + .3²."""
    target = torch.tensor([[0.8, 0.2]])
    assert get_loss("brier")(torch.zeros(1, 2), target).item() == pytest.approx(0.18, rel=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SOFT])
def test_soft_targets_without_a_meaning_are_refused(name: str) -> None:
    logits, y = pixels(n=6, shape=())
    with pytest.raises(UsageError, match="one right class a sample, but y holds probabilities; pass integer labels"):
        get_loss(name)(logits, functional.one_hot(y, 4).double())


@pytest.mark.parametrize("label", [4, -1, 10**6])
@pytest.mark.parametrize("name", NAMES)
def test_labels_out_of_range(name: str, label: int) -> None:
    logits, y = pixels(n=6, shape=())
    y[2] = label
    message = rf"y holds the label {label}, but there are 4 classes, 0 to 3; .* ignore_index=-100"
    for options in ({}, {"reduction": "none"}, {"weight": torch.ones(4)}):
        with pytest.raises(InputError, match=message):
            get_loss(name, **options)(logits, y)
    with pytest.raises(InputError, match=message):
        get_loss(name)(*pixels(n=6)[:1], torch.full((6, 2, 5), label))


def test_labels_can_be_checked_once() -> None:
    check_labels(torch.tensor([[0, 3], [-100, 2]]), 4)
    with pytest.raises(InputError, match="y holds the label 4"):
        check_labels(torch.tensor([[0, 4]]), 4)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_any_integers_are_labels(dtype: torch.dtype) -> None:
    logits, y = pixels(n=6, shape=())
    equal(get_loss("focal")(logits, y.to(dtype)), get_loss("focal")(logits, y))


@pytest.mark.parametrize(
    ("logits", "y", "message"),
    [
        (torch.zeros(3, 4), torch.zeros(2, dtype=torch.long), r"y must have shape \(3,\) .* but has \(2,\)"),
        (torch.zeros(3, 4), torch.zeros(3, 4, dtype=torch.long), r"y must have shape \(3,\)"),
        (torch.zeros(3, 4, 5), torch.zeros(3, dtype=torch.long), r"y must have shape \(3, 5\)"),
        (torch.zeros(3, 4), torch.zeros(3), r"y of dtype torch.float32 must hold class probabilities .* y.long\(\)"),
        (torch.zeros(3, 4), torch.zeros(3, dtype=torch.bool), "y must be integer labels or probabilities"),
        (torch.zeros(3, 4, dtype=torch.long), torch.zeros(3, dtype=torch.long), "logits must be floating-point"),
        (torch.zeros(3, 1), torch.zeros(3, dtype=torch.long), r"one class.* pass the columns \(0, z\)"),
        (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), r"hold samples, but have \(0, 4\)"),
        (torch.tensor(1.0), torch.tensor(0), r"must have shape \(n, K\)"),
    ],
)
@pytest.mark.parametrize("name", ["ce", "focal", "mmce"])
def test_shapes_and_dtypes_that_do_not_fit(name: str, logits: Tensor, y: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        get_loss(name)(logits, y)


def test_weights_and_ignore_index_that_do_not_fit() -> None:
    logits, y = pixels(n=6, shape=())
    with pytest.raises(InputError, match=r"weight must have shape \(4,\), one number a class, but has \(3,\)"):
        get_loss("focal", weight=torch.ones(3))(logits, y)
    with pytest.raises(UsageError, match="ignore_index=1 is a label, but y holds probabilities"):
        get_loss("ce", ignore_index=1)(logits, functional.one_hot(y, 4).double())


def test_all_samples_ignored_have_no_mean() -> None:
    """As with cross_entropy: 0 / 0, and a sum of 0."""
    logits, _ = pixels(n=6, shape=())
    y = torch.full((6,), -100)
    for name in NAMES:
        assert get_loss(name)(logits, y).isnan()
        assert get_loss(name, reduction="sum")(logits, y) == 0


def test_weights_move_with_the_module() -> None:
    loss = get_loss("focal:3", weight=torch.ones(4)).double()
    assert loss.weight.dtype == torch.float64
    assert set(loss.state_dict()) == {"weight"}
    assert not get_loss("focal:3").state_dict()
