"""A question where the accuracy is surely below that of guesses, and none elsewhere."""

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import binom

import calkit
from calkit.cli.app import cli
from calkit.evaluation.chance import below_chance


def predictions(n, n_classes, right):
    """Return rows of which the first `right` are predicted well, and the others not."""
    labels = np.arange(n) % n_classes
    answers = np.where(np.arange(n) < right, labels, (labels + 1) % n_classes)
    return calkit.Predictions(5.0 * np.eye(n_classes)[answers], labels, kind="logits")


@pytest.mark.parametrize("metric", ["accuracy", "error", "accuracy:target=top"])
@pytest.mark.parametrize(("n", "n_classes"), [(1, 2), (12, 2), (40, 2), (60, 3), (400, 10), (50, 100)])
def test_it_is_asked_only_where_guesses_are_hardly_ever_as_wrong(n, n_classes, metric):
    asked = []
    for right in range(n + 1):
        hint = below_chance(calkit.evaluate(predictions(n, n_classes, right), [metric]))
        if hint:
            assert f"{100 / n_classes:.3g} %" in hint
            # The binomial law of guesses, by SciPy.
            assert binom.cdf(right, n, 1 / n_classes) <= 1e-3
            asked.append(right)
    assert asked == list(range(len(asked)))
    assert bool(asked) == (n / n_classes > 5 and n >= 12)


def test_one_column_and_pairs():
    p, y = np.linspace(0.01, 0.99, 60), np.arange(60) < 30
    assert "below that of guesses, 50 %" in below_chance(calkit.evaluate(y, p, ["accuracy"]))
    assert below_chance(calkit.evaluate(~y, p, ["accuracy"])) == ""
    assert below_chance(calkit.evaluate(y, p, ["ece"])) == ""
    # Answers may be of any number of options.
    pairs = calkit.Predictions.from_confidence(p, np.zeros(60))
    assert below_chance(calkit.evaluate(pairs, ["accuracy"])) == ""


@pytest.mark.parametrize("form", ["table", "md"])
def test_the_command_asks_once_for_each_file(form, tmp_path):
    for name, right in (("good.npz", 60), ("bad.npz", 1)):
        calkit.save_predictions(predictions(60, 3, right), tmp_path / name)
    files = [str(tmp_path / name) for name in ("good.npz", "bad.npz")]
    done = CliRunner().invoke(cli, ["evaluate", *files, "--metrics", "accuracy", "--format", form])
    assert done.exit_code == 0, done.output
    assert done.stdout.count("do rows, labels and classes belong together?") == 1
    assert "bad.npz: the accuracy, 1.67 %" in done.stdout
