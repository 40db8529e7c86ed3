"""A file whose rows all have weight 0 counts as no rows; rows that all have weight 0 are an error once all are seen."""

import warnings

import numpy as np
import pytest

from calkit import Predictions, evaluate, save_predictions
from calkit.calibrators import CALIBRATORS, available_calibrators, get_calibrator
from calkit.errors import CalibrationWarning, InputError
from calkit.shards import Shards

RNG = np.random.default_rng(0)
LOGITS = {k: 2 * RNG.normal(size=(120, k)) for k in (2, 3)}
LABELS = {k: (z / 2 + RNG.gumbel(size=z.shape)).argmax(axis=1) for k, z in LOGITS.items()}
WEIGHT = np.r_[np.zeros(30), RNG.uniform(0.5, 2, 90)]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Four files for each number of classes, the first without a row that counts."""
    found = {}
    for k, z in LOGITS.items():
        folder = tmp_path_factory.mktemp(f"shards{k}")
        whole = Predictions(z, LABELS[k], kind="logits", sample_weight=WEIGHT)
        for i in range(4):
            save_predictions(whole.take(slice(30 * i, 30 * i + 30)), folder / f"part-{i}.npz")
        found[k] = Shards(str(folder / "part-*.npz"))
    return found


def fitted(name, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        return get_calibrator(name).fit_predictions(data)


@pytest.mark.parametrize("name", [name for name in available_calibrators() if name != "teacher"])
def test_calibrators(name, shards):
    k = 2 if CALIBRATORS[name].binary_only else 3
    if not {"weights", "shards"} <= get_calibrator(name).supports:
        pytest.skip("takes no shards with weights")
    z = LOGITS[k]
    counted = Predictions(z[30:], LABELS[k][30:], kind="logits", sample_weight=WEIGHT[30:])
    found, expected = fitted(name, shards[k]).predict_proba(z), fitted(name, counted).predict_proba(z)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_teacher(shards):
    # It takes the shares of the classes for labels; those of one class are a teacher that is sure.
    found = fitted("teacher", shards[3])
    counted = Predictions(LOGITS[3][30:], LABELS[3][30:], kind="logits", sample_weight=WEIGHT[30:])
    assert found.temperature_ == pytest.approx(fitted("teacher", counted).temperature_, rel=1e-9)


def test_metrics(shards):
    names = ["ece", "adaece", "nll", "brier", "smece", "error"]
    counted = Predictions(LOGITS[2][30:], LABELS[2][30:], kind="logits", sample_weight=WEIGHT[30:])
    assert dict(evaluate(shards[2], names)) == pytest.approx(dict(evaluate(counted, names)), rel=1e-12)


def test_nothing_at_all(tmp_path):
    nothing = Predictions(LOGITS[3], LABELS[3], kind="logits", sample_weight=np.zeros(120))
    for i in range(2):
        save_predictions(nothing.take(slice(60 * i, 60 * i + 60)), tmp_path / f"part-{i}.npz")
    everything = Shards(str(tmp_path / "part-*.npz"))
    for data in (nothing, everything):
        with pytest.raises(InputError, match="sample_weight is zero in every row"):
            evaluate(data, ["ece"])
        with pytest.raises(InputError, match="sample_weight is zero in every row"):
            get_calibrator("temperature").fit_predictions(data)
