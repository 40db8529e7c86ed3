"""Reports: the model holds what was measured, and the page shows the model, whole and safe."""

import base64
import hashlib
import json
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from scipy.special import softmax

import calkit
from calkit.calibrators import get_calibrator
from calkit.cli.app import run as run_cli
from calkit.datasets import digits_path, load_digits_logits
from calkit.errors import InputError, NotFoundError, UsageError
from calkit.report import Entry, make_report, render_report
from calkit.report.build import REPORT_METRICS
from calkit.report.values import MetricInfo
from calkit.report.words import METRIC_NOTES, brief, comparison_sentences, headline, notes, verdict

HOSTILE = "</style></title><script>alert(1)</script>\"'&$\\frac$"
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks that elements nest, and collects what they are."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.attributes, self.texts, self.references = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.append((tag, name, value))
            if name == "id":
                self.ids.append(value)
            if name == "href":
                self.references.append(value)
            self.references += [f"#{found}" for found in re.findall(r"url\(#([^)]+)\)", value or "")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split()).replace("\xa0", " ")


def rows_of(table):
    """The rows of a table: the text that heads one, and for each cell its text and, if it has one, its interval."""
    rows = []
    for row in re.findall(r"<tr.*?</tr>", table, re.S):
        head = re.search(r"<th[^>]*>([^<]*)", row)[1]
        interval = r'(?:<span class="interval">([^<n]*)</span>)?'
        cells = re.findall(rf'<td[^>]*>([^<]*){interval}(?:<span class="interval">noise [^<]*</span>)?</td>', row)
        rows.append((head, cells))
    return rows


def record(epoch):
    part = {
        f"{key}{outcome}": 0.1 * epoch
        for key in ("nll", "entropy", "confidence", "p_true", "error", "ece")
        for outcome in ("", "_correct", "_misclassified")
    }
    return {"epoch": epoch, "last_layer_norm": 2.0 * epoch, "train": part, "validation": part, "test": part}


def digits(scale=1.0):
    arrays = {}
    for short, split in (("val", "validation"), ("test", "test")):
        predictions = load_digits_logits(split)
        arrays |= {f"{short}_logits": scale * predictions.scores, f"{short}_labels": predictions.y_true}
    return arrays


def write_run(folder, loss="ce", scale=1.0, names=None):
    """The layout that 'calkit train' leaves behind, without training."""
    (folder / "logits").mkdir(parents=True)
    (folder / "recipe.toml").write_text(f"dataset = 'digits'\nmodel = 'mlp'\nloss = '''{loss}'''\nepochs = 3\n")
    (folder / "history.jsonl").write_text("".join(json.dumps(record(epoch)) + "\n" for epoch in (1, 2, 3)))
    (folder / "versions.json").write_text('{"calkit": "0.1", "libraries": {"torch": "2.13"}}')
    names = np.array([str(i) for i in range(10)] if names is None else names)
    for name, factor in (("epoch-0001", 0.5), ("epoch-0003", 1), ("final", 1)):
        np.savez(folder / "logits" / f"{name}.npz", class_names=names, **digits(scale * factor))
    return folder


