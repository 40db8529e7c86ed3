"""Parts of a report: targets, groups, worst classes, warnings of a fit."""

import itertools
import json

import numpy as np
import pytest
from scipy.special import softmax

import calkit
from calkit.datasets import load_digits_logits
from calkit.errors import CalibrationWarning, InputError, NotFoundError, UsageError
from calkit.inference.by_key import ErrorsByKey
from calkit.inference.cells import CellSums
from calkit.report import Entry, make_report, render_report

METRICS = ["ece", "nll", "error"]


@pytest.fixture(scope="module")
def test_split():
    test = load_digits_logits("test")
    columns = {
        "mass": np.linspace(0, 1, 899),
        "id": np.char.add("img-", np.arange(899).astype(str)),
        "half": np.where(np.arange(899) < 450, "a", "b"),
    }
    return test.replace(columns=columns)


def report_of(predictions, **options):
    return make_report([Entry("digits", predictions)], metrics=METRICS, **options)


class TestTargets:
    @pytest.mark.parametrize("target", ["positive:class=3", "top-3", "classwise", "top"])
    def test_values_are_those_of_evaluate(self, test_split, target):
        (subject,) = report_of(test_split, target=target).subjects
        found = calkit.evaluate(test_split, METRICS, target=target, confidence_level=0.95)
        assert subject.target == target
        for spec in METRICS:
            measure, judgement = subject.before.values[spec], found.judgement(spec)
            assert measure.value == found[spec]
            assert (measure.low, measure.high) == (judgement.interval or (None, None))

    def test_the_diagram_shows_the_event(self, test_split):
        (subject,) = report_of(test_split, target="positive:class=3").subjects
        probability = softmax(test_split.scores.astype(np.float64), axis=1)[:, 3]
        assert subject.before.diagram.mean_confidence == pytest.approx(probability.mean(), rel=1e-6)
        assert subject.before.diagram.mean_accuracy == np.mean(test_split.y_true == 3)
        page = render_report(report_of(test_split, target="positive:class=3"))
        assert "Observed frequency" in page
        assert "the event comes" in page
        assert "over-confident by" not in page.split("<main>")[1].split("<h3>")[0]

    def test_the_slider_shows_the_event(self, test_split):
        (subject,) = report_of(test_split, target="positive:class=3").subjects
        at = subject.sweep.temperature.index(1.0)
        found = calkit.evaluate(test_split, ["ece", "nll"], target="positive:class=3")
        assert subject.sweep.ece[at] == pytest.approx(found["ece"], rel=1e-12)
        assert subject.sweep.nll[at] == pytest.approx(found["nll"], rel=1e-9)

    def test_several_events_have_no_side_and_no_slider(self, test_split):
        report = report_of(test_split, target="classwise")
        (subject,) = report.subjects
        assert subject.sweep is None
        assert subject.before.overconfidence is None
        assert sum(subject.before.diagram.count) == 8990
        page = render_report(report)
        assert "Each of the 10 classes is judged by itself" in page
        assert "ECE of all together" in page

    def test_multi_label_predictions_are_judged_by_label(self):
        random = np.random.default_rng(0)
        scores, labels = random.random((60, 3)), (random.random((60, 3)) < 0.5).astype(int)
        predictions = calkit.Predictions(scores, labels, kind="probs", multilabel=True)
        report = make_report([Entry("labels", predictions)], metrics=["ece"])
        (subject,) = report.subjects
        assert subject.target == "multilabel"
        assert subject.before.values["ece"].value == calkit.evaluate(predictions, ["ece"])["ece"]
        assert "labels is judged by itself" in render_report(report)

    def test_an_unknown_target_is_one_error(self, test_split):
        with pytest.raises(NotFoundError, match="target"):
            report_of(test_split, target="nothing")
        with pytest.raises((InputError, UsageError)):
            report_of(test_split, target="positive:class=nothing")


