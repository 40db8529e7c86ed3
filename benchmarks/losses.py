"""What losses cost beside cross-entropy, as ratios measured in one run.

Run from the root of the repository on a quiet machine::

    OMP_NUM_THREADS=1 python benchmarks/losses.py [--shapes 128x100 ...] [--rounds 150] [--forward]

The losses take turns in an order that is drawn anew each time; printed, as Markdown, are the ratios of the
fastest and of the median turns to ``torch.nn.CrossEntropyLoss()``, the line that a calibrating loss replaces.
Further yardsticks:

``cross_entropy``
    The function without the module around it: softmax, choice of the class and mean in one compiled operation.
``cross_entropy, none``
    The losses of the samples, then their mean: what a loss costs that is a function of each sample's cross-entropy,
    even if that function does nothing.
``floor``
    The same with a dot product for the mean and γ looked up for each sample, but not used: what a composition of
    PyTorch operations with a sample-dependent γ cannot fall below.
``published loop``
    FLSD-53 the way the published code goes about it.
``sigmoid focal``
    The formula of torchvision, with K independent sigmoids. kornia's loss joins in if kornia is installed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec

import torch
from machine import machine
from torch import Tensor, nn
from torch.nn import functional

from calkit_torch.losses import get_loss

Loss = Callable[[Tensor, Tensor], Tensor]
REFERENCE = "CrossEntropyLoss"
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
        REFERENCE: nn.CrossEntropyLoss(),
        "`cross_entropy`": functional.cross_entropy,
        "`cross_entropy`, none": lambda z, y: functional.cross_entropy(z, y, reduction="none").mean(),
        "floor": floor,
        **{f"`{spec}`": get_loss(spec) for spec in SPECS},
        "published loop": published_loop,
        "sigmoid focal": sigmoid_focal,
    }
    if find_spec("kornia"):
        from kornia.losses import focal_loss  # type: ignore[import-not-found, unused-ignore]

        losses["kornia focal"] = lambda z, y: focal_loss(z, y, alpha=None, gamma=3.0, reduction="mean")
    return losses


def race(losses: Mapping[str, Loss], n: int, k: int, rounds: int, *, backward: bool) -> dict[str, tuple[float, float]]:
    """Seconds of the fastest and of the median turn of each."""
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(n, k, generator=generator)).requires_grad_()
    y = torch.randint(k, (n,), generator=generator)
    turns: dict[str, list[float]] = {name: [] for name in losses}
    order, rng = list(losses), random.Random(0)
    for _ in range(rounds):
        rng.shuffle(order)
        for name in order:
            loss, repeats = losses[name], 1 if name == "published loop" else 20
            loss(logits, y)
            start = time.perf_counter()
            for _ in range(repeats):
                logits.grad = None
                value = loss(logits, y)
                if backward:
                    torch.autograd.backward(value)
            turns[name].append((time.perf_counter() - start) / repeats)
    return {name: (min(times), statistics.median(times)) for name, times in turns.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time losses beside cross-entropy.")
    parser.add_argument("--shapes", nargs="+", default=["128x10", "128x100", "128x1000"], help="batch x classes")
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--forward", action="store_true", help="without the backward pass")
    options = parser.parse_args()
    losses = contestants()
    what = "forward" if options.forward else "forward and backward"
    versions = ["torch", *(name for name in ("kornia",) if find_spec(name))]
    print(f"{machine(*versions)}; {torch.get_num_threads()} thread(s); {what}; fastest turn (median)\n")
    columns = {}
    for shape in options.shapes:
        n, k = map(int, shape.split("x"))
        columns[shape] = race(losses, n, k, options.rounds, backward=not options.forward)
    print(f"| times `{REFERENCE}` | " + " | ".join(shape.replace("x", " × ") for shape in columns) + " |")
    print("| --- |" + " ---: |" * len(columns))
    for name in losses:
        ratios = [[t / base for t, base in zip(c[name], c[REFERENCE], strict=True)] for c in columns.values()]
        cells = " | ".join(f"{fastest:.2f} ({median:.2f})" for fastest, median in ratios)
        print(f"| {name} | {cells} |")
    times = (f"{found[REFERENCE][0] * 1e6:.0f}" for found in columns.values())
    print(f"| `{REFERENCE}`, µs | {' | '.join(times)} |")


if __name__ == "__main__":
    main()
