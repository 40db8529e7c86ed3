"""Every way into the package takes labels by the same rule: one that skips it, or is new and untried, fails here."""

import ast
import dataclasses
import importlib
import inspect
import json
import pkgutil
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import calkit
from calkit import Predictions, curves, plotting, scorers
from calkit.calibrators import CALIBRATORS, available_calibrators
from calkit.cli import cli
from calkit.errors import InputError
from calkit.labels import encode_labels
from calkit.metrics import METRICS, available_metrics
from calkit.report import TemperatureSlider
from calkit.streaming import StreamingEvaluation

# Columns stand for the classes 7 and 3, so that position, order and value all differ.
NAMES = [7, 3]
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 1.5, (120, 2))
PROBS = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
COLUMN = (RNG.random(120) < 0.8 * PROBS[:, 1] + 0.1).astype(int)
SPELLINGS = [
    np.array(NAMES)[COLUMN],
    np.array(NAMES, float)[COLUMN],
    np.array(["7", "3"])[COLUMN],
    pd.Series(["7", "3"], dtype="category").iloc[COLUMN],
]
#: No class is called 0 or 1, and "no" is none of the classes.
WRONG = [COLUMN, np.where(COLUMN, "yes", "no"), np.where(COLUMN, 7.5, 3.0)]

# Names of parameters that hold labels.
LABELS = {"y_true", "y", "y_pred", "correct", "labels"}

#: What takes labels, by the test that tries it.
TRIED = {
    "metric functions": lambda name: name.startswith("calkit.metrics.") and name.partition(":")[2] in FUNCTIONS,
    "displays": lambda name: (
        name.startswith("calkit.plotting.") and name.endswith((".from_predictions", ".from_estimator"))
    ),
    "the slider": lambda name: name == "calkit.report.slider:TemperatureSlider.from_predictions",
    "the positive label": lambda name: name == "calkit.metrics.pos_label:with_event",
    "curves": lambda name: name.startswith("calkit.curves:") and name.endswith("_curve"),
    "calibrators": lambda name: name.endswith((":Calibrator.fit", ":CalibratedClassifier.fit")),
    "predictions": lambda name: name.startswith("calkit.predictions:Predictions."),
    "evaluate": lambda name: name == "calkit.evaluation.compute:evaluate",
    "comparisons": lambda name: name == "calkit.comparison:compare",
    "streams": lambda name: name == "calkit.streaming:StreamingEvaluation.update",
    "files": lambda name: name == "calkit.io.load:load_predictions",
    "scorers": lambda name: name == "calkit.scorers:Scorer.__call__",
    "the rule": lambda name: name.startswith("calkit.labels."),
}
EXTRA = {"high_confidence"}
FUNCTIONS = {name.replace("-", "_") for name in (*METRICS, *EXTRA)}

#: What comes after the rule, with labels that are columns already; and words that mean something else.
BEHIND = (
    "calkit.stats.",
    "calkit.estimators.",
    "calkit.inference.",
    "calkit.metrics.base:as_predictions",  # hands them on to Predictions
    "calkit.curves:taken_predictions",
    "calkit.plotting.shared:taken",
    "calkit.frames:named_scores",  # asks whether a column is called as a label is
    "calkit.calibrators.inputs:as_fit_predictions",
    "calkit.blocks:RowBlock",
    "calkit.calibrators.description:Curve",  # a coordinate
    "calkit.calibrators.parametric.",
    "calkit.calibrators.binning.rows:",
    "calkit.calibrators.choice.",
    "calkit.roles.families:",
    "calkit.roles.truth:Truth.__init__",
    "calkit.plotting.style:",
    "calkit.report.model:",
    "calkit.report.values:",
    "calkit.cli.options:InputOptions",
    "calkit.testing",
    "sklearn.",
)


def public_callables():
    for info in pkgutil.walk_packages(calkit.__path__, "calkit."):
        if any(part.startswith("_") for part in info.name.split(".")):
            continue
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if not inspect.isclass(thing):
                yield thing
                continue
            for attribute, member in inspect.getmembers(thing, callable):
                if not attribute.startswith("_") or attribute in {"__init__", "__call__"}:
                    yield member


def doors():
    found = set()
    for thing in filter(callable, public_callables()):
        try:
            parameters = set(inspect.signature(thing).parameters)
        except (TypeError, ValueError):
            continue
        if parameters & LABELS:
            found.add(f"{thing.__module__}:{thing.__qualname__}")
    return sorted(found)