class TestGroups:
    @pytest.mark.parametrize("by", ["half", "predicted class"])
    def test_values_are_those_of_evaluate(self, test_split, by):
        (subject,) = report_of(test_split, by=by).subjects
        found = calkit.evaluate(test_split, METRICS, by=by, confidence_level=0.95)
        assert [group.label for group in subject.before.groups] == [str(label) for label in found.groups]
        for group, expected in zip(subject.before.groups, found.groups.values(), strict=True):
            assert group.n_samples == expected.n_samples
            assert {spec: measure.value for spec, measure in group.values.items()} == dict(expected)
            assert group.values["ece"].p_value == pytest.approx(expected.judgement("ece").p_adjusted, abs=0.02)

    def test_the_page_and_the_data_have_them(self, test_split):
        report = report_of(test_split, by="half")
        page = render_report(report)
        assert "By half" in page
        assert "Of the 2 groups by half, 2 are miscalibrated beyond noise" in page.replace("\xa0", " ")
        data = report.to_dict()["subjects"][0]
        assert data["by"] == "half"
        assert [group["label"] for group in data["results"][0]["groups"]] == ["a", "b"]

    def test_no_group_of_calibrated_predictions_is_named(self):
        # Outcomes are drawn from the probabilities.
        random = np.random.default_rng(5)
        p = random.random((2000, 1))
        y = (random.random(2000) < p[:, 0]).astype(int)
        group = random.integers(0, 60, 2000)
        predictions = calkit.Predictions(p, y, kind="probs", columns={"group": group})
        page = render_report(make_report([Entry("fair", predictions)], metrics=["ece"], by="group", target="positive"))
        assert "Of the 60 groups by group, none is miscalibrated beyond noise." in page
        assert "The 30 of 60 groups" in page

    def test_missing_values_are_one_group(self):
        group = np.array([1.0, *[np.nan] * 199])
        predictions = calkit.Predictions(
            np.tile([0.3, 0.7], 100), np.tile([0, 1], 100), kind="probs", columns={"group": group}
        )
        report = make_report([Entry("one", predictions)], metrics=["ece"], by="group")
        assert [g["label"] for g in report.to_dict()["subjects"][0]["results"][0]["groups"]] == ["1", "(missing)"]

    def test_too_many_groups_and_unknown_columns(self, test_split):
        with pytest.raises(UsageError, match="by='id' has 899 values, and a report shows 100 groups at most"):
            report_of(test_split, by="id")
        with pytest.raises(NotFoundError, match="nothing"):
            report_of(test_split, by="nothing")


