"""Calibration measures of arrays against plain loops over their definitions, linear programs, and published figures."""

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import linprog
from scipy.special import expit, logit
from scipy.stats import beta

from calkit.estimators.binned import NORMS, sweeps
from calkit.estimators.corp import corp_decomposition, isotonic_curve
from calkit.estimators.cumulative import averaged_two_bin, kolmogorov_smirnov, kuiper, null_cells
from calkit.estimators.decisions import v_shaped_regret
from calkit.estimators.kernels import beta_kernel_error, block_pairs, laplace_pairs, squared_kernel_error
from calkit.estimators.logits import logit_smoothed
from calkit.estimators.ranked import Ranked, ranked
from calkit.estimators.selection import area_under_risk, least_area, risk_coverage
from calkit.estimators.witness import lipschitz_witness, witnessed_gaps


def cases():
    """Few and many forecasts, ties, ends, whole weights."""
    random = np.random.default_rng(7)
    for n in (1, 2, 3, 17, 40):
        for decimals, weighted in ((1, False), (8, False), (1, True), (8, True)):
            p = np.round(random.random(n), decimals)
            y = random.random(n) < 0.7 * p + 0.1
            yield p, y, random.integers(1, 4, n).astype(float) if weighted else None
    yield np.array([0.0, 0.0, 1.0, 1.0]), np.array([True, False, True, False]), None
    yield np.full(6, 0.4), np.array([True, False, True, False, False, False]), None


CASES = list(cases())


def rows(p, y, w):
    return [(float(a), int(b), float(c)) for a, b, c in zip(p, y, np.ones(len(p)) if w is None else w, strict=True)]


def curve_value(data, q):
    total = math.fsum(w for _, _, w in data)
    return math.fsum(w * (y - p) for p, y, w in data if p <= q) / total


@pytest.mark.parametrize(("p", "y", "w"), CASES)
def test_cumulative_measures_follow_their_definition(p, y, w):
    data, forecasts = rows(p, y, w), ranked(p, y, w)
    places = sorted({a for a, _, _ in data})
    values = [curve_value(data, q) for q in places]
    assert kolmogorov_smirnov(forecasts) == pytest.approx(max(map(abs, values)), abs=1e-12)
    assert kuiper(forecasts) == pytest.approx(max([0, *values]) - min([0, *values]), abs=1e-12)
    end, total, before, s = values[-1], 0.0, 0.0, 0.0
    for q, value in zip([*places, 1.0], [*values, end], strict=True):
        total += (q - before) * (s**2 + (end - s) ** 2)
        before, s = q, value
    assert averaged_two_bin(forecasts) == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize(("p", "y", "w"), CASES)
def test_the_lipschitz_witness_is_the_optimum_of_the_linear_program(p, y, w):
    forecasts = ranked(p, y, w)
    m, steps = len(forecasts.weight), np.diff(forecasts.probability)
    difference = np.diff(np.eye(m), axis=0)
    found = linprog(
        -forecasts.residual,
        A_ub=np.concatenate([difference, -difference]) if m > 1 else None,
        b_ub=np.concatenate([steps, steps]) if m > 1 else None,
        bounds=(-1, 1),
    )
    assert lipschitz_witness(forecasts) == pytest.approx(-found.fun / forecasts.total, abs=1e-9)


def test_a_lipschitz_witness_whose_parts_leave_the_range():
    # Probabilities far apart next to strong residuals of either sign drive the witness to its bounds and back.
    p = np.repeat([0.0, 0.02, 0.5, 0.52, 1.0], 20)
    y = np.repeat([True, False, True, False, False], 20)
    forecasts = ranked(p, y)
    m = len(forecasts.weight)
    difference, steps = np.diff(np.eye(m), axis=0), np.diff(forecasts.probability)
    bounds = np.concatenate([steps, steps])
    found = linprog(-forecasts.residual, np.concatenate([difference, -difference]), bounds, bounds=(-1, 1))
    assert lipschitz_witness(forecasts) == pytest.approx(-found.fun / forecasts.total, abs=1e-9)


def test_weights_too_small_to_be_added_stay_within_the_levels():
    # Distances of 1e-8 and 1e-16 beside .67, as those of probabilities near 1, are lost in running sums over many rows.
    probability = np.array([1 / 3, 1 - 8.2e-9 - 8.9e-16, 1 - 8.9e-16, 1.0])
    residual = np.random.default_rng(0).normal(0, [0.09, 1e-5, 1e-6, 1e-9], (1000, 4))
    ones = np.ones(4)
    each = [4 * stacked_witness(Ranked(probability, ones, row + probability, ones)) for row in residual]
    np.testing.assert_allclose(witnessed_gaps(probability, residual), each, rtol=0, atol=1e-12)


