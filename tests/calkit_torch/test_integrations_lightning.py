"""The Lightning callback, with Lightning itself: what it logs is what calkit computes from the logits it saves."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import calkit
from calkit.calibrators import TemperatureScaling
from calkit.errors import InputError, MissingDependencyError, NotFoundError, UsageError
from calkit_torch.integrations._rows import RowCollector
from tests.calkit_torch.ranks import run_on_two_ranks

LIBRARIES = {"lightning": "lightning.pytorch", "pytorch_lightning": "pytorch_lightning"}
METRICS = ("ece", "adaece", "nll", "s99")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
]


@pytest.fixture(params=LIBRARIES)
def library(request):
    """The name of the module of calkit_torch.integrations, and the library it is for."""
    return importlib.import_module(f"calkit_torch.integrations.{request.param}"), importlib.import_module(
        LIBRARIES[request.param]
    )


def data(n, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 5, generator=generator)
    y = (x[:, :3] + torch.randn(n, 3, generator=generator)).argmax(1)
    return TensorDataset(x, y)


def loader(n, seed):
    return DataLoader(data(n, seed), batch_size=16)


def make_module(pl, returns):
    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            with torch.random.fork_rng():
                torch.manual_seed(0)
                self.net = nn.Linear(5, 3)

        def training_step(self, batch, batch_idx):
            return cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            logits = self.net(batch[0])
            return returns(logits, batch[1])

        test_step = validation_step

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.5)

    return Module()


def both(logits, labels):
    return {"logits": logits, "labels": labels}


def make_trainer(pl, folder, *callbacks, epochs=2, **options):
    return pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=options.pop("enable_checkpointing", False),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
        **options,
    )


def logits_of(module, dataset):
    with torch.no_grad():
        # Batch by batch, as Trainer does: the last bits of a product depend on its size.
        return torch.cat([module.net(x) for x in dataset.tensors[0].split(16)]).numpy()


def test_logs_and_saves_what_calkit_computes(library, tmp_path):
    integration, pl = library
    callback = integration.CalibrationCallback(tmp_path / "run", class_names=["a", "b", "c"])
    module = make_module(pl, both)
    trainer = make_trainer(pl, tmp_path, callback)
    trainer.fit(module, loader(64, 0), loader(50, 1))

    logits, y = logits_of(module, data(50, 1)), data(50, 1).tensors[1].numpy()
    expected = calkit.evaluate(calkit.Predictions(logits, y, kind="logits"), METRICS)
    for name in METRICS:
        # Lightning keeps what is logged in float32.
        assert trainer.callback_metrics[f"val_{name}"].item() == pytest.approx(expected[name], rel=1e-6)

    saved = calkit.load_predictions(tmp_path / "run" / "logits.npz")
    np.testing.assert_array_equal(saved.scores, logits)
    np.testing.assert_array_equal(saved.y_true, y)
    assert list(saved.class_names) == ["a", "b", "c"]
    fitted = calkit.load_calibrator(tmp_path / "run" / "calibrator.json")
    assert fitted.temperature_ == TemperatureScaling().fit(logits, y).temperature_ == callback.calibrator.temperature_


def test_test_logits_join_those_of_validation(library, tmp_path):
    integration, pl = library
    callback = integration.CalibrationCallback(tmp_path, metrics=["error"])
    module = make_module(pl, both)
    trainer = make_trainer(pl, tmp_path, callback)
    trainer.fit(module, loader(64, 0), loader(50, 1))
    (found,) = trainer.test(module, loader(40, 2), verbose=False)

    test = calkit.load_predictions(tmp_path / "logits.npz", split="test")
    np.testing.assert_array_equal(test.scores, logits_of(module, data(40, 2)))
    assert found["test_error"] == pytest.approx(calkit.error(test.y_true, test.scores, from_logits=True), rel=1e-6)
    assert calkit.load_predictions(tmp_path / "logits.npz", split="val").n_samples == 50


def test_validating_alone_is_enough(library, tmp_path):
    integration, pl = library
    callback = integration.CalibrationCallback(tmp_path)
    module = make_module(pl, both)
    make_trainer(pl, tmp_path, callback).validate(module, loader(50, 1), verbose=False)
    np.testing.assert_array_equal(
        calkit.load_predictions(tmp_path / "logits.npz").scores, logits_of(module, data(50, 1))
    )
    assert (tmp_path / "calibrator.json").exists()


def test_several_loaders_are_several_splits(library, tmp_path):
    integration, pl = library
    callback = integration.CalibrationCallback(metrics=["error"])
    module = make_module(pl, both)
    trainer = make_trainer(pl, tmp_path, callback)
    trainer.validate(module, [loader(50, 1), loader(30, 2)], verbose=False)
    assert {split: found.n_samples for split, found in callback.predictions.items()} == {"val": 50, "val_1": 30}
    assert {"val_error", "val_1_error"} <= set(trainer.callback_metrics)


def test_loaders_by_name(library, tmp_path):
    integration, pl = library
    callback = integration.CalibrationCallback(metrics=["error"])
    trainer = make_trainer(pl, tmp_path, callback)
    trainer.validate(make_module(pl, both), {"a": loader(50, 1), "b": loader(30, 2)}, verbose=False)
    assert {split: found.n_samples for split, found in callback.predictions.items()} == {"val": 50, "val_1": 30}


def test_each_validation_begins_anew(library, tmp_path):
    """Twice an epoch, between the steps of accumulated gradients."""
    integration, pl = library
    seen = []

    class Spy(integration.CalibrationCallback):
        def on_validation_epoch_end(self, trainer, pl_module):
            super().on_validation_epoch_end(trainer, pl_module)
            if not trainer.sanity_checking:
                logits = logits_of(pl_module, data(50, 1))
                seen.append(np.array_equal(self.predictions["val"].scores, logits))

    options = {"val_check_interval": 0.5, "accumulate_grad_batches": 2}
    trainer = make_trainer(pl, tmp_path, Spy(), **options)
    trainer.fit(make_module(pl, both), loader(64, 0), loader(50, 1))
    assert seen == [True] * 4


def test_sanity_checks_are_not_counted_and_nothing_is_written_without_a_folder(library, tmp_path):
    integration, pl = library
    seen = []

    class Spy(integration.CalibrationCallback):
        def on_validation_batch_end(self, trainer, *args, **kwargs):
            super().on_validation_batch_end(trainer, *args, **kwargs)
            seen.append(trainer.sanity_checking)

    callback = Spy()
    trainer = make_trainer(pl, tmp_path, callback, epochs=1, num_sanity_val_steps=2)
    trainer.fit(make_module(pl, both), loader(64, 0), loader(50, 1))
    assert seen == [True] * 2 + [False] * 4
    assert callback.predictions["val"].n_samples == 50
    assert list(tmp_path.iterdir()) == []


def test_its_metrics_can_be_monitored(library, tmp_path):
    integration, pl = library
    stopping = pl.callbacks.EarlyStopping("val_ece", patience=1, min_delta=10.0)
    best = pl.callbacks.ModelCheckpoint(tmp_path, monitor="val_nll")
    trainer = make_trainer(
        pl, tmp_path, stopping, best, integration.CalibrationCallback(), epochs=9, enable_checkpointing=True
    )
    trainer.fit(make_module(pl, both), loader(64, 0), loader(50, 1))
    assert trainer.current_epoch == 2  # the first epoch sets the mark, the second does not better it by 10
    assert best.best_model_score is not None


def test_logits_may_be_anywhere(library, tmp_path):
    integration, pl = library
    callback = integration.CalibrationCallback(output=lambda outputs, batch: (outputs, batch[1]), metrics=["nll"])
    module = make_module(pl, lambda logits, _: logits)
    make_trainer(pl, tmp_path, callback).validate(module, loader(50, 1), verbose=False)
    np.testing.assert_array_equal(callback.predictions["val"].scores, logits_of(module, data(50, 1)))


def test_ignored_labels_and_half_precision(library, tmp_path):
    integration, pl = library

    def returns(logits, labels):
        return both(logits.bfloat16(), labels.where(labels != 2, -100))

    callback = integration.CalibrationCallback(metrics=["error"])
    module = make_module(pl, returns)
    make_trainer(pl, tmp_path, callback).validate(module, loader(50, 1), verbose=False)
    y = data(50, 1).tensors[1].numpy()
    kept = torch.from_numpy(logits_of(module, data(50, 1))[y != 2]).bfloat16().float().numpy()
    np.testing.assert_array_equal(callback.predictions["val"].scores, kept)
    np.testing.assert_array_equal(callback.predictions["val"].y_true, y[y != 2])


@pytest.mark.parametrize(
    ("returned", "found"),
    [
        (lambda *_: None, "NoneType"),
        (lambda z, _: {"loss": z.sum()}, "a mapping with loss"),
        (lambda z, y: (z, y), r"tuple.*output=lambda outputs, batch: outputs\)"),
    ],
)
def test_a_step_that_returns_no_logits(library, tmp_path, returned, found):
    integration, pl = library
    trainer = make_trainer(pl, tmp_path, integration.CalibrationCallback())
    with pytest.raises(UsageError, match=f"validation_step must return .*but returned {found}"):
        trainer.validate(make_module(pl, returned), loader(50, 1), verbose=False)


def test_typos_are_told_before_training(library):
    integration, _ = library
    with pytest.raises(NotFoundError, match="Did you mean 'adaece'"):
        integration.CalibrationCallback(metrics=["adaec"])
    with pytest.raises(NotFoundError, match="Did you mean 'temperature'"):
        integration.CalibrationCallback(calibrator="temprature")


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_missing_library_is_one_clear_error(name, monkeypatch):
    for module in [m for m in sys.modules if m.split(".")[0] == name] + [f"calkit_torch.integrations.{name}"]:
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        importlib.import_module(f"calkit_torch.integrations.{name}")


@pytest.mark.slow
def test_two_ranks_see_the_rows_of_one(tmp_path, monkeypatch):
    """50 rows over two ranks in batches of 16, and 51, of which DistributedSampler repeats one."""
    monkeypatch.setenv("CALKIT_KERNELS", "numpy")
    run_on_two_ranks(Path(__file__).with_name("integrations_rank.py"), "lightning", tmp_path, cwd=tmp_path)
    saved = calkit.load_predictions(tmp_path / "logits.npz")
    x, y = data(51, 1).tensors
    net = nn.Linear(5, 3)
    net.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    with torch.no_grad():
        logits = net(x).numpy()
    # Rank 0 has rows 0, 2, 4, …; rank 1 the others, its last being row 0 again.
    order = [*range(0, 51, 2), *range(1, 51, 2)]
    np.testing.assert_allclose(saved.scores, logits[order], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(saved.y_true, y.numpy()[order])
    logged = float((tmp_path / "logged.txt").read_text())
    # Lightning keeps what is logged in float32.
    assert logged == pytest.approx(calkit.adaece(saved.y_true, saved.scores, from_logits=True), rel=1e-6)


def test_soft_labels_are_judged_and_saved_as_such(library, tmp_path):
    """What is logged, fitted and saved is what calkit makes of the votes; a batch of one class each is one-hot."""
    module, pl = library
    sharp = torch.nn.functional.one_hot(torch.arange(50) % 3, 3).double()

    def soft(logits, labels):
        hard = torch.nn.functional.one_hot(labels, 3).double()
        votes = 0.75 * hard + 0.25 * sharp[: len(labels)]
        return both(logits, votes if len(labels) == 16 else labels)

    callback = module.CalibrationCallback(tmp_path, metrics=METRICS)
    trainer = make_trainer(pl, tmp_path, callback)
    trainer.fit(make_module(pl, soft), loader(64, 0), loader(40, 1))
    found = callback.predictions["val"]
    labels = data(40, 1).tensors[1]
    expected = torch.nn.functional.one_hot(labels, 3).double()
    expected[:32] = 0.75 * expected[:32] + 0.25 * torch.cat([sharp[:16], sharp[:16]])
    np.testing.assert_allclose(found.votes, expected.numpy(), rtol=1e-15)
    again = calkit.evaluate(calkit.Predictions(found.scores, expected.numpy(), kind="logits"), METRICS)
    logged = {name: float(trainer.callback_metrics[f"val_{name}"]) for name in METRICS}
    assert logged == pytest.approx(dict(again), rel=1e-6)
    saved = calkit.load_predictions(tmp_path / "logits.npz", split="val")
    np.testing.assert_allclose(saved.votes, expected.numpy(), rtol=1e-15)
    assert calkit.load_calibrator(tmp_path / "calibrator.json").temperature_ == pytest.approx(
        TemperatureScaling().fit(found.scores, expected.numpy()).temperature_
    )


def test_labels_that_are_no_shares_are_refused():
    rows = RowCollector()
    with pytest.raises(InputError, match="neither shares of the classes that sum to 1"):
        rows.add(torch.zeros(2, 3), torch.tensor([[1.0, 1.0, 0.0], [0.5, 0.5, 0.0]]))
