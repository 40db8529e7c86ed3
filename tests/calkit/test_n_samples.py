"""How many rows an evaluation says it has: those that count, however they were read and wherever it is said."""

import json

import numpy as np
import pytest

import calkit
from calkit.cli import main

N, COUNTED = 30, 22
RNG = np.random.default_rng(0)
P = RNG.dirichlet(np.ones(3), N)
LABEL = RNG.integers(0, 3, N)
GROUP = np.arange(N) % 3


def left_out(how):
    """The same rows, of which eight do not count, and the options that say so."""
    label, weight, kept = LABEL.copy(), np.ones(N), np.ones(N, dtype=bool)
    kept[[0, 1, 2, 7, 15, 28, 29, 13]] = False
    if how == "label":
        label[~kept] = -100
        return label, {"ignore_label": -100}, kept
    weight[~kept] = 0
    return label, {"sample_weight": weight}, kept


@pytest.mark.parametrize("how", ["weight", "label"])
def test_rows_that_do_not_count_are_not_counted(how, tmp_path):
    label, options, kept = left_out(how)
    whole = calkit.evaluate(label, P, ["ece", "accuracy"], by=GROUP, **options)
    assert whole.n_samples == whole.to_dict()["n_samples"] == COUNTED
    assert {name: group.n_samples for name, group in whole.groups.items()} == {
        g: int(kept[g == GROUP].sum()) for g in range(3)
    }
    assert sum(whole.bins["ece"].count) == COUNTED
    predictions = calkit.Predictions(P, label, kind="probs", **options)
    assert (predictions.n_samples, predictions.n_counted) == (N, COUNTED)
    assert calkit.compare({"a": predictions, "b": predictions}, ["ece"]).n_samples == COUNTED
    assert calkit.calibration_tests(predictions).n_samples == COUNTED
    for i, rows in enumerate((slice(0, 3), slice(3, N))):
        calkit.save_predictions(predictions.take(rows), tmp_path / f"part-{i}.npz")
    # The first shard has no row that counts.
    assert calkit.evaluate(calkit.Shards(str(tmp_path / "part-*.npz")), ["ece"]).n_samples == COUNTED


@pytest.mark.parametrize("how", ["weight", "label"])
def test_streams_count_them_and_know_the_places_of_all(how, tmp_path):
    label, options, _ = left_out(how)
    weight = options.get("sample_weight")
    ignored = {"ignore_label": options["ignore_label"]} if how == "label" else {}
    asked = {"kind": "probs", "confidence_level": 0.95, **ignored}
    stream, second = (calkit.StreamingEvaluation(["ece", "nll"], **asked) for _ in range(2))
    parts = [slice(0, 3), slice(3, 14), slice(14, N)]
    for part in parts[:2]:
        stream.update(P[part], label[part], None if weight is None else weight[part])
    stream.save(tmp_path / "stream.npz")
    stream = calkit.StreamingEvaluation.load(tmp_path / "stream.npz")
    stream.update(P[parts[2]], label[parts[2]], None if weight is None else weight[parts[2]])
    assert stream.n_samples == stream.result().n_samples == COUNTED
    # Folds go by the places of all rows, so that the limits are those of one pass.
    whole = calkit.evaluate(label, P, ["ece", "nll"], confidence_level=0.95, **options)
    assert stream.result().intervals["nll"] == pytest.approx(whole.intervals["nll"], rel=1e-12)
    second.update(P, label, weight)
    assert second.merge(stream).n_samples == 2 * COUNTED


def test_reports_and_the_command_line_say_the_same(tmp_path, capsys):
    label, options, _ = left_out("weight")
    path = tmp_path / "probs.npz"
    calkit.save_predictions(calkit.Predictions(P, label, kind="probs", **options), path)
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(path), "--metrics", "ece", "--format", "json"])
    assert ended.value.code in (0, None)
    said = json.loads(capsys.readouterr().out)
    said = said[0] if isinstance(said, list) else said
    assert said["n_samples"] == COUNTED


def test_rows_of_weight_0_change_no_difference_of_two_models():
    # An interval of a difference of shares adds one more row: of the mean weight, of the rows that count.
    label, options, kept = left_out("weight")
    both = {"a": P, "b": np.roll(P, 1, axis=1)}
    found = {}
    for rows, given in ((slice(None), options), (kept, {})):
        models = {k: calkit.Predictions(p[rows], label[rows], kind="probs", **given) for k, p in both.items()}
        found[len(found)] = calkit.compare(models, ["accuracy"]).differences["accuracy"]["b"]
    for what in ("value", "low", "high", "p_value"):
        assert getattr(found[0], what) == pytest.approx(getattr(found[1], what), rel=1e-9), what
