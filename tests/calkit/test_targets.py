"""What is judged: every target against plain loops, one column as P(y = 1), groups, and the names of both."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn import metrics as sk

import calkit
from calkit import Predictions, evaluate
from calkit.cli.app import cli
from calkit.errors import InputError, NotFoundError, UsageError
from calkit.stats import At, RowMean, Temperature, UniformBins, summarize
from calkit.stats.targets import available_targets, get_view
from calkit.streaming import StreamingEvaluation
from tests import reference


def example(n=400, k=5, seed=0, scale=3.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * scale
    y = (logits / 2 - np.log(-np.log(rng.random((n, k))))).argmax(axis=1)
    return logits, y


def events(target, probs, y):
    """The (probability, outcome) pairs of each key of a target, by a loop over rows."""
    k = len(probs[0])
    if target == "top":
        return [reference.pairs(probs, y)]
    if target == "positive:class=2":
        return [[(p[2], int(label == 2)) for p, label in zip(probs, y, strict=True)]]
    if target == "classwise":
        return [[(p[j], int(label == j)) for p, label in zip(probs, y, strict=True)] for j in range(k)]
    if target == "ordinal":
        return [
            [(math.fsum(p[: j + 1]), int(label <= j)) for p, label in zip(probs, y, strict=True)] for j in range(k - 1)
        ]
    best = [sorted(range(k), key=lambda j, p=p: (-p[j], j))[:3] for p in probs]
    return [
        [(math.fsum(p[j] for j in three), int(label in three)) for p, label, three in zip(probs, y, best, strict=True)]
    ]


def mean(values):
    return math.fsum(values) / len(values)


def decided(target, p, outcome):
    return outcome if target in ("top", "top-3") else int((p > 0.5) == outcome)


# Each metric of the pairs of one key, by its definition.
ORACLES = {
    "ece": lambda target, pairs: reference.ece_of_pairs(pairs),
    "ece:n_bins=7": lambda target, pairs: reference.ece_of_pairs(pairs, 7),
    "adaece": lambda target, pairs: reference.adaece_of_pairs(pairs),
    "brier": lambda target, pairs: mean([(p - o) ** 2 for p, o in pairs]),
    "nll": lambda target, pairs: mean([-math.log(p if o else 1 - p) for p, o in pairs]),
    "accuracy": lambda target, pairs: mean([decided(target, p, o) for p, o in pairs]),
    "s99:threshold=0.9": lambda target, pairs: mean([p >= 0.9 for p, _ in pairs]),
}


@pytest.mark.parametrize("target", ["top", "positive:class=2", "classwise", "ordinal", "top-3"])
@pytest.mark.parametrize("spec", ORACLES)
def test_targets_are_plain_loops(spec, target):
    logits, y = example()
    probs = [reference.softmax(row) for row in logits]
    expected = mean([ORACLES[spec](target, pairs) for pairs in events(target, probs, y.tolist())])
    for kind, scores in (("logits", logits), ("probs", np.array(probs))):
        found = evaluate(Predictions(scores, y, kind=kind), [spec], target=target)
        assert found[spec] == pytest.approx(expected, rel=1e-10, abs=1e-12)
    assert evaluate(Predictions(logits, y, kind="logits"), [f"{spec}{',' if ':' in spec else ':'}target={target}"])


def test_the_largest_gap_is_that_of_all_classes():
    logits, y = example()
    probs = [reference.softmax(row) for row in logits]
    expected = max(reference.mce_of_pairs(pairs) for pairs in events("classwise", probs, y.tolist()))
    for binning in ("uniform", "quantile"):
        found = calkit.mce(y, logits, from_logits=True, target="classwise", binning=binning)
        if binning == "uniform":
            assert found == pytest.approx(expected, rel=1e-12)
        each = [
            calkit.mce(y, logits, from_logits=True, target=f"positive:class={j}", binning=binning) for j in range(5)
        ]
        assert found == pytest.approx(max(each), rel=1e-12)


def test_multilabel_columns_are_events():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(300, 3)) * 2
    y = (rng.random((300, 3)) < 1 / (1 + np.exp(-z))).astype(int)
    p = 1 / (1 + np.exp(-z))
    each = [reference.ece_of_pairs(list(zip(p[:, j].tolist(), y[:, j].tolist(), strict=True))) for j in range(3)]
    assert calkit.ece(y, p, target="multilabel") == pytest.approx(mean(each), rel=1e-12)
    found = evaluate(Predictions(z, y, kind="logits", multilabel=True), ["ece", "nll", "brier", "accuracy"])
    assert found["ece"] == pytest.approx(mean(each), rel=1e-12)
    # scikit-learn, label by label.
    assert found["nll"] == pytest.approx(mean([sk.log_loss(y[:, j], p[:, j]) for j in range(3)]), rel=1e-12)
    assert found["brier"] == pytest.approx(mean([sk.brier_score_loss(y[:, j], p[:, j]) for j in range(3)]), rel=1e-12)
    assert found["accuracy"] == pytest.approx(1 - sk.hamming_loss(y, p > 0.5))
    assert found.metrics[0].heading == "ECE (multilabel) %"
    with pytest.raises(InputError, match="multi-label predictions have no target 'top'"):
        evaluate(Predictions(z, y, kind="logits", multilabel=True), ["ece"], target="top")
    with pytest.raises(InputError, match="target='multilabel' needs labels of shape"):
        evaluate(Predictions(z, y.argmax(axis=1), kind="logits"), ["ece"], target="multilabel")


class TestOneColumn:
    def test_it_is_the_forecast_of_class_one(self):
        # By hand: bins of .3 and .7 hold one event each that came: |1 - .3| and |1 - .7|, their mean.
        assert calkit.ece([1, 1], [0.3, 0.7], n_bins=10) == pytest.approx(0.5)
        # The predicted classes are 0, wrong at confidence .7, and 1, right at .7: |1/2 - .7|.
        assert calkit.ece([1, 1], [0.3, 0.7], n_bins=10, target="top") == pytest.approx(0.2)

    def test_equals_scikit_learn(self):
        rng = np.random.default_rng(2)
        p, y, w = rng.random(200), rng.integers(0, 2, 200), rng.random(200)
        assert calkit.brier(y, p, sample_weight=w) == pytest.approx(sk.brier_score_loss(y, p, sample_weight=w))
        assert calkit.nll(y, p, sample_weight=w) == pytest.approx(sk.log_loss(y, p, sample_weight=w))
        assert calkit.accuracy(y, p, sample_weight=w) == pytest.approx(sk.accuracy_score(y, p > 0.5, sample_weight=w))
        assert calkit.accuracy(y, p, target="top") == calkit.accuracy(y, p)

    def test_it_is_named(self):
        p = Predictions([0.2, 0.7, 0.9], [0, 1, 1], kind="probs")
        found = evaluate(p, ["ece", "brier", "accuracy", "classwise_ece"])
        assert [m.heading for m in found.metrics[:3]] == [
            "ECE (positive) %",
            "Brier (positive)",
            "Accuracy (positive) %",
        ]
        assert found.to_dict()["targets"] == {"ece": "positive", "brier": "positive", "accuracy": "positive"}
        top = evaluate(p, ["ece"], target="top")
        assert top.metrics[0].heading == "ECE (top) %"
        assert top.to_dict()["targets"] == {"ece": "top"}
        two = Predictions([[0.8, 0.2], [0.3, 0.7]], [0, 1], kind="probs")
        assert "targets" not in evaluate(two, ["ece"]).to_dict()
        assert evaluate(two, ["ece"]).metrics[0].heading == "ECE %"
        assert evaluate(two, ["brier"]).metrics[0].bounds == (0.0, 2.0)
        assert evaluate(p, ["brier"]).metrics[0].bounds == (0.0, 1.0)

    def test_a_calibrated_column_is_judged_as_before(self):
        rng = np.random.default_rng(3)
        z = rng.normal(size=400) * 4
        y = (rng.random(400) < 1 / (1 + np.exp(-z / 2))).astype(int)
        column = Predictions(z, y, kind="logits")
        after = evaluate(calkit.TemperatureScaling().fit_predictions(column).apply(column), ["ece", "brier"])
        assert [m.view.spec for m in after.metrics] == ["positive", "positive"]
        assert after["brier"] < evaluate(column, ["brier"])["brier"]

    def test_pairs_are_forecasts_of_the_top_label(self):
        pairs = Predictions.from_confidence([0.3, 0.7], [1, 1])
        assert evaluate(pairs, ["ece:n_bins=10"])["ece:n_bins=10"] == pytest.approx(0.5)
        assert evaluate(pairs, ["ece"]).metrics[0].heading == "ECE %"
        with pytest.raises(InputError, match="forecasts of the top label; leave target out"):
            evaluate(pairs, ["ece"], target="positive")
        with pytest.raises(InputError, match="needs the scores of all classes"):
            evaluate(pairs, ["ece"], target="classwise")


@pytest.mark.parametrize("target", ["top", "positive:class=1", "classwise", "ordinal", "top-2", "multilabel"])
def test_logarithms_of_extreme_logits_are_not_clipped(target):
    # A row as sure as z = 2,000 loses 2,000 nats where it is wrong; exponentials of that are 0.
    z, y = np.array([[0.0, 2000.0, -2000.0]]), [0]
    labels = [[1, 0, 0]] if target == "multilabel" else y
    predictions = Predictions(z, labels, kind="logits", multilabel=target == "multilabel")
    found = evaluate(predictions, ["nll"], target=target)["nll"]
    # By hand: the losses of the events that are judged, wrong ones -log(e^-2000), -log(e^-4000) for k = 2.
    expected = {
        "top": 2000,
        "positive:class=1": 2000,
        "classwise": (2000 + 2000 + 0) / 3,
        "ordinal": (2000 + 0) / 2,
        "top-2": 0,
        "multilabel": (math.log(2) + 2000 + 0) / 3,
    }
    assert found == pytest.approx(expected[target])


def test_classes_are_found_by_name():
    logits, y = example(k=3)
    names = ["cat", "dog", 7]
    p = Predictions(logits, [names[i] for i in y], kind="logits", class_names=names)
    for label, column in (("dog", 1), (7, 2)):
        found = evaluate(p, [f"ece:target=positive:class={label}"])
        own = evaluate(Predictions(logits, y, kind="logits"), ["ece"], target=f"positive:class={column}")
        assert found[f"ece:target=positive:class={label}"] == own["ece"]
        assert found.metrics[0].heading == f"ECE (class {label}) %"
    with pytest.raises(InputError, match=r"there is no class 'cow'; the classes are cat, dog, 7"):
        evaluate(p, ["ece"], target="positive:class=cow")
    with pytest.raises(InputError, match=r"which of the 3 classes is meant: 'positive:class=NAME'"):
        evaluate(p, ["ece"], target="positive")


def test_words():
    assert available_targets() == ["top", "positive", "classwise", "multilabel", "top-k", "ordinal"]
    assert get_view("top-5") == get_view("Top-K:k=5") == get_view("topk:5")
    assert get_view("top-1") == get_view("top") == get_view("top-label")
    assert get_view("positive:class=cat").spec == "positive:class=cat"
    with pytest.raises(NotFoundError, match="unknown target 'claswise'. Did you mean 'classwise'"):
        get_view("claswise")
    with pytest.raises(UsageError, match="positive whole number k"):
        get_view("top-0")
    with pytest.raises(UsageError, match="classwise_ece is defined for target classwise or multilabel, not for 'top'"):
        calkit.classwise_ece([0, 1], [[0.8, 0.2], [0.4, 0.6]], target="top")


class TestGroups:
    def test_values_counts_and_the_worst(self):
        logits, y = example(300)
        region = np.array(["north", "south", "east"])[np.random.default_rng(0).integers(0, 3, 300)]
        p = Predictions(logits, y, kind="logits", columns={"region": region})
        found = evaluate(p, ["ece", "accuracy", "s99"], by="region", confidence_level=0.9)
        assert list(found.groups) == ["east", "north", "south"]
        for label, group in found.groups.items():
            rows = np.flatnonzero(region == label)
            alone = evaluate(Predictions(logits[rows], y[rows], kind="logits"), ["ece", "accuracy", "s99"])
            assert group.n_samples == len(rows)
            assert dict(group) == pytest.approx(dict(alone), rel=1e-12)
            low, high = group.intervals["accuracy"]
            assert low < group["accuracy"] < high
        assert dict(found) == dict(evaluate(p, ["ece", "accuracy", "s99"]))
        assert found.worst("ece") == max(found.groups, key=lambda g: found.groups[g]["ece"])
        assert found.worst("accuracy") == min(found.groups, key=lambda g: found.groups[g]["accuracy"])
        data = json.loads(json.dumps(found.to_dict()))
        assert data["by"] == "region"
        assert [g["group"] for g in data["groups"]] == ["east", "north", "south"]
        assert sum(g["n_samples"] for g in data["groups"]) == 300
        assert data["worst"]["ece"] == found.worst("ece")
        assert "region = south" in str(found)

    def test_of_a_function(self):
        found = calkit.ece([1, 0, 1], [0.2, 0.3, 0.8], by=["a", "b", "a"])
        # By hand: a holds |1 - .2| and |1 - .8|, b |0 - .3|.
        assert found.groups == pytest.approx({"a": 0.5, "b": 0.3})
        assert found.counts == {"a": 2, "b": 1}
        assert found.worst == "a"
        assert found == pytest.approx((0.8 + 0.2 + 0.3) / 3)

    def test_missing_values_are_a_group_and_sort_last(self):
        p = Predictions([0.2, 0.3, 0.8], [1, 0, 1], kind="probs", columns={"age": [40.0, np.nan, 20.0]})
        assert list(evaluate(p, ["ece"], by="age").groups) == [20.0, 40.0, None]

    @pytest.mark.parametrize("missing", [None, float("nan"), "", "NA"], ids=["none", "nan", "empty", "NA"])
    @pytest.mark.parametrize("values", [[1.0, 2.0], ["a", "b"], [True, False]], ids=["numbers", "text", "truth"])
    def test_every_way_to_write_a_missing_value_is_one_group(self, values, missing, tmp_path):
        if missing == "NA":
            missing = pytest.importorskip("pandas").NA
        column = np.array([values[0], missing, values[1], missing], dtype=object)
        p = Predictions([0.2, 0.9, 0.8, 0.3], [1, 0, 1, 1], kind="probs", columns={"by": column})
        found = evaluate(p, ["brier"], by="by")
        assert list(found.groups) == [*sorted(values), None]
        # By hand: ((.9 - 0)² + (.3 - 1)²) / 2 is the largest of .64, .65 and .04.
        assert found.groups[None]["brier"] == pytest.approx(0.65)
        assert found.worst_groups["brier"].group is None
        assert list(calkit.ReliabilityDisplay.each(p, by="by"))[-1] == "by = (missing)"
        calkit.save_predictions(p, tmp_path / "p.csv")
        back = evaluate(calkit.load_predictions(tmp_path / "p.csv", columns=["by"]), ["brier"], by="by")
        assert back.groups[None]["brier"] == pytest.approx(0.65)

    def test_whole_numbers_beside_a_missing_one_are_called_so(self):
        p = Predictions([0.2, 0.3, 0.8], [1, 0, 1], kind="probs", columns={"age": [40.0, np.nan, 20.0]})
        assert list(map(str, evaluate(p, ["ece"], by="age").groups)) == ["20", "40", "None"]

    def test_errors(self):
        p = Predictions(
            [0.2] * 10_001, [1] * 10_001, kind="probs", columns={"id": np.arange(10_001), "x": [0] * 10_001}
        )
        with pytest.raises(NotFoundError, match=r"unknown column 'idd'.*Did you mean 'id'"):
            evaluate(p, ["ece"], by="idd")
        with pytest.raises(InputError, match="more than 10,000 values; choose a column of groups"):
            evaluate(p, ["ece"], by="id")

    def test_equal_mass_bins_of_many_rows(self):
        # More rows than are kept: every group takes passes of its own.
        from calkit.stats import By, EqualMass

        logits, y = example(500)
        groups = np.arange(500) % 2
        p = Predictions(logits, y, kind="logits", columns={"g": groups})
        for view in ("top", "classwise"):
            few, many = (EqualMass(15, rows, get_view(view)) for rows in (20, 10**6))
            found = summarize(p, [By(few, "g"), By(many, "g")])
            for label in (0, 1):
                a, b = (found[By(s, "g")].summaries[label] for s in (few, many))
                parts = zip(*(x.summaries.values() if view == "classwise" else [x] for x in (a, b)), strict=True)
                for x, z in parts:
                    one, two = few.to_bins(x), many.to_bins(z)
                    np.testing.assert_array_equal(one.count, two.count)
                    np.testing.assert_allclose(one.confidence, two.confidence, rtol=1e-12)


def test_any_function_of_rows_transforms_the_logits():
    logits, y = example()
    p = Predictions(logits, y, kind="logits")
    shift = np.array([0.5, -0.5, 0.0, 1.0, 0.2])

    def vector(z):
        return z * np.array([1.0, 0.5, 2.0, 1.0, 0.1]) + shift

    for statistic, value in ((UniformBins(15), lambda b: b.confidence), (RowMean("nll"), lambda t: t.mean)):
        found = summarize(p, [At(statistic, vector), At(statistic, Temperature(0.5))])
        other = summarize(p.replace(scores=vector(logits)), [statistic])[statistic]
        halved = summarize(p.replace(scores=logits / 2), [statistic])[statistic]
        np.testing.assert_allclose(value(found[At(statistic, vector)]), value(other), rtol=1e-12)
        np.testing.assert_allclose(value(found[At(statistic, Temperature(0.5))]), value(halved), rtol=1e-12)
    with pytest.raises(InputError, match="only logits can be scaled"):
        summarize(Predictions([[0.5, 0.5]], [0], kind="probs"), [At(UniformBins(15), vector)])


class TestStreams:
    def test_one_column_is_known_from_the_first_batch(self):
        stream = StreamingEvaluation(["ece"], kind="probs").update([0.3], [1]).update([0.7], [1])
        assert stream.result()["ece"] == pytest.approx(0.5)
        assert stream.result().metrics[0].heading == "ECE (positive) %"
        with pytest.raises(InputError, match="one column of scores is the forecast of one event"):
            stream.update([[0.3, 0.7]], [1])
        assert stream.n_samples == 2

    def test_files_keep_targets_and_groups(self, tmp_path):
        logits, y = example()
        stream = StreamingEvaluation(["ece", "nll"], target="classwise", by="day")
        stream.update(logits[:200], y[:200], columns={"day": ["mon"] * 150 + ["tue"] * 50}).save(tmp_path / "s.npz")
        again = StreamingEvaluation.load(tmp_path / "s.npz")
        again.update(logits[200:], y[200:], columns={"day": ["tue"] * 200})
        whole = Predictions(logits, y, kind="logits", columns={"day": ["mon"] * 150 + ["tue"] * 250})
        expected = evaluate(whole, ["ece", "nll"], target="classwise", by="day")
        assert dict(again.result()) == pytest.approx(dict(expected), rel=1e-12)
        for label, group in again.result().groups.items():
            assert dict(group) == pytest.approx(dict(expected.groups[label]), rel=1e-12)
            assert group.n_samples == expected.groups[label].n_samples

    def test_a_statistic_that_does_not_say_that_it_is_a_sum_is_not_kept(self):
        from dataclasses import dataclass

        from calkit.metrics import Metric
        from calkit.stats import ConfidencePairs, Statistic

        @dataclass(frozen=True)
        class Everything(Statistic[ConfidencePairs]):
            def measure(self, rows):
                return ConfidencePairs(rows.confidence, rows.correct)

        metric = Metric("largest", "Largest", Everything(), lambda pairs: float(pairs.confidence.max()))
        with pytest.raises(UsageError, match="largest needs the confidence of every row"):
            StreamingEvaluation([metric])
        stream = StreamingEvaluation([metric], keep_pairs=True).update([[2.0, 0.0]], [0])
        assert stream.result()["largest"] == pytest.approx(1 / (1 + math.exp(-2)))


def test_the_command_line(tmp_path):
    logits, y = example()
    np.savez(tmp_path / "logits.npz", logits=logits, labels=y)
    arguments = ["evaluate", str(tmp_path / "logits.npz"), "--metrics", "ece,brier", "--target", "classwise"]
    table = CliRunner().invoke(cli, arguments)
    assert table.exit_code == 0, table.output
    assert "ECE (classwise) %" in table.output
    found = json.loads(CliRunner().invoke(cli, [*arguments, "--format", "json"]).output)[0]
    assert found["targets"] == {"ece": "classwise", "brier": "classwise"}
    assert found["metrics"]["ece"] == calkit.classwise_ece(y, logits, from_logits=True)


def test_a_report_of_one_column_judges_predicted_classes_and_says_so():
    from calkit.report import make_report
    from calkit.report.entries import Entry

    rng = np.random.default_rng(0)
    p, y = rng.random(200), rng.integers(0, 2, 200)
    report = make_report(
        [Entry("one", Predictions(p, y, kind="probs"))], metrics=["ece", "classwise_ece"], confidence_level=None
    )
    (result,) = report.subjects[0].results
    assert result.values["ece"].value == pytest.approx(calkit.ece(y, p, target="top"), rel=1e-12)
    assert report.metrics[0].heading == "ECE (top) %"
    diagram = result.diagram
    gaps = np.abs(np.array(diagram.confidence) - np.array(diagram.correct)).sum() / np.sum(diagram.weight)
    assert gaps == pytest.approx(result.values["ece"].value, rel=1e-12)


def test_means_of_next_to_nothing_far_from_their_centre_give_no_warning():
    # A mean of 1e-320 lies further from its centre than the square of a number can tell; |10^6 - C| is 10^6.
    from calkit.inference.cells import mean_absolute

    assert mean_absolute(np.array([1e-300]), np.array([1e-20]), np.array([1e6])).tolist() == pytest.approx([1e6])