def stacked_witness(forecasts):
    """The same optimum in another way: the best sum so far as a concave function of the last value of w.

    Its rising part moves left from one probability to the next, its falling part right; a residual r moves changes of
    slope, |r| in all, from one side of the maximum to the other. A change is its distance and its size.
    """
    rising, falling, best, before = [], [], 0.0, 0.0
    for p, r in zip(forecasts.probability.tolist(), forecasts.residual.tolist(), strict=True):
        rising, falling = ([(x + p - before, m) for x, m in side] for side in (rising, falling))
        before = p
        source, target = (falling, rising) if r > 0 else (rising, falling)
        size = abs(r)
        while source and size > 0:
            x, m = source.pop()
            if x >= 1:
                source.clear()
                break
            best += min(m, size) * x
            target.append((-x, min(m, size)))
            if m > size:
                source.append((x, m - size))
            size -= min(m, size)
        if size > 0:
            best += size
            target.append((-1.0, size))
    return best / forecasts.total


@pytest.mark.parametrize(("p", "y", "w"), CASES)
def test_the_lipschitz_witness_is_that_of_a_dynamic_program(p, y, w):
    forecasts = ranked(p, y, w)
    assert lipschitz_witness(forecasts) == pytest.approx(stacked_witness(forecasts), abs=1e-12)


def test_many_sequences_of_residuals_at_once_are_those_one_by_one():
    random = np.random.default_rng(0)
    place, residual = np.sort(random.random(60)), random.normal(size=(7, 60)).round(1)
    ones = np.ones(60)
    each = [60 * stacked_witness(Ranked(place, ones, row + place, ones)) for row in residual]
    np.testing.assert_allclose(witnessed_gaps(place, residual), each, atol=1e-11)


@pytest.mark.parametrize(("p", "y", "w"), CASES)
@pytest.mark.parametrize("width", [0.4, 0.01, 1e-4])
def test_laplace_sums_are_those_over_all_pairs(p, y, w, width):
    data, forecasts = rows(p, y, w), ranked(p, y, w)
    pairs = [
        (i == j, v * x * (b - a) * (d - c) * math.exp(-abs(a - c) / width))
        for i, (a, b, v) in enumerate(data)
        for j, (c, d, x) in enumerate(data)
    ]
    total = math.fsum(w for _, _, w in data)
    everything = math.fsum(value for _, value in pairs)
    assert laplace_pairs(forecasts.probability, forecasts.residual, width) == pytest.approx(everything, abs=1e-11)
    own = math.fsum(value for same, value in pairs if same)
    biased = squared_kernel_error(forecasts, own, width, unbiased=False)
    assert biased == pytest.approx(everything / total**2, abs=1e-12)
    unbiased = squared_kernel_error(forecasts, own, width, unbiased=True)
    others = total**2 - math.fsum(w * w for _, _, w in data)
    if others > 0:
        assert unbiased == pytest.approx((everything - own) / others, abs=1e-12)
    else:
        assert math.isnan(unbiased)


def test_blocks_of_pairs_follow_their_definition():
    random = np.random.default_rng(3)
    p, r = random.random(11), random.normal(size=11)
    found = block_pairs(p, r, 0.2, 3)
    for b in range(3):
        inside = [(3 * b + i, 3 * b + j) for i in range(3) for j in range(i)]
        mean = math.fsum(r[i] * r[j] * math.exp(-abs(p[i] - p[j]) / 0.2) for i, j in inside) / 3
        assert found[b] == pytest.approx(mean, abs=1e-14)


@pytest.mark.parametrize(("p", "y", "w"), CASES[:16])
def test_logit_smoothing_is_the_integral_of_its_definition(p, y, w):
    data, width = rows(p, y, w), 0.7
    z = [float(np.clip(logit(a), -40, 40)) for a, _, _ in data]

    def integrand(t):
        return abs(
            math.fsum(c * (b - expit(t)) for x, (_, b, c) in zip(z, data, strict=True) if abs(t - x) <= width / 2)
        )

    breaks = sorted({x + s * width / 2 for x in z for s in (-1, 1)})
    # |A - W σ| has at most one kink between breaks, which the adaptive rule finds.
    total = math.fsum(quad(integrand, a, b, epsabs=1e-11, limit=200)[0] for a, b in itertools.pairwise(breaks))
    expected = total / width / math.fsum(c for _, _, c in data)
    assert logit_smoothed(ranked(p, y, w), width) == pytest.approx(expected, abs=1e-8)


def test_logit_smoothing_with_a_closed_form():
    # One forecast of 1/2 that comes true: the mean of 1 - σ(z) over |z| < h/2 is 1/2, by symmetry.
    assert logit_smoothed(ranked(np.array([0.5]), np.array([True])), 3.0) == pytest.approx(0.5, abs=1e-15)


