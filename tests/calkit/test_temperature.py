"""Temperature scaling: exact on the NLL, exhaustive on grids, honest where there is no answer."""

import copy
import json
import math
import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.base import clone, is_classifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline

import calkit
from calkit.calibrators import (
    TemperatureScaling,
    get_calibrator,
    load_calibrator,
    save_calibrator,
    temperature_curve,
)
from calkit.calibrators.grid_search import pruned_minimum
from calkit.calibrators.nll_root import nll_root
from calkit.datasets import load_digits_logits
from calkit.errors import CalibrationWarning, FileFormatError, InputError, UsageError
from calkit.io import watch
from calkit.stats import NllDerivatives, summarize
from tests import reference as ref


def overconfident(n=400, k=4, seed=0, temperature=3.0, dtype=np.float64):
    """Labels drawn from softmax(z / temperature), so the best temperature is near it."""
    rng = np.random.default_rng(seed)
    logits = 4 * rng.standard_normal((n, k))
    probs = softmax(logits / temperature, axis=1)
    y = (rng.random(n)[:, None] > probs.cumsum(axis=1)).sum(axis=1).clip(0, k - 1)
    return logits.astype(dtype), y


@pytest.mark.parametrize(("n", "k"), [(400, 4), (50, 2), (300, 60), (30, 3)])
def test_nll_equals_bisection(n, k):
    logits, y = overconfident(n, k, seed=n + k)
    expected = ref.nll_temperature(logits, y)
    assert TemperatureScaling().fit(logits, y).temperature_ == pytest.approx(expected, rel=1e-10)


def test_a_row_far_larger_than_those_of_the_subsample_changes_nothing():
    logits, y = overconfident(8000, 5, seed=4)
    expected = TemperatureScaling().fit(logits, y).temperature_
    # The second row is not in the subsample; sure and right at any temperature, it has no slope.
    logits[1], y[1] = [1e30, 0, 0, 0, 0], 0
    without = TemperatureScaling().fit(np.delete(logits, 1, axis=0), np.delete(y, 1)).temperature_
    found = TemperatureScaling().fit(logits, y)
    assert found.temperature_ == pytest.approx(without, rel=1e-10)
    assert found.temperature_ == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_objective_is_the_nll_in_float64(dtype):
    logits, y = overconfident(9000, 70, seed=5, dtype=dtype)
    found = TemperatureScaling().fit(logits, y)
    assert found.n_evaluations_ <= 3
    scaled = logits.astype(np.float64) / found.temperature_
    assert found.objective_value_ == pytest.approx(calkit.nll(y, scaled, from_logits=True), rel=1e-12)


def test_nll_with_many_rows_starts_from_a_subsample_and_is_as_exact():
    logits, y = overconfident(40_000, 5, seed=9)
    calibrator = TemperatureScaling().fit(logits, y)
    assert calibrator.n_evaluations_ <= 4

    # The slope of the NLL in 1/T changes sign within 1e-10 of T.
    def slope(t):
        p = softmax(logits / t, axis=1)
        rows = (p * logits).sum(axis=1) - logits[np.arange(len(y)), y]
        return math.fsum(rows.tolist())

    t = calibrator.temperature_
    assert slope(t * (1 + 1e-10)) < 0 < slope(t * (1 - 1e-10))


@given(exponent=st.integers(-290, 290), mantissa=st.floats(1, 10), seed=st.integers(0, 20))
def test_scaling_the_logits_scales_the_temperature(exponent, mantissa, seed):
    logits, y = overconfident(60, 3, seed=seed)
    scale = mantissa * 10.0**exponent
    base = TemperatureScaling().fit(logits, y).temperature_
    assert TemperatureScaling().fit(logits * scale, y).temperature_ / scale == pytest.approx(base, rel=1e-10)


@pytest.mark.parametrize("factor", [3, 0.02, 50])
def test_float32_logits_give_the_float64_answer(factor):
    # netcal's fit changes nothing on float32; L-BFGS in the style of Guo et al. stops short or diverges.
    logits, y = overconfident(dtype=np.float32)
    scaled = (logits * np.float32(factor)).astype(np.float32)
    found = TemperatureScaling().fit(scaled, y).temperature_
    assert found == TemperatureScaling().fit(scaled.astype(np.float64), y).temperature_
    assert found == pytest.approx(factor * TemperatureScaling().fit(logits, y).temperature_, rel=1e-6)


