"""Metrics of single events as their papers define them, by plain loops over (probability, outcome, weight) rows.

Nothing comes from calkit. Two are optima, which scikit-learn and SciPy find: isotonic regression and a linear program.
"""

import itertools
import math

import numpy as np
from scipy.optimize import linprog
from scipy.special import expit
from scipy.stats import beta
from sklearn.isotonic import IsotonicRegression

from tests import reference

fsum = math.fsum


def uniform_bins(rows, n_bins=15):
    return [reference.uniform_bin(p, n_bins) for p, _, _ in rows]


def equal_mass_bins(rows, n_bins=15):
    return reference.equal_mass_indices([p for p, _, _ in rows], [w for _, _, w in rows], n_bins)


def table(rows, index):
    """The rows of each bin that has any."""
    return [[row for row, b in zip(rows, index, strict=True) if b == k] for k in sorted(set(index))]


def mass(rows):
    return fsum(w for _, _, w in rows)


def mean(rows, value):
    return fsum(w * value(p, y) for p, y, w in rows) / mass(rows)


def rate(rows):
    return mean(rows, lambda p, y: y)


def gap(rows):
    return mean(rows, lambda p, y: p - y)


def over_bins(value, index=uniform_bins):
    """Mean over rows of a function of the rows of a bin."""

    def found(rows):
        return fsum(mass(each) * value(each) for each in table(rows, index(rows))) / mass(rows)

    return found


def largest_gap(rows):
    return max(abs(gap(each)) for each in table(rows, uniform_bins(rows)))


def mean_of_bins(rows):
    gaps = [abs(gap(each)) for each in table(rows, uniform_bins(rows))]
    return fsum(gaps) / len(gaps)


def cube_root_bins(rows):
    return equal_mass_bins(rows, next(m for m in itertools.count(1) if m**3 >= len(rows)))


def pairs_of_bin(rows):
    """Σ_{i≠j} w_i w_j r_i r_j over Σ_{i≠j} w_i w_j: the squared gap without its noise."""
    pairs = list(itertools.permutations(rows, 2))
    top = fsum(v * w * (p - y) * (q - z) for (p, y, v), (q, z, w) in pairs)
    return top / fsum(v * w for (_, _, v), (_, _, w) in pairs) if pairs else 0.0


def pairs_by_rows(rows):
    """The same sum of products over the square of the weight, as the published code of T-Cal has it."""
    return fsum(v * w * (p - y) * (q - z) for (p, y, v), (q, z, w) in itertools.permutations(rows, 2)) / mass(rows) ** 2


def resolution(rows):
    return over_bins(lambda each: (rate(each) - rate(rows)) ** 2)(rows)


def moment(first, second):
    """Covariance within a bin of two functions of p and y."""

    def found(rows):
        return mean(rows, lambda p, y: first(p, y) * second(p, y)) - mean(rows, first) * mean(rows, second)

    return found


def residual_curve(rows):
    places = sorted({p for p, _, _ in rows})
    return places, [fsum(w * (y - p) for p, y, w in rows if p <= q) / mass(rows) for q in places]


def kolmogorov_smirnov(rows):
    return max(map(abs, residual_curve(rows)[1]))


def kuiper(rows):
    curve = [0.0, *residual_curve(rows)[1]]
    return max(curve) - min(curve)


def averaged_two_bin(rows):
    places, curve = residual_curve(rows)
    end = curve[-1]
    steps = zip(places, [*places[1:], 1.0], curve, strict=True)
    return fsum([end**2 * places[0], *((s**2 + (end - s) ** 2) * (high - low) for low, high, s in steps)])


def kernel_mean(rows, width, pairs):
    pairs = list(pairs)
    total = fsum(v * w * (y - p) * (z - q) * math.exp(-abs(p - q) / width) for (p, y, v), (q, z, w) in pairs)
    return total / fsum(v * w for (_, _, v), (_, _, w) in pairs) if pairs else math.nan


def density_error(rows, bandwidth=0.01):
    total = []
    for i, (p, _, v) in enumerate(rows):
        others = rows[:i] + rows[i + 1 :]
        kernel = [w * beta.pdf(p, q / bandwidth + 1, (1 - q) / bandwidth + 1) for q, _, w in others]
        seen = fsum(k * y for k, (_, y, _) in zip(kernel, others, strict=True)) / fsum(kernel) if fsum(kernel) else p
        total.append(v * abs(seen - p))
    return fsum(total) / mass(rows)


def sweep(rows):
    last = None
    for n_bins in range(1, len({p for p, _, _ in rows}) + 1):
        bins = table(rows, equal_mass_bins(rows, n_bins))
        if any(rate(b) < rate(a) - 1e-12 for a, b in itertools.pairwise(bins)):
            break
        last = bins
    return fsum(mass(each) * abs(gap(each)) for each in last) / mass(rows)


