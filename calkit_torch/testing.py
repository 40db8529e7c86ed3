"""Laws that every loss obeys, and metrics on devices, for packages that add some."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from calkit.errors import UsageError
from calkit.evaluation import evaluate
from calkit.testing.laws import law_of
from calkit.testing.metrics import example_predictions, targets_of
from calkit_torch.bridge import CalibrationError, DeviceMetrics
from calkit_torch.losses import Loss, get_loss

__all__ = ["LOSS_LAWS", "check_device_metric", "check_loss"]

Make = Callable[..., Loss]
Law = Callable[[Make], None]

#: Laws by name; each takes what makes the loss, given the options that all losses have, and raises AssertionError.
LOSS_LAWS: dict[str, Law] = {}
_law = law_of(LOSS_LAWS)


def check_loss(spec: str) -> None:
    """Check a loss against every law.

    Parameters
    ----------
    spec : str
        A registered name, with parameters if any. Of a loss with a schedule, the first epoch's is checked.

    Raises
    ------
    AssertionError
        For the first law that is broken.

    Examples
    --------
    >>> from calkit_torch.testing import check_loss
    >>> check_loss("focal:3")
    """
    for law in LOSS_LAWS.values():
        law(maker(spec))


def check_device_metric(spec: str) -> None:
    """Check that a metric has the core's value on a device, in batches, for every target; or that it is refused.

    Parameters
    ----------
    spec : str
        A registered name, with parameters if any.

    Raises
    ------
    AssertionError
        If a value differs from that of :func:`~calkit.evaluate`, or a refusal does not say that the metric is not
        counted on devices.

    Examples
    --------
    >>> from calkit_torch.testing import check_device_metric
    >>> check_device_metric("ece:n_bins=10")
    """
    for target in targets_of(spec):
        data = example_predictions(target)
        try:
            several, one = DeviceMetrics([spec], target=target), CalibrationError(spec, target=target)
        except UsageError as error:
            refusal = f"{spec} of {target}: {error}"
            if "cannot be accumulated on a device" not in refusal:
                raise AssertionError(refusal) from error
            continue
        scores, y = torch.from_numpy(data.scores), torch.from_numpy(data.votes if data.multilabel else data.y_true)
        for rows in (slice(0, 100), slice(100, None)):
            several.update(scores[rows], y[rows])
            one.update(scores[rows], y[rows])
        found, expected = several.compute(), evaluate(data, [spec], target=target, floors=False)
        assert list(found) == list(expected), f"{spec} of {target}: {list(found)} and {list(expected)}"
        for value in (*found.values(), one.compute()):
            [wanted] = expected.values()
            close = math.isclose(value, wanted, rel_tol=1e-12, abs_tol=1e-12)
            assert close or (math.isnan(value) and math.isnan(wanted)), f"{spec} of {target}: {value!r} and {wanted!r}"


def maker(spec: str) -> Make:
    """Return what makes the loss of a spec, for the first epoch."""
    return lambda **options: get_loss(spec, **options).for_epoch(0)


def _batch() -> tuple[Tensor, Tensor]:
    n, k = 12, 4
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(n, k, generator=generator, dtype=torch.float64)
    # Half of the labels are what is predicted.
    drawn = torch.randint(k, (n,), generator=generator)
    return logits, torch.where(torch.arange(n) % 2 == 0, logits.argmax(1), drawn)


def _close(a: Tensor, b: Tensor, what: str, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, msg=lambda found: f"{what}: {found}")


@_law
def reductions_agree(make: Make) -> None:
    """The sum and the mean are those of the losses of the samples."""
    logits, y = _batch()
    values = make(reduction="none")(logits, y)
    assert values.shape == y.shape, f"reduction='none' gives the shape {tuple(values.shape)}"
    _close(make(reduction="sum")(logits, y), values.sum(), "the sum")
    _close(make()(logits, y), values.mean(), "the mean")


@_law
def ignored_labels_do_not_count(make: Make) -> None:
    """Samples with the ignored label change nothing."""
    logits, y = _batch()
    more = torch.cat([logits, 5 * torch.ones(3, 4, dtype=torch.float64)])
    labels = torch.cat([y, torch.full((3,), -100)])
    _close(make()(more, labels), make()(logits, y), "with ignored samples")


@_law
def any_order(make: Make) -> None:
    """Neither the order of the samples nor that of the classes matters."""
    logits, y = _batch()
    loss = make()
    rows, columns = torch.randperm(12, generator=torch.Generator().manual_seed(1)), torch.tensor([2, 0, 3, 1])
    _close(loss(logits[rows], y[rows]), loss(logits, y), "samples in another order")
    _close(loss(logits[:, columns], columns.argsort()[y]), loss(logits, y), "classes in another order")


@_law
def pixels_are_samples(make: Make) -> None:
    """Logits of shape (n, K, height, width) are those of n · height · width samples."""
    logits, y = _batch()
    pixels = logits.reshape(2, 2, 3, 4).permute(0, 3, 1, 2)
    _close(make()(pixels, y.reshape(2, 2, 3)), make()(logits, y), "pixels")


@_law
def it_can_be_trained_with(make: Make) -> None:
    """Gradients are finite and lower the loss; logits and labels stay what they were."""
    logits, y = _batch()
    logits.requires_grad_()
    before, labels = logits.detach().clone(), y.clone()
    loss = make()
    value = loss(logits, y)
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.isfinite(gradient).all(), "a gradient is not finite"
    assert gradient.abs().max() > 0, "all gradients are 0"
    step = 1e-4 / float(gradient.abs().max())
    assert loss(logits - step * gradient, y) < value, "a step against the gradient does not lower the loss"
    assert torch.equal(logits, before), "the logits were changed"
    assert torch.equal(y, labels), "the labels were changed"


@_law
def large_logits_are_finite(make: Make) -> None:
    """Losses and gradients are finite where softmax is 0 or 1, and in half precision, which gives float32."""
    logits, y = _batch()
    for dtype, scale in ((torch.float32, 1e4), (torch.float16, 100.0), (torch.bfloat16, 1e4)):
        scores = (scale * logits).to(dtype).requires_grad_()
        value = make()(scores, y)
        assert value.dtype == torch.float32, f"{dtype} gives {value.dtype}"
        assert torch.isfinite(value), f"the loss of logits of {dtype} is {value.item()}"
        (gradient,) = torch.autograd.grad(value, scores)
        assert torch.isfinite(gradient).all(), f"a gradient in {dtype} is not finite"


@_law
def specs_print_back(make: Make) -> None:
    """The string of a loss stands for that loss."""
    loss = make()
    again = get_loss(str(loss))
    assert (type(again), str(again)) == (type(loss), str(loss)), f"{loss} prints back as {again}"
    logits, y = _batch()
    _close(again(logits, y), loss(logits, y), str(loss))
