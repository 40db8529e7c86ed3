"""Plain-loop oracles: each metric as its definition reads, a row at a time, with nothing from calkit.

Sums use ``math.fsum``, so the only rounding is that of single operations. Edges are ``k / n_bins`` as Python has it.
"""

import itertools
import math

import numpy as np


def softmax(row, temperature=1.0):
    scaled = [float(z) / temperature for z in row]
    top = max(scaled)
    exps = [math.exp(z - top) for z in scaled]
    total = math.fsum(exps)
    return [e / total for e in exps]


def first_of_largest(row):
    best = 0
    for j in range(1, len(row)):
        if row[j] > row[best]:
            best = j
    return best


def pairs(probs, y):
    """(confidence, correct) of each row."""
    out = []
    for p, label in zip(probs, y, strict=True):
        k = first_of_largest(p)
        out.append((float(p[k]), int(k == label)))
    return out


def uniform_bin(confidence, n_bins):
    """k with k/M < confidence <= (k+1)/M; 0 for a confidence of 0."""
    for k in range(n_bins):
        if confidence <= (k + 1) / n_bins:
            return k
    return n_bins - 1


def bins_of(indices, confidences, corrects, weights, n_bins):
    table = []
    for k in range(n_bins):
        rows = [i for i, b in enumerate(indices) if b == k]
        table.append(
            (
                math.fsum(weights[i] for i in rows),
                math.fsum(weights[i] * confidences[i] for i in rows),
                math.fsum(weights[i] * corrects[i] for i in rows),
            )
        )
    return table


def gap_mean(table):
    return math.fsum(abs(c - a) for _, c, a in table) / math.fsum(w for w, _, _ in table)


def gap_max(table):
    return max(abs(c - a) / w for w, c, a in table if w > 0)


def _table(conf_correct, weights, n_bins, index):
    confidences = [c for c, _ in conf_correct]
    corrects = [a for _, a in conf_correct]
    weights = [1.0] * len(confidences) if weights is None else [float(w) for w in weights]
    return bins_of(index(confidences, weights), confidences, corrects, weights, n_bins)


def ece_of_pairs(conf_correct, n_bins=15, weights=None):
    return gap_mean(_table(conf_correct, weights, n_bins, lambda c, w: [uniform_bin(x, n_bins) for x in c]))


def mce_of_pairs(conf_correct, n_bins=15, weights=None):
    return gap_max(_table(conf_correct, weights, n_bins, lambda c, w: [uniform_bin(x, n_bins) for x in c]))


def equal_mass_indices(confidences, weights, n_bins):
    """Bin floor(M * share of the mass strictly below); whole numbers of rows or exactly representable weights."""
    total = math.fsum(weights)
    out = []
    for c in confidences:
        below = math.fsum(w for x, w in zip(confidences, weights, strict=True) if x < c)
        out.append(min(math.floor(below * n_bins / total + 1e-9), n_bins - 1))
    return out


def adaece_of_pairs(conf_correct, n_bins=15, weights=None):
    return gap_mean(_table(conf_correct, weights, n_bins, lambda c, w: equal_mass_indices(c, w, n_bins)))


def classwise_ece(probs, y, n_bins=15, weights=None):
    """Mean over the columns of the ECE of (probability of the class, whether it is the true one)."""
    n_classes = len(probs[0])
    errors = []
    for k in range(n_classes):
        of_class = [(float(p[k]), int(label == k)) for p, label in zip(probs, y, strict=True)]
        errors.append(ece_of_pairs(of_class, n_bins, weights))
    return math.fsum(errors) / n_classes


def adaece_focal_calibration(conf_correct, n_bins=15):
    """The published code's bins: interpolated edges, (lo, hi], so the smallest confidence is in none."""
    n = len(conf_correct)
    ranked = sorted(c for c, _ in conf_correct)
    edges = []
    for k in range(n_bins + 1):
        x = n * k / n_bins
        low = min(math.floor(x), n - 1)
        high = min(low + 1, n - 1)
        share = x - low if high > low else 0.0
        edges.append(ranked[low] + share * (ranked[high] - ranked[low]))
    total = 0.0
    for lo, hi in itertools.pairwise(edges):
        rows = [(c, a) for c, a in conf_correct if lo < c <= hi]
        total += abs(math.fsum(c - a for c, a in rows)) / n
    return total