def v_calibration(rows):
    """The largest regret over losses -sign(p - v)(y - v); ties of p and v may fall either way."""
    regrets = [0.0]
    for v in {0.0, 1.0, rate(rows), *(p for p, _, _ in rows)}:
        for acts in (lambda p, v=v: p >= v, lambda p, v=v: p > v):
            loss = mean(rows, lambda p, y, v=v, acts=acts: (y - v) * (-1 if acts(p) else 1))
            regrets.append(loss + abs(rate(rows) - v))
    return max(regrets)


def lipschitz_witness(rows):
    """The linear program: values of a 1-Lipschitz function in [-1, 1] at the distinct probabilities."""
    places = sorted({p for p, _, _ in rows})
    gains = [fsum(w * (y - p) for p, y, w in rows if p == q) / mass(rows) for q in places]
    n = len(places)
    steps = np.eye(n)[:-1] - np.eye(n)[1:]
    limits = {"A_ub": np.vstack([steps, -steps]), "b_ub": np.tile(np.diff(places), 2)} if n > 1 else {}
    return -linprog([-gain for gain in gains], bounds=[(-1, 1)] * n, method="highs", **limits).fun


def logit_smoothed(rows, width=0.5):
    """The integral of |Σ w (y - σ(z))| over the rows within half a width of z, by Gauss-Legendre between its kinks."""
    logits = [math.log(p / (1 - p)) if 0 < p < 1 else math.copysign(40, p - 0.5) for p, _, _ in rows]
    cuts = sorted({z + side * width / 2 for z in logits for side in (-1, 1)})
    x, weights = np.polynomial.legendre.leggauss(30)
    total = []
    for low, high in itertools.pairwise(cuts):
        inside = [row for row, z in zip(rows, logits, strict=True) if abs(z - (low + high) / 2) < width / 2]
        if inside:
            r = rate(inside)
            turn = [math.log(r / (1 - r))] if 0 < r < 1 else []
            for a, b in itertools.pairwise(sorted([low, high, *(t for t in turn if low < t < high)])):
                z = (b - a) / 2 * x + (a + b) / 2
                total.append((b - a) / 2 * mass(inside) * float(weights @ np.abs(r - expit(z))))
    return fsum(total) / width / mass(rows)


def isotonic(part):
    """Parts of the Brier score by scikit-learn's isotonic regression."""

    def found(rows):
        p, y, w = map(np.array, zip(*rows, strict=True))
        fitted = IsotonicRegression(out_of_bounds="clip").fit(p, y, sample_weight=w).predict(p)
        scores = [float(w @ (y * (1 - q) ** 2 + (1 - y) * q**2)) / w.sum() for q in (p, fitted, w @ y / w.sum())]
        return part(*scores)

    return found


def risk_area(rows):
    """Mean over k of the error among the k most confident, over the orders of equal ones; without weights."""
    total, kept, missed = 0.0, 0, 0.0
    for p in sorted({p for p, _, _ in rows}, reverse=True):
        wrong = [1 - y for q, y, _ in rows if q == p]
        total += fsum((missed + fsum(wrong) / len(wrong) * j) / (kept + j) for j in range(1, len(wrong) + 1))
        kept, missed = kept + len(wrong), missed + fsum(wrong)
    return total / len(rows)


def excess_risk_area(rows):
    n, wrong = len(rows), round(fsum(1 - y for _, y, _ in rows))
    return risk_area(rows) - fsum((j - (n - wrong)) / j for j in range(n - wrong + 1, n + 1)) / n


def less_bias_of_redraws(rows):
    """2 ECE less the mean ECE of bins whose rates are redrawn, E|N(g, s²)|, s² = r (1 - r) Σw² / (Σw)²."""
    total = []
    for each in table(rows, uniform_bins(rows)):
        g, r = gap(each), rate(each)
        s = math.sqrt(r * (1 - r) * fsum(w * w for _, _, w in each)) / mass(each)
        redrawn = (
            s * math.sqrt(2 / math.pi) * math.exp(-g * g / (2 * s * s)) + g * math.erf(g / s / math.sqrt(2))
            if s
            else abs(g)
        )
        total.append(mass(each) * (2 * abs(g) - redrawn))
    return fsum(total) / mass(rows)


def share_above(rows, threshold=0.99):
    return mean(rows, lambda p, y: p >= threshold)


def rate_above(rows, threshold=0.99):
    sure = [row for row in rows if row[0] >= threshold]
    return rate(sure) if sure else math.nan


def cost(rows, fp=1, fn=4):
    return mean(rows, lambda p, y: fp * (1 - y) if p >= fp / (fp + fn) else fn * y)


