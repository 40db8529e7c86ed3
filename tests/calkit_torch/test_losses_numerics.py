"""Extreme logits, half precision, autocast, compilation, accelerators."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from calkit_torch.losses import available_losses, get_loss, mmce, mmce_w

SPECS = [
    *[name for name in available_losses() if name != "focal-scheduled"],
    "focal:0.3",
    "focal-adaptive:5,0.5@0.2",
    "focal-continuous:3",
    "inverse-focal:0.5",
    "dual-focal:0.5",
    "mmce:2,scaling=code",
    "mmce-w:2,scaling=code",
    "soft-binned-ece:1,norm=1",
    "soft-binned-ece:1,norm=3",
    "mbls:0.1,scaling=code",
]
HALF = [torch.float16, torch.bfloat16]


def extreme(case: str, scale: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Logits of ±scale, with labels that are all predicted, never, or both."""
    generator = torch.Generator().manual_seed(0)
    n = 1 if case == "one" else 128
    logits = scale * torch.randn(n, 10, generator=generator).sign()
    logits[:, 0] += scale / 1000
    predicted = logits.argmax(1)
    mixed = torch.randint(10, (n,), generator=generator)
    y = {"right": predicted, "one": predicted, "wrong": (predicted + 1) % 10, "mixed": mixed}[case]
    return logits.clamp(-1e4, 1e4).to(dtype), y


@pytest.mark.parametrize("dtype", [*HALF, torch.float32, torch.float64])
@pytest.mark.parametrize("spec", SPECS)
def test_values_and_gradients_are_finite(spec: str, dtype: torch.dtype) -> None:
    """Up to the ±1e4 at which p is 0 or 1 exactly; half precision gives a float32 loss, so that no sum overflows."""
    for scale in (0.0, 1.0, 30.0, 1e4):
        for case in ("mixed", "right", "wrong", "one"):
            logits, y = extreme(case, scale, dtype)
            for reduction in ("mean", "sum"):
                z = logits.clone().requires_grad_()
                value = get_loss(spec, reduction=reduction)(z, y)
                value.backward()
                assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
                assert value.isfinite(), (scale, case, reduction)
                assert z.grad.dtype == dtype
                assert z.grad.isfinite().all(), (scale, case, reduction)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("spec", SPECS)
def test_half_precision_is_float32_of_the_same_logits(spec: str, dtype: torch.dtype) -> None:
    logits, y = extreme("mixed", 3.0, dtype)
    loss = get_loss(spec)
    torch.testing.assert_close(loss(logits, y), loss(logits.float(), y), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("spec", SPECS)
def test_autocast_changes_nothing(spec: str) -> None:
    """Autocast lowers matrix products; no loss may hang on one."""
    logits, y = extreme("mixed", 3.0, torch.float32)
    loss = get_loss(spec)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(logits, y)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(logits, y), rtol=0, atol=0)


@pytest.mark.parametrize("spec", ["focal:0.3", "focal:0.9", "focal-adaptive:0.5,0.3@0.5", "dual-focal:0.3"])
def test_powers_below_one_have_a_gradient_at_certainty(spec: str) -> None:
    """At p = 1 the derivative of (1 - p)^γ is infinite for γ < 1; the loss is flat there all the same."""
    for dtype in (torch.float32, torch.float64):
        logits = torch.tensor([[200.0, 0.0, 0.0]], dtype=dtype, requires_grad=True)
        value = get_loss(spec)(logits, torch.tensor([0]))
        (gradient,) = torch.autograd.grad(value, logits, create_graph=True)
        assert value == 0
        assert gradient.abs().max() <= 2e-87  # the probability of another class, exp(-200)
        (second,) = torch.autograd.grad(gradient.sum(), logits)
        assert second.isfinite().all()