def test_every_door_is_tried():
    new = [name for name in doors() if not name.startswith(BEHIND) and not any(fits(name) for fits in TRIED.values())]
    assert not new, f"these take labels, and no test here tries them with {NAMES}: {new}"
    assert len(doors()) > 25


def test_no_other_module_sorts_or_encodes_labels():
    """`np.unique` of labels is how sorted order creeps in: where else it stands, what it sorts is no labels."""
    known = {
        "labels.py",
        "labels/values.py",
        "calibrators/composed/classifier.py",  # scikit-learn's contract of fit(X, y)
    }
    words = {"LabelEncoder", "LabelBinarizer", "label_binarize", "factorize"}
    root = Path(calkit.__file__).parent
    for path in root.rglob("*.py"):
        if str(path.relative_to(root)) in known:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func).rpartition(".")[2]
                sorts = called in {"unique", "searchsorted"} and node.args and ast.unparse(node.args[0]) in LABELS
                assert called not in words, f"{path.relative_to(root)}:{node.lineno}"
                assert not sorts, f"{path.relative_to(root)}:{node.lineno}"


@pytest.mark.parametrize("name", [*available_metrics(), *EXTRA])
def test_metric_functions(name):
    function = getattr(calkit.metrics, name.replace("-", "_"))
    expected = function(COLUMN, PROBS)
    for y in SPELLINGS:
        np.testing.assert_equal(function(y, PROBS, class_names=NAMES), expected)
        np.testing.assert_equal(function(y, pd.DataFrame(PROBS, columns=NAMES)), expected)
        np.testing.assert_equal(
            function(y, pd.DataFrame(PROBS, columns=NAMES)[NAMES[::-1]], class_names=NAMES), expected
        )
    for y in WRONG:
        with pytest.raises(InputError, match="y_true"):
            function(y, PROBS, class_names=NAMES)


@pytest.mark.parametrize("name", available_calibrators())
@pytest.mark.filterwarnings("ignore::calkit.errors.CalibrationWarning")
def test_calibrators(name):
    expected = CALIBRATORS[name]().fit(LOGITS, COLUMN).predict_proba(LOGITS)
    frame = pd.DataFrame(LOGITS, columns=[str(value) for value in NAMES])
    for y in SPELLINGS:
        fitted = CALIBRATORS[name]().fit(frame, y)
        np.testing.assert_allclose(fitted.predict_proba(frame), expected, rtol=1e-12, atol=1e-15)
        assert [str(value) for value in fitted.classes_.tolist()] == ["7", "3"]
        assert {str(value) for value in fitted.predict(frame)} <= {"7", "3"}
        fitted = CALIBRATORS[name]().fit_predictions(Predictions(LOGITS, y, kind="logits", class_names=NAMES))
        np.testing.assert_allclose(fitted.predict_proba(LOGITS), expected, rtol=1e-12, atol=1e-15)
        assert fitted.classes_.tolist() == NAMES
    with pytest.raises((ValueError, InputError), match="(?i)feature names|order"):
        CALIBRATORS[name]().fit(frame, SPELLINGS[0]).predict_proba(frame[["3", "7"]])
    with pytest.raises(InputError, match="y_true"):
        CALIBRATORS[name]().fit(frame, np.where(np.arange(120) % 3, SPELLINGS[0], 5))
    # Without names, by scikit-learn's contract: the classes in their sorted order.
    fitted = CALIBRATORS[name]().fit(LOGITS[:, ::-1], SPELLINGS[0])
    assert fitted.classes_.tolist() == [3, 7]
    with pytest.raises(InputError, match="which column is which|must lie in"):
        CALIBRATORS[name]().fit(np.column_stack([LOGITS, LOGITS[:, 0]]), np.array(["a", "b"])[COLUMN])


class Classifier:
    """Says what it was told."""

    classes_ = np.array(NAMES)

    def predict_proba(self, X):
        return X


@pytest.mark.parametrize("name", scorers.available_scorers())
def test_scorers(name):
    scorer = getattr(scorers, name)
    metric = calkit.metrics.get_metric(scorer.metric)
    expected = calkit.evaluate(Predictions(PROBS, COLUMN, kind="probs"), [metric])[metric.spec]
    for y in SPELLINGS:
        found = scorer(Classifier(), PROBS, y)
        assert abs(found) == pytest.approx(abs(expected), nan_ok=True)
    for y in WRONG:
        with pytest.raises(InputError, match="y_true"):
            scorer(Classifier(), PROBS, y)


CURVES = sorted(name for name in curves.__all__ if name.endswith("_curve"))


