"""calkit fit, show and apply with calibrators of all kinds."""

import json

import numpy as np
import pytest

import calkit
from calkit.calibrators import get_calibrator, load_calibrator
from calkit.cli.app import main
from calkit.datasets import digits_path, load_digits_logits

DIGITS = str(digits_path())


def run(capsys, *arguments):
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as done:
        code = done.code
    out, err = capsys.readouterr()
    return code or 0, out, err


def test_auto_says_what_it_did(tmp_path, capsys):
    code, out, _ = run(capsys, "fit", DIGITS, "-m", "auto", "-o", tmp_path / "cal.json")
    assert code == 0
    assert "kept = yes" in out
    assert "on held-out rows the log-loss falls by 0." in out
    fitted = load_calibrator(tmp_path / "cal.json")
    alone = calkit.calibrators.AutoCalibrator().fit_predictions(load_digits_logits("validation"))
    assert fitted.fingerprint() == alone.fingerprint()


def test_the_best_of_several(tmp_path, capsys):
    arguments = ["-m", "temperature", "-m", "histogram", "-m", "vector"]
    code, out, _ = run(capsys, "fit", DIGITS, *arguments, "-o", tmp_path / "cal.json")
    assert code == 0
    chosen = load_calibrator(tmp_path / "cal.json")
    assert f"* {chosen.name}" in out
    assert "95 % interval" in out
    assert chosen.name in ("temperature", "vector")
    code, _, err = run(capsys, "fit", DIGITS, "--guard", "1", "-o", tmp_path / "cal.json")
    assert code == 2
    assert "give more than one -m" in err


@pytest.mark.parametrize("form", ["table", "json"])
def test_show(tmp_path, capsys, form):
    run(capsys, "fit", DIGITS, "-m", "temperature:objective=ece", "-o", tmp_path / "cal.json")
    code, out, _ = run(capsys, "show", tmp_path / "cal.json", "--format", form)
    assert code == 0
    fitted = load_calibrator(tmp_path / "cal.json")
    if form == "json":
        assert json.loads(out)["fitted"] == {"temperature": fitted.temperature_}
        assert json.loads(out)["fingerprint"] == fitted.fingerprint()
    else:
        assert "temperature scaling" in out
        assert f"T = {fitted.temperature_:.10g}" in out
        assert "changes none of its answers" in out


def test_methods_of_every_kind_are_applied(tmp_path, capsys):
    test = load_digits_logits("test")
    for method in ("svs", "isotonic", "top-label:calibrator=beta", "by-column:calibrator=temperature"):
        assert run(capsys, "fit", DIGITS, "-m", method, "-o", tmp_path / "cal.json")[0] == 0
        assert run(capsys, "apply", tmp_path / "cal.json", DIGITS, "-o", tmp_path / "out.npz")[0] == 0
        expected = load_calibrator(tmp_path / "cal.json").predict_proba(test.scores.astype(np.float64))
        written = calkit.load_predictions(tmp_path / "out.npz")
        np.testing.assert_allclose(np.asarray(written.scores), expected, atol=1e-6)


def test_by_a_column_of_the_file(tmp_path, capsys):
    rng = np.random.default_rng(0)
    topic = np.repeat(["law", "maths"], 100)
    confidence = rng.uniform(0.5, 1, 200)
    right = rng.random(200) < np.where(topic == "law", confidence, confidence**4)
    pairs = calkit.Predictions(confidence, right, kind="confidence", columns={"topic": topic})
    calkit.save_predictions(pairs, tmp_path / "pairs.npz")
    method = "by-column:column=topic"
    assert run(capsys, "fit", tmp_path / "pairs.npz", "-m", method, "-o", tmp_path / "cal.json")[0] == 0
    assert load_calibrator(tmp_path / "cal.json").values_.tolist() == ["law", "maths"]
    assert run(capsys, "apply", tmp_path / "cal.json", tmp_path / "pairs.npz", "-o", tmp_path / "out.npz")[0] == 0
    after = get_calibrator(method).fit_predictions(pairs).apply(pairs)
    written = calkit.load_predictions(tmp_path / "out.npz")
    np.testing.assert_allclose(np.asarray(written.scores), np.asarray(after.scores), rtol=1e-12)
    code, out, _ = run(
        capsys, "evaluate", tmp_path / "pairs.npz", "--calibrator", tmp_path / "cal.json", "--format", "json"
    )
    assert code == 0
    assert f'"ece": {calkit.evaluate(after, ["ece"])["ece"]!r}' in out


def test_the_arrays_beside_never_replace_the_data(tmp_path, capsys):
    data = tmp_path / "cal.json.npz"
    calkit.save_predictions(load_digits_logits("validation"), data)
    code, _, err = run(capsys, "fit", data, "-o", tmp_path / "cal.json")
    assert code == 2
    assert "cal.json.npz" in err


