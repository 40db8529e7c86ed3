"""Comparison of models on the same rows: paired intervals, corrected p-values, refusals."""

import csv
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import norm, t, ttest_1samp

import calkit
from calkit.calibrators import get_calibrator
from calkit.cli.app import cli
from calkit.datasets import digits_path, load_digits_logits
from calkit.errors import InputError, NotFoundError
from calkit.inference.means import skewed_limits
from calkit.inference.paired import OneSided, holm, mean_difference, square_and_add
from calkit.plotting import ForestDisplay


@pytest.fixture(scope="module")
def models():
    test, validation = load_digits_logits("test"), load_digits_logits("validation")
    return {
        "before": test,
        "temperature": get_calibrator("temperature").fit_predictions(validation).apply(test),
        "vector": get_calibrator("vector").fit_predictions(validation).apply(test),
    }


def test_holm_by_hand():
    # Sorted .01 .02 .04 times 3 2 1, running maximum; capped at 1.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_square_and_add_by_hand():
    one, two = OneSided(0.5, 0.5, 0.4, 0.7), OneSided(0.3, 0.3, 0.2, 0.35)
    # No correlation: distances .1 and .05 below, .2 and .1 above, added by their squares.
    alone = square_and_add(one, two, (np.zeros((4, 1)), np.zeros((4, 1))), 0.95)
    assert alone.low == pytest.approx(0.2 - np.hypot(0.1, 0.05))
    assert alone.high == pytest.approx(0.2 + np.hypot(0.2, 0.1))
    # The same noise in both, and both clearly above 0: it cancels (correlation .98 at most).
    noise = np.arange(8.0)[:, None]
    paired = square_and_add(one, two, (noise, noise), 0.95)
    assert paired.low == pytest.approx(0.2 - np.sqrt(0.01 - 2 * 0.98 * 0.005 + 0.0025))
    # Opposite noise adds up.
    opposite = square_and_add(one, two, (noise, -noise + 10), 0.95)
    assert opposite.low < alone.low
    # Without folds the distances are added.
    assert square_and_add(one, two, None, 0.95).low == pytest.approx(0.2 - 0.15)
    # A positive correlation is not used where an error may be 0.
    flat = OneSided(0.3, 0.3, 0.0, 0.35)
    assert square_and_add(one, flat, (noise, noise), 0.95).low == pytest.approx(0.2 - np.hypot(0.1, 0.05))


def test_p_values_and_limits_never_contradict():
    for gap in (0.05, 0.1, 0.15, 0.3):
        found = square_and_add(OneSided(gap, gap, gap - 0.1, gap + 0.1), OneSided(0, 0, 0, 0), None, 0.95)
        assert (found.p_value < 0.05) == found.is_clear
        assert found.p_value == pytest.approx(2 * norm.sf(gap / (0.1 / norm.ppf(0.975))))


def test_a_difference_of_means_is_the_wider_of_two_intervals():
    rng = np.random.default_rng(0)
    one, two = rng.random(50), rng.random(50) ** 4
    gap = one - two
    found = mean_difference(one, two, np.ones(50), 0.9)
    student = ttest_1samp(gap, 0)
    low, high = student.confidence_interval(0.9)
    hall = skewed_limits(gap.mean(), (gap - gap.mean()) / 50, 0.9)
    assert found.value == pytest.approx(gap.mean())
    assert (found.low, found.high) == pytest.approx((min(low, hall[0]), max(high, hall[1])), abs=1e-12)
    assert found.p_value >= student.pvalue - 1e-12


def test_the_p_value_of_means_is_the_level_that_just_reaches_0():
    rng = np.random.default_rng(0)
    for shift in (-0.2, -0.1, 0.05, 0.2):
        one = rng.gamma(0.3, 1, 60) - 0.3 + shift
        p = mean_difference(one, np.zeros(60), np.ones(60), 0.95).p_value
        inside, outside = (mean_difference(one, np.zeros(60), np.ones(60), 1 - p * f) for f in (0.999, 1.001))
        assert inside.low <= 0 <= inside.high
        assert outside.is_clear