@pytest.mark.parametrize("name", CURVES)
def test_curves(name):
    function = getattr(curves, name)

    def numbers(curve):
        return {field.name: getattr(curve, field.name) for field in dataclasses.fields(curve)}

    expected = numbers(function(COLUMN, PROBS))
    for y in SPELLINGS:
        for found in (function(y, PROBS, class_names=NAMES), function(y, pd.DataFrame(PROBS, columns=NAMES))):
            for field, value in numbers(found).items():
                if isinstance(value, np.ndarray | float):
                    np.testing.assert_array_equal(value, expected[field])
    for y in WRONG:
        with pytest.raises(InputError, match="y_true"):
            function(y, PROBS, class_names=NAMES)


def displays():
    found = {getattr(plotting, name) for name in plotting.__all__}
    drawn = (d for d in found if inspect.isclass(d) and hasattr(d, "from_predictions") and not inspect.isabstract(d))
    return sorted(drawn, key=lambda d: d.__name__)


@pytest.mark.parametrize("display", displays(), ids=lambda d: d.__name__)
def test_displays(display):
    expected = display.from_predictions(COLUMN, LOGITS, from_logits=True, plot=False).columns()
    for y in SPELLINGS:
        found = display.from_predictions(y, LOGITS, from_logits=True, class_names=NAMES, plot=False).columns()
        for column in expected:
            np.testing.assert_array_equal(found[column], expected[column])
        found = display.from_estimator(Classifier(), LOGITS, y, from_logits=True, plot=False).columns()
        for column in expected:
            np.testing.assert_array_equal(found[column], expected[column])
    for y in WRONG:
        with pytest.raises(InputError, match="y_true"):
            display.from_predictions(y, LOGITS, from_logits=True, class_names=NAMES, plot=False)


def test_the_slider():
    expected = TemperatureSlider.from_predictions(COLUMN, LOGITS, from_logits=True).columns()
    for y in SPELLINGS:
        found = TemperatureSlider.from_predictions(y, LOGITS, from_logits=True, class_names=NAMES)
        assert found.columns() == expected
    for y in WRONG:
        with pytest.raises(InputError, match="y_true"):
            TemperatureSlider.from_predictions(y, LOGITS, from_logits=True, class_names=NAMES)


def test_the_positive_label():
    expected = calkit.ece(COLUMN, PROBS[:, 1])
    for y in SPELLINGS:
        for label in (3, "3", 3.0):
            assert calkit.ece(y, PROBS[:, 1], pos_label=label) == expected
            event = calkit.ece(y, PROBS, class_names=NAMES, pos_label=label)
            assert event == calkit.ece(COLUMN, PROBS, target="positive:class=1")
    for y in WRONG[:2]:
        with pytest.raises(InputError, match="none of the labels"):
            calkit.ece(y, PROBS[:, 1], pos_label=3)


def test_streams_and_predictions():
    expected = calkit.evaluate(Predictions(PROBS, COLUMN, kind="probs"), ["nll"])["nll"]
    for y in SPELLINGS:
        frame = pd.DataFrame(PROBS, columns=NAMES)
        stream = StreamingEvaluation(["nll"], kind="probs").update(frame, y)
        assert stream.result()["nll"] == expected
        stream = StreamingEvaluation(["nll"], kind="probs", class_names=NAMES).update(PROBS, y)
        assert stream.result()["nll"] == expected
        assert Predictions(frame, y, kind="probs").y_true.tolist() == COLUMN.tolist()
        assert calkit.evaluate(y, frame, ["nll"])["nll"] == expected
        assert calkit.evaluate(y, PROBS, ["nll"], class_names=NAMES)["nll"] == expected
        found = calkit.compare({"one": PROBS, "two": PROBS}, ["nll"], y_true=y, class_names=NAMES)
        assert found.evaluations["one"]["nll"] == expected
    for y in WRONG:
        with pytest.raises(InputError, match="y_true"):
            calkit.compare({"one": PROBS, "two": PROBS}, ["nll"], y_true=y, class_names=NAMES)
        with pytest.raises(InputError, match="y_true"):
            calkit.evaluate(y, PROBS, ["nll"], class_names=NAMES)
    right = np.array(["no", "yes"])[COLUMN]
    pairs = Predictions.from_confidence(PROBS[:, 1], right)
    assert pairs.y_true.tolist() == COLUMN.tolist()


def write_table(path, order=(0, 1), label="label", values=NAMES):
    columns = {f"logit_{NAMES[i]}": LOGITS[:, i] for i in order}
    pd.DataFrame({**columns, label: np.array(values)[COLUMN]}).to_csv(path, index=False)
    return path


def run(arguments):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def evaluated(path, *options):
    return json.loads(run(["evaluate", path, "--metrics", "accuracy,nll", "--format", "json", *options]))