def test_shifting_each_row_changes_nothing():
    logits, y = overconfident()
    shifted = logits + np.random.default_rng(1).normal(0, 100, (len(y), 1))
    base = TemperatureScaling().fit(logits, y).temperature_
    assert TemperatureScaling().fit(shifted, y).temperature_ == pytest.approx(base, rel=1e-9)


def test_weights_are_repeated_rows():
    logits, y = overconfident(80)
    weights = np.random.default_rng(0).integers(0, 4, 80)
    repeated = np.repeat(np.arange(80), weights)
    for objective in ("nll", "ece", "adaece"):
        weighted = TemperatureScaling(objective).fit(logits, y, sample_weight=weights)
        plain = TemperatureScaling(objective).fit(logits[repeated], y[repeated])
        assert weighted.temperature_ == pytest.approx(plain.temperature_, rel=1e-10)


def test_binary_logits_in_one_column_are_log_odds():
    # scikit-learn's temperature is twice too large here.
    rng = np.random.default_rng(0)
    z = 6 * rng.standard_normal(500)
    y = (rng.random(500) < 1 / (1 + np.exp(-z / 2))).astype(int)
    both = np.stack([np.zeros(500), z], axis=1)
    one = TemperatureScaling().fit(z, y)
    assert one.temperature_ == TemperatureScaling().fit(both, y).temperature_
    assert one.temperature_ == TemperatureScaling().fit(z[:, None], y).temperature_
    np.testing.assert_array_equal(one.predict_proba(z[:, None]), one.predict_proba(both))
    assert one.temperature_ == pytest.approx(ref.nll_temperature(both, y), rel=1e-10)
    np.testing.assert_allclose(one.predict_proba(z)[:, 1], 1 / (1 + np.exp(-z / one.temperature_)), rtol=1e-12)


class TestNoRoot:
    def test_separable(self):
        logits = 5 * np.eye(3)[[0, 1, 2, 0]]
        with pytest.warns(CalibrationWarning, match="every true class has the largest logit"):
            calibrator = TemperatureScaling().fit(logits, [0, 1, 2, 0])
        # Held at 1/1000 of the mean distance from the largest logit: 10/3 here.
        assert calibrator.temperature_ == pytest.approx(10 / 3 / 1000, rel=1e-12)
        assert np.isfinite(calibrator.predict_proba(logits)).all()

    def test_worse_than_chance(self):
        logits = 5 * np.eye(3)[[0, 1, 2, 0]]
        with pytest.warns(CalibrationWarning, match="less than chance"):
            calibrator = TemperatureScaling().fit(logits, [1, 2, 0, 1])
        assert calibrator.temperature_ == pytest.approx(10 / 3 * 1000, rel=1e-12)

    def test_constant(self):
        with pytest.warns(CalibrationWarning, match="all logits of each row are equal"):
            assert TemperatureScaling().fit(np.full((3, 2), 7.0), [0, 1, 1]).temperature_ == 1

    @pytest.mark.parametrize("scale", [1e-200, 1e200])
    def test_bounds_scale_with_the_logits(self, scale):
        logits = scale * np.eye(3)[[0, 1, 2]]
        with pytest.warns(CalibrationWarning):
            found = TemperatureScaling().fit(logits, [0, 1, 2]).temperature_
        assert found == pytest.approx(scale * 2 / 3 / 1000, rel=1e-12)

    def test_nearly_separable_still_has_an_exact_root(self):
        # 999 rows right by 10, one wrong by 1e-3: d NLL/dβ = 0 in closed form, s(x) the logistic function:
        # 999 * 10 * s(-10 β) = 1e-3 * s(1e-3 β).
        z = np.array([10.0] * 999 + [-1e-3])
        y = np.ones(1000, int)
        beta = 1 / TemperatureScaling().fit(z, y).temperature_
        left, right = 9990 / (1 + math.exp(10 * beta)), 1e-3 / (1 + math.exp(-1e-3 * beta))
        assert left == pytest.approx(right, rel=1e-8)