class TestWorstClasses:
    def test_only_the_class_that_was_spoilt_is_named(self):
        # Outcomes are drawn from the probabilities; then half of the rows of class 7 are said to be of class 2.
        random = np.random.default_rng(1)
        p = random.dirichlet(np.full(40, 0.2), 6000)
        y = np.array([random.choice(40, p=row) for row in p])
        spoilt = np.flatnonzero(y == 7)[::2]
        fair = make_report([Entry("fair", calkit.Predictions(p, y, kind="probs"))], metrics=["ece"])
        assert fair.subjects[0].before.classes.worst == ()
        y[spoilt] = 2
        report = make_report([Entry("spoilt", calkit.Predictions(p, y, kind="probs"))], metrics=["ece"])
        classes = report.subjects[0].before.classes
        assert {item.name for item in classes.worst} == {"2", "7"}
        by_name = {item.name: item for item in classes.worst}
        assert by_name["7"].weight == np.count_nonzero(y == 7)
        assert by_name["7"].probability == pytest.approx(p[:, 7].mean(), rel=1e-12)
        assert by_name["7"].ece.value == pytest.approx(classes.ece[7], rel=1e-12)
        assert 0 < by_name["7"].ece.low < by_name["7"].ece.value <= by_name["7"].ece.high
        assert len(classes.p_value) == 40
        page = render_report(report)
        assert "Of 40 classes, 2 are miscalibrated beyond noise" in page
        assert "Classes that are miscalibrated beyond noise. " in page

    def test_errors_are_those_of_the_metric(self, test_split):
        (subject,) = report_of(test_split).subjects
        found = calkit.classwise_ece(test_split.y_true, softmax(test_split.scores.astype(np.float64), axis=1))
        assert np.mean(subject.before.classes.ece) == pytest.approx(found, rel=1e-6)

    def test_the_far_tail_of_the_noise_is_not_too_small(self):
        # Against draws of the outcomes: p-values of 5 % to 0.3 % are at least that, and at most some times as large.
        random = np.random.default_rng(2)
        p = random.beta(0.3, 5, 400)
        cell = np.minimum((p * 15).astype(int), 14)
        drawn = random.random((10_000, 400)) < p
        totals = [np.abs((p - drawn)[:, cell == c].sum(axis=1)) for c in np.unique(cell)]
        total = np.sum(totals, axis=0)
        errors = ErrorsByKey(CellSums.of(cell, 15, p, drawn[0]), 1)
        law = errors.law(0)
        assert law.mean == pytest.approx(total.mean(), rel=0.02)
        for tail in (0.05, 0.01, 0.003):
            value = np.quantile(total, 1 - tail)
            assert tail * 0.8 < law.p_value(value) < 6 * tail
            assert law.critical(law.p_value(value)) == pytest.approx(value, rel=1e-6)
        assert errors.p_value[0] == pytest.approx(law.p_value(total[0]), rel=1e-9)

    @pytest.mark.parametrize("uneven", [False, True], ids=["rows", "weights"])
    @pytest.mark.parametrize("p", [[0.29], [0.1, 0.1], [0.5] * 3, [0.01] * 8, [0.99, 0.98, 0.3, 0.02, 0.6]], ids=str)
    def test_few_expected_events_are_no_evidence(self, p, uneven):
        # All outcomes of the rows, each with its own probability: no p-value comes up more often than it says.
        p = np.array(p)
        weight = np.linspace(1, 2, len(p)) if uneven else None
        cell = np.minimum((p * 15).astype(int), 14)
        found = []
        for y in itertools.product([0, 1], repeat=len(p)):
            errors = ErrorsByKey(CellSums.of(cell, 15, p, np.array(y), weight), 1)
            total = float(errors.value[0] * errors.total[0])
            law = errors.law(0)
            if errors.p_value[0] < 0.2:
                assert errors.p_value[0] == pytest.approx(law.p_value(total), rel=1e-9)
            low, high = errors.limits(0, 0.95)
            assert 0 <= low <= errors.value[0] <= high <= 1
            found.append((errors.p_value[0], np.prod(np.where(y, p, 1 - p))))
        # 1,000 draws tell a probability to a tenth or so.
        slack = 1.25 if uneven and len(p) > 1 else 1 + 1e-9
        for level, _ in found:
            if level < 0.2:
                assert sum(chance for value, chance in found if value <= level) <= slack * level

    def test_one_row_tells_nothing_of_its_class(self):
        predictions = calkit.Predictions([[0.29, 0.49, 0.22]], [0], kind="probs")
        (subject,) = make_report([Entry("one", predictions)]).subjects
        assert subject.before.classes.worst == ()

    def test_soft_labels_have_errors_without_noise(self):
        random = np.random.default_rng(3)
        p, votes = random.dirichlet(np.ones(4), 50), random.dirichlet(np.ones(4), 50)
        report = make_report([Entry("votes", calkit.Predictions(p, votes, kind="probs"))], metrics=["brier"])
        classes = report.subjects[0].before.classes
        assert classes.p_value == ()
        assert len(classes.ece) == 4
        render_report(report)


def test_mistakes_name_their_rows(test_split):
    (subject,) = report_of(test_split).subjects
    first = subject.before.mistakes[0]
    assert first.ids == {"id": f"img-{first.row}", "half": "a" if first.row < 450 else "b"}


@pytest.mark.parametrize(
    ("target", "event"),
    [("positive:class=3", lambda p, y: (p[:, 3], y == 3)), ("top-2", lambda p, y: _best_two(p, y))],
)
def test_mistakes_of_an_event_are_those_of_its_forecasts(target, event):
    # By sorting all rows by the distance between forecast and outcome.
    test = load_digits_logits("test")
    probability, came = event(softmax(test.scores.astype(np.float64), axis=1), np.asarray(test.y_true))
    report = make_report([Entry("digits", test)], metrics=["ece"], confidence_level=None, target=target)
    found = report.subjects[0].before.mistakes
    distance = np.abs(probability - came)
    assert len(found) == 10
    np.testing.assert_allclose([item.confidence for item in found], np.sort(distance)[:-11:-1], atol=1e-6)
    for item in found:
        assert item.probability == pytest.approx(probability[item.row], abs=1e-6)
        assert item.came == came[item.row]
    page = render_report(report)
    assert f"Rows whose forecast of {target} was furthest from what happened" in page
    assert '<th scope="col">event came</th>' in page


