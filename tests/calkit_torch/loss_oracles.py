"""The losses as their papers define them, in plain Python: loops over floats and the math module, nothing shared."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Row = Sequence[float]


def log_softmax(row: Row) -> list[float]:
    top = max(row)
    log_sum = math.log(math.fsum(math.exp(z - top) for z in row))
    return [z - top - log_sum for z in row]


def softmax(row: Row) -> list[float]:
    return [math.exp(v) for v in log_softmax(row)]


def cross_entropy(row: Row, y: int) -> float:
    return -log_softmax(row)[y]


def label_smoothing(row: Row, y: int, epsilon: float, spread: str) -> float:
    """``all`` is Szegedy et al. (2016), ``others`` the published code's smooth_one_hot."""
    k = len(row)
    if spread == "all":
        target = [epsilon / k + (1 - epsilon) * (j == y) for j in range(k)]
    else:
        target = [1 - epsilon if j == y else epsilon / (k - 1) for j in range(k)]
    return -math.fsum(t * v for t, v in zip(target, log_softmax(row), strict=True))


def logit_norm(row: Row, y: int, temperature: float) -> float:
    norm = math.sqrt(math.fsum(z * z for z in row))
    return cross_entropy([z / (temperature * norm) for z in row], y)


def brier(row: Row, y: int) -> float:
    return math.fsum((p - (j == y)) ** 2 for j, p in enumerate(softmax(row)))


def focal(row: Row, y: int, gamma: float) -> float:
    log_p = log_softmax(row)[y]
    return -((-math.expm1(log_p)) ** gamma) * log_p


def band(p: float, gammas: Row, cuts: Row, closed: str) -> float:
    """The paper's text reads p in (cut, cut], its published code and later version [cut, cut)."""
    for gamma, cut in zip(gammas, cuts, strict=False):
        if p < cut or (closed == "right" and p == cut):
            return gamma
    return gammas[-1]


def focal_adaptive(row: Row, y: int, gammas: Row, cuts: Row, closed: str = "right") -> float:
    return focal(row, y, band(softmax(row)[y], gammas, cuts, closed))


def power(p: float, gamma: float) -> float:
    """(1 - p)^γ, which keeps its digits when p is tiny and γ huge."""
    return math.exp(gamma * math.log1p(-p))


def gradient_ratio(p: float, gamma: float) -> float:
    """Proposition 1, as printed."""
    return power(p, gamma) - gamma * p * power(p, gamma - 1) * math.log(p)


def gamma_star(p: float) -> float:
    """The positive solution of g(p, γ) = 1 by bisection, without the Lambert W function."""
    if p >= 0.5:
        return 0.0
    low, high = 1e-6, 1.0
    while gradient_ratio(p, high) > 1:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if gradient_ratio(p, middle) > 1 else (low, middle)
    return low


def focal_continuous(row: Row, y: int, minimum: float) -> float:
    p = softmax(row)[y]
    return power(p, max(gamma_star(p), minimum)) * cross_entropy(row, y)


def inverse_focal(row: Row, y: int, gamma: float) -> float:
    return (1 + softmax(row)[y]) ** gamma * cross_entropy(row, y)


def dual_focal(row: Row, y: int, gamma: float) -> float:
    p = softmax(row)
    below = max((q for q in p if q < p[y]), default=0.0)
    return (1 - p[y] + below) ** gamma * cross_entropy(row, y)


def adafocal(row: Row, y: int, gammas: Row, edges: Row) -> float:
    p = softmax(row)[y]
    gamma = gammas[sum(p > edge for edge in edges)]
    factor = (1 - p) ** gamma if gamma >= 0 else (1 + p) ** -gamma
    return factor * cross_entropy(row, y)


def confidence_penalty(row: Row, y: int, strength: float) -> float:
    entropy = -math.fsum(p * math.log(p) for p in softmax(row))
    return cross_entropy(row, y) - strength * entropy