@pytest.fixture
def topics(tmp_path):
    """Logits that are overconfident on one topic, and the reverse on the other, in two splits of one file."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(400, 3)) * 3
    topic = np.tile(["law", "maths"], 200)
    temperature = np.where(topic == "law", 0.5, 4.0)[:, None]
    labels = (logits / temperature - np.log(-np.log(rng.random(logits.shape)))).argmax(axis=1)
    path = tmp_path / "topics.npz"
    np.savez(path, logits=logits, labels=labels, topic=topic, split=np.repeat(["validation", "test"], 200))
    return path


def test_a_column_is_read_for_the_best_of_several(topics, tmp_path, capsys):
    methods = ["-m", "temperature", "-m", "by-column:column=topic"]
    code, out, _ = run(capsys, "fit", topics, *methods, "-o", tmp_path / "cal.json")
    assert code == 0
    assert "* by-column:column=topic" in out
    assert load_calibrator(tmp_path / "cal.json").values_.tolist() == ["law", "maths"]


@pytest.mark.parametrize("command", ["plot", "report", "compare", "evaluate"])
def test_every_command_reads_the_column_of_a_method(topics, tmp_path, capsys, command):
    output = {"plot": "p.svg", "report": "r.html", "compare": "c.json", "evaluate": "e.json"}[command]
    form = ["--format", "json"] if output.endswith("json") else []
    code, _, err = run(capsys, command, topics, "-m", "by-column:column=topic", *form, "-o", tmp_path / output)
    assert code == 0, err
    assert "by-column" in (tmp_path / output).read_text()


def test_the_column_is_read_where_no_columns_are_written(topics, tmp_path, capsys):
    run(capsys, "fit", topics, "-m", "by-column:column=topic", "-o", tmp_path / "cal.json")
    for columns in ("all", "none"):
        words = ["--columns", columns, "-o", tmp_path / f"{columns}.npz"]
        assert run(capsys, "apply", tmp_path / "cal.json", topics, *words)[0] == 0
    both = [calkit.load_predictions(tmp_path / f"{columns}.npz", columns="all") for columns in ("all", "none")]
    np.testing.assert_array_equal(np.asarray(both[0].scores), np.asarray(both[1].scores))
    assert "topic" in both[0].columns
    assert not both[1].columns
    words = ["--columns", "none", "--id", "topic", "-o", tmp_path / "named.npz"]
    assert run(capsys, "apply", tmp_path / "cal.json", topics, *words)[0] == 0
    assert list(calkit.load_predictions(tmp_path / "named.npz", columns="all").columns) == ["id"]


def test_calibrators_lists_all_and_tells_of_some(capsys):
    code, out, _ = run(capsys, "calibrators")
    assert code == 0
    assert all(name in out for name in calkit.calibrators.available_calibrators())
    code, out, _ = run(capsys, "calibrators", "enir", "--format", "json")
    (row,) = json.loads(out)
    assert (row["name"], row["class"]) == ("near-isotonic", "NearIsotonic")
    code, out, _ = run(capsys, "calibrators", "svs:strength=2")
    assert "strength=1.0" in out
    code, _, err = run(capsys, "calibrators", "temprature")
    assert code == 2
    assert "Did you mean 'temperature'?" in err
    assert "'calkit calibrators' lists all" in err


@pytest.mark.parametrize("columns", ["all", "topic", "none"])
def test_a_calibrator_by_a_column_finds_that_of_each_split(tmp_path, capsys, columns):
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("validation", "test"):
        topic = np.repeat(["easy", "hard"], 100)
        logits = rng.normal(size=(200, 3))
        arrays[f"{split}_logits"], arrays[f"{split}_topic"] = logits, topic
        arrays[f"{split}_labels"] = (logits + rng.gumbel(size=(200, 3))).argmax(axis=1)
    np.savez(tmp_path / "a.npz", **arrays)
    method = "by-column:column=topic"
    assert run(capsys, "fit", tmp_path / "a.npz", "-m", method, "-o", tmp_path / "cal.json")[0] == 0
    arguments = [tmp_path / "cal.json", tmp_path / "a.npz", "-o", tmp_path / "out.npz", "--columns", columns]
    assert run(capsys, "apply", *arguments)[0] == 0
    found = np.load(tmp_path / "out.npz")
    fitted = load_calibrator(tmp_path / "cal.json")
    assert fitted.values_.tolist() == ["easy", "hard"]
    expected = np.concatenate(
        [
            calibrator.predict_proba(arrays["test_logits"][part])
            for calibrator, part in zip(fitted.calibrators_, (slice(100), slice(100, 200)), strict=True)
        ]
    )
    np.testing.assert_allclose(found["probs"], expected, rtol=1e-6)
    assert ("topic" in found) == (columns != "none")


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ([], False),
        (["--split", "test"], False),
        (["--split", "val"], True),
        (["--fit-on", "test"], False),
        (["--fit-on", "test", "--split", "test"], True),
    ],
)
def test_calibrators_are_not_judged_on_their_own_rows_unsaid(calkit_cli, options, warned):
    code, _, err = calkit_cli("evaluate", digits_path(), "-m", "temperature", "--metrics", "nll", *options)
    assert code == 0
    assert ("fitted on, and so look better" in err) == warned


def test_a_file_without_splits_that_is_fitted_on_itself(calkit_cli, tmp_path):
    for name in ("one.npz", "two.npz"):
        np.savez(tmp_path / name, probs=[[0.2, 0.8], [0.7, 0.3], [0.6, 0.4]], labels=[1, 0, 1])
    for name, warned in (("one.npz", True), ("two.npz", False)):
        options = ("-m", "temperature", "--fit-on", tmp_path / name, "--metrics", "nll")
        code, _, err = calkit_cli("evaluate", tmp_path / "one.npz", *options)
        assert code == 0
        assert ("fitted on, and so look better" in err) == warned