def _best_two(p, y):
    best = np.argsort(-p, axis=1, kind="stable")[:, :2]
    return np.take_along_axis(p, best, axis=1).sum(axis=1), (best == y[:, None]).any(axis=1)


def test_warnings_of_a_fit_stand_on_the_page_and_in_the_data(calkit_cli, tmp_path):
    # Every true class has the largest logit, so that the best temperature is 0.
    scores, labels = np.array([[2.0, 0, 1], [0, 3, 1], [0, 1, 0]]), np.array([0, 1, 1])
    validation = calkit.Predictions(scores, labels, kind="logits")
    test = calkit.Predictions(scores, np.array([0, 1, 0]), kind="logits")
    with pytest.warns(CalibrationWarning, match="is held at"):
        entry = Entry.from_predictions("<b>tiny", test, validation)
    report = make_report([entry], metrics=["ece"])
    (text,) = report.subjects[0].warnings
    assert "temperature_ is held at" in text
    assert "<strong>Warning:</strong> every true class has the largest logit" in render_report(report)
    arrays = {"val_logits": scores, "val_labels": labels, "test_logits": scores, "test_labels": test.y_true}
    np.savez(tmp_path / "tiny.npz", **arrays)
    code, out, err = calkit_cli("report", str(tmp_path / "tiny.npz"), "--format", "json")
    assert code == 0, err
    assert err.count("is held at") == 1
    assert "is held at" in json.loads(out)["subjects"][0]["warnings"][0]


def test_the_command_has_target_and_by(calkit_cli, tmp_path):
    path = tmp_path / "scores.csv"
    rows = [f"id{i},{p},{int(i % 3 == 0)},{'n' if i % 2 else 's'}" for i, p in enumerate(np.linspace(0.05, 0.95, 40))]
    path.write_text("\n".join(["id,probability,label,region", *rows]), encoding="utf-8")
    words = ["report", str(path), "--as-is", "--target", "positive", "--by", "region", "--format", "json"]
    code, out, err = calkit_cli(*words)
    assert code == 0, err
    subject = json.loads(out)["subjects"][0]
    assert (subject["target"], subject["by"]) == ("positive", "region")
    assert [(group["label"], group["n_samples"]) for group in subject["results"][0]["groups"]] == [("n", 20), ("s", 20)]
    assert subject["results"][0]["mistakes"][0]["ids"]["id"].startswith("id")
    code, _, err = calkit_cli(*words[:-4], "--by", "nothing", "--format", "json")
    assert code in (1, 2)
    assert "nothing" in err


@pytest.mark.parametrize("target", ["classwise", "ordinal"])
def test_adaptive_bins_of_classes_whose_probabilities_are_all_alike(target):
    # Ties leave one bin of 15: intervals and reports used to end in an IndexError.
    predictions = calkit.Predictions(np.full((30, 3), 1 / 3), np.arange(30) % 3, kind="probs")
    report = make_report([Entry("alike", predictions)], metrics=["adaece", "ece"], target=target)
    values = report.subjects[0].before.values
    assert values["adaece"].value == pytest.approx(values["ece"].value, abs=1e-12)
    assert values["adaece"].low == pytest.approx(values["ece"].low, abs=1e-9)
    assert values["adaece"].high == pytest.approx(values["ece"].high, abs=0.05)


def test_metrics_of_an_event_are_explained_as_such(test_split):
    report = make_report([Entry("digits", test_split)], metrics=["brier"], target="positive:class=3")
    page = render_report(report)
    assert "Squared distance of the probability from what happened (0 to 1)." in page
    assert "summed over the classes" not in page
