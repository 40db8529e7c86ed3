"""SaveLogits and EarlyStopping, in the loop and by themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import calkit
from calkit.errors import InputError, NotFoundError, UsageError
from calkit_torch.data import get_dataset
from calkit_torch.training import Callback, Recipe, train, trained_model
from calkit_torch.training.callbacks import CalibrationHistory, EarlyStopping, SaveLogits

DIGITS = get_dataset("digits")


def recipe(**options):
    options = {"optimiser": "adam:0.003", "epochs": 3, **options}
    return Recipe("digits", "mlp:hidden=16", "ce", **options)


def run_of(folder, *callbacks, **options):
    return train(recipe(**options), DIGITS, out=folder, device="cpu", callbacks=list(callbacks))


def logits_of(model, split):
    x = (DIGITS.split(split).inputs.float() / 16 - 0.305) / 0.376
    with torch.no_grad():
        return model.eval()(x).numpy()


def test_final_logits_are_those_of_the_network_that_was_kept(tmp_path):
    run = run_of(tmp_path / "run", SaveLogits())
    assert [path.name for path in run.logits().parent.iterdir()] == ["final.npz"]
    for split in ("validation", "test"):
        found = calkit.load_predictions(run.logits(), split=split)
        np.testing.assert_allclose(found.scores, logits_of(trained_model(run, DIGITS), split), rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(found.y_true, DIGITS.split(split).labels)
        assert tuple(found.class_names) == DIGITS.class_names


@pytest.mark.parametrize(("epochs", "saved", "expected"), [(None, (1, 3), [1, 3]), ([2], (1, 3), [2]), ([], (1,), [])])
def test_chosen_epochs(tmp_path, epochs, saved, expected):
    run = run_of(tmp_path / "run", CalibrationHistory(train=False), SaveLogits(epochs), save_epochs=saved)
    assert run.logits_epochs == expected
    for epoch in expected:
        found = calkit.load_predictions(run.logits(epoch), split="test")
        in_history = run.history[epoch - 1]["test"]["adaece"]
        assert calkit.evaluate(found, ["adaece"])["adaece"] == pytest.approx(in_history, rel=1e-12)


def test_impossible_epochs():
    with pytest.raises(InputError, match="counted from 1"):
        SaveLogits([0])


class Scripted:
    """A state whose validation metric follows a list."""

    def __init__(self, values):
        self.recipe = recipe()
        self.model = torch.nn.Linear(1, 1)
        self.values, self.record, self.stop, self.best, self.epoch, self.step = values, {}, None, None, 0, 0

    def evaluate(self, split, metrics):
        assert split == "validation"
        return {metrics[0].spec: self.values[self.epoch]}

    def play(self, callback):
        """Return the epoch after which it stops, counted from 1; None if it does not."""
        callback.on_start(self)
        while self.epoch < len(self.values):
            callback.on_epoch_end(self)
            self.epoch += 1
            self.step += 4
            if self.stop:
                return self.epoch
        return None


@pytest.mark.parametrize(
    ("metric", "values", "options", "stops"),
    [
        ("nll", [3, 2, 1, 1, 1, 1], {"patience": 3}, 6),
        ("nll", [3, 2, 1, 1, 1], {"patience": 3}, None),
        ("nll", [1, 2, 0.5, 2, 2], {"patience": 2}, 5),  # something better starts the count anew
        ("accuracy", [0.5, 0.6, 0.5, 0.7, 0.6, 0.6], {"patience": 2}, 6),  # more is better
        ("nll", [1, 0.95, 0.91, 0.85], {"patience": 2, "min_delta": 0.1}, 3),  # none of the first is better by 0.1
        ("nll", [1, 0.95, 0.85, 0.8, 0.78], {"patience": 2, "min_delta": 0.1}, 5),
        ("nll", [math.nan, math.nan], {"patience": 2}, 2),
        ("nll", [math.nan, 1, math.nan, 0.9], {"patience": 2}, None),
    ],
)
def test_when_it_stops(metric, values, options, stops):
    callback = EarlyStopping(metric, **options)
    assert Scripted(values).play(callback) == stops
    # A second run, of another seed say, knows nothing of the first.
    assert Scripted(values).play(callback) == stops


def test_the_reason():
    state = Scripted([0.05, 0.06, 0.07])
    callback = EarlyStopping("ece:n_bins=25", patience=2)
    state.play(callback)
    assert state.stop == "ece:n_bins=25 has not been better than 5.00 % (epoch 1) for 2 epochs"
    assert (callback.best, callback.best_epoch, callback.waited) == (0.05, 1, 2)


def test_it_goes_on_waiting_after_a_resume(tmp_path):
    state = Scripted([1, 2, 2, 2])
    first = EarlyStopping(patience=3)
    for state.epoch in range(2):
        first.on_epoch_end(state)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = EarlyStopping(patience=3)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    state.epoch = 2
    second.on_epoch_end(state)
    assert state.stop is None
    state.epoch = 3
    second.on_epoch_end(state)
    assert state.stop is not None


class Spoil(Callback):
    """Blinds the network after all epochs but the second, and remembers the first weights."""

    def on_epoch_end(self, state):
        if state.epoch == 1:
            self.best = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
        else:
            with torch.no_grad():
                state.model.classifier.weight.zero_()
        state.changed()


def test_in_the_loop_the_best_network_is_restored(tmp_path):
    spoil, stopping = Spoil(), EarlyStopping("accuracy", patience=2, restore_best=True)
    run = run_of(tmp_path / "run", spoil, stopping, SaveLogits(), epochs=9)
    assert stopping.best_epoch == 2
    assert len(run.history) == 4
    assert run.history[1]["best_epoch"] == 2
    model = trained_model(run, DIGITS)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, spoil.best[name], rtol=0, atol=0)
    saved = calkit.load_predictions(run.logits(), split="validation")
    assert calkit.evaluate(saved, ["accuracy"])["accuracy"] == stopping.best


def test_without_restoring_the_last_network_is_kept(tmp_path):
    stopping = EarlyStopping("adaece", patience=1, min_delta=2.0)
    run = run_of(tmp_path / "run", stopping, SaveLogits(), epochs=9)
    assert len(run.history) == 2
    assert "best_epoch" not in run.history[-1]


def test_two_ways_to_select_are_one_too_many(tmp_path):
    with pytest.raises(UsageError, match="the recipe selects that of best accuracy; use one of the two"):
        run_of(tmp_path / "run", EarlyStopping("ece", restore_best=True), select="accuracy")


@pytest.mark.parametrize(("options", "name"), [({"patience": 0}, "patience"), ({"min_delta": -1.0}, "min_delta")])
def test_impossible_options(options, name):
    with pytest.raises(InputError, match=f"{name} must be"):
        EarlyStopping(**options)


def test_unknown_metrics():
    with pytest.raises(NotFoundError, match="Did you mean 'adaece'"):
        EarlyStopping("adaec")
