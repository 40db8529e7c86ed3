"""The callback for Hugging Face's Trainer, with Trainer itself: it logs what calkit computes from the logits."""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, EvalPrediction, Trainer, TrainingArguments
from transformers.modeling_outputs import SequenceClassifierOutput

import calkit
from calkit.calibrators import TemperatureScaling
from calkit.errors import CalibrationWarning, InputError, MissingDependencyError, UsageError
from calkit_torch.integrations.transformers import CalibrationCallback
from calkit_torch.losses import get_loss
from tests.calkit_torch.ranks import run_on_two_ranks

METRICS = ("ece", "adaece", "nll", "s99")


class Rows(Dataset):
    """Rows as Trainer wants them: one dictionary each."""

    def __init__(self, n, seed, **columns):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(n, 5, generator=generator)
        y = (x[:, :3] + torch.randn(n, 3, generator=generator)).argmax(1)
        self.columns = {"x": x, "labels": y, **columns}

    def __len__(self):
        return len(self.columns["labels"])

    def __getitem__(self, i):
        return {name: column[i] for name, column in self.columns.items()}


class Net(nn.Module):
    """A model as Trainer wants it, with one layer."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Linear(5, 3)

    def forward(self, x, labels):
        logits = self.layer(x)
        return SequenceClassifierOutput(loss=nn.functional.cross_entropy(logits, labels), logits=logits)


def make_trainer(folder, calibration, model=None, *, validation=None, **arguments):
    arguments = {"eval_strategy": "epoch", "num_train_epochs": 2, "save_strategy": "no", **arguments}
    return Trainer(
        model=model or Net(),
        args=TrainingArguments(
            str(folder / "trainer"),
            learning_rate=0.5,
            per_device_train_batch_size=16,
            per_device_eval_batch_size=16,
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
            **arguments,
        ),
        train_dataset=Rows(64, 0),
        eval_dataset=Rows(50, 1) if validation is None else validation,
        compute_metrics=calibration.compute_metrics,
        callbacks=[calibration],
    )


def logits_of(model, rows):
    with torch.no_grad():
        return torch.cat([model.layer(x) for x in rows.columns["x"].split(16)]).numpy()


def test_logs_and_saves_what_calkit_computes(tmp_path):
    calibration = CalibrationCallback(tmp_path / "run", class_names=["a", "b", "c"])
    trainer = make_trainer(tmp_path, calibration)
    trainer.train()

    logits, y = logits_of(trainer.model, Rows(50, 1)), Rows(50, 1).columns["labels"].numpy()
    expected = calkit.evaluate(calkit.Predictions(logits, y, kind="logits"), METRICS)
    logged = [line for line in trainer.state.log_history if "eval_ece" in line]
    assert [line["epoch"] for line in logged] == [1, 2]
    assert {name: logged[-1][f"eval_{name}"] for name in METRICS} == dict(expected)

    saved = calkit.load_predictions(tmp_path / "run" / "logits.npz")
    np.testing.assert_array_equal(saved.scores, logits)
    np.testing.assert_array_equal(saved.y_true, y)
    assert list(saved.class_names) == ["a", "b", "c"]
    fitted = calkit.load_calibrator(tmp_path / "run" / "calibrator.json")
    assert (
        fitted.temperature_ == TemperatureScaling().fit(logits, y).temperature_ == calibration.calibrator.temperature_
    )


def test_test_logits_join_those_of_validation(tmp_path):
    calibration = CalibrationCallback(tmp_path, metrics=["error"])
    trainer = make_trainer(tmp_path, calibration)
    trainer.train()
    found = trainer.predict(Rows(40, 2))
    test = calkit.load_predictions(tmp_path / "logits.npz", split="test")
    np.testing.assert_array_equal(test.scores, logits_of(trainer.model, Rows(40, 2)))
    assert found.metrics["test_error"] == calkit.error(test.y_true, test.scores, from_logits=True)
    assert calkit.load_predictions(tmp_path / "logits.npz", split="val").n_samples == 50


def test_evaluating_alone_is_enough_and_nothing_is_written_without_a_folder(tmp_path):
    calibration = CalibrationCallback()
    make_trainer(tmp_path, calibration, eval_strategy="no").evaluate()
    assert calibration.predictions["val"].n_samples == 50
    assert calibration.calibrator is not None
    assert not list(tmp_path.glob("**/logits.npz"))


def test_the_best_model_is_the_one_calibrated(tmp_path):
    """The learning rate is so high that the first epoch stays the best."""
    calibration = CalibrationCallback(tmp_path, metrics=["nll"])
    trainer = make_trainer(
        tmp_path,
        calibration,
        num_train_epochs=4,
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="eval_nll",
        greater_is_better=False,
        lr_scheduler_type="constant",
        optim="sgd",
        max_grad_norm=0,
    )
    trainer.args.learning_rate = 60.0
    trainer.train()
    assert trainer.state.best_global_step < trainer.state.global_step
    np.testing.assert_array_equal(calibration.predictions["val"].scores, logits_of(trainer.model, Rows(50, 1)))
    np.testing.assert_array_equal(
        calkit.load_predictions(tmp_path / "logits.npz").scores, calibration.predictions["val"].scores
    )


def test_a_best_model_from_before_a_resume_is_not_calibrated_with_the_logits_of_another(tmp_path):
    calibration = CalibrationCallback()
    trainer = make_trainer(tmp_path, calibration)
    trainer.evaluate()
    calibration.on_train_begin(trainer.args, trainer.state, trainer.control)
    trainer.evaluate()
    trainer.args.load_best_model_at_end = True
    trainer.state.best_model_checkpoint, trainer.state.best_global_step = "earlier", 99
    with pytest.warns(CalibrationWarning, match=r"call trainer\.evaluate\(\)"):
        calibration.on_train_end(trainer.args, trainer.state, trainer.control)
    assert "val" not in calibration.predictions


def test_several_validation_sets(tmp_path):
    calibration = CalibrationCallback(metrics=["error"], validation="eval_b")
    trainer = make_trainer(tmp_path, calibration, validation={"a": Rows(20, 1), "b": Rows(30, 2)})
    trainer.train()
    assert {split: found.n_samples for split, found in calibration.predictions.items()} == {"eval_a": 20, "val": 30}
    assert calibration.calibrator is not None


def test_batch_by_batch_is_the_same(tmp_path):
    whole, batches = CalibrationCallback(), CalibrationCallback()
    expected = make_trainer(tmp_path, whole).evaluate()
    found = make_trainer(tmp_path, batches, batch_eval_metrics=True).evaluate()
    assert {name: found[f"eval_{name}"] for name in METRICS} == {name: expected[f"eval_{name}"] for name in METRICS}
    np.testing.assert_array_equal(batches.predictions["val"].scores, whole.predictions["val"].scores)


def test_users_own_metrics_are_kept(tmp_path):
    def rows(found):
        return {"rows": len(found.label_ids)}

    calibration = CalibrationCallback(compute_metrics=rows)
    assert make_trainer(tmp_path, calibration).evaluate()["eval_rows"] == 50
    with pytest.raises(UsageError, match="batch_eval_metrics"):
        make_trainer(tmp_path, calibration, batch_eval_metrics=True).evaluate()


@pytest.mark.parametrize("form", [tuple, dict])
def test_outputs_without_a_class_of_their_own(tmp_path, form):
    class Plain(Net):
        def forward(self, x, labels):
            found = super().forward(x, labels)
            return form(found.items()) if form is dict else (found.loss, found.logits)

    calibration = CalibrationCallback()
    trainer = make_trainer(tmp_path, calibration, Plain())
    trainer.evaluate()
    np.testing.assert_array_equal(calibration.predictions["val"].scores, logits_of(trainer.model, Rows(50, 1)))


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(tmp_path, precision):
    class Half(Net):
        def forward(self, x, labels):
            found = super().forward(x, labels)
            return SequenceClassifierOutput(loss=found.loss, logits=found.logits.to(precision))

    calibration = CalibrationCallback(tmp_path)
    trainer = make_trainer(tmp_path, calibration, Half())
    found = trainer.evaluate()
    rounded = torch.from_numpy(logits_of(trainer.model, Rows(50, 1))).to(precision).float().numpy()
    saved = calkit.load_predictions(tmp_path / "logits.npz")
    assert saved.scores.dtype == np.float32
    np.testing.assert_array_equal(saved.scores, rounded)
    assert found["eval_nll"] == calkit.nll(saved.y_true, rounded, from_logits=True)


def test_evaluating_every_other_step_of_accumulated_gradients(tmp_path):
    calibration = CalibrationCallback(metrics=["nll"])
    arguments = {"eval_strategy": "steps", "eval_steps": 2, "gradient_accumulation_steps": 2}
    trainer = make_trainer(tmp_path, calibration, num_train_epochs=4, **arguments)
    trainer.train()
    # Four batches, two to a step.
    logged = [line for line in trainer.state.log_history if "eval_nll" in line]
    assert [line["step"] for line in logged] == [2, 4, 6, 8]
    logits = logits_of(trainer.model, Rows(50, 1))
    np.testing.assert_array_equal(calibration.predictions["val"].scores, logits)
    y = Rows(50, 1).columns["labels"].numpy()
    assert logged[-1]["eval_nll"] == calkit.nll(y, logits, from_logits=True)


@pytest.mark.slow
def test_two_ranks_see_each_row_once(tmp_path, monkeypatch):
    """51 rows over two ranks in batches of 16: accelerate fills the last batches with rows that it drops again."""
    # The same kernels here as there, also if another test has loaded numba: they differ in the last bits of float32.
    monkeypatch.setenv("CALKIT_KERNELS", "numpy")
    run_on_two_ranks(Path(__file__).with_name("integrations_rank.py"), "transformers", tmp_path, cwd=tmp_path)
    net = Net()
    net.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    for split, rows in (("val", Rows(51, 1)), ("test", Rows(37, 2))):
        saved = calkit.load_predictions(tmp_path / "logits.npz", split=split)
        np.testing.assert_array_equal(saved.y_true, rows.columns["labels"].numpy())
        np.testing.assert_allclose(saved.scores, logits_of(net, rows), rtol=1e-5, atol=1e-6)
    logged = float((tmp_path / "logged.txt").read_text())
    assert logged == calkit.adaece(saved.y_true, saved.scores, from_logits=True)


class FakeEvaluation:
    def __init__(self, predictions, label_ids):
        self.predictions, self.label_ids = predictions, label_ids


def test_tokens_are_rows_and_padding_is_left_out():
    logits = np.arange(24, dtype=np.float32).reshape(2, 4, 3) % 7
    labels = np.array([[0, 1, 2, -100], [1, -100, -100, -100]])
    found = CalibrationCallback(metrics=["nll"]).compute_metrics(FakeEvaluation(logits, labels))
    kept = labels != -100
    assert found["nll"] == calkit.nll(labels[kept], logits[kept], from_logits=True)


def test_a_bert_with_more_outputs_than_logits(tmp_path):
    config = BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        num_labels=3,
        output_hidden_states=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertForSequenceClassification(config)
    rows = Rows(50, 1, input_ids=torch.randint(20, (50, 6), generator=torch.Generator().manual_seed(0)))
    rows.columns.pop("x")

    trainer = make_trainer(tmp_path, CalibrationCallback(), model, validation=rows)
    with pytest.raises(UsageError, match=r"are a tuple of 2, .*output=lambda found: found\[0\]"):
        trainer.evaluate()

    calibration = CalibrationCallback(output=lambda found: found[0])
    found = make_trainer(tmp_path, calibration, model, validation=rows).evaluate()
    with torch.no_grad():
        logits = model.eval()(input_ids=rows.columns["input_ids"]).logits.numpy()
    np.testing.assert_allclose(calibration.predictions["val"].scores, logits, rtol=1e-5, atol=1e-6)
    assert found["eval_nll"] == pytest.approx(
        calkit.nll(rows.columns["labels"].numpy(), logits, from_logits=True), 1e-6
    )


def test_a_trainer_that_does_not_call_it(tmp_path):
    trainer = make_trainer(tmp_path, CalibrationCallback())
    trainer.compute_metrics = None
    with pytest.raises(UsageError, match=r"compute_metrics=calibration\.compute_metrics"):
        trainer.evaluate()


def test_labels_that_do_not_fit():
    with pytest.raises(InputError, match=r"\(4, 2\) for logits of shape \(4, 3\)"):
        CalibrationCallback().compute_metrics(FakeEvaluation(np.zeros((4, 3)), np.zeros((4, 2))))


def test_a_missing_library_is_one_clear_error(monkeypatch):
    monkeypatch.delitem(sys.modules, "calkit_torch.integrations.transformers")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'calkit-calibration\[transformers\]'"):
        importlib.import_module("calkit_torch.integrations.transformers")


class Unlabelled(Net):
    """Without labels, which Trainer keeps for itself where it is given a loss."""

    def forward(self, x, labels=None):
        return SequenceClassifierOutput(logits=self.layer(x))


@pytest.mark.parametrize("steps", [1, 4])
def test_the_loss_of_the_example_does_not_depend_on_the_accumulation(tmp_path, steps):
    """One step of SGD over 32 rows, in one batch or in four, moves the weights by the rate times the mean gradient."""
    path = Path(__file__).parents[2] / "examples" / "transformers_callback.py"
    example = runpy.run_path(str(path), run_name="example")
    model, rows = Unlabelled(), Rows(32, 0)
    before = [p.detach().clone() for p in model.parameters()]
    loss = get_loss("focal:1")(model(rows.columns["x"]).logits, rows.columns["labels"])
    expected = torch.autograd.grad(loss, list(model.parameters()))
    arguments = TrainingArguments(
        str(tmp_path),
        max_steps=1,
        optim="sgd",
        learning_rate=0.5,
        lr_scheduler_type="constant",
        max_grad_norm=0,
        per_device_train_batch_size=32 // steps,
        gradient_accumulation_steps=steps,
        save_strategy="no",
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
    )
    Trainer(model=model, args=arguments, train_dataset=rows, compute_loss_func=example["loss_of"]).train()
    for old, new, gradient in zip(before, model.parameters(), expected, strict=True):
        torch.testing.assert_close(old - new.detach(), 0.5 * gradient, rtol=1e-4, atol=1e-6)


def test_soft_labels_are_judged_as_votes():
    rng = np.random.default_rng(0)
    logits, votes = rng.normal(size=(30, 3)), rng.dirichlet(np.ones(3), 30)
    expected = calkit.evaluate(calkit.Predictions(logits, votes, kind="logits"), METRICS)
    found = CalibrationCallback(metrics=METRICS).compute_metrics(EvalPrediction(logits, votes))
    assert found == dict(expected)
    # Rows of padding: every share is the label to be left out.
    padded = np.concatenate([votes, np.full((2, 3), -100.0)])
    logits = np.concatenate([logits, np.zeros((2, 3))])
    assert CalibrationCallback(metrics=METRICS).compute_metrics(EvalPrediction(logits, padded)) == dict(expected)
    with pytest.raises(InputError, match="single 1 and else zeros"):
        CalibrationCallback().compute_metrics(EvalPrediction(logits[:30], np.zeros((30, 3))))