@pytest.fixture
def call(capsys):
    def call(*args):
        code = run_cli([str(a) for a in args])
        return (code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    top = tmp_path_factory.mktemp("runs")
    return [write_run(top / "ce"), write_run(top / "focal", "FLA-53", scale=0.4)]


@pytest.fixture(scope="module")
def report(runs):
    return make_report(runs)


@pytest.fixture(scope="module")
def page(report):
    return render_report(report)


class TestModel:
    def test_the_most_confident_mistakes(self):
        # By sorting all wrong rows.
        test = load_digits_logits("test")
        named = test.replace(columns={"id": np.char.add("img-", np.arange(899).astype(str))})
        probs = softmax(test.scores.astype(np.float64), axis=1)
        wrong = np.flatnonzero(probs.argmax(axis=1) != test.y_true)
        order = wrong[np.argsort(-probs.max(axis=1)[wrong], kind="stable")][:10]
        (subject,) = make_report([Entry.from_predictions("digits", named)], confidence_level=None).subjects
        found = subject.before.mistakes
        np.testing.assert_allclose([item.confidence for item in found], probs.max(axis=1)[order], atol=1e-6)
        assert [item.true for item in found] == [str(test.y_true[item.row]) for item in found]
        assert [item.predicted for item in found] == [str(probs[item.row].argmax()) for item in found]
        assert [item.ids["id"] for item in found] == [f"img-{item.row}" for item in found]
        assert set(order[:5]) <= {item.row for item in found}

    def test_holds_what_evaluate_says(self):
        methods = ("temperature", "temperature:objective=ece")
        report = make_report([Entry.from_path(digits_path(), methods=methods)])
        (subject,) = report.subjects
        test, validation = load_digits_logits("test"), load_digits_logits("validation")
        assert (subject.name, subject.split, subject.kind) == ("digits-mlp.npz", "test", "logits")
        assert (subject.n_samples, subject.n_classes) == (test.n_samples, 10)
        calibrators = [get_calibrator(method).fit_predictions(validation) for method in methods]
        expected = [test, *(calibrator.apply(test) for calibrator in calibrators)]
        specs = [info.spec for info in report.metrics]
        assert specs == ["error", "ece", "adaece", "mce", "nll", "brier", "s99", "s99_accuracy"]
        for result, predictions in zip(subject.results, expected, strict=True):
            evaluation = calkit.evaluate(predictions, specs, confidence_level=0.95, random_state=0)
            assert {spec: measure.value for spec, measure in result.values.items()} == dict(evaluation)
            limits = {spec: (measure.low, measure.high) for spec, measure in result.values.items()}
            assert limits == evaluation.intervals
        assert [result.calibrator for result in subject.results] == [None, *methods]
        assert [result.fitted_on for result in subject.results] == [None, *["the validation split"] * 2]
        assert subject.fit_samples == validation.n_samples
        assert subject.results[1].fitted == {"temperature": calibrators[0].temperature_}

    def test_overconfidence_is_confidence_minus_accuracy(self):
        (subject,) = make_report([digits_path()], metrics=["ece"]).subjects
        test = load_digits_logits("test")
        probs = softmax(test.scores.astype(np.float64), axis=1)
        gaps = probs.max(axis=1) - (probs.argmax(axis=1) == test.y_true)
        found = subject.before.overconfidence
        assert found.value == pytest.approx(gaps.mean(), abs=1e-7)
        # The bootstrap's interval of a mean is near to that of the normal distribution.
        error = 1.96 * gaps.std() / np.sqrt(len(gaps))
        assert [found.low, found.high] == pytest.approx([gaps.mean() - error, gaps.mean() + error], abs=0.15 * error)
        assert verdict(subject.before) == "over-confident by 13.0 points"
        assert "over-confident by 13.0 points (95\xa0% interval 10.8 to 15.3)" in headline(subject, 0.95)
        assert brief(subject).startswith("over-confident by 13.0 points; ECE 12.96\xa0%, 2.72\xa0% with temperature.")

    @pytest.mark.parametrize(
        ("temperature", "said"), [(0.4, "over-confident by"), (2.5, "under-confident by"), (1.0, "neither over-")]
    )
    def test_the_verdict_is_true_of_data_whose_truth_is_known(self, temperature, said):
        """Labels are drawn from the softmax of the logits, which are then divided by a temperature."""
        random = np.random.default_rng(0)
        logits = 2 * random.normal(size=(4000, 5))
        y = (softmax(logits, axis=1).cumsum(axis=1) > random.random((4000, 1))).argmax(axis=1)
        entry = Entry("known", calkit.Predictions(logits / temperature, y, kind="logits"))
        (subject,) = make_report([entry], metrics=["ece"]).subjects
        assert verdict(subject.before).startswith(said)
        assert said in headline(subject, 0.95)
        assert ("\N{MINUS SIGN}" in headline(subject, 0.95)) == said.startswith("neither")

    def test_classes_are_those_of_classwise_ece(self):
        (subject,) = make_report([digits_path()], metrics=["ece"], n_bins=10, confidence_level=None).subjects
        test = load_digits_logits("test")
        probs = softmax(test.scores.astype(np.float64), axis=1)
        found = subject.before.classes
        np.testing.assert_allclose(found.probability, probs.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(found.frequency, np.bincount(test.y_true) / len(test.y_true), rtol=1e-12)
        expected = calkit.classwise_ece(test.y_true, test.scores, n_bins=10, from_logits=True)
        assert np.mean(found.ece) == pytest.approx(expected, rel=1e-9)

    def test_the_sweep_is_what_each_temperature_gives(self):
        (subject,) = make_report([digits_path()], metrics=["ece"], confidence_level=None).subjects
        sweep, test = subject.sweep, load_digits_logits("test")
        assert list(sweep.temperature) == sorted(sweep.temperature)
        assert sweep.temperature[0] <= 0.5
        assert sweep.temperature[-1] >= 5
        fitted = subject.after[0].fitted["temperature"]
        for place in (0, 7, sweep.temperature.index(1.0), sweep.temperature.index(fitted)):
            scores = test.scores / np.float64(sweep.temperature[place])
            assert sweep.ece[place] == pytest.approx(calkit.ece(test.y_true, scores, from_logits=True), abs=1e-6)
            assert sweep.nll[place] == pytest.approx(calkit.nll(test.y_true, scores, from_logits=True), rel=1e-6)
        place = sweep.temperature.index(1.0)
        assert sweep.weight[place] == subject.before.diagram.weight
        assert sweep.correct[place] == subject.before.diagram.correct
        np.testing.assert_allclose(sweep.confidence[place], subject.before.diagram.confidence, rtol=1e-12)

    def test_a_sweep_is_left_out_where_it_would_take_long(self, monkeypatch):
        scores = 10 * load_digits_logits("test").n_samples
        for limit, steps in ((12 * scores, 12), (12 * scores - 1, None)):
            monkeypatch.setattr("calkit.report.measure._STEPS", ((60, 100), (12, limit)))
            (subject,) = make_report([digits_path()], metrics=["ece"], confidence_level=None).subjects
            # One more each for the fitted temperature and for 1.
            assert (subject.sweep and len(subject.sweep.temperature)) == (steps and steps + 2)

    def test_rows_are_read_once_for_each_column_and_once_for_the_slider(self):
        seen = []
        validation = load_digits_logits("validation")
        test = calkit.io.watch(load_digits_logits("test"), seen.append)
        make_report(
            [Entry.from_predictions("x", test, validation, methods=["temperature", "temperature:objective=ece"])]
        )
        assert seen[-1].n_passes == 3 + 1

    def test_diagrams_are_those_of_the_display(self):
        report = make_report([digits_path()], metrics=["ece:n_bins=25"], n_bins=25, confidence_level=None)
        before = report.subjects[0].before
        bins = calkit.ReliabilityDisplay.from_predictions(load_digits_logits("test"), n_bins=25, plot=False).bins
        found = before.diagram.to_bins()
        for name in ("count", "weight", "confidence", "correct"):
            np.testing.assert_array_equal(getattr(found, name), getattr(bins, name))
        np.testing.assert_array_equal((before.diagram.lower, before.diagram.upper), bins.edges)
        # As the display writes it: these bins are those of the ECE, not of the AdaECE.
        assert found.lower is None
        assert before.diagram.mean_accuracy == pytest.approx(calkit.evaluate(load_digits_logits("test"))["accuracy"])
        assert before.values["ece:n_bins=25"].low is None

    def test_run_folders(self, tmp_path):
        first = write_run(tmp_path / "a")
        second = write_run(tmp_path / "b", scale=0.5)
        report = make_report([first, second], metrics=["nll"], confidence_level=None)
        assert [s.name for s in report.subjects] == [f"digits mlp ce ({folder})" for folder in (first, second)]
        training = report.subjects[0].training
        assert training.recipe == {"dataset": "digits", "model": "mlp", "loss": "ce", "epochs": 3}
        assert list(training.history) == [record(epoch) for epoch in (1, 2, 3)]
        assert [saved.epoch for saved in training.saved_epochs] == [1, 3]
        assert training.saved_epochs[1].diagram == report.subjects[0].before.diagram
        # Halving all logits halves the temperature (scale equivariance), and both end at the same NLL.
        before, after = (subject.after[0] for subject in report.subjects)
        assert after.fitted["temperature"] == pytest.approx(before.fitted["temperature"] / 2, rel=1e-6)
        assert after.values["nll"].value == pytest.approx(before.values["nll"].value, rel=1e-6)

    def test_json_is_the_model(self, call):
        code, out, err = call("report", digits_path(), "--format", "json", "--metrics", "ece,nll")
        assert (code, err) == (0, "")
        report = make_report([Entry.from_path(digits_path())], metrics=["ece", "nll"])
        expected = report.to_dict() | {"command": f"calkit report {digits_path()} --metrics ece,nll --format json"}
        assert json.loads(out) == json.loads(json.dumps(expected))
        assert expected["format"] == "calkit-report"

    def test_what_is_not_finite_is_null(self):
        pairs = calkit.Predictions.from_confidence([0.4, 0.6, 0.5], [1, 0, 1])
        report = make_report([Entry("pairs", pairs)], confidence_level=None)
        assert report.subjects[0].n_classes is None
        assert [info.spec for info in report.metrics] == ["error", "ece", "adaece", "mce", "s99", "s99_accuracy"]
        # No answer is 99 % sure, so their accuracy is undefined.
        values = json.loads(render_report(report, "json"))["subjects"][0]["results"][0]["values"]
        assert values["s99_accuracy"]["value"] is None
        assert "S99 accuracy % –" in Page(render_report(report)).text

    def test_bad_entries(self, tmp_path):
        with pytest.raises(InputError, match="nothing to report on"):
            make_report([])
        test = load_digits_logits("test")
        with pytest.raises(NotFoundError, match="Did you mean 'temperature'"):
            Entry.from_predictions("x", test, test, methods=["temprature"])
        with pytest.raises(NotFoundError, match="unknown report format 'htm'"):
            render_report(make_report([Entry("x", test)], metrics=["ece"], confidence_level=None), "htm")
        np.savez(tmp_path / "x.npz", test_logits=np.eye(3), test_labels=[0, 1, 2])
        with pytest.raises(UsageError, match="validation"):
            Entry.from_path(tmp_path / "x.npz")
        assert Entry.from_path(tmp_path / "x.npz", methods=()).calibrators == ()


class TestPage:
    def test_is_one_file_that_loads_nothing(self, page):
        parsed = Page(page)
        assert page.startswith("<!doctype html>")
        assert {"link", "img", "iframe", "object"}.isdisjoint(parsed.tags)
        assert "http://" not in page
        assert "https://" not in page
        assert "default-src 'none'" in page
        assert all(reference.startswith("#") for reference in parsed.references)

    def test_ids_are_unique_and_found(self, page):
        parsed = Page(page)
        assert len(set(parsed.ids)) == len(parsed.ids)
        assert {reference[1:] for reference in parsed.references} <= set(parsed.ids)

    def test_pictures_have_alt_text(self, page):
        parsed = Page(page)
        labels = [value for tag, name, value in parsed.attributes if (tag, name) == ("svg", "aria-label")]
        # Two diagrams and two saved epochs per run, six panels per run, ten of both; of both together
        # two reliability diagrams, three comparisons and three differences; the classes of the run of sharp logits.
        assert len(labels) == 2 * (2 + 2 + 6) + 10 + 2 + 3 + 3 + 1
        assert sum(label.startswith("Classes that are miscalibrated") for label in labels) == 1
        assert any("by epoch. digits mlp ce: NLL from 0.1 at epoch 1 to 0.3 at epoch 3." in label for label in labels)
        roles = [value for tag, name, value in parsed.attributes if (tag, name) == ("svg", "role")]
        # The pictures of the sliders are named by the script.
        assert roles == ["img"] * (len(labels) + 2)
        hidden = [value for tag, name, value in parsed.attributes if (tag, name) == ("svg", "aria-hidden")]
        assert parsed.tags.count("svg") == len(roles) + len(hidden)

    def test_says_what_was_measured(self, report, page):
        text = Page(page).text
        for subject in report.subjects:
            old, new = (result.values["ece"] for result in subject.results)
            assert f"the ECE goes from {100 * old.value:.2f} % to {100 * new.value:.2f} %" in text
            assert f"[{100 * old.low:.2f}, {100 * old.high:.2f}]" in text
            assert f"T = {subject.after[0].fitted['temperature']:.4g}" in text
        assert "libraries.torch 2.13" in text
        assert "Uncalibrated, digits mlp FLA-53 has the lowest ECE" in text

    def test_every_cell_is_what_evaluate_says(self, runs, page):
        """The table of one run, and the same numbers in the table that compares both."""
        tables = re.findall(r'<table(?: class="wide")?>(.*?)</table>', page, re.S)
        compared = [rows_of(body) for body in re.findall(r"<tbody>(.*?)</tbody>", tables[0], re.S)]
        for run, group in zip(runs, compared, strict=True):
            validation, test = (calkit.load_predictions(run, split=split) for split in ("validation", "test"))
            after = calkit.TemperatureScaling().fit_predictions(validation).apply(test)
            found = [
                calkit.evaluate(item, REPORT_METRICS, confidence_level=0.95, random_state=0) for item in (test, after)
            ]
            expected = [[(m.format(e[m.spec]), e.interval_text(m)) for m in e.metrics] for e in found]
            assert [cells for _, cells in group] == [[], *expected]
            one = next(
                table
                for table in tables[1:]
                if rows_of(table)[1:]
                == [(m.heading, [values[k] for values in expected]) for k, m in enumerate(found[0].metrics)]
            )
            tables.remove(one)

    def test_its_script_is_the_one_it_allows(self, report, page):
        (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
        allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"script-src 'sha256-{allowed}'" in page
        # What it fills in is there, and hidden until then.
        shown = [value for _, name, value in Page(page).attributes if name == "data-show"]
        assert set(re.findall(r"^ {8}(\w+):", script, re.M)) == set(shown)
        assert page.count('<div class="sweep" hidden>') == len(report.subjects)

    def test_the_slider_has_the_numbers_of_the_report(self, report, page):
        for subject, text in zip(
            report.subjects, re.findall(r'<script type="application/json">(.*?)<', page), strict=True
        ):
            data = json.loads(text)
            np.testing.assert_allclose(data["ece"], subject.sweep.ece, atol=1e-6)
            np.testing.assert_allclose(np.sum(data["weight"], axis=1), 1, atol=1e-5)
            places = {label: data["temperature"][i] for i, label in data["places"]}
            fitted = subject.after[0].fitted["temperature"]
            assert places.pop("uncalibrated") == 1
            assert places.pop("temperature") == pytest.approx(fitted, rel=1e-3)
            assert data["temperature"][data["start"]] == pytest.approx(fitted, rel=1e-3)
            for name, curve in (("least ECE", subject.sweep.ece), ("least NLL", subject.sweep.nll)):
                if name in places:
                    assert places[name] == pytest.approx(subject.sweep.temperature[int(np.argmin(curve))], rel=1e-3)

    def test_the_most_confident_mistakes_are_listed(self, report, page):
        assert page.count("The most confident mistakes") == len(report.subjects)

    def test_classes_stand_in_a_table(self, report, page):
        ece = report.subjects[0].before.classes.ece
        worst = max(range(10), key=lambda k: ece[k])
        rows = re.findall(r'<tr><th scope="row">(\d)</th><td>([^<]*)</td><td>([^<]*)</td><td>([^<]*)</td>', page)
        assert len(rows) == 2 * 10
        assert (rows[0][0], rows[0][3]) == (str(worst), f"{100 * ece[worst]:.2f}")

    def test_tells_how_it_was_made(self, runs, report, page):
        text = Page(page).text
        assert "15 bins (a, b] of equal width" in text
        assert "1,000 draws, seed 0" in text
        assert f"numpy {np.__version__}" in text
        assert "By this command" not in text

    def test_warns_of_comparing_what_cannot_be_compared(self, runs, tmp_path):
        np.savez(tmp_path / "x.npz", test_logits=np.eye(3), test_labels=[0, 1, 2])
        short = Entry.from_path(tmp_path / "x.npz", methods=())
        report = make_report([runs[0], short], metrics=["ece"], confidence_level=None)
        assert comparison_sentences(report)[-1].startswith("They have different numbers of classes (3, 10)")
        assert 'class="best"' not in render_report(report).partition("Metrics</h3>")[0]
        alike = make_report(runs, metrics=["ece"], confidence_level=None)
        assert not [sentence for sentence in comparison_sentences(alike) if "different" in sentence]

    def test_the_best_stands_out(self, report, page):
        best = re.findall(r'<td class="best">([^<]*)', page)
        values = [result.values["ece"].value for subject in report.subjects for result in subject.results]
        assert f"{100 * min(values):.2f}" in best
        assert f"{100 * max(values):.2f}" not in best

    def test_takes_the_colours_of_the_page(self, page):
        assert "#010203" not in page
        assert "var(--ink)" in page
        assert "prefers-color-scheme: dark" in page
        assert "@media print" in page

    def test_is_the_same_each_time_and_changes_no_setting(self, report, page):
        before = dict(mpl.rcParams)
        assert render_report(report) == page
        assert dict(mpl.rcParams) == before

    def test_a_file_name_cannot_end_the_data(self, tmp_path):
        """The name of a calibrator's file goes into the script's data and into its buttons."""
        calibrator = calkit.TemperatureScaling().fit_predictions(load_digits_logits("validation"))
        test = load_digits_logits("test")
        report = make_report([Entry(HOSTILE, test, [(HOSTILE, calibrator)])], metrics=["ece"], confidence_level=None)
        page = render_report(report)
        assert Page(page).tags.count("script") == 2
        (text,) = re.findall(r'<script type="application/json">(.*?)</script>', page)
        assert HOSTILE in [label for _, label in json.loads(text)["places"]]

    def test_bins_of_weighted_samples_have_no_intervals(self):
        """Clopper-Pearson counts samples; weights all alike count them too."""
        test = load_digits_logits("test")
        weights = np.ones(test.n_samples)
        for first, hinted in ((1.0, True), (2.0, False)):
            weights[0] = first
            weighted = calkit.Predictions(test.scores, test.y_true, kind="logits", sample_weight=weights)
            page = Page(render_report(make_report([Entry("x", weighted)], metrics=["error"]))).text
            assert ("Thin lines: 95 % intervals of the accuracy of each bin" in page) == hinted

    def test_measuring_on_the_samples_of_the_fit_is_said(self):
        words = "These are the samples it was fitted on"
        validation, test = load_digits_logits("validation"), load_digits_logits("test")
        for measured, said in ((validation, True), (test, False)):
            report = make_report([Entry.from_predictions("x", measured, validation)], metrics=["ece"])
            assert (words in Page(render_report(report)).text) == said

    def test_names_are_only_names(self, tmp_path):
        names = [HOSTILE, *"abcdefghi"]
        run = write_run(tmp_path / "<b>run&", loss=HOSTILE.replace("'", ""), names=names)
        other = write_run(tmp_path / "other", loss="_$\\frac$")
        report = make_report([run, other], metrics=["ece"], confidence_level=None, title=HOSTILE)
        page = render_report(report)
        parsed = Page(page)
        assert parsed.tags.count("script") == 2 + 1
        assert "alert" not in "".join(re.findall(r"<script.*?</script>", page, re.S))
        assert "b" not in parsed.tags
        assert page.count("<style>") == page.count("</style>") == 1
        assert report.subjects[0].class_names[0] == HOSTILE
        assert HOSTILE in parsed.text
        assert str(run) in parsed.text


class TestCommand:
    def test_writes_a_page(self, call, tmp_path):
        target = tmp_path / "report.html"
        code, out, err = call(
            "report", digits_path(), "-m", "temperature:objective=ece", "--no-intervals", "-o", target
        )
        assert (code, out, err) == (0, f"wrote {target}\n", "")
        text = Page(target.read_text(encoding="utf-8")).text
        assert "temperature:objective=ece" in text
        assert "Intervals" not in text
        assert [p.name for p in tmp_path.iterdir()] == ["report.html"]

    def test_calibrators_of_elsewhere(self, call, tmp_path):
        calibrator = calkit.TemperatureScaling().fit_predictions(load_digits_logits("validation"))
        calibrator.save(tmp_path / "cal.json")
        np.savez(tmp_path / "x.npz", test_logits=digits()["test_logits"], test_labels=digits()["test_labels"])
        options = ["--metrics", "nll", "--format", "json", "--no-intervals"]
        code, out, _ = call("report", tmp_path / "x.npz", "--calibrator", tmp_path / "cal.json", *options)
        assert code == 0
        results = json.loads(out)["subjects"][0]["results"]
        assert [r["fitted_on"] for r in results] == [None, None]
        assert results[1]["fitted"] == {"temperature": calibrator.temperature_}
        _, out, _ = call("report", tmp_path / "x.npz", "-m", "temperature", "--fit-on", digits_path(), *options)
        (fitted,) = json.loads(out)["subjects"][0]["results"][1:]
        assert fitted["fitted_on"] == str(digits_path())
        _, out, _ = call("report", tmp_path / "x.npz", "--as-is", *options)
        assert len(json.loads(out)["subjects"][0]["results"]) == 1

    def test_the_command_it_names_makes_it_again(self, call, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        source = tmp_path / "a b.npz"
        np.savez(source, **digits())
        options = ["-m", "temperature", "-m", "temperature:objective=ece", "--bins", 7, "--no-intervals"]
        code, out, _ = call("report", source, *options, "--metrics", "ece,nll", "--format", "json")
        assert code == 0
        words = shlex.split(json.loads(out)["command"])
        assert words[:3] == ["calkit", "report", str(source)]
        assert call(*words[1:]) == (0, out, "")

    def test_a_file_beside_a_run(self, call, tmp_path):
        run = write_run(tmp_path / "run")
        code, _, err = call("report", digits_path(), run, "--no-intervals", "-o", tmp_path / "r.html")
        assert (code, err) == (0, "")
        text = Page((tmp_path / "r.html").read_text(encoding="utf-8")).text
        assert "1 · digits-mlp.npz" in text
        assert "2 · digits mlp ce" in text

    @pytest.mark.parametrize(
        ("args", "code", "message"),
        [
            (["DIGITS"], 2, "-o report.html"),
            (["DIGITS", "--as-is", "-m", "temperature", "-o", "r.html"], 2, "--as-is fits nothing"),
            (["DIGITS", "--metrics", "eec", "-o", "r.html"], 2, "Did you mean 'ece'"),
            (["DIGITS", "-m", "temprature", "-o", "r.html"], 2, "Did you mean 'temperature'"),
            (["DIGITS", "-o", "none/r.html"], 1, "cannot write"),
            (["none.npz", "-o", "r.html"], 1, "does not exist"),
            (
                ["test-only.npz", "-o", "r.html"],
                2,
                "no validation split to fit temperature on. Measure it uncalibrated with --as-is",
            ),
            (["unfinished", "-o", "r.html"], 1, "the run has not ended (3 epochs done). Logits of epoch 3: "),
            (["unfinished", "-o", "r.html"], 1, "Its history so far: calkit plot unfinished --history"),
            (["classes", "-o", "r.html"], 1, "fitted on 10 classes, but classes/logits/final.npz has 3"),
            (["broken-line", "-o", "r.html"], 1, "history.jsonl, line 2, is damaged"),
            (["broken-recipe", "-o", "r.html"], 1, "recipe.toml cannot be read"),
            (["broken-versions", "-o", "r.html"], 1, "versions.json cannot be read"),
            (["broken-logits", "-o", "r.html"], 1, "final.npz"),
        ],
    )
    def test_one_error(self, call, tmp_path, monkeypatch, args, code, message):
        np.savez(tmp_path / "test-only.npz", test_logits=np.eye(3), test_labels=[0, 1, 2])
        (write_run(tmp_path / "unfinished") / "logits" / "final.npz").unlink()
        arrays = digits() | {"test_logits": np.eye(3), "test_labels": np.arange(3)}
        np.savez(write_run(tmp_path / "classes") / "logits" / "final.npz", **arrays)
        for name, file, text in (
            ("broken-line", "history.jsonl", '{"epoch": 1}\n{"epoch": 2, "te\n{"epoch": 3}\n'),
            ("broken-recipe", "recipe.toml", "loss = "),
            ("broken-versions", "versions.json", "{"),
            ("broken-logits", "logits/final.npz", "PK not a zip"),
        ):
            if args[0] == name:
                (write_run(tmp_path / name) / file).write_text(text)
        before = sorted(tmp_path.rglob("*"))
        monkeypatch.chdir(tmp_path)
        found, out, err = call("report", *(digits_path() if a == "DIGITS" else a for a in args), "--no-intervals")
        assert (found, out) == (code, "")
        assert message in err
        assert err.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before


def test_heavy_libraries_load_only_when_used():
    code = (
        "import sys, calkit, calkit.cli, calkit.plotting\n"
        "print(*{'jinja2', 'matplotlib'} & set(sys.modules))\n"
        "import calkit.report\n"
        "from calkit.datasets import digits_path\n"
        "report = calkit.report.make_report([digits_path()], metrics=['ece'], confidence_level=None)\n"
        "print(*{'jinja2'} & set(sys.modules))\n"
        "calkit.report.render_report(report)\n"
        "print(*{'matplotlib.pyplot', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n\n\n"


def test_the_guide_runs_and_says_the_truth(tmp_path, monkeypatch):
    guide = (Path(__file__).parents[2] / "docs" / "user_guide" / "report.md").read_text(encoding="utf-8")
    page, history = re.findall(r"```python\n(.*?)```", guide, re.S)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(page, names)
    exec(history, {})
    assert f"{names['by_nll'].fitted['temperature']:.3f}" == "2.515"
    assert [f"{names[r].values['ece'].value:.4f}" for r in ("before", "by_nll")] == ["0.1296", "0.0272"]
    assert "# 2.515" in page
    assert "# 0.1296, 0.0272" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.png", "report.html"]


def test_the_commands_of_the_guide_run(call, tmp_path, monkeypatch):
    guide = (Path(__file__).parents[2] / "docs" / "user_guide" / "report.md").read_text(encoding="utf-8")
    arrays = digits()
    np.savez(tmp_path / "logits.npz", **arrays)
    np.savez(tmp_path / "test.npz", logits=arrays["test_logits"], labels=arrays["test_labels"])
    (tmp_path / "pairs.csv").write_text("confidence,correct\n0.9,1\n0.6,0\n0.7,1\n")
    (tmp_path / "scores.csv").write_text("probability,label,region\n0.9,1,n\n0.6,0,n\n0.7,1,s\n")
    for name, loss in (("ce", "ce"), ("focal", "FLA-53")):
        write_run(tmp_path / "runs" / name, loss)
    (template,) = re.findall(r"```html\n(.*?)```", guide, re.S)
    (tmp_path / "own.html").write_text(template, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    lines = [line for block in re.findall(r"```sh\n(.*?)```", guide, re.S) for line in block.splitlines()]
    assert len(lines) >= 11
    for line in lines:
        program, *words = shlex.split(line, comments=True)
        target = Path(words[words.index("-o") + 1])
        target.unlink(missing_ok=True)
        assert program == "calkit"
        assert call(*words)[::2] == (0, ""), line
        assert target.stat().st_size > 0


def test_every_metric_is_explained():
    infos = [MetricInfo(name, name, True, False) for name in calkit.metrics.available_metrics()]
    assert all(len(text) > 20 for _, text in notes(infos))
    assert len(notes(infos)) == len(infos)
    assert set(METRIC_NOTES) <= set(calkit.metrics.available_metrics())


def test_pictures_of_the_page_have_no_black_of_their_own():
    page = render_report(make_report([digits_path()], n_resamples=50))
    pictures = re.findall(r"<svg .*?</svg>", page, flags=re.DOTALL)
    assert pictures
    # Black lines would vanish on the dark page.
    assert not any("#000000" in picture for picture in pictures)
    assert any("stroke: var(--ink); stroke-opacity: 0.75" in picture for picture in pictures)


def test_only_what_is_on_the_page_is_explained(calkit_cli, tmp_path):
    (tmp_path / "pairs.csv").write_text("confidence,correct\n" + "0.9,1\n0.8,0\n" * 20)
    for file, options, explained in (
        (tmp_path / "pairs.csv", ["--as-is"], False),
        (digits_path(), ["-m", "temperature"], True),
    ):
        assert calkit_cli("report", file, *options, "-o", tmp_path / "page.html")[0] == 0
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert ("<dt>Bold</dt>" in page, "<dt>Worst classes</dt>" in page) == (explained, explained)
        assert "<dt>Noise</dt>" in page
