"""CalibrationHistory: what stands in the record is what calkit's metrics say of the same logits."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy
from torch import nn

import calkit
from calkit.errors import InputError, NotFoundError
from calkit.plotting import HistoryDisplay
from calkit_torch.data import get_dataset
from calkit_torch.training import Recipe, train
from calkit_torch.training.callbacks import CalibrationHistory
from calkit_torch.training.distributed import Processes
from calkit_torch.training.setup import build_state
from tests import reference

DIGITS = get_dataset("digits")
RECIPE = Recipe("digits", "mlp:hidden=16", "focal:3", optimiser="adam:0.003", epochs=3)
GROUPS = ("", "_correct", "_misclassified")
KEYS = ["error", "ece", "adaece", "mce"] + [q + g for q in ("nll", "entropy", "confidence", "p_true") for g in GROUPS]


def state_of(recipe=RECIPE):
    return build_state(recipe, DIGITS, Processes(), run=None)


def logits_of(model, split):
    """Logits without the loop: the images normalised as the digits' description says."""
    x = (DIGITS.split(split).inputs.float() / 16 - 0.305) / 0.376
    with torch.no_grad():
        return model.eval()(x).numpy().astype(np.float64), DIGITS.split(split).labels.numpy()


def expected(logits, y):
    """From plain loops and SciPy, and nothing of calkit."""
    probs = softmax(logits, axis=1)
    right = logits.argmax(1) == y
    pairs = reference.pairs(probs, y)
    found = {
        "error": 1 - sum(correct for _, correct in pairs) / len(pairs),
        "ece": reference.ece_of_pairs(pairs),
        "adaece": reference.adaece_of_pairs(pairs),
        "mce": reference.mce_of_pairs(pairs),
    }
    for suffix, kept in zip(GROUPS, (right | True, right, ~right), strict=True):
        p, labels = probs[kept], y[kept]
        found["nll" + suffix] = reference.mean(reference.nll_rows_from_logits(logits[kept], labels))
        found["entropy" + suffix] = entropy(p, axis=1).mean()
        found["confidence" + suffix] = p.max(1).mean()
        found["p_true" + suffix] = p[np.arange(len(p)), labels].mean()
    return found


def test_the_record_of_an_epoch():
    state = state_of()
    CalibrationHistory().on_epoch_end(state)
    assert set(state.record) == {"last_layer_norm", "train", "validation", "test"}
    weights = state.model.classifier.weight.detach().numpy()
    assert state.record["last_layer_norm"] == pytest.approx(np.linalg.norm(weights), rel=1e-6)
    for split in ("train", "validation", "test"):
        assert list(state.record[split]) == KEYS
        assert state.record[split] == pytest.approx(expected(*logits_of(state.model, split)), rel=1e-5)


def test_without_the_training_set_and_with_more_metrics():
    state = state_of()
    state.record = {"epoch": 1, "test": {"kept": 1.0}}
    CalibrationHistory(train=False, metrics=["ece:n_bins=10", "brier"]).on_epoch_end(state)
    assert list(state.record["validation"]) == [*KEYS, "ece:n_bins=10", "brier"]
    assert state.record["test"]["kept"] == 1.0
    assert "train" not in state.record
    logits, y = logits_of(state.model, "test")
    assert state.record["test"]["brier"] == pytest.approx(calkit.brier(y, logits, from_logits=True), rel=1e-5)


def test_now_and_then_and_after_the_last_epoch():
    state, measured = state_of(Recipe("digits", "mlp:hidden=4", "ce", epochs=5)), []
    callback = CalibrationHistory(train=False, every=2)
    for state.epoch in range(5):
        state.record = {}
        callback.on_epoch_end(state)
        measured.append(bool(state.record))
    assert measured == [False, True, False, True, True]


def test_a_network_without_a_last_layer_of_that_name():
    state = state_of()
    state.model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    CalibrationHistory(train=False).on_epoch_end(state)
    assert set(state.record) == {"validation", "test"}


def test_a_run_leaves_a_history_that_can_be_drawn(tmp_path):
    run = train(RECIPE, DIGITS, out=tmp_path / "run", device="cpu", callbacks=[CalibrationHistory()])
    assert [record["epoch"] for record in run.history] == [1, 2, 3]
    display = HistoryDisplay.from_run(run)
    for split in ("train", "validation", "test"):
        for key in KEYS:
            values = display.values(run.label, key, split)
            assert values.shape == (3,)
            assert np.isfinite(values).all()


def test_a_mean_over_nobody_is_null_in_the_file(tmp_path):
    """A training set that the network gets right: nothing is misclassified."""
    recipe = Recipe("digits", "mlp", "ce", optimiser="adam:0.01", epochs=40)
    run = train(recipe, DIGITS, out=tmp_path / "run", device="cpu", callbacks=[CalibrationHistory(every=40)])
    last = json.loads((run.path / "history.jsonl").read_text().splitlines()[-1])
    assert last["train"]["error"] == 0
    assert last["train"]["nll_misclassified"] is None
    assert last["train"]["nll_correct"] == pytest.approx(last["train"]["nll"])


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_impossible_periods(every):
    with pytest.raises(InputError, match="every must be a positive whole number"):
        CalibrationHistory(every=every)


def test_unknown_metrics():
    with pytest.raises(NotFoundError, match="Did you mean 'brier'"):
        CalibrationHistory(metrics=["brierr"])