@pytest.mark.parametrize(("p", "y", "w"), [c for c in CASES if len(c[0]) > 1 and c[0].min() > 0 and c[0].max() < 1])
def test_beta_kernel_regression_follows_its_definition(p, y, w):
    h, data = 0.05, rows(p, y, w)
    total = 0.0
    for j, (x, _, v) in enumerate(data):
        kernel = [(i, c * beta.pdf(x, a / h + 1, (1 - a) / h + 1), b) for i, (a, b, c) in enumerate(data)]
        mass = math.fsum(k for i, k, _ in kernel if i != j)
        total += v * abs(math.fsum(k * b for i, k, b in kernel if i != j) / mass - x)
    expected = total / math.fsum(c for _, _, c in data)
    weight = np.ones(len(p)) if w is None else w
    assert beta_kernel_error(p, y.astype(float), weight, h) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("p", "y", "w"), CASES)
def test_corp_is_the_best_rising_recalibration(p, y, w):
    data, forecasts = rows(p, y, w), ranked(p, y, w)
    # Minimax formula of isotonic regression: the largest over starts of the smallest over ends of the mean.
    places = sorted({a for a, _, _ in data})
    groups = [
        (math.fsum(c for a, _, c in data if a == q), math.fsum(c * b for a, b, c in data if a == q)) for q in places
    ]

    def mean(i, j):
        return math.fsum(s for _, s in groups[i : j + 1]) / math.fsum(n for n, _ in groups[i : j + 1])

    m = len(places)
    curve = [max(min(mean(i, j) for j in range(k, m)) for i in range(k + 1)) for k in range(m)]
    assert isotonic_curve(forecasts) == pytest.approx(curve, abs=1e-12)
    found, total = corp_decomposition(forecasts), math.fsum(c for _, _, c in data)
    rate = mean(0, m - 1)

    def brier(of):
        return math.fsum(c * (of(a) - b) ** 2 for a, b, c in data) / total

    recalibrated = brier(lambda a: curve[places.index(a)])
    assert found.score == pytest.approx(brier(lambda a: a), abs=1e-12)
    assert found.miscalibration == pytest.approx(found.score - recalibrated, abs=1e-12)
    assert found.uncertainty == pytest.approx(rate * (1 - rate), abs=1e-12)
    assert found.refinement == pytest.approx(recalibrated, abs=1e-12)


def test_the_log_score_of_an_impossible_outcome_is_infinite_and_its_discrimination_is_not():
    found = corp_decomposition(ranked(np.array([0.0, 0.4, 0.9]), np.array([True, False, True])), "log")
    assert math.isinf(found.score)
    assert math.isinf(found.miscalibration)
    assert found.discrimination == pytest.approx(found.uncertainty - 2 / 3 * math.log(2), abs=1e-12)


@pytest.mark.parametrize(("p", "y", "w"), CASES)
def test_u_calibration_tries_every_threshold(p, y, w):
    data = rows(p, y, w)
    total = math.fsum(c for _, _, c in data)
    mean = math.fsum(c * b for _, b, c in data) / total
    places = sorted({0.0, 1.0, mean, *(a for a, _, _ in data)})

    def regret(v, at_threshold):
        signs = [(1 if a > v or (a == v and at_threshold > 0) else -1) for a, _, _ in data]
        return abs(mean - v) - math.fsum(c * s * (b - v) for s, (_, b, c) in zip(signs, data, strict=True)) / total

    expected = max(regret(v, side) for v in places for side in (1, -1))
    assert v_shaped_regret(ranked(p, y, w)) == pytest.approx(max(expected, 0), abs=1e-12)


def repeated(p, y, w):
    counts = np.ones(len(p), dtype=int) if w is None else w.astype(int)
    return np.repeat(p, counts), np.repeat(y, counts)


@pytest.mark.parametrize(("p", "y", "w"), CASES)
def test_the_area_under_the_risk_curve_is_the_mean_over_orders_of_ties(p, y, w):
    conf, right = repeated(p, y, w)
    order = np.argsort(-conf, kind="stable")
    conf, wrong = conf[order], 1.0 - right[order]
    # In a random order of ties the expected number of errors grows evenly through them.
    spread = np.array([wrong[conf == c].mean() for c in conf])
    risks = [math.fsum(spread[: k + 1]) / (k + 1) for k in range(len(conf))]
    forecasts = ranked(p, y, w)
    assert area_under_risk(forecasts) == pytest.approx(math.fsum(risks) / len(risks), abs=1e-12)
    last = np.sort(wrong)
    best = [math.fsum(last[: k + 1]) / (k + 1) for k in range(len(conf))]
    assert least_area(forecasts) == pytest.approx(math.fsum(best) / len(best), abs=1e-12)
    coverage, risk = risk_coverage(forecasts)
    assert coverage[-1] == 1
    assert risk[-1] == pytest.approx(wrong.mean(), abs=1e-12)


