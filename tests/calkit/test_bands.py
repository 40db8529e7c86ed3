"""CORP curves and bands of reliability diagrams."""

import itertools

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.isotonic import IsotonicRegression

import calkit
from calkit.errors import InputError, NotFoundError
from calkit.estimators.bands import corp_consistency_band, simultaneous_band
from calkit.estimators.ranked import ranked
from calkit.plotting import ReliabilityDisplay, plot_reliability


def by_all_intervals(p, y, alpha=0.05):
    """The band by its definition (Dimitriadis et al. 2023): the limits of all runs j..k of distinct forecasts."""
    x = np.unique(p)
    count, hits = (np.array([f(y[p == value]) for value in x]) for f in (len, sum))
    n = len(x)
    level = alpha / (n * (n + 1))
    low, high = np.zeros(n), np.ones(n)
    for j, k in itertools.combinations_with_replacement(range(n), 2):
        rows, right = count[j : k + 1].sum(), hits[j : k + 1].sum()
        upper = beta.ppf(1 - level, right + 1, rows - right) if right < rows else 1.0
        lower = beta.ppf(level, right, rows - right + 1) if right else 0.0
        high[: j + 1] = np.minimum(high[: j + 1], upper)
        low[k:] = np.maximum(low[k:], lower)
    return x, low, high


@pytest.mark.parametrize(("n", "decimals"), [(1, 2), (7, 2), (60, 2), (60, 1), (200, 1)])
def test_the_simultaneous_band_is_that_of_all_intervals(n, decimals):
    rng = np.random.default_rng(n)
    p = np.round(rng.random(n), decimals)
    y = rng.random(n) < p
    band = simultaneous_band(ranked(p, y))
    for found, expected in zip((band.probability, band.low, band.high), by_all_intervals(p, y), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_known_bands():
    # One forecast: Clopper-Pearson at 5 % / (1 * 2) on each side; 50 of 50 hits: 0.025 ** (1 / 50) = .9289.
    band = simultaneous_band(ranked(np.full(50, 0.4), np.ones(50, bool)))
    np.testing.assert_allclose([band.low[0], band.high[0]], [0.025 ** (1 / 50), 1])


def test_cells_keep_the_guarantee_and_the_order():
    # More than 2,000 distinct forecasts: the band is made of cells. A calibrated model stays inside, y = p² does not.
    rng = np.random.default_rng(0)
    p = rng.random(5000)
    for truth, inside in ((p, True), (p**2, False)):
        band = simultaneous_band(ranked(p, rng.random(5000) < truth))
        assert np.all(np.diff(band.low) >= 0)
        assert np.all(np.diff(band.high) >= 0)
        assert np.all((band.low <= band.probability) & (band.probability <= band.high)) == inside


def test_weights_have_no_simultaneous_band():
    with pytest.raises(InputError, match="counts"):
        simultaneous_band(ranked(np.array([0.2, 0.8]), np.array([False, True]), np.array([1.0, 2.0])))
    with pytest.raises(InputError, match="soft labels"):
        simultaneous_band(ranked(np.array([0.2, 0.8]), np.array([0.5, 1.0])))


def test_the_consistency_band_is_that_of_drawn_curves():
    # Quantiles of curves of outcomes drawn from the forecasts, by scikit-learn, without cells; both are Monte Carlo.
    rng = np.random.default_rng(1)
    p = np.sort(rng.random(900))
    band = corp_consistency_band(ranked(p, rng.random(900) < p))
    curves = [IsotonicRegression().fit_transform(p, rng.random(900) < p) for _ in range(300)]
    low, high = np.quantile(curves, [0.025, 0.975], axis=0)
    at = np.searchsorted(p, band.probability).clip(0, 899)
    middle = (band.probability > 0.05) & (band.probability < 0.95)
    assert np.abs(band.low - low[at])[middle].mean() < 0.02
    assert np.abs(band.high - high[at])[middle].mean() < 0.02


@pytest.fixture
def rain():
    """Forecasts and outcomes of ten days."""
    return [0, 0, 1, 0, 1, 0, 1, 1, 0, 1], [0.1, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_the_corp_curve_is_isotonic_regression(rain, no_pyplot_windows):
    y, p = rain
    display = ReliabilityDisplay.from_predictions(y, p, style="corp", name="rain")
    expected = IsotonicRegression().fit_transform(p, y)
    np.testing.assert_allclose(np.interp(p, *display.line_.get_data()), expected, atol=1e-12)
    frame = display.columns()
    np.testing.assert_allclose(frame["probability"], np.unique(p))
    assert frame["weight"].tolist() == [1, 2, 1, 1, 1, 1, 1, 1, 1]
    label = f"MCB {calkit.metrics.corp_mcb(y, p):.4f}, DSC {calkit.metrics.corp_dsc(y, p):.4f}"
    assert label in display.line_.get_label()


def test_published_curve_of_niamey(data_folder, no_pyplot_windows):
    # README of the R package reliabilitydiag: EMOS has MCB .0183 and DSC .0305.
    with np.load(data_folder / "forecasts" / "precip-niamey-2016.npz") as found:
        display = ReliabilityDisplay.from_predictions(found["obs"].astype(int), found["EMOS"], style="corp", plot=False)
    assert "MCB 0.0183, DSC 0.0305" in display.corp_label


def test_bands_are_drawn_as_counted(rain, no_pyplot_windows):
    y, p = rain
    display = ReliabilityDisplay.from_predictions(y, p, band="simultaneous")
    corners = display.band_.get_paths()[0].vertices
    band = simultaneous_band(display.forecasts)
    for at, low, high in zip(band.probability, band.low, band.high, strict=True):
        drawn = corners[np.isclose(corners[:, 0], at), 1]
        assert np.isclose(drawn, low).any()
        assert np.isclose(drawn, high).any()
    assert not hasattr(ReliabilityDisplay.from_predictions(y, p, band=False), "band_")
    bare = ReliabilityDisplay.from_bins(display.bins, plot=False)
    for options in ({"style": "corp"}, {"band": "simultaneous"}):
        with pytest.raises(InputError, match="count every forecast"):
            bare.plot(**options)
    with pytest.raises(InputError, match="not drawn over bars"):
        display.plot(style="bars", band="simultaneous")
    with pytest.raises(NotFoundError, match="simultaneous"):
        ReliabilityDisplay.from_predictions(y, p, band="simultanous")


def test_several_curves_have_no_band_unless_asked(rain, no_pyplot_windows):
    y, p = rain
    for band, n in ((None, 0), ("simultaneous", 2)):
        shown = [ReliabilityDisplay.from_predictions(y, p, style="corp", band=band, plot=False) for _ in range(2)]
        figure = plot_reliability({"a": shown[0], "b": shown[1]}, overlay=True)
        assert len(figure.axes[0].collections) == n
        figure.draw_without_rendering()


@pytest.mark.parametrize("arguments", [["--style", "corp"], ["--band", "simultaneous"], ["--band", "none"]])
def test_the_command_draws_them(arguments, rain, calkit_cli, tmp_path):
    y, p = rain
    calkit.save_predictions(calkit.Predictions(p, y, kind="probs"), tmp_path / "rain.npz")
    code, _, err = calkit_cli("plot", str(tmp_path / "rain.npz"), *arguments, "-o", str(tmp_path / "rain.png"))
    assert (code, err) == (0, "")
    code, _, err = calkit_cli("plot", str(tmp_path / "rain.npz"), "--what", "confidence", *arguments, "-o", "x.png")
    assert code == 2
    assert f"{arguments[0]} does not apply" in err