def test_shares_of_rows_that_all_agree_may_still_differ():
    # Bonett & Price: one more row that differs either way.
    same = mean_difference(np.ones(100), np.ones(100), np.ones(100), 0.95, 1.0)
    assert same.value == 0
    assert same.p_value == 1
    assert same.high == pytest.approx(-same.low) == pytest.approx(t.ppf(0.975, 101) * 2**0.5 / 100, rel=0.01)
    # Five rows that all differ in favour of one: McNemar's exact test says .0625.
    five = mean_difference(np.r_[np.ones(5), np.zeros(195)], np.zeros(200), np.ones(200), 0.95, 1.0)
    assert 0.05 < five.p_value < 0.08


def test_values_are_those_of_evaluate(models):
    found = calkit.compare(models, ["ece", "nll", "error", "mce"])
    for name, item in models.items():
        alone = calkit.evaluate(item, ["ece", "nll", "error", "mce"])
        for spec, value in alone.items():
            assert found.evaluations[name][spec] == value
            if name != "before":
                difference = found.differences[spec][name]
                assert difference.value == pytest.approx(value - found.evaluations["before"][spec])
                assert difference.low <= difference.high
    assert found.ranking("ece")[-1] == "before"
    assert found.differences["nll"]["temperature"].high < 0
    # A temperature changes no answer, so the error is the same on every row.
    error = found.differences["error"]["temperature"]
    assert (error.value, error.p_value) == (0, 1)
    assert error.high == pytest.approx(-error.low) == pytest.approx(2.8 / found.n_samples, rel=0.02)
    for each in found.differences.values():
        assert all(item.p_adjusted >= item.p_value for item in each.values())


def test_a_difference_turned_round(models):
    one = calkit.compare(models, ["ece", "nll", "error"])
    two = calkit.compare(models, ["ece", "nll", "error"], baseline="vector")
    for spec in ("ece", "nll", "error"):
        there, back = one.differences[spec]["vector"], two.differences[spec]["before"]
        assert back.value == pytest.approx(-there.value)
        np.testing.assert_allclose([back.low, back.high], [-there.high, -there.low], atol=1e-12)


@pytest.mark.data
def test_the_paper_network_before_and_after(data_folder):
    # cifar10-resnet50-brier at T = 1.1: an independent rough estimate gives -.70 [-.84, -.59] points.
    test = calkit.load_predictions(
        data_folder / "focal-calibration-logits" / "cifar10-resnet50-brier.npz", split="test"
    )
    scaled = test.replace(scores=test.scores / np.float32(1.1))
    found = calkit.compare({"before": test, "T = 1.1": scaled}, ["ece"]).differences["ece"]["T = 1.1"]
    assert round(found.value * 100, 2) == -0.74
    assert found.low * 100 == pytest.approx(-0.92, abs=0.02)
    assert found.high * 100 == pytest.approx(-0.56, abs=0.02)
    assert found.is_clear


@pytest.mark.slow
def test_coverage_of_a_calibrated_and_a_sharpened_model():
    # The percentile bootstrap covers 12 % here. a is calibrated, b has its logits times 1.1; the true errors are 0 and
    # that of b, known from 400,000 rows.
    rng = np.random.default_rng(0)

    def draw(n):
        z = rng.normal(size=n) * 2 + 1
        return z, (rng.random(n) < 1 / (1 + np.exp(-z))).astype(int)

    def pair(z, y):
        return {"a": calkit.Predictions(z, y, kind="logits"), "b": calkit.Predictions(1.1 * z, y, kind="logits")}

    big = pair(*draw(400_000))
    truth = calkit.evaluate(big["b"], ["ece"])["ece"]
    covered = 0
    for _ in range(60):
        found = calkit.compare(pair(*draw(2000)), ["ece"], n_resamples=200).differences["ece"]["b"]
        covered += found.low <= truth <= found.high
    assert covered >= 54