def mbls(row: Row, y: int, strength: float, margin: float, scaling: str) -> float:
    excess = [max(0.0, max(row) - z - margin) for z in row]
    return cross_entropy(row, y) + strength * math.fsum(excess) / (1 if scaling == "paper" else len(row))


def confidences(rows: Sequence[Row], ys: Sequence[int]) -> tuple[list[float], list[float]]:
    """Confidence and correctness of each sample; ties go to the first class."""
    probabilities = [softmax(row) for row in rows]
    top = [p.index(max(p)) for p in probabilities]
    return [max(p) for p in probabilities], [float(t == y) for t, y in zip(top, ys, strict=True)]


def kernel(a: float, b: float) -> float:
    return math.exp(-abs(a - b) / 0.4)


def mmce(rows: Sequence[Row], ys: Sequence[int], scaling: str) -> float:
    """Kumar et al. (2018), over all pairs; the published code leaves the root out."""
    r, c = confidences(rows, ys)
    n = len(r)
    pairs = [(c[i] - r[i]) * (c[j] - r[j]) * kernel(r[i], r[j]) for i in range(n) for j in range(n)]
    square = math.fsum(pairs) / n**2
    return math.sqrt(square) if scaling == "paper" else square


def mmce_w(rows: Sequence[Row], ys: Sequence[int], scaling: str) -> float:
    """Kumar et al. (2018) with their weights; the published code takes means and divides by the counts again."""
    r, c = confidences(rows, ys)
    right = [ri for ri, ci in zip(r, c, strict=True) if ci]
    wrong = [ri for ri, ci in zip(r, c, strict=True) if not ci]
    m, n = len(right), len(wrong)
    rr = math.fsum((1 - a) * (1 - b) * kernel(a, b) for a in right for b in right)
    ww = math.fsum(a * b * kernel(a, b) for a in wrong for b in wrong)
    rw = math.fsum((1 - a) * b * kernel(a, b) for a in right for b in wrong)
    if scaling == "paper":
        return math.sqrt(rr / max(m, 1) ** 2 + ww / max(n, 1) ** 2 - 2 * rw / max(m * n, 1))
    if not right or not wrong:
        return 0.0
    square = rr / m**2 / (m**2 + 1e-5) + ww / n**2 / (n**2 + 1e-5) - 2 * rw / (m * n) / (m * n + 1e-5)
    return math.sqrt(square + 1e-10)


def dca(rows: Sequence[Row], ys: Sequence[int]) -> float:
    r, c = confidences(rows, ys)
    return abs(math.fsum(r) / len(r) - math.fsum(c) / len(c))


def mdca(rows: Sequence[Row], ys: Sequence[int]) -> float:
    probabilities, k = [softmax(row) for row in rows], len(rows[0])
    gaps = [abs(math.fsum(p[j] for p in probabilities) - sum(y == j for y in ys)) / len(ys) for j in range(k)]
    return math.fsum(gaps) / k


def soft_binned_ece(
    rows: Sequence[Row], ys: Sequence[int], n_bins: int = 15, temperature: float = 0.01, norm: float = 2
) -> float:
    """Equation 11 of Karandikar et al. (2021)."""
    r, c = confidences(rows, ys)
    centres = [(j + 0.5) / n_bins for j in range(n_bins)]
    shares = [softmax([-((ri - x) ** 2) / temperature for x in centres]) for ri in r]
    total = 0.0
    for j in range(n_bins):
        size = math.fsum(s[j] for s in shares)
        accuracy = math.fsum(s[j] * ci for s, ci in zip(shares, c, strict=True)) / size
        confidence = math.fsum(s[j] * ri for s, ri in zip(shares, r, strict=True)) / size
        total += size / len(r) * abs(accuracy - confidence) ** norm
    return total ** (1 / norm)


