"""``calkit.calibration_tests`` and ``calkit test``: of predictions, any target, any metric."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import calkit
from calkit.cli import cli
from calkit.datasets import digits_path, load_digits_logits
from calkit.errors import InputError, NotFoundError, UsageError
from calkit.inference.tests import DEFAULT_TESTS, TESTS, run_tests


def test_predictions_are_tested_by_the_forecasts_of_their_target():
    digits = load_digits_logits("test")
    z = digits.scores.astype(float)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    top = calkit.calibration_tests(digits, list(TESTS), n_resamples=50)
    arrays = run_tests(p.max(axis=1), p.argmax(axis=1) == digits.y_true, tests=list(TESTS), n_resamples=50)
    for name, result in top.items():
        assert result.p_value == pytest.approx(arrays[name].p_value, rel=1e-3, abs=1e-9)
    one = calkit.calibration_tests(digits, "cox", target="positive:class=3")
    column = run_tests(p[:, 3], digits.y_true == 3, tests="cox")
    assert one["cox"].statistic == pytest.approx(column["cox"].statistic, rel=1e-4)
    assert one.target == "positive:class=3"


def test_metrics_are_tested_against_their_floors():
    digits = load_digits_logits("test")
    found = calkit.calibration_tests(digits, ["ece:n_bins=10", "smece"])
    judged = calkit.evaluate(digits, ["ece:n_bins=10"]).judgement("ece:n_bins=10")
    assert found["ece:n_bins=10"].p_value == judged.p_value
    assert "perfect model of this size" in found["ece:n_bins=10"].finding
    # A name that both have is the test.
    assert found["smece"].title == "Smooth ECE against its floor"


def test_calibrated_predictions_pass_and_weights_count():
    rng = np.random.default_rng(3)
    p = rng.random(4000)
    y = (rng.random(4000) < p).astype(int)
    passed = calkit.calibration_tests(calkit.Predictions(p, y, kind="probs"))
    assert min(result.p_value for result in passed.values()) > 0.01
    # Rows of weight 0 do not count.
    wrong = np.concatenate([p, np.full(500, 0.9)]), np.concatenate([y, np.zeros(500, int)])
    weight = np.concatenate([np.ones(4000), np.zeros(500)])
    again = calkit.calibration_tests(calkit.Predictions(wrong[0], wrong[1], kind="probs", sample_weight=weight), "cox")
    assert again["cox"].p_value == pytest.approx(passed["cox"].p_value, rel=1e-9)


def test_what_cannot_be_tested():
    digits = load_digits_logits("test")
    with pytest.raises(UsageError, match="several forecasts of a row"):
        calkit.calibration_tests(digits, target="classwise")
    with pytest.raises(UsageError, match="has no floor"):
        calkit.calibration_tests(digits, "nll")
    with pytest.raises(NotFoundError, match="Did you mean 'kuiper'"):
        calkit.calibration_tests(digits, "kuyper")
    with pytest.raises(InputError, match="name at least one test"):
        calkit.calibration_tests(digits, [])
    with pytest.raises(InputError, match="soft labels"):
        calkit.calibration_tests(calkit.Predictions([[0.4, 0.6]], [[0.5, 0.5]], kind="probs"))
    with pytest.raises(InputError):
        calkit.calibration_tests([[0.4, 0.6]])


class TestCommandLine:
    def run(self, *arguments):
        return CliRunner().invoke(cli, ["test", str(digits_path()), "--split", "test", *arguments])

    def test_table(self):
        result = self.run()
        assert result.exit_code == 0, result.output
        assert "899 samples" in result.output
        assert "too extreme (slope below 1)" in result.output
        assert "Adaptive T-Cal" in result.output

    def test_json_is_what_python_has(self, tmp_path):
        result = self.run("--format", "json", "--tests", "cox,kuiper", "--random-state", "1")
        (data,) = json.loads(result.output)
        found = calkit.calibration_tests(load_digits_logits("test"), ["cox", "kuiper"], random_state=1)
        assert data["tests"] == {name: r.to_dict() for name, r in found.items()}
        written = self.run("--tests", "cox", "-o", str(tmp_path / "tests.json"))
        assert written.exit_code == 0
        assert list(json.loads((tmp_path / "tests.json").read_text())[0]["tests"]) == ["cox"]

    def test_default_tests_are_those_of_python(self):
        (data,) = json.loads(self.run("--format", "json").output)
        assert list(data["tests"]) == list(DEFAULT_TESTS)
