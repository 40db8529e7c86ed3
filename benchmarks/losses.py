"""What losses cost beside cross-entropy, forward and backward, as ratios measured in one run.

Run from the root of the repository on a quiet machine::

    OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/losses.py [--shapes 128x100 ...] [--rounds 200]

All losses take turns; printed are the ratios of the fastest rounds, which other processes disturb least. Three
yardsticks:

``cross_entropy``
    ``torch.nn.functional.cross_entropy(logits, y)``: softmax, choice of the class and mean in one compiled operation.
``cross_entropy, none``
    The losses of the samples, then their mean: what a loss costs that is a function of each sample's cross-entropy,
    even if that function does nothing.
``floor``
    The same with a dot product for the mean and γ looked up for each sample, but not used: what a composition of
    PyTorch operations with a sample-dependent γ cannot fall below.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from calkit_torch.losses import get_loss

Loss = Callable[[Tensor, Tensor], Tensor]
SPECS = ("ce", "FL-3", "FLA-53", "FLA-532", "focal:0.5", "focal-continuous:3", "brier", "dual-focal", "mmce-w:2")


def published_loop(logits: Tensor, y: Tensor) -> Tensor:
    """FLSD-53 the way the published code goes about it: γ chosen in Python, one sample after the other."""
    log_p = functional.log_softmax(logits, dim=1).gather(1, y.unsqueeze(1)).squeeze(1)
    p = log_p.exp()
    gammas = [5.0 if p[i].item() < 0.2 else 3.0 for i in range(len(p))]
    return -((1 - p) ** torch.tensor(gammas) * log_p).sum()


def sigmoid_focal(logits: Tensor, y: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """The focal loss of object detection: K independent sigmoids, as torchvision has it."""
    targets = functional.one_hot(y, logits.shape[1]).to(logits.dtype)
    p = torch.sigmoid(logits)
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    losses = losses * (1 - (p * targets + (1 - p) * (1 - targets))) ** gamma
    return ((alpha * targets + (1 - alpha) * (1 - targets)) * losses).mean()


def floor(logits: Tensor, y: Tensor) -> Tensor:
    nll = functional.cross_entropy(logits, y, reduction="none")
    with torch.no_grad():
        gamma = torch.full_like(nll, 3.0).masked_fill_(nll > 1.66, 5.0)
    return torch.dot(nll, gamma)


def contestants() -> dict[str, Loss]:
    losses: dict[str, Loss] = {
        "cross_entropy": functional.cross_entropy,
        "cross_entropy, none": lambda z, y: functional.cross_entropy(z, y, reduction="none").mean(),
        "floor": floor,
        **{spec: get_loss(spec) for spec in SPECS},
        "published loop": published_loop,
        "sigmoid focal": sigmoid_focal,
    }
    try:
        from kornia.losses import focal_loss  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        pass
    else:
        losses["kornia focal"] = lambda z, y: focal_loss(z, y, alpha=None, gamma=3.0, reduction="mean")
    return losses


def race(losses: Mapping[str, Loss], n: int, k: int, rounds: int) -> dict[str, float]:
    """Seconds of the fastest round of each, forward and backward."""
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(n, k, generator=generator)).requires_grad_()
    y = torch.randint(k, (n,), generator=generator)
    best = dict.fromkeys(losses, float("inf"))
    for _ in range(rounds):
        for name, loss in losses.items():
            repeats = 1 if name == "published loop" else 10
            start = time.perf_counter()
            for _ in range(repeats):
                logits.grad = None
                torch.autograd.backward(loss(logits, y))
            best[name] = min(best[name], (time.perf_counter() - start) / repeats)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description="Time losses beside cross-entropy.")
    parser.add_argument("--shapes", nargs="+", default=["128x10", "128x100", "128x1000"], help="batch x classes")
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    losses = contestants()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s); times cross_entropy (cross_entropy, none)")
    columns = {}
    for shape in options.shapes:
        n, k = map(int, shape.split("x"))
        columns[shape] = race(losses, n, k, options.rounds)
    print(f"{'':22}" + "".join(f"{shape:>18}" for shape in columns))
    for name in losses:
        cells = [
            f"{best[name] / best['cross_entropy']:8.2f} ({best[name] / best['cross_entropy, none']:.2f})"
            for best in columns.values()
        ]
        print(f"{name:22}" + "".join(f"{cell:>18}" for cell in cells))
    for shape, best in columns.items():
        print(f"cross_entropy at {shape}: {best['cross_entropy'] * 1e6:.0f} µs")


if __name__ == "__main__":
    main()
