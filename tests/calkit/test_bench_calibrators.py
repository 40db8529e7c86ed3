"""The benchmark of calibrators: trials, tables, command line."""

import json

import numpy as np
import pytest
from scipy.special import log_softmax

import calkit
from calkit.calibrators import CalibratorBenchmark, TemperatureScaling, bench_calibrators
from calkit.calibrators.choice.benchmark import Trial, TrialScores, usable_calibrators
from calkit.cli.app import run
from calkit.errors import InputError, UsageError


def drawn(n=300, k=3, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, k)) * 2
    return calkit.Predictions(z, (0.5 * z - np.log(-np.log(rng.random((n, k))))).argmax(axis=1), kind="logits")


def test_scores_are_those_of_the_other_rows():
    # The same split and fit by hand; metrics by calkit's own functions.
    data = drawn()
    found = bench_calibrators({"a": data}, ["temperature"], sizes=[100], random_state=3).trials[0]
    order = np.random.default_rng([3, 100, 0]).permutation(300)
    fit, test = order[:100], order[100:]
    fitted = TemperatureScaling().fit(log_softmax(data.scores, axis=1)[fit], data.y_true[fit])
    y, probs = data.y_true[test], fitted.predict_proba(log_softmax(data.scores, axis=1)[test])
    scores = found.results["temperature"]
    assert scores.log_loss == pytest.approx(calkit.nll(y, probs), rel=1e-6)
    assert scores.brier == pytest.approx(calkit.brier(y, probs), rel=1e-6)
    assert scores.ece == pytest.approx(calkit.ece(y, probs), abs=1e-9)
    assert found.results["identity"].log_loss == pytest.approx(calkit.nll(y, data.scores[test], from_logits=True))


def trial(data, **losses):
    return Trial(data, "m", 50, 2, {name: TrialScores(loss, loss, 0.1, 0.0) for name, loss in losses.items()})


def test_table_by_hand():
    # Two data sets, the first with two trials: means are of data sets' means.
    found = CalibratorBenchmark((
        trial("a", identity=1.0, x=0.5, y=1.2),
        trial("a", identity=1.0, x=1.005, y=0.9),
        trial("b", identity=1.0, x=1.0, y=2.0),
    ))  # fmt: skip
    ((title, rows),) = found.tables().items()
    assert title == "2 classes: 3 trials of 2 data sets"
    row = {each.name: each for each in rows}
    assert (row["x"].harm, row["x"].much_harm, row["x"].win) == (0.25, 0, 0.25)
    assert (row["y"].harm, row["y"].much_harm, row["y"].win) == (0.75, 0.75, 0.25)
    # Ranks of x: 0 and 1 in a; in b it ties with the identity, 1/4.
    assert row["x"].rank == pytest.approx((0.5 + 0.25) / 2)
    assert row["y"].log_loss == pytest.approx(np.sqrt(np.sqrt(1.2 * 0.9) * 2) - 1)
    assert row["x"].brier == pytest.approx(((-0.5 + 0.005) / 2 + 0) / 2)
    assert row["y"].harm_interval == (0.5, 1.0)
    assert [each.rank for each in rows] == sorted(each.rank for each in rows)


def test_calibrators_that_serve_the_classes():
    assert "beta" in usable_calibrators(2)
    assert "beta" not in usable_calibrators(3)
    assert not {"prior", "teacher", "by-column", "identity"} & set(usable_calibrators(3))
    with pytest.raises(UsageError, match="none of the calibrators takes 3 classes"):
        bench_calibrators({"a": drawn()}, ["beta"])


def test_what_cannot_be_tried_is_refused():
    data = drawn()
    with pytest.raises(InputError, match="no model has the rows for a trial"):
        bench_calibrators({"a": data}, ["temperature"], sizes=[290])
    with pytest.raises(UsageError, match="whole numbers of at least 1"):
        bench_calibrators({"a": data}, ["temperature"], sizes=[0])
    with pytest.raises(InputError, match="leave weights and soft labels out"):
        bench_calibrators({"a": data.replace(sample_weight=np.ones(300))}, ["temperature"])
    with pytest.raises(InputError, match="Predictions"):
        bench_calibrators({"a": data.scores}, ["temperature"])


def test_pairs_are_events():
    rng = np.random.default_rng(0)
    confidence = rng.random(200)
    pairs = calkit.Predictions.from_confidence(confidence, rng.random(200) < confidence**2)
    found = bench_calibrators({"a": pairs}, ["temperature", "isotonic"], sizes=[50]).trials[0]
    assert found.n_classes == 2


@pytest.fixture
def file(tmp_path):
    data = drawn()
    np.savez(tmp_path / "a.npz", logits=data.scores, labels=data.y_true)
    return str(tmp_path / "a.npz")


class TestCommand:
    def run(self, capsys, *words):
        code = run(["bench-calibrators", *words])
        return code, *capsys.readouterr()

    def test_table(self, capsys, file):
        code, out, _ = self.run(capsys, file, "-m", "temperature", "-m", "isotonic", "--sizes", "50,100")
        assert code == 0
        assert out.startswith("3 classes: 2 trials of 1 data set\n")
        assert {"temperature", "isotonic", "identity"} <= set(out.split())

    def test_json_is_read_back(self, capsys, file, tmp_path):
        target = tmp_path / "trials.json"
        code, out, _ = self.run(capsys, file, "-m", "temperature", "--sizes", "50", "--repeats", "2", "-o", str(target))
        assert (code, out.split()) == (0, ["wrote", str(target)])
        document = json.loads(target.read_text())
        found = CalibratorBenchmark.from_dict(document)
        assert len(found.trials) == 2
        assert found.to_dict() == document

    def test_markdown(self, capsys, file):
        code, out, _ = self.run(capsys, file, "-m", "temperature", "--sizes", "50", "--format", "md")
        assert code == 0
        assert "| `temperature` |" in out

    @pytest.mark.parametrize(
        ("words", "message"),
        [(["--sizes", "ten"], "--sizes must be whole numbers"), (["-m", "nonsense"], "nonsense"),
         (["--sizes", "0"], "--sizes must be at least 1")],
    )  # fmt: skip
    def test_misuse(self, capsys, file, words, message):
        code, _, err = self.run(capsys, file, *words)
        assert code == 2
        assert message in err

    def test_a_file_named_twice(self, capsys, file):
        code, _, err = self.run(capsys, file, file)
        assert (code, "named twice" in err) == (2, True)