@pytest.mark.parametrize(("p", "y", "w"), CASES)
def test_equal_mass_bins_and_the_sweep(p, y, w):
    data, forecasts = rows(p, y, w), ranked(p, y, w)
    total = math.fsum(c for _, _, c in data)
    places = sorted({a for a, _, _ in data})

    def keys(n_bins):
        below = [math.fsum(c for a, _, c in data if a < q) for q in places]
        return [min(math.floor(b * n_bins / total + 1e-9), n_bins - 1) for b in below]

    def starts(n_bins):
        k = keys(n_bins)
        return [i for i in range(len(k)) if i == 0 or k[i] != k[i - 1]]

    def in_order(n_bins):
        edges = [*starts(n_bins), len(places)]
        rates = []
        for i, j in itertools.pairwise(edges):
            inside = [(b, c) for a, b, c in data if a in places[i:j]]
            rates.append(math.fsum(b * c for b, c in inside) / math.fsum(c for _, c in inside))
        return all(s <= t + 1e-12 for s, t in itertools.pairwise(rates))

    best = 1
    while best < len(places) and in_order(best + 1):
        best += 1
    [(found, sets, came)] = sweeps(forecasts)
    assert (found.tolist(), sets.tolist()) == (starts(best), [0])
    assert came[0] == pytest.approx(np.add.reduceat(forecasts.positive, starts(best)), abs=1e-12)


def test_norms_of_a_table_worked_by_hand():
    gap, weight = np.array([2.0, -1.0, 0.5]), np.array([4.0, 2.0, 2.0])
    found = {name: float(norm(gap, weight)) for name, norm in NORMS.items()}
    assert found == {
        "l1": 3.5 / 8,
        "l2": pytest.approx(math.sqrt((4 / 4 + 1 / 2 + 0.25 / 2) / 8)),
        "squared": pytest.approx((4 / 4 + 1 / 2 + 0.25 / 2) / 8),
        "max": 0.5,
        "mean": pytest.approx((0.5 + 0.5 + 0.25) / 3),
        "over": 2.5 / 8,
        "under": 1 / 8,
    }


def test_cells_of_equal_variance_keep_the_variance():
    random = np.random.default_rng(0)
    p = random.beta(5, 1, 20_000)
    forecasts = ranked(p, random.random(20_000) < p)
    last = null_cells(forecasts)
    variance = np.diff(np.cumsum(forecasts.variance)[last], prepend=0.0) / 20_000**2
    assert len(last) <= 512
    assert variance.sum() == pytest.approx(float((p * (1 - p)).sum()) / 20_000**2, rel=1e-12)
    assert variance.max() < 3 * variance.mean()


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "ks", "kuiper_", "atb", "ucal"),
    [
        ("fivethirtyeight-nba-games", 0.047492, 0.048871, 1.882e-3, 0.002855),
        ("fivethirtyeight-mlb-games", 0.003682, 0.005987, 5.056e-6, 0.001195),
        ("yardstick-two-class", 0.029007, 0.046264, 1.172e-3, None),
    ],
)
def test_values_of_published_forecasts(data_folder, name, ks, kuiper_, atb, ucal):
    # Published figures of these data, as the issue of calkit's measures lists them.
    data = np.load(data_folder / "forecasts" / f"{name}.npz")
    forecasts = ranked(data["prob"], data["y"].astype(bool))
    assert round(kolmogorov_smirnov(forecasts), 6) == ks
    assert round(kuiper(forecasts), 6) == kuiper_
    assert f"{averaged_two_bin(forecasts):.3e}" == f"{atb:.3e}"
    if ucal is not None:
        assert round(float(v_shaped_regret(forecasts)), 6) == ucal


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "score", "mcb", "dsc"),
    [
        ("EMOS", 0.232, 0.0183, 0.0305),
        ("ENS", 0.266, 0.0661, 0.0441),
        ("EPC", 0.234, 0.0223, 0.0323),
        ("Logistic", 0.206, 0.0171, 0.0555),
    ],
)
def test_corp_of_the_forecasts_of_rain_in_niamey(data_folder, name, score, mcb, dsc):
    # Table of Dimitriadis, Gneiting & Jordan, PNAS 2021; EMOS also in the README of R's reliabilitydiag.
    data = np.load(data_folder / "forecasts" / "precip-niamey-2016.npz")
    found = corp_decomposition(ranked(data[name], data["obs"].astype(bool)))
    assert round(found.score, 3) == score
    assert round(found.miscalibration, 4) == mcb
    assert round(found.discrimination, 4) == dsc
    assert round(found.uncertainty, 3) == 0.244