def test_refusals(models):
    test = models["before"]
    with pytest.raises(InputError, match="two models or more"):
        calkit.compare({"a": test})
    with pytest.raises(NotFoundError, match="Did you mean 'before'"):
        calkit.compare(models, baseline="befor")
    other = test.replace(y_true=np.roll(test.y_true, 1))
    with pytest.raises(InputError, match="labels differ in .* of them, the first being row"):
        calkit.compare({"a": test, "b": other})
    with pytest.raises(InputError, match="899 and 500 of them|500 and 899 of them"):
        calkit.compare({"a": test, "b": test.take(slice(500))})
    with pytest.raises(InputError, match="their weights differ"):
        calkit.compare({"a": test, "b": test.replace(sample_weight=np.arange(899) % 2 + 1.0)})
    ids = np.arange(899)
    with pytest.raises(InputError, match="id differs in row 0"):
        calkit.compare({"a": test.replace(columns={"id": ids}), "b": test.replace(columns={"id": ids[::-1]})})
    with pytest.raises(InputError, match="must be a Predictions"):
        calkit.compare({"a": test, "b": np.eye(3)})


def test_classes_in_another_order_are_the_same_rows():
    logits, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 3
    names = ["ant", "bee", "cow"]
    one = calkit.Predictions(logits, np.array(names)[y], kind="logits", class_names=names)
    two = calkit.Predictions(logits[:, ::-1], np.array(names)[y], kind="logits", class_names=names[::-1])
    found = calkit.compare({"one": one, "two": two}, ["ece", "nll"])
    assert found.differences["ece"]["two"].value == pytest.approx(0, abs=1e-12)
    assert found.differences["nll"]["two"].low == pytest.approx(0, abs=1e-12)


def test_pairs_can_be_compared():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 400)
    one = calkit.Predictions.from_confidence(confidence, rng.random(400) < confidence)
    two = calkit.Predictions.from_confidence(np.sqrt(confidence), rng.random(400) < confidence)
    found = calkit.compare({"one": one, "two": two}, ["ece", "accuracy"])
    assert found.differences["ece"]["two"].value > 0.03


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "logits.npz"
    path.write_bytes(digits_path().read_bytes())
    return path


def test_formats(calkit_cli, file, tmp_path):
    command = ["compare", file, "-m", "temperature", "-m", "isotonic", "--metrics", "ece,nll"]
    found = {}
    for form in ("table", "json", "csv", "md", "latex"):
        code, found[form], err = calkit_cli(*command, "--format", form)
        assert (code, err) == (0, "")
    document = json.loads(found["json"])
    assert document["baseline"] == "logits.npz"
    assert set(document["differences"]["ece"]) == {"temperature", "isotonic"}
    rows = list(csv.DictReader(io.StringIO(found["csv"])))
    assert [row["model"] for row in rows] == ["temperature", "isotonic"] * 2
    assert float(rows[0]["difference"]) == document["differences"]["ece"]["temperature"]["value"]
    assert "baseline" in found["table"]
    assert "*" in found["table"]
    assert found["md"].splitlines()[1].startswith("| --- | --: |")
    assert r"\toprule" in found["latex"]
    assert r"ECE \%" in found["latex"]
    picture = tmp_path / "forest.png"
    code, _, err = calkit_cli(*command, "--plot", picture)
    assert code == 0
    assert picture.stat().st_size > 5000


def test_command_refusals(calkit_cli, file):
    code, _, err = calkit_cli("compare", file)
    assert code == 2
    assert "two models or more" in err
    code, _, err = calkit_cli("compare", file, file)
    assert code == 2
    assert "named twice" in err
    code, _, err = calkit_cli("compare", file, "-m", "temperature", "--baseline", "temp")
    assert "unknown model 'temp'" in err