#: Metrics whose value of a target with keys is the mean over the keys.
DEFINITIONS = {
    "ece": over_bins(lambda rows: abs(gap(rows))),
    "ece:n_bins=10": over_bins(lambda rows: abs(gap(rows)), lambda rows: uniform_bins(rows, 10)),
    "ece:norm=squared": over_bins(lambda rows: gap(rows) ** 2),
    "ece:binning=cbrt": over_bins(lambda rows: abs(gap(rows)), cube_root_bins),
    "adaece": over_bins(lambda rows: abs(gap(rows)), equal_mass_bins),
    "ace": mean_of_bins,
    "over-confidence": over_bins(lambda rows: max(gap(rows), 0)),
    "under-confidence": over_bins(lambda rows: max(-gap(rows), 0)),
    "l2-debiased": over_bins(pairs_of_bin),
    "l2-debiased:convention=t-cal": over_bins(pairs_by_rows),
    "l1-debiased": less_bias_of_redraws,
    "rmsce": lambda rows: math.sqrt(over_bins(lambda each: gap(each) ** 2)(rows)),
    "murphy-rel": over_bins(lambda rows: gap(rows) ** 2),
    "murphy-res": resolution,
    "murphy-unc": lambda rows: rate(rows) * (1 - rate(rows)),
    "murphy-wbv": over_bins(moment(lambda p, y: p, lambda p, y: p)),
    "murphy-wbc": over_bins(lambda rows: 2 * moment(lambda p, y: p, lambda p, y: y)(rows)),
    "binned-refinement": over_bins(lambda rows: rate(rows) * (1 - rate(rows))),
    "ks": kolmogorov_smirnov,
    "kuiper": kuiper,
    "atb": averaged_two_bin,
    "skce": lambda rows: kernel_mean(rows, 0.1, itertools.permutations(rows, 2)),
    "mmce": lambda rows: math.sqrt(max(kernel_mean(rows, 0.4, itertools.product(rows, rows)), 0)),
    "kde-ece": density_error,
    "ece-sweep": sweep,
    "ucal": v_calibration,
    "decision-loss:fp=1,fn=4": cost,
    "smcal": lipschitz_witness,
    "ls-ece": logit_smoothed,
    "corp-mcb": isotonic(lambda score, fitted, constant: score - fitted),
    "corp-dsc": isotonic(lambda score, fitted, constant: constant - fitted),
    "corp-unc": isotonic(lambda score, fitted, constant: constant),
    "refinement": isotonic(lambda score, fitted, constant: fitted),
    "s99": share_above,
    "s99_accuracy": rate_above,
    "s99_accuracy:threshold=0.4": lambda rows: rate_above(rows, 0.4),
    "s99:threshold=0.4": lambda rows: share_above(rows, 0.4),
    "aurc": risk_area,
    "e-aurc": excess_risk_area,
}


def by_outcome(value):
    """The mean of a value of (probabilities, label), and those over the right and the wrong answers."""

    def right(p, y):
        return reference.first_of_largest(p) == y

    def over(kept):
        def found(rows):
            chosen = [(value(p, y), w) for p, y, w in rows if kept(p, y)]
            return fsum(v * w for v, w in chosen) / fsum(w for _, w in chosen) if chosen else math.nan

        return found

    return over(lambda p, y: True), over(right), over(lambda p, y: not right(p, y))


def squared_distance(p, y):
    return fsum((q - (j == y)) ** 2 for j, q in enumerate(p))


def skill(score):
    """One less the ratio of the score and that of the forecast of the classes' own shares."""

    def found(rows):
        total = fsum(w for _, _, w in rows)
        shares = [fsum(w for _, y, w in rows if y == j) / total for j in range(len(rows[0][0]))]
        return 1 - score(rows) / score([(shares, y, w) for _, y, w in rows])

    return found


def top_label_errors(rows):
    """The ECE of the rows of each predicted class, weighted by how much they are."""
    total = []
    for j in range(len(rows[0][0])):
        chosen = [(p[j], float(y == j), w) for p, y, w in rows if reference.first_of_largest(p) == j]
        total += [mass(each) * abs(gap(each)) for each in table(chosen, uniform_bins(chosen))]
    return fsum(total) / fsum(w for _, _, w in rows)


_OF_ROWS = {
    "nll": lambda p, y: -math.log(p[y]),
    "entropy": lambda p, y: -fsum(q * math.log(q) for q in p if q > 0),
    "confidence": lambda p, y: max(p),
    "p_true": lambda p, y: p[y],
}

#: Metrics of (probabilities, label, weight) rows.
ROW_DEFINITIONS = {
    **{
        name + ending: found
        for name, value in _OF_ROWS.items()
        for ending, found in zip(("", "_correct", "_misclassified"), by_outcome(value), strict=True)
    },
    "brier": by_outcome(squared_distance)[0],
    "accuracy": by_outcome(lambda p, y: reference.first_of_largest(p) == y)[0],
    "error": by_outcome(lambda p, y: reference.first_of_largest(p) != y)[0],
    "top-k:k=2": by_outcome(lambda p, y: y in sorted(range(len(p)), key=lambda j: (-p[j], j))[:2])[0],
    "d2-brier": skill(by_outcome(squared_distance)[0]),
    "d2-nll": skill(by_outcome(_OF_ROWS["nll"])[0]),
    "tl-ece": top_label_errors,
}
