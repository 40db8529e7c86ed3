"""How the code published with the paper computes its errors and finds its temperature, written out in PyTorch."""

import itertools

import numpy as np
import torch
from torch.nn import functional

BINS = 15


def _top(logits, y):
    confidence, predicted = functional.softmax(logits, dim=1).max(dim=1)
    return confidence, predicted.eq(y)


def _binned(confidence, correct, edges):
    total = torch.zeros(1)
    for low, high in itertools.pairwise(edges):
        inside = confidence.gt(low.item()) * confidence.le(high.item())
        share = inside.float().mean()
        if share.item() > 0:
            total += torch.abs(confidence[inside].mean() - correct[inside].float().mean()) * share
    return total.item()


def ece(logits, y):
    return _binned(*_top(logits, y), torch.linspace(0, 1, BINS + 1))


def adaece(logits, y):
    confidence, correct = _top(logits, y)
    n = len(confidence)
    edges = np.interp(np.linspace(0, n, BINS + 1), np.arange(n), np.sort(confidence.numpy()))
    return _binned(confidence, correct, np.histogram(confidence.numpy(), edges)[1])


def classwise_ece(logits, y):
    probs, edges = functional.softmax(logits, dim=1), torch.linspace(0, 1, BINS + 1)
    errors = [_binned(probs[:, k], y.eq(k), edges) for k in range(int(y.max()) + 1)]
    return sum(errors) / len(errors)


def grid_search(error, logits, y):
    """100 temperatures; the NLL is computed at each as well, as in that code."""
    best, found, temperature = 1e7, 0.0, 0.1
    with torch.no_grad():
        for _ in range(100):
            functional.cross_entropy(logits / temperature, y).item()
            value = error(logits / temperature, y)
            if value < best:
                best, found = value, temperature
            temperature += 0.1
    return found