def test_the_forest_shows_the_differences(models, no_pyplot_windows):
    found = calkit.compare(models, ["ece", "nll"])
    display = ForestDisplay.from_comparison(found).plot()
    assert [ax.get_title() for ax in display.axes_] == ["ECE %", "NLL"]
    # The reference line at 0, then a bar and a mark for each model.
    bars = [line.get_xdata() for line in display.axes_[0].lines[1::2]]
    wanted = [[d.low * 100, d.high * 100] for d in found.differences["ece"].values()]
    np.testing.assert_allclose(bars, wanted)
    frame = display.columns()
    assert frame["model"] == ["temperature", "vector"] * 2
    evaluation = calkit.evaluate(models["before"], ["ece"], confidence_level=0.95)
    values = ForestDisplay.from_evaluations({"a": evaluation})
    assert (values.columns()["low"][0], values.columns()["high"][0]) == evaluation.intervals["ece"]
    with pytest.raises(InputError, match="is empty"):
        ForestDisplay.from_evaluations({})


def test_files_whose_ids_are_in_another_order_are_not_of_the_same_rows(tmp_path):
    # Every label is the same, so that nothing else tells the rows apart.
    rows = [f"r{i},{0.4 + i / 10:.1f},{0.6 - i / 10:.1f},x" for i in range(5)]
    for name, order in (("p.csv", rows), ("q.csv", rows[::-1])):
        (tmp_path / name).write_text("\n".join(["row_id,prob_x,prob_y,label", *order]) + "\n")
    found = CliRunner().invoke(cli, ["compare", str(tmp_path / "p.csv"), str(tmp_path / "q.csv")])
    assert found.exit_code == 1
    assert "row_id differs in row 0" in str(found.exception)