def accuracy_and_nll(found):
    """Return the two numbers wherever they stand in what a command printed as JSON."""
    text = json.dumps(found)
    return float(text.split('"accuracy": ')[1].split(",")[0].rstrip("}")), float(
        text.split('"nll": ')[1].split(",")[0].rstrip("}]")
    )


EXPECTED = (
    float((LOGITS.argmax(axis=1) == COLUMN).mean()),
    float(-np.log(PROBS[np.arange(120), COLUMN]).mean()),
)


def try_evaluate(folder):
    for order in ((0, 1), (1, 0)):
        path = write_table(folder / "data.csv", order)
        assert accuracy_and_nll(evaluated(path, "--kind", "logits")) == pytest.approx(EXPECTED)


def try_convert(folder):
    path = write_table(folder / "data.csv", (1, 0))
    run(["convert", path, folder / "out.npz", "--kind", "logits"])
    assert accuracy_and_nll(evaluated(folder / "out.npz")) == pytest.approx(EXPECTED)


def try_fit(folder):
    path = write_table(folder / "data.csv", (1, 0))
    run(["fit", path, "--kind", "logits", "-o", folder / "calibrator.json"])
    fitted = calkit.load_calibrator(folder / "calibrator.json")
    expected = CALIBRATORS["temperature"]().fit(LOGITS, COLUMN).temperature_
    assert fitted.temperature_ == pytest.approx(expected, rel=1e-10)
    assert fitted.classes_.tolist() == [3, 7]


def try_apply(folder):
    try_fit(folder)
    path = write_table(folder / "data.csv", (1, 0))
    run(["apply", folder / "calibrator.json", path, "--kind", "logits", "-o", folder / "out.csv"])
    expected = CALIBRATORS["temperature"]().fit(LOGITS, COLUMN).predict_proba(LOGITS)
    found = pd.read_csv(folder / "out.csv")
    for column, name in enumerate(NAMES):
        (values,) = [found[title] for title in found if title.endswith(f"_{name}")]
        scores = values if "prob" in values.name else None
        assert scores is None or scores.to_numpy() == pytest.approx(expected[:, column])
    assert accuracy_and_nll(evaluated(folder / "out.csv"))[0] == pytest.approx(EXPECTED[0])


def try_show(folder):
    path = write_table(folder / "data.csv", (1, 0))
    output = run(["show", path])
    assert "logit_7" in output
    assert "logit_3" in output


def try_plot(folder):
    path = write_table(folder / "data.csv", (1, 0))
    run(["plot", path, "--kind", "logits", "-o", folder / "out.svg"])
    assert (folder / "out.svg").stat().st_size > 1000


def try_report(folder):
    path = write_table(folder / "data.csv", (1, 0))
    run(["report", path, "--as-is", "--kind", "logits", "-o", folder / "out.html"])
    assert f"{100 - 100 * EXPECTED[0]:.2f}" in (folder / "out.html").read_text()


def try_compare(folder):
    """Columns in another order are the same classes: the two models are one."""
    paths = [write_table(folder / "a.csv", (1, 0)), write_table(folder / "b.csv", (0, 1))]
    output = run(["compare", *paths, "--kind", "logits", "--metrics", "accuracy,nll", "--format", "json"])
    assert json.dumps(EXPECTED[0])[:10] in output
    assert json.dumps(EXPECTED[1])[:10] in output


def try_test(folder):
    outputs = {run(["test", write_table(folder / "a.csv", order), "--kind", "logits"]) for order in ((1, 0), (0, 1))}
    assert len(outputs) == 1


def try_bench(folder):
    """The order of the columns changes no loss."""
    options = ["--kind", "logits", "-m", "temperature", "--sizes", "50", "--format", "json"]
    losses = []
    for order in ((1, 0), (0, 1)):
        [trial] = json.loads(run(["bench-calibrators", write_table(folder / "a.csv", order), *options]))["trials"]
        losses.append({name: scores["log_loss"] for name, scores in trial["results"].items()})
    assert "temperature" in losses[0]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


#: Every command, tried on a file whose columns are called 3 and 7; None where none is read.
COMMANDS = {
    "evaluate": try_evaluate,
    "convert": try_convert,
    "fit": try_fit,
    "apply": try_apply,
    "show": try_show,
    "plot": try_plot,
    "report": try_report,
    "compare": try_compare,
    "test": try_test,
    "bench-calibrators": try_bench,
    "demo": None,
    "formats": None,
    "metrics": None,
    "calibrators": None,
    "train": None,
    "predict": None,
    "roles": None,
}