@pytest.mark.parametrize("function", [mmce, mmce_w])
def test_mmce_of_perfect_confidence_is_zero_with_a_gradient(function: object) -> None:
    """The root of the paper's scaling has no derivative at 0; the penalty's is taken as 0."""
    logits = torch.full((4, 3), -50.0, dtype=torch.float64).fill_diagonal_(50.0)
    logits[3, 0] = 50.0
    z = logits.requires_grad_()
    value = function(z, torch.tensor([0, 1, 2, 0]))
    value.backward()
    assert value == 0
    assert (z.grad == 0).all()


def test_a_million_pixels_need_no_pairs() -> None:
    """All pairs of them would be 4 TB; and float32 gives the value of float64."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 512, 512, generator=generator)
    y = torch.randint(3, (4, 512, 512), generator=generator)
    for function in (mmce, mmce_w):
        torch.testing.assert_close(function(logits, y).double(), function(logits.double(), y), rtol=1e-5, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
def test_compiled_losses_are_the_same(spec: str) -> None:
    """One graph without a break, forward and backward, by Dynamo and AOTAutograd (no code is generated)."""
    torch.compiler.reset()
    logits, y = extreme("mixed", 3.0, torch.float32)
    loss = get_loss(spec)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    results = []
    for compute in (compiled, loss):
        z = logits.clone().requires_grad_()
        value = compute(z, y)
        value.backward()
        results.append((value.detach(), z.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-7)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
def test_code_generated_for_a_loss_is_the_same() -> None:
    """The default backend, which writes and compiles C++, for the sample-dependent loss."""
    torch.compiler.reset()
    logits, y = extreme("mixed", 3.0, torch.float32)
    loss = get_loss("FLA-53")
    torch.testing.assert_close(torch.compile(loss, fullgraph=True)(logits, y), loss(logits, y), rtol=1e-5, atol=1e-7)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("spec", SPECS)
def test_no_loss_waits_for_the_device(spec: str) -> None:
    """Forward and backward without one synchronisation, and the values of the CPU."""
    logits, y = extreme("mixed", 3.0, torch.float32)
    loss = get_loss(spec)
    on_device = get_loss(spec).cuda()
    z, labels = logits.cuda().requires_grad_(), y.cuda()
    on_device(z, labels).backward()
    torch.cuda.synchronize()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        value = on_device(z, labels)
        value.backward()
    finally:
        torch.cuda.set_sync_debug_mode(before)
    torch.testing.assert_close(value.detach().cpu(), loss(logits, y), rtol=1e-4, atol=1e-6)


#: Of these the logit itself is part, whatever the probability.
OF_LOGITS = ("label-smoothing", "logit-norm", "mbls")


@pytest.mark.parametrize("spec", [spec for spec in SPECS if not spec.startswith(OF_LOGITS)])
def test_an_impossible_class_is_one_of_probability_0(spec: str) -> None:
    """A logit of -inf, of a class other than the label, gives the loss and the gradient of one far below the others."""
    logits, y = extreme("mixed", 3.0, torch.float64)
    rows, found = torch.arange(len(y)), []
    for value in (-torch.inf, -2000.0):
        z = logits.clone()
        z[rows, (y + 1) % z.shape[1]] = value
        z.requires_grad_()
        loss = get_loss(spec)(z, y)
        found.append((loss.detach(), *torch.autograd.grad(loss, z)))
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


def test_import_brings_torch_and_little_else() -> None:
    """scipy, scikit-learn, pyplot and numba stay out until something needs them."""
    code = (
        "import sys, torch; before = set(sys.modules); import calkit_torch.losses; "
        "print([m for m in ('scipy', 'sklearn', 'matplotlib', 'pandas', 'numba') if m in set(sys.modules) - before])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("part", ["losses", "models", "bridge"])
def test_without_torch_there_is_one_clear_error(part: str) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\nimport calkit_torch\n"
        f"try:\n    import calkit_torch.{part}\nexcept ImportError as error:\n    print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingDependencyError calkit_torch needs torch; install it with: pip install")
    assert "calkit-calibration[torch]" in done.stdout