class TestGrid:
    @pytest.mark.parametrize(
        "objective",
        ["ece", "adaece", "mce", "ece:n_bins=25", "adaece:convention=focal-calibration", "nll", "accuracy", "s99"],
    )
    def test_equals_the_plain_loop(self, objective):
        logits, y = overconfident(300, 5, seed=2)
        grid = np.arange(1, 101) / 10
        metric = calkit.metrics.get_metric(objective)
        predictions = calkit.Predictions(logits, y, kind="logits")
        loop = [
            calkit.evaluate(predictions.replace(scores=logits / t), [objective])[metric.spec] for t in grid.tolist()
        ]
        best = int(np.nanargmax(loop) if metric.higher_is_better else np.nanargmin(loop))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CalibrationWarning)  # accuracy ties everywhere, so T = 0.1, the first
            calibrator = TemperatureScaling(objective, grid=grid).fit(logits, y)
        assert calibrator.temperature_ == grid[best]
        assert calibrator.objective_value_ == pytest.approx(loop[best], abs=1e-12)
        curve = temperature_curve(predictions, [objective])
        np.testing.assert_allclose(curve[metric.spec], loop, atol=1e-12)

    def test_a_curve_of_sums_takes_one_pass_over_the_rows(self):
        logits, y = overconfident()
        passes = []
        watched = watch(calkit.Predictions(logits, y, kind="logits"), lambda progress: passes.append(progress.n_passes))
        temperature_curve(watched, ["ece", "nll", "s99"])
        assert set(passes) == {1}

    def test_default_grid_is_the_papers_and_most_of_it_is_skipped(self):
        logits, y = overconfident()
        calibrator = TemperatureScaling("ece").fit(logits, y)
        assert calibrator.temperature_ in (np.arange(1, 101) / 10).tolist()
        assert calibrator.n_evaluations_ < 15

    def test_a_grid_of_ones_own(self):
        logits, y = overconfident()
        assert TemperatureScaling("nll", grid=[1.0, 2.5, 9.0]).fit(logits, y).temperature_ == 2.5

    def test_a_best_temperature_at_the_end_of_the_grid_warns(self):
        logits, y = overconfident()
        with pytest.warns(CalibrationWarning, match="end of the grid"):
            TemperatureScaling("ece", grid=[0.5, 1.0]).fit(logits, y)

    def test_a_grid_as_text(self):
        logits, y = overconfident()
        calibrator = get_calibrator("temperature:objective=ece,grid=(1,2.5,9)")
        assert (
            calibrator.fit(logits, y).temperature_
            == TemperatureScaling("ece", grid=[1, 2.5, 9]).fit(logits, y).temperature_
        )

    @pytest.mark.parametrize("grid", ["1,x", "", 3.0, [], [0.0, 1.0], [2.0, 1.0], [1.0, 1.0], [1.0, math.nan], [[1.0]]])
    def test_bad_grids(self, grid):
        with pytest.raises(InputError, match="grid"):
            TemperatureScaling("ece", grid=grid).fit(*overconfident(20))

    @given(
        gaps=st.lists(st.integers(-8, 8), min_size=1, max_size=40),
        extras=st.lists(st.integers(0, 6), min_size=40, max_size=40),
    )
    def test_pruning_finds_the_first_smallest(self, gaps, extras):
        gaps = sorted(gaps, reverse=True)
        values = [abs(g) + e for g, e in zip(gaps, extras, strict=False)]

        def evaluate(i):
            bounds = [max(gaps[i], 0) if j <= i else max(-gaps[i], 0) for j in range(len(values))]
            return float(values[i]), np.array(bounds, dtype=float)

        found = pruned_minimum(evaluate, len(values), len(values) // 3)
        assert found.index == values.index(min(values))
        assert found.value == min(values)
        assert found.n_evaluations <= len(values)


class TestEstimator:
    def test_follows_scikit_learn(self):
        calibrator = TemperatureScaling("ece", grid=[1.0, 2.0, 3.0, 9.0])
        twin = clone(calibrator)
        assert twin is not calibrator
        assert twin.get_params() == {"objective": "ece", "grid": [1.0, 2.0, 3.0, 9.0], "prior": None}
        logits, y = overconfident()
        assert twin.fit(logits, y) is twin
        assert twin.score(logits, y) == pytest.approx((logits.argmax(1) == y).mean())
        again = pickle.loads(pickle.dumps(twin))
        np.testing.assert_array_equal(again.predict_proba(logits), twin.predict_proba(logits))

    def test_probabilities_log_probabilities_and_classes(self):
        logits, y = overconfident()
        calibrator = TemperatureScaling().fit(logits, y)
        probs = calibrator.predict_proba(logits)
        np.testing.assert_allclose(probs, softmax(logits / calibrator.temperature_, axis=1), rtol=1e-12)
        np.testing.assert_allclose(calibrator.transform(logits), np.log(probs), atol=1e-12)
        np.testing.assert_array_equal(calibrator.predict(logits), logits.argmax(axis=1))
        assert calibrator.predict_proba(logits.astype(np.float32)).dtype == np.float32
        assert calibrator.inverse_temperature_ == 1 / calibrator.temperature_

    def test_calibrators_chain(self):
        logits, y = overconfident()
        first = TemperatureScaling("ece").fit(logits, y)
        second = TemperatureScaling().fit(first.transform(logits), y)
        direct = TemperatureScaling().fit(logits, y)
        assert first.temperature_ * second.temperature_ == pytest.approx(direct.temperature_, rel=1e-9)

    def test_string_classes(self):
        logits, y = overconfident(k=3)
        names = np.array(["ant", "bee", "cow"])
        calibrator = TemperatureScaling().fit(logits, names[y])
        assert calibrator.classes_.tolist() == names.tolist()
        assert set(calibrator.predict(logits)) <= set(names)
        assert calibrator.temperature_ == TemperatureScaling().fit(logits, y).temperature_

    def test_integer_classes_that_are_not_columns(self):
        logits, y = overconfident(k=3)
        calibrator = TemperatureScaling().fit(logits, np.array([10, 20, 30])[y])
        assert calibrator.classes_.tolist() == [10, 20, 30]
        assert calibrator.temperature_ == TemperatureScaling().fit(logits, y).temperature_

    def test_absent_classes_are_no_trouble(self):
        # netcal fails on ten classes with only two labels present.
        logits, y = overconfident(200, 10)
        keep = y < 2
        calibrator = TemperatureScaling().fit(logits[keep], y[keep])
        assert calibrator.classes_.tolist() == list(range(10))
        assert calibrator.predict_proba(logits).shape == (200, 10)

    def test_in_a_pipeline_with_a_cross_validated_classifier(self):
        from sklearn.datasets import load_iris

        X, y = load_iris(return_X_y=True)
        logits = cross_val_predict(LogisticRegression(max_iter=1000), X, y, cv=3, method="decision_function")
        pipeline = make_pipeline(TemperatureScaling())
        assert pipeline.fit(logits, y).predict_proba(logits).shape == (150, 3)

    def test_inputs_are_checked(self):
        logits, y = overconfident(20)
        calibrator = TemperatureScaling().fit(logits, y)
        with pytest.raises(InputError, match="X has 3 features, but TemperatureScaling is expecting 4 features"):
            calibrator.predict_proba(logits[:, :3])
        with pytest.raises(InputError, match="row 2 holds nan"):
            calibrator.predict_proba(np.where(np.arange(20)[:, None] == 2, np.nan, logits))
        with pytest.raises(InputError, match="shape"):
            calibrator.transform(np.zeros((2, 2, 2)))
        with pytest.raises(InputError, match="row 2 holds nan"):
            TemperatureScaling().fit(np.where(np.arange(20)[:, None] == 2, np.nan, logits), y)
        with pytest.raises(InputError, match="sparse"):
            calibrator.predict_proba(scipy.sparse.csr_matrix(logits))
        with pytest.raises(InputError, match="X: masked values"):
            calibrator.predict_proba(np.ma.masked_less(logits, 0))
        with pytest.raises(InputError, match="have 5|has 5"):
            TemperatureScaling().fit(logits, y[:5])
        with pytest.raises(InputError, match="must be a Predictions, but have type ndarray"):
            TemperatureScaling().fit_predictions(logits)
        with pytest.raises(InputError, match="must be a Predictions, but have type ndarray"):
            calibrator.apply(logits)
        with pytest.raises(UsageError, match="unknown metric"):
            TemperatureScaling("nnl").fit(logits, y)
        with pytest.raises(UsageError, match="a specification is a string"):
            TemperatureScaling(calkit.ece).fit(logits, y)

    @pytest.mark.parametrize("method", ["predict", "predict_proba", "transform", "to_dict", "apply"])
    def test_not_fitted(self, method):
        from sklearn.exceptions import NotFittedError

        arguments = {"to_dict": [], "apply": [load_digits_logits()]}.get(method, [np.zeros((2, 3))])
        with pytest.raises(NotFittedError):
            getattr(TemperatureScaling(), method)(*arguments)

    def test_within_scikit_learns_tools(self):
        logits, y = overconfident(200, 3)
        calibrator = TemperatureScaling()
        assert is_classifier(calibrator)
        assert repr(TemperatureScaling("ece")) == "TemperatureScaling(objective='ece')"
        assert calibrator.set_params(objective="ece").get_params() == {"objective": "ece", "grid": None, "prior": None}
        with pytest.raises(ValueError, match="Invalid parameter 'goal'"):
            calibrator.set_params(goal="ece")
        search = GridSearchCV(calibrator, {"objective": ["nll", "ece"]}, scoring="neg_log_loss").fit(logits, y)
        assert (
            search.best_estimator_.temperature_ == TemperatureScaling(**search.best_params_).fit(logits, y).temperature_
        )
        probs = cross_val_predict(TemperatureScaling(), logits, y, method="predict_proba", cv=4)
        assert calkit.nll(y, probs) < calkit.nll(y, logits, from_logits=True)
        both = make_pipeline(TemperatureScaling("ece"), TemperatureScaling()).fit(logits, y)
        np.testing.assert_allclose(
            both.predict_proba(logits), TemperatureScaling().fit(logits, y).predict_proba(logits)
        )
        np.testing.assert_array_equal(
            TemperatureScaling().fit_transform(logits, y), TemperatureScaling().fit(logits, y).transform(logits)
        )
        deep = copy.deepcopy(search.best_estimator_)
        assert deep.temperature_ == search.best_estimator_.temperature_

    def test_apply_stays_lazy_and_equals_predict_proba(self):
        logits, y = overconfident(dtype=np.float32)
        calibrator = TemperatureScaling().fit(logits, y)
        predictions = calkit.Predictions(logits, y, kind="logits")
        calibrated = calibrator.apply(predictions)
        assert not isinstance(calibrated.scores, np.ndarray)
        expected = calkit.ece(y, calibrator.predict_proba(logits.astype(np.float64)))
        assert calkit.evaluate(calibrated, ["ece"])["ece"] == pytest.approx(expected, abs=1e-12)
        probs = calibrator.apply(predictions, kind="probs")
        np.testing.assert_allclose(np.asarray(probs.scores).sum(axis=1), 1, rtol=1e-12)

    def test_fits_probabilities_through_their_logarithms(self):
        logits, y = overconfident()
        probs = calkit.Predictions(softmax(logits, axis=1), y, kind="probs")
        direct = TemperatureScaling().fit(logits, y).temperature_
        assert TemperatureScaling().fit_predictions(probs).temperature_ == pytest.approx(direct, rel=1e-9)
        with pytest.warns(CalibrationWarning, match="all logits of each row are equal"):
            TemperatureScaling().fit_predictions(calkit.Predictions.from_confidence([0.5], [1]))


class TestPersistence:
    @pytest.mark.parametrize("labels", ["columns", "names"])
    def test_round_trip(self, tmp_path, labels):
        logits, y = overconfident(k=3)
        target = y if labels == "columns" else np.array(["ant", "bee", "cow"])[y]
        calibrator = TemperatureScaling("ece", grid=np.array([1.0, 2.0, 4.0, 16.0])).fit(logits, target)
        calibrator.save(tmp_path / "cal.json")
        again = load_calibrator(tmp_path / "cal.json")
        assert again.objective == "ece"
        np.testing.assert_array_equal(again.grid, calibrator.grid, strict=True)
        np.testing.assert_array_equal(again.predict_proba(logits), calibrator.predict_proba(logits))
        np.testing.assert_array_equal(again.predict(logits), calibrator.predict(logits))
        assert [p.name for p in tmp_path.iterdir()] == ["cal.json"]

    def test_not_fitted_writes_nothing(self, tmp_path):
        from sklearn.exceptions import NotFittedError

        with pytest.raises(NotFittedError):
            save_calibrator(TemperatureScaling(), tmp_path / "cal.json")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "not JSON"),
            ("[]", "not a calibrator"),
            ('{"format": "other"}', "not a calibrator"),
            ('{"format": "calkit-calibrator", "version": 99}', "version 99"),
            ('{"format": "calkit-calibrator", "version": 1, "calibrator": "temprature"}', "damaged.*Did you mean"),
            ('{"format": "calkit-calibrator", "version": 1, "calibrator": "temperature"}', "damaged"),
        ],
    )
    def test_bad_files(self, tmp_path, text, message):
        path = tmp_path / "cal.json"
        path.write_text(text)
        with pytest.raises(FileFormatError, match=message):
            load_calibrator(path)

    def test_bad_state(self, tmp_path):
        calibrator = TemperatureScaling().fit(*overconfident(30))
        document = {"format": "calkit-calibrator", "version": 1, **calibrator.to_dict()}
        for state in ({}, {**document["state"], "temperature_": -1.0}, {**document["state"], "temperature_": "hot"}):
            path = tmp_path / "cal.json"
            path.write_text(json.dumps({**document, "state": state}))
            with pytest.raises(FileFormatError, match="damaged"):
                load_calibrator(path)

    def test_missing(self, tmp_path):
        with pytest.raises(FileFormatError, match="No such file"):
            load_calibrator(tmp_path / "none.json")