def smooth_ece(conf_correct, weights=None):
    """The bandwidth σ at which ∫|r| = σ, r the residuals under a Gaussian of that σ reflected at 0 and 1.

    The reflected Gaussian as its cosine series, each row by itself; the integral over 4,000 pieces that are linear, the
    root by halving.
    """
    weights = np.ones(len(conf_correct)) if weights is None else np.asarray(weights, dtype=float)
    confidence, correct = np.array(conf_correct, dtype=float).T
    masses = weights * (confidence - correct) / weights.sum()
    order = np.arange(1000)[:, None]
    moments = np.cos(np.pi * order * confidence) @ masses
    waves = np.cos(np.pi * order * np.linspace(0, 1, 4001))

    def smoothed_error(sigma):
        factors = np.exp(-0.5 * (np.pi * sigma * order[:, 0]) ** 2) * np.where(order[:, 0] == 0, 1, 2)
        r = (factors * moments) @ waves
        total = 0.0
        for a, b in itertools.pairwise(r.tolist()):
            same = a * b >= 0
            total += abs(a) + abs(b) if same else (a * a + b * b) / (abs(a) + abs(b))
        return total / 2 / 4000

    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if smoothed_error(middle) > middle else (low, middle)
    return high


def reflected_gaussian(t, x, sigma, images=20):
    """Density at t of a Gaussian around x that is reflected at 0 and 1, as a sum over mirror images."""
    places = [place for k in range(-images, images + 1) for place in (2 * k + t, 2 * k - t)]
    density = [math.exp(-0.5 * ((p - x) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi)) for p in places]
    return math.fsum(density)


def mean(values, weights=None):
    weights = [1.0] * len(values) if weights is None else [float(w) for w in weights]
    return math.fsum(v * w for v, w in zip(values, weights, strict=True)) / math.fsum(weights)


def nll_rows_from_logits(logits, y, temperature=1.0):
    out = []
    for row, label in zip(logits, y, strict=True):
        scaled = [float(z) / temperature for z in row]
        top = max(scaled)
        out.append(math.log(math.fsum(math.exp(z - top) for z in scaled)) + top - scaled[label])
    return out


def nll_rows(probs, y, tiny=2.2250738585072014e-308):
    return [-math.log(max(float(p[label]), tiny)) for p, label in zip(probs, y, strict=True)]


def brier_rows(probs, y):
    return [
        math.fsum((float(q) - (j == label)) ** 2 for j, q in enumerate(p)) for p, label in zip(probs, y, strict=True)
    ]


def tail(conf_correct, threshold=0.99, weights=None):
    weights = [1.0] * len(conf_correct) if weights is None else [float(w) for w in weights]
    sure = math.fsum(w for (c, _), w in zip(conf_correct, weights, strict=True) if c >= threshold)
    right = math.fsum(w for (c, a), w in zip(conf_correct, weights, strict=True) if c >= threshold and a)
    return sure / math.fsum(weights), (right / sure if sure else math.nan)


def nll_temperature(logits, y, low=-60.0, high=60.0):
    """T of least NLL by bisection on the slope in log(1/T), 200 halvings."""

    def slope(beta):
        total = []
        for row, label in zip(logits, y, strict=True):
            p = softmax([beta * float(z) for z in row])
            total.append(math.fsum(q * float(z) for q, z in zip(p, row, strict=True)) - float(row[label]))
        return math.fsum(total)

    for _ in range(200):
        middle = (low + high) / 2
        if slope(math.exp(middle)) < 0:
            low = middle
        else:
            high = middle
    return math.exp(-(low + high) / 2)
