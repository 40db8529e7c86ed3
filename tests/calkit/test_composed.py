"""Composed calibrators, and CalibratedClassifier around scikit-learn's classifiers."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, TimeSeriesSplit, cross_val_predict, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import check_estimator

import calkit
from calkit.calibrators import (
    ByColumn,
    CalibratedClassifier,
    OneVsRest,
    TemperatureScaling,
    TopLabel,
    VennAbers,
    get_calibrator,
    load_calibrator,
)
from calkit.errors import CalibrationWarning, InputError, NotFoundError, UsageError
from calkit.shards import Shards


def drawn(n=400, k=4, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * 3
    return logits, (logits / 2 - np.log(-np.log(rng.random((n, k))))).argmax(axis=1)


class TestOneVsRest:
    def test_by_hand(self):
        # Temperature scaling of each class's log-odds, fitted one by one with the binary calibrator, then normalised.
        logits, y = drawn()
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        columns = []
        for k in range(4):
            odds = np.log(p[:, k]) - np.log1p(-p[:, k])
            columns.append(TemperatureScaling().fit(odds, y == k).predict_proba(odds)[:, 1])
        expected = np.stack(columns, axis=1)
        expected /= expected.sum(axis=1, keepdims=True)
        found = OneVsRest("temperature").fit(logits, y).predict_proba(logits)
        np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_specs_nest(self):
        calibrator = get_calibrator("one-vs-rest:calibrator=(temperature:grid=(1,2))")
        assert calibrator.calibrator == "temperature:grid=(1,2)"
        with pytest.raises(UsageError, match="must be a spec such as 'temperature', or a calibrator, but is a int"):
            OneVsRest(3).fit(*drawn())

    def test_what_many_warn_of_is_said_once(self):
        logits, y = drawn(k=6)
        rows = y < 4
        with pytest.warns(CalibrationWarning) as caught:
            OneVsRest("beta").fit(logits[rows], y[rows])
        said = [str(warning.message) for warning in caught]
        assert len(said) == 1
        assert said[0].startswith(
            "2 of 6 binary calibrators (their class 1 is the class itself, 0 the rest), the first"
        )
        assert "that of class 4: class 1 is not in the data" in said[0]


class TestTopLabel:
    def test_by_hand(self):
        # The confidence by a binary temperature; the others keep their proportions.
        logits, y = drawn()
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        top = p.argmax(axis=1)
        confidence = p.max(axis=1)
        odds = np.log(confidence) - np.log1p(-confidence)
        calibrated = TemperatureScaling().fit(odds, top == y).predict_proba(odds)[:, 1]
        expected = p * ((1 - calibrated) / (1 - confidence))[:, None]
        expected[np.arange(len(y)), top] = calibrated
        found = TopLabel("temperature").fit(logits, y).predict_proba(logits)
        np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_certain_predictions_give_back_to_all_others_alike(self):
        logits, y = drawn()
        found = TopLabel("temperature").fit(logits, y).predict_proba(np.array([[0.0, -np.inf, -np.inf, -np.inf]]))
        np.testing.assert_allclose(found.sum(), 1)
        np.testing.assert_allclose(found[0, 1:], found[0, 1])


class TestByColumn:
    def pairs(self):
        rng = np.random.default_rng(0)
        topic = np.array(["law", "maths", "rare"])[np.r_[np.repeat([0, 1], 200), np.repeat(2, 5)]]
        confidence = rng.uniform(0.5, 1, 405)
        right = rng.random(405) < np.where(topic == "law", confidence, confidence**4)
        return calkit.Predictions(confidence, right, kind="confidence", columns={"topic": topic})

    def test_each_value_has_its_own(self, tmp_path):
        pairs = self.pairs()
        fitted = ByColumn("topic").fit_predictions(pairs)
        assert fitted.values_.tolist() == ["law", "maths"]
        after = np.asarray(fitted.apply(pairs).scores)
        for value in ("law", "maths"):
            rows = np.flatnonzero(pairs.columns["topic"] == value)
            alone = TemperatureScaling().fit_predictions(pairs.take(rows))
            np.testing.assert_array_equal(after[rows], np.asarray(alone.apply(pairs.take(rows)).scores))
        rare = np.arange(400, 405)
        pooled = TemperatureScaling().fit_predictions(pairs).apply(pairs.take(rare))
        np.testing.assert_array_equal(after[rare], np.asarray(pooled.scores))
        fitted.save(tmp_path / "cal.json")
        np.testing.assert_array_equal(np.asarray(load_calibrator(tmp_path / "cal.json").apply(pairs).scores), after)

    def test_a_column_that_is_not_there(self):
        with pytest.raises(NotFoundError, match=r"unknown column 'subject' of the predictions. Known: topic"):
            ByColumn("subject").fit_predictions(self.pairs())
        with pytest.raises(NotFoundError, match="unknown column 'topic'"):
            ByColumn("topic").fit_predictions(self.pairs()).apply(self.pairs().replace(columns={}))

    def test_files_of_which_some_lack_a_value(self, tmp_path):
        pairs = self.pairs()
        for i in range(5):
            calkit.save_predictions(pairs.take(slice(81 * i, 81 * i + 81)), tmp_path / f"part-{i}.npz")
        shards = Shards(str(tmp_path / "part-*.npz"), columns=["topic"])
        fitted, expected = ByColumn("topic").fit_predictions(shards), ByColumn("topic").fit_predictions(pairs)
        assert fitted.values_.tolist() == ["law", "maths"]
        np.testing.assert_allclose(
            [each.temperature_ for each in (fitted.calibrator_, *fitted.calibrators_)],
            [each.temperature_ for each in (expected.calibrator_, *expected.calibrators_)],
            rtol=1e-9,
        )
        after = [np.asarray(part.load().scores) for part in fitted.apply(shards).parts()]
        np.testing.assert_allclose(np.concatenate(after), np.asarray(expected.apply(pairs).scores), rtol=1e-9)


CALIBRATORS = ["temperature", "vector", "one-vs-rest"]


@pytest.mark.filterwarnings("ignore::calkit.errors.CalibrationWarning")
@pytest.mark.parametrize("ensemble", [True, False])
@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_scikit_learns_checks(calibrator, ensemble):
    found = check_estimator(CalibratedClassifier(calibrator=calibrator, ensemble=ensemble), on_fail=None, on_skip=None)
    assert [item["check_name"] for item in found if item["status"] == "failed"] == []


class TestCalibratedClassifier:
    def test_equals_its_parts(self):
        X, y = make_classification(600, n_classes=3, n_informative=6, random_state=0)
        frozen = FrozenEstimator(GaussianNB().fit(X[:300], y[:300]))
        fitted = CalibratedClassifier(frozen, "temperature").fit(X[300:], y[300:])
        # Scores of naive Bayes are probabilities, floored at 1e-7.
        logits = np.log(np.maximum(frozen.predict_proba(X[300:]), 1e-7))
        alone = TemperatureScaling().fit(logits, y[300:])
        np.testing.assert_allclose(fitted.predict_proba(X[300:]), alone.predict_proba(logits), atol=1e-12)

    def test_near_scikit_learns_own(self):
        # scikit-learn's temperature scaling (1.8) minimises the same loss with another solver.
        X, y = load_iris(return_X_y=True)
        ours = CalibratedClassifier(SVC(), cv=3).fit(X, y).predict_proba(X)
        theirs = CalibratedClassifierCV(SVC(), method="temperature", cv=3).fit(X, y).predict_proba(X)
        np.testing.assert_allclose(ours, theirs, atol=1e-3)

    def test_one_calibrator_for_all_held_out_rows(self):
        X, y = make_classification(400, random_state=0)
        fitted = CalibratedClassifier(RandomForestClassifier(20, random_state=0), ensemble=False).fit(X, y)
        (member,) = fitted.calibrated_classifiers_
        assert member.calibrator.temperature_ > 0
        assert member.estimator.n_features_in_ == 20

    @pytest.mark.filterwarnings("ignore::calkit.errors.CalibrationWarning")
    def test_labels_of_any_type_and_frames(self):
        pd = pytest.importorskip("pandas")
        X, y = load_iris(return_X_y=True, as_frame=True)
        names = np.array(["setosa", "versicolor", "virginica"])[y]
        fitted = CalibratedClassifier().fit(X, names)
        assert set(fitted.predict(X)) == set(names)
        assert list(fitted.feature_names_in_) == list(X.columns)
        assert fitted.calibrated_classifiers_[0].calibrator.classes_.tolist() == ["setosa", "versicolor", "virginica"]
        table = fitted.set_output(transform="pandas").transform(X)
        assert isinstance(table, pd.DataFrame)
        assert list(table.columns) == ["logit_setosa", "logit_versicolor", "logit_virginica"]
        with pytest.raises(ValueError, match="feature names"):
            fitted.predict(X[X.columns[::-1]])

    def test_groups_stay_together(self):
        X, y = make_classification(200, random_state=0)
        groups = np.repeat(np.arange(20), 10)
        fitted = CalibratedClassifier(cv=GroupKFold(4)).fit(X, y, groups=groups)
        assert len(fitted.calibrated_classifiers_) == 4

    @pytest.mark.parametrize("ensemble", [True, False])
    def test_time_splits_hold_out_later_rows_only(self, ensemble):
        X, y = make_classification(200, random_state=0)
        fitted = CalibratedClassifier(cv=TimeSeriesSplit(3), ensemble=ensemble).fit(X, y)
        assert fitted.predict_proba(X).shape == (200, 2)

    def test_weights_are_repeats(self):
        X, y = make_classification(300, random_state=0)
        frozen = FrozenEstimator(GaussianNB().fit(X, y))
        weight = np.arange(300) % 3
        weighted = CalibratedClassifier(frozen).fit(X, y, sample_weight=weight)
        repeated = CalibratedClassifier(frozen).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
        np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-9)

    def test_metadata_go_where_they_are_requested(self):
        X, y = make_classification(200, random_state=0)
        with sklearn.config_context(enable_metadata_routing=True):
            estimator = LogisticRegression().set_fit_request(sample_weight=True)
            fitted = CalibratedClassifier(estimator, cv=GroupKFold(4)).fit(
                X, y, sample_weight=np.arange(200.0), groups=np.repeat(np.arange(20), 10)
            )
        assert len(fitted.calibrated_classifiers_) == 4

    def test_a_class_that_a_fold_lacks(self):
        X, y = make_classification(120, n_classes=3, n_informative=6, random_state=0)
        y[y == 2] = 1
        y[:2] = 2
        folds = [(np.arange(60, 120), np.arange(60)), (np.arange(60), np.arange(60, 120))]
        with pytest.warns(CalibrationWarning, match="fold 0 lacks the class 2; its 2 held-out rows are left out"):
            fitted = CalibratedClassifier(GaussianNB(), cv=folds).fit(X, y)
        probs = fitted.predict_proba(X)
        np.testing.assert_allclose(probs.sum(axis=1), 1)
        assert np.isfinite(np.log(probs)).all()

    @pytest.mark.filterwarnings("ignore::calkit.errors.CalibrationWarning")
    def test_within_pipelines(self):
        X, y = load_iris(return_X_y=True)
        X, X_test, y, y_test = train_test_split(X, y, random_state=0)
        chained = make_pipeline(CalibratedClassifier(), TemperatureScaling()).fit(X, y)
        assert chained.predict_proba(X_test).shape == (len(y_test), 3)

    def test_bad_arguments(self):
        X, y = load_iris(return_X_y=True)
        with pytest.raises(UsageError, match="response_method must be one of auto"):
            CalibratedClassifier(response_method="margins").fit(X, y)
        with pytest.raises(UsageError, match="has no decision_function, so there is nothing to calibrate"):
            CalibratedClassifier(GaussianNB(), response_method="decision_function").fit(X, y)
        with pytest.raises(UsageError, match="unknown calibrator"):
            CalibratedClassifier(calibrator="temprature").fit(X, y)
        with pytest.raises(InputError, match="one class only"):
            CalibratedClassifier().fit(X, np.zeros(len(X)))
        X, y = make_classification(400, n_classes=4, n_informative=6, random_state=0)
        with pytest.raises(InputError, match="has 6 columns for 4 classes"):
            CalibratedClassifier(SVC(decision_function_shape="ovo")).fit(X, y)

    @pytest.mark.filterwarnings("ignore::calkit.errors.CalibrationWarning")
    def test_three_pairs_are_not_taken_for_three_classes(self):
        X, y = load_iris(return_X_y=True)
        pairs = SVC(decision_function_shape="ovo")
        for estimator in (pairs, make_pipeline(StandardScaler(), pairs), FrozenEstimator(SVC(**pairs.get_params()))):
            if isinstance(estimator, FrozenEstimator):
                estimator.estimator.fit(X, y)
            with pytest.raises(InputError, match="set decision_function_shape='ovr'"):
                CalibratedClassifier(estimator).fit(X, y)
        # Two classes have one column.
        assert CalibratedClassifier(pairs).fit(X[50:], y[50:]).classes_.tolist() == [1, 2]

    def test_a_frozen_classifier_keeps_classes_without_rows(self):
        X, y = load_iris(return_X_y=True)
        names = np.array(["setosa", "versicolor", "virginica"])[y]
        frozen = FrozenEstimator(LogisticRegression(max_iter=1000).fit(X, names))
        fitted = CalibratedClassifier(frozen).fit(X[50:], names[50:])
        assert fitted.classes_.tolist() == ["setosa", "versicolor", "virginica"]
        alone = TemperatureScaling().fit(frozen.decision_function(X[50:]), y[50:])
        assert_allclose(fitted.predict_proba(X), alone.predict_proba(frozen.decision_function(X)), rtol=0, atol=1e-12)
        assert (fitted.predict(X[:50]) == "setosa").all()

    def test_log_probabilities_are_cross_validated(self):
        X, y = make_classification(200, random_state=0)
        found = cross_val_predict(CalibratedClassifier(cv=3), X, y, cv=3, method="predict_log_proba")
        expected = cross_val_predict(CalibratedClassifier(cv=3), X, y, cv=3, method="predict_proba")
        assert_allclose(np.exp(found), expected, rtol=1e-12)


def test_folds_of_venn_abers_are_merged():
    from sklearn.datasets import load_wine
    from sklearn.naive_bayes import GaussianNB

    X, y = load_wine(return_X_y=True)
    fitted = CalibratedClassifier(GaussianNB(), "venn-abers", cv=3).fit(X, y)
    members = fitted.calibrated_classifiers_
    scores = [np.log(np.maximum(member.estimator.predict_proba(X), 1e-7)) for member in members]
    expected = VennAbers.merged_proba([member.calibrator for member in members], scores)
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    mean = np.mean([m.calibrator.predict_proba(z) for m, z in zip(members, scores, strict=True)], axis=0)
    assert abs(expected - mean).max() > 1e-3


@pytest.mark.parametrize("name", ["one-vs-rest", "top-label"])
def test_certain_scores_that_are_wrong_are_fitted(name):
    """1 - p is below every float64 here, but its logarithm, -500, is not: the loss is finite."""
    y = np.arange(48) % 3
    logits = 500 * np.eye(3)[np.where(np.arange(48) % 4 == 0, (y + 1) % 3, y)]
    proba = get_calibrator(name).fit(logits, y).predict_proba(logits)
    # Three predictions of four are right.
    assert_allclose(proba.max(axis=1), 0.75, atol=0.02)


def test_the_others_keep_their_proportions_where_they_are_next_to_nothing():
    logits = np.array([[0.0, -900, -901], [0, 1, 2], [3, 1, 0], [0, 2, 0], [1, 0, 0], [0, 0, 1]])
    found = TopLabel("temperature").fit(logits, [0, 1, 2, 1, 0, 0]).predict_log_proba(logits)
    # To the last digit of numbers near 900.
    assert_allclose(found[0, 1] - found[0, 2], 1, rtol=0, atol=1e-12)


def test_a_classifier_that_is_fitted_already_is_wrapped():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(InputError, match="FrozenEstimator"):
        calkit.CalibratedClassifier(GaussianNB().fit(X, y), cv="prefit").fit(X, y)
    assert calkit.CalibratedClassifier(FrozenEstimator(GaussianNB().fit(X, y))).fit(X, y).predict(X).shape == y.shape