def adafocal_update(
    rows: Sequence[Row], ys: Sequence[int], gammas: Row, rate: float = 1.0
) -> tuple[list[float], list[float]]:
    """γ and inner edges after one update, with the published code's defaults 20, -2 and 0.2."""
    r, c = confidences(rows, ys)
    n_bins, ordered = len(gammas), sorted(r)
    edges = [ordered[max(j * len(r) // n_bins - 1, 0)] for j in range(1, n_bins)]
    updated = []
    for j, gamma in enumerate(gammas):
        inside = [i for i, ri in enumerate(r) if sum(ri > edge for edge in edges) == j]
        gap = math.fsum(r[i] - c[i] for i in inside) / len(inside) if inside else 0.0
        moved = gamma * math.exp(rate * gap if gamma > 0 else -rate * gap)
        if abs(moved) < 0.2:
            moved = -0.2 if moved > 0 else 0.2
        updated.append(max(min(moved, 20.0), -2.0))
    return updated, edges


SAMPLE_ORACLES: dict[str, Callable[[Row, int], float]] = {
    "ce": cross_entropy,
    "label-smoothing:0.1": lambda row, y: label_smoothing(row, y, 0.1, "all"),
    "label-smoothing:0.1,spread=others": lambda row, y: label_smoothing(row, y, 0.1, "others"),
    "logit-norm:0.3": lambda row, y: logit_norm(row, y, 0.3),
    "brier": brier,
    "focal:0": lambda row, y: focal(row, y, 0),
    "focal:0.5": lambda row, y: focal(row, y, 0.5),
    "focal:1": lambda row, y: focal(row, y, 1),
    "focal:3": lambda row, y: focal(row, y, 3),
    "focal-adaptive:5,3@0.19": lambda row, y: focal_adaptive(row, y, (5, 3), (0.19,)),
    "focal-adaptive:5,3,2,closed=left@0.2,0.5": lambda row, y: focal_adaptive(row, y, (5, 3, 2), (0.2, 0.5), "left"),
    "focal-adaptive:4,2.5,1,0.5@0.1,0.3,0.7": lambda row, y: focal_adaptive(row, y, (4, 2.5, 1, 0.5), (0.1, 0.3, 0.7)),
    "focal-continuous:0": lambda row, y: focal_continuous(row, y, 0.0),
    "focal-continuous:3": lambda row, y: focal_continuous(row, y, 3.0),
    "inverse-focal:2": lambda row, y: inverse_focal(row, y, 2),
    "dual-focal:5": lambda row, y: dual_focal(row, y, 5),
    "dual-focal:0.5": lambda row, y: dual_focal(row, y, 0.5),
    "adafocal:3,gamma=2": lambda row, y: adafocal(row, y, (2, 2, 2), (1 / 3, 2 / 3)),
    "confidence-penalty:0.3": lambda row, y: confidence_penalty(row, y, 0.3),
    "mbls:0.2,margin=1": lambda row, y: mbls(row, y, 0.2, 1, "paper"),
    "mbls:0.2,margin=1,scaling=code": lambda row, y: mbls(row, y, 0.2, 1, "code"),
}

BATCH_ORACLES: dict[str, Callable[[Sequence[Row], Sequence[int]], float]] = {
    "mmce:1": lambda rows, ys: mmce(rows, ys, "paper"),
    "mmce:1,scaling=code": lambda rows, ys: mmce(rows, ys, "code"),
    "mmce-w:1": lambda rows, ys: mmce_w(rows, ys, "paper"),
    "mmce-w:1,scaling=code": lambda rows, ys: mmce_w(rows, ys, "code"),
    "dca:1": dca,
    "mdca:1": mdca,
    "soft-binned-ece:1": soft_binned_ece,
    "soft-binned-ece:1,n_bins=4,temperature=0.1,norm=1": lambda rows, ys: soft_binned_ece(rows, ys, 4, 0.1, 1),
    "soft-binned-ece:1,norm=3": lambda rows, ys: soft_binned_ece(rows, ys, norm=3),
}
"""Penalties of a batch, to be added once to the mean of the base loss."""