def test_specs():
    assert get_calibrator("temperature:objective=(ece:n_bins=25,binning=quantile)").objective == (
        "ece:n_bins=25,binning=quantile"
    )
    with pytest.raises(UsageError, match="unknown calibrator 'temprature'. Did you mean 'temperature'"):
        get_calibrator("temprature")
    with pytest.raises(UsageError, match="Parameters: objective='nll', grid=None, prior=None"):
        get_calibrator("temperature:goal=ece")


def test_the_shipped_logits_are_visibly_over_confident():
    validation, test = load_digits_logits("validation"), load_digits_logits("test")
    calibrator = TemperatureScaling().fit_predictions(validation)
    before, after = calkit.evaluate(test), calkit.evaluate(calibrator.apply(test))
    assert calibrator.temperature_ > 2
    assert before["ece"] > 0.1 > 0.05 > after["ece"]
    assert before["accuracy"] == after["accuracy"]


def test_labels_next_to_random_take_no_more_passes():
    """The root lies far below the first guess there, and near it beside the size of the logits."""
    rng = np.random.default_rng(1)
    scores = rng.standard_normal((50_000, 100), dtype=np.float32) * 3
    predictions = calkit.Predictions(scores, rng.integers(0, 100, 50_000), kind="logits")
    root = nll_root(predictions)
    assert root.outcome == "converged"
    assert root.n_passes <= 3
    loss = NllDerivatives(1 / root.temperature, 0, False, 4)
    _, slope, curvature, *_ = summarize(predictions, [loss])[loss].derivatives
    assert abs(slope / curvature) < 1e-9 / root.temperature