class TestJoin:
    """Rows in another order: the values must be those of the same rows in the same order."""

    @pytest.fixture
    def pair(self, models):
        n = 120
        one, two = (models[name].take(slice(n)) for name in ("before", "vector"))
        columns = {"id": np.arange(100, 100 + n), "question": np.arange(n) // 3, "sample": np.arange(n) % 3}
        return one.replace(columns=columns), two.replace(columns=columns)

    @pytest.mark.parametrize("how", ["numbers", "text", "floats", "two columns"])
    def test_any_order_gives_the_same_comparison(self, pair, how):
        one, two = pair
        order = np.random.default_rng(0).permutation(one.n_samples)
        other = two.take(order)
        convert = {"text": lambda ids: ids.astype(str), "floats": lambda ids: ids.astype(float)}.get(how)
        if convert is not None:
            other = other.replace(columns={**other.columns, "id": convert(other.columns["id"])})
        join = ["question", "sample"] if how == "two columns" else "id"
        metrics = ["ece", "nll", "accuracy"]
        expected = calkit.compare({"one": one, "two": two}, metrics)
        found = calkit.compare({"one": one, "two": other}, metrics, join=join)
        assert found.to_dict() == expected.to_dict()
        with pytest.raises(InputError, match=r"not of the same rows.*--join id"):
            calkit.compare({"one": one, "two": other}, metrics)

    @pytest.mark.parametrize("form", ["csv", "npz", "parquet"])
    def test_files(self, pair, form, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        one, two = pair
        calkit.save_predictions(one, f"a.{form}")
        tables = []
        for rows in (slice(None), slice(None, None, -1)):
            calkit.save_predictions(two.take(rows), f"b.{form}")
            done = CliRunner().invoke(cli, ["compare", f"a.{form}", f"b.{form}", "--join", "question, sample"])
            assert done.exit_code == 0, done.output
            tables.append(done.output)
        assert tables[0] == tables[1]

    def test_what_is_no_pairing_is_refused(self, pair):
        one, two = pair
        models = {"one": one, "two": two}
        with pytest.raises(InputError, match=r"one: question '0' stands in rows 0 and 1; name columns that together"):
            calkit.compare(models, ["ece"], join="question")
        with pytest.raises(NotFoundError, match=r"unknown column 'idd' of one.*Did you mean 'id'"):
            calkit.compare(models, ["ece"], join="idd")
        with pytest.raises(InputError, match=r"2 of the 120 rows of one are not among those of two.*id '218'"):
            calkit.compare({"one": one, "two": two.take(slice(118))}, ["ece"], join="id")
        with pytest.raises(InputError, match=r"1 of the 120 rows of two are not among those of one"):
            calkit.compare({"one": one.take(slice(119)), "two": two}, ["ece"], join="id")
        gaps = two.replace(columns={"id": np.array(["", *map(str, range(101, 220))])})
        with pytest.raises(InputError, match="two: id is missing in row 0"):
            calkit.compare({"one": one, "two": gaps}, ["ece"], join="id")
        with pytest.raises(InputError, match="names no column"):
            calkit.compare(models, ["ece"], join=[])


def test_stars_are_explained_where_there_are_some(calkit_cli, tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    z = rng.normal(size=(400, 3)) + 2 * np.eye(3)[y]
    for name, scores in (("a", z), ("same", z), ("sure", 50 * z)):
        np.savez(tmp_path / f"{name}.npz", logits=scores, labels=y)
    _, same, _ = calkit_cli("compare", tmp_path / "a.npz", tmp_path / "same.npz", "--metrics", "nll")
    _, sure, _ = calkit_cli("compare", tmp_path / "a.npz", tmp_path / "sure.npz", "--metrics", "nll")
    assert "*" not in same
    assert sure.count("*") == 2
    assert "* the interval excludes 0; unlike p," in sure


@pytest.mark.parametrize(
    ("columns", "more"),
    [(slice(None), {"class_names": ["a", "b"]}), (1, {"pos_label": "b"}), (slice(None), {"pos_label": "b"})],
    ids=["classes", "one column", "an event"],
)
def test_arrays_are_compared_as_predictions_are(columns, more):
    rng = np.random.default_rng(0)
    y = np.array(["a", "b"])[rng.integers(0, 2, 300)]
    p = {name: rng.dirichlet(np.ones(2), 300) for name in ("one", "two")}
    if "class_names" not in more and columns == slice(None):
        more = {**more, "class_names": ["a", "b"]}
    found = calkit.compare({name: scores[:, columns] for name, scores in p.items()}, ["ece", "brier"], y_true=y, **more)
    target = "positive:class=b" if "pos_label" in more else None
    made = {name: calkit.Predictions(scores, y, kind="probs", class_names=["a", "b"]) for name, scores in p.items()}
    expected = calkit.compare(made, ["ece", "brier"], target=target)
    for name in ("one", "two"):
        alone = calkit.evaluate(y, p[name][:, columns], ["ece", "brier"], **more)
        assert list(found.evaluations[name].values()) == list(alone.values())
    if columns != 1:
        assert found.differences == expected.differences


def test_arrays_need_labels_and_alike_scores():
    p = np.full((4, 2), 0.5)
    with pytest.raises(InputError, match="must be a Predictions"):
        calkit.compare({"one": p, "two": p})
    with pytest.raises(InputError, match="class_names stands beside arrays alone; pass their labels too: y_true"):
        calkit.compare({"one": p, "two": p}, class_names=["a", "b"])
    with pytest.raises(InputError, match="some models have one column"):
        calkit.compare({"one": p, "two": p[:, 1]}, ["ece"], y_true=list("abab"), pos_label="b")


def test_models_of_one_column_and_of_two_are_not_compared_by_what_each_is_judged_by():
    y, event, classes = [1, 1, 0], [0.7, 0.3, 0.2], [[0.3, 0.7], [0.7, 0.3], [0.8, 0.2]]
    models = {"event": event, "classes": classes}
    with pytest.raises(InputError, match="say target='positive'"):
        calkit.compare(models, ["ece"], y_true=y)
    with pytest.raises(InputError, match="say target='positive'"):
        calkit.compare({name: calkit.Predictions(p, y, kind="probs") for name, p in models.items()}, ["ece"])
    found = calkit.compare(models, ["ece"], y_true=y, target="positive")
    assert found.evaluations["event"]["ece"] == pytest.approx(found.evaluations["classes"]["ece"], abs=1e-15)