def test_every_command_is_tried():
    with click.Context(cli) as context:
        new = set(cli.list_commands(context)) - set(COMMANDS)
    assert not new, f"try these commands on a file whose classes are numbers: {sorted(new)}"


@pytest.mark.parametrize("name", [name for name, attempt in COMMANDS.items() if attempt])
def test_commands(name, tmp_path):
    COMMANDS[name](tmp_path)


def test_commands_refuse_labels_of_no_class(tmp_path):
    path = write_table(tmp_path / "data.csv", values=[0, 1])
    for arguments in (
        ["evaluate", path, "--kind", "logits"],
        ["fit", path, "--kind", "logits", "-o", tmp_path / "c.json"],
        ["plot", path, "--kind", "logits", "-o", tmp_path / "a.svg"],
        ["report", path, "--as-is", "--kind", "logits", "-o", tmp_path / "a.html"],
    ):
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
        assert isinstance(result.exception, InputError), arguments
        assert "not one of the classes 3, 7" in str(result.exception)


def test_classes_of_estimators_are_found_by_value():
    # A fitted model may know its classes in any order of its own.
    assert encode_labels(SPELLINGS[0], 2, Classifier.classes_).column.tolist() == COLUMN.tolist()


@pytest.mark.parametrize("name", available_calibrators())
@pytest.mark.filterwarnings("ignore::calkit.errors.CalibrationWarning")
def test_calibrators_find_their_classes_in_predictions(name):
    """Columns in another order than those of the fit are put in that order, by the names of the classes."""
    fitted = CALIBRATORS[name]().fit_predictions(Predictions(LOGITS, COLUMN, kind="logits", class_names=["x", "y"]))
    expected = fitted.predict_proba(LOGITS)
    labels = np.array(["x", "y"])[COLUMN]
    turned = Predictions(
        LOGITS[:, ::-1], labels, kind="logits", class_names=["y", "x"], columns={"row": np.arange(120)}
    )
    for predictions in (turned, Predictions(LOGITS[:, ::-1], kind="logits", class_names=["y", "x"])):
        after = fitted.apply(predictions, kind="probs")
        np.testing.assert_allclose(np.asarray(after.scores), expected, rtol=1e-9, atol=1e-12)
        assert after.class_names == ("x", "y")
    assert fitted.apply(turned).y_true.tolist() == COLUMN.tolist()
    with pytest.raises(InputError, match="the classes are .* and not"):
        fitted.apply(Predictions(LOGITS, kind="logits", class_names=["x", "z"]))


class TestRowsOfTwoFiles:
    """Labels (weights, answers) of another file belong to the rows of the same id, in whatever order they stand."""

    def scores(self, folder):
        (folder / "scores.csv").write_text("id,prob_no,prob_yes\na,.9,.1\nb,.2,.8\nc,.3,.7\n")
        return folder / "scores.csv"

    @pytest.mark.parametrize("member", ["", ":label"])
    def test_they_are_matched_by_their_ids(self, tmp_path, member):
        # By hand: a is no (right), b is yes (right), c is no (wrong). In the order of the file it would be 1 of 3.
        (tmp_path / "labels.csv").write_text("id,label,weight\nc,no,2\nx,yes,9\na,no,1\nb,yes,1\n")
        labels = f"{tmp_path / 'labels.csv'}{member}"
        found = calkit.load_predictions(self.scores(tmp_path), labels=labels, sample_weight=tmp_path / "labels.csv")
        assert found.y_true.tolist() == [0, 1, 0]
        assert found.sample_weight.tolist() == [1, 1, 2]
        assert calkit.evaluate(found, ["accuracy"])["accuracy"] == 0.5

    @pytest.mark.parametrize(
        ("text", "found"), [("a,no\nb,yes\nd,no", "not at all"), ("a,no\nb,yes\nc,no\nc,yes", "more than once")]
    )
    def test_an_id_that_is_not_one_is_an_error(self, tmp_path, text, found):
        (tmp_path / "labels.csv").write_text(f"id,label\n{text}\n")
        with pytest.raises(InputError, match=rf"the id 'c', of row 2 of .*scores\.csv, is there {found}"):
            calkit.load_predictions(self.scores(tmp_path), labels=tmp_path / "labels.csv")

    def test_without_ids_they_are_in_the_same_order(self, tmp_path):
        (tmp_path / "labels.csv").write_text("label\nno\nyes\nno\n")
        found = calkit.load_predictions(self.scores(tmp_path), labels=tmp_path / "labels.csv")
        assert found.y_true.tolist() == [0, 1, 0]