def test_a_constant_of_a_row_that_is_large_costs_no_digits():
    """Logits less their largest are exact here, their quotients would not be."""
    rng = np.random.default_rng(0)
    offset = rng.integers(-5, 5, size=(50, 3)).astype(np.float32)
    fitted = TemperatureScaling().fit(rng.normal(size=(60, 3)), rng.integers(0, 3, 60))
    fitted.temperature_ = 1.7
    found = fitted.predict_proba(offset - np.float32(1e6))
    np.testing.assert_allclose(found, fitted.predict_proba(offset), rtol=1e-6)
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(offset - np.float32(1e6))), found, rtol=1e-5)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_probabilities_of_one_column_are_warned_of(shape):
    rng = np.random.default_rng(0)
    p = rng.random(200)
    y = (rng.random(200) < p).astype(int)
    with pytest.warns(CalibrationWarning, match=r"every score of X lies in \[0, 1\].*np\.log\(X / \(1 - X\)\)"):
        calkit.TemperatureScaling().fit(p.reshape(shape), y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Both remedies, and logits of which some few lie there.
        ways = (
            calkit.TemperatureScaling().fit(np.log(p / (1 - p)).reshape(shape), y),
            calkit.TemperatureScaling().fit_predictions(calkit.Predictions(p, y, kind="probs")),
        )
        calkit.TemperatureScaling().fit(p[:10].reshape(shape), y[:10])
    assert ways[0].temperature_ == pytest.approx(ways[1].temperature_, rel=1e-9)
