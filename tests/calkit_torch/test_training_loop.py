"""The loop: it learns, stops where it must, and leaves a folder that is whole whatever happens."""

from __future__ import annotations

import errno
import io
import itertools
import json
import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

import calkit
from calkit.errors import FileFormatError, InputError, UsageError
from calkit.runs import RunFolder
from calkit_torch.data import DataSet
from calkit_torch.losses import get_loss
from calkit_torch.models import MODELS
from calkit_torch.training import Callback, DivergedError, Recipe, get_schedule, train, trained_model
from calkit_torch.training.callbacks import SaveLogits
from calkit_torch.training.checkpoint import read_checkpoint, write_checkpoint
from calkit_torch.training.distributed import choose_device
from calkit_torch.training.run_folder import RunWriter
from tests.calkit_torch.training_samples import SAMPLES, Keep, contents, same, vectors

RECIPE, VECTORS = SAMPLES["vectors"][0], vectors()
PLAIN = Recipe("vectors", "mlp:hidden=8", "ce", optimiser="sgd:0.1", epochs=3, batch_size=16)


def run_of(folder: Path, recipe: Recipe = PLAIN, *callbacks: Callback, **options: Any) -> RunFolder:
    return train(recipe, VECTORS, out=folder, device="cpu", callbacks=[*callbacks, SaveLogits()], **options)


class Stop(Callback):
    """Raises an error, or does something else, after a batch."""

    def __init__(self, step: int, act: Any) -> None:
        self.step, self.act = step, act

    def on_batch_end(self, state: Any) -> None:
        if state.step == self.step:
            self.act(state)


def fail(_: Any) -> None:
    raise RuntimeError("on purpose")


def spoil(state: Any) -> None:
    with torch.no_grad():
        state.model.classifier.weight[0, 0] = float("nan")


# What is learnt.


@pytest.mark.parametrize("loss", ["CE", "FLA-53", "MMCE", "Brier", "adafocal:5"])
def test_the_loss_falls_and_the_test_set_is_learnt(tmp_path: Path, loss: str) -> None:
    recipe = Recipe("vectors", "mlp:hidden=8", loss, optimiser="adam:0.02", epochs=20, batch_size=16)
    run = run_of(tmp_path / "run", recipe)
    assert [record["epoch"] for record in run.history] == list(range(1, 21))
    assert run.history[-1]["train_loss"] < 0.9 * run.history[0]["train_loss"]
    # Three classes that overlap: guessing is wrong twice in three.
    assert calkit.evaluate(calkit.load_predictions(run.logits(), split="test"), ["error"])["error"] < 0.4


def by_hand(recipe: Recipe, reduction: str) -> tuple[dict[str, torch.Tensor], list[float], list[float]]:
    """The run as a plain loop: with torch's own optimiser and schedule, and an average of the samples' losses."""
    model = VECTORS.build_model(recipe.model, seed=recipe.seed).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimiser, [1, 2], gamma=0.1)
    loader = VECTORS.loader("train", batch_size=recipe.batch_size, train=True, seed=recipe.seed)
    losses, rates = [], []
    for epoch in range(recipe.epochs):
        total = 0.0
        rates.append(scheduler.get_last_lr()[0])
        for x, y in loader.batches(epoch):
            optimiser.zero_grad()
            each = torch.nn.functional.cross_entropy(model(x), y, reduction="none")
            total += each.sum().item()
            (each.mean() if reduction == "mean" else each.sum()).backward()
            if recipe.clip_norm is not None:
                norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters()))
                if norm > recipe.clip_norm:
                    for p in model.parameters():
                        p.grad *= recipe.clip_norm / (norm + 1e-6)
            optimiser.step()
        scheduler.step()
        losses.append(total / loader.n_samples)
    return model.state_dict(), losses, rates


@pytest.mark.parametrize("clip_norm", [None, 0.05])
@pytest.mark.parametrize("reduction", ["mean", "sum", "focal-calibration"])
def test_a_run_is_the_plain_loop(tmp_path: Path, reduction: str, clip_norm: float | None) -> None:
    """The last batch is smaller than the others: its samples count as much as any in the average."""
    recipe = replace(
        PLAIN,
        optimiser="sgd:0.1,momentum=0.9,weight_decay=0.001",
        lr_schedule="step:0.1@1,2",
        reduction=reduction,
        clip_norm=clip_norm,
    )
    run = run_of(tmp_path / "run", recipe)
    weights, losses, rates = by_hand(recipe, "mean" if reduction == "mean" else "sum")
    for name, tensor in trained_model(run, VECTORS).state_dict().items():
        torch.testing.assert_close(tensor, weights[name], rtol=1e-5, atol=1e-6)
    assert [record["train_loss"] for record in run.history] == pytest.approx(losses, rel=1e-6)
    assert [record["lr"] for record in run.history] == pytest.approx(rates)


def test_the_rate_is_a_tenth_from_epoch_150_on(tmp_path: Path) -> None:
    """As the epochs are counted from 0: the 151st and the 251st are the first with another rate."""
    recipe = replace(PLAIN, model="mlp:hidden=1", lr_schedule="step:0.1@150,250", epochs=251, batch_size=58)
    rates = [record["lr"] for record in run_of(tmp_path / "run", recipe).history]
    assert rates == pytest.approx([0.1] * 150 + [0.01] * 100 + [0.001])


def test_gamma_switches_at_its_epochs(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", replace(PLAIN, loss="focal-scheduled:5,3,2@1,2"))
    assert [get_loss(record["loss"]) for record in run.history]
    assert [record["loss"] for record in run.history] == ["focal:5", "focal:3", "focal:2"]


def test_the_network_that_was_best_is_kept(tmp_path: Path) -> None:
    recipe = replace(PLAIN, select="error", epochs=8, optimiser="sgd:1.5")
    errors = []

    class Watch(Callback):
        def on_epoch_end(self, state: Any) -> None:
            errors.append(state.evaluate("validation", ["error"])["error"])

    run = run_of(tmp_path / "run", recipe, Watch())
    best = int(np.argmin(errors)) + 1
    assert [record["best_epoch"] for record in run.history][-1] == best
    kept = calkit.evaluate(calkit.load_predictions(run.logits(), split="validation"), ["error"])["error"]
    assert kept == min(errors)
    x = VECTORS.validation.inputs
    with torch.no_grad():
        wrong = trained_model(run, VECTORS)(x).argmax(1) != VECTORS.validation.labels
    assert wrong.double().mean().item() == pytest.approx(min(errors))


# What is left.


def test_what_a_run_folder_holds(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", replace(PLAIN, save_epochs=(2,)))
    names = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    assert names == {
        "recipe.toml",
        "history.jsonl",
        "versions.json",
        "checkpoint.pt",
        "lock",
        "logits/final.npz",
        "logits/epoch-0002.npz",
    }
    assert Recipe.from_dict(run.recipe) == replace(PLAIN, save_epochs=(2,))
    versions = json.loads((run.path / "versions.json").read_text())
    assert versions["torch"] == torch.__version__
    assert versions["calkit"] == calkit.__version__
    assert (versions["device"], versions["threads"]) == ("cpu", torch.get_num_threads())
    assert set(run.history[0]) == {"epoch", "lr", "loss", "train_loss", "seconds", "images_per_second"}
    with np.load(run.logits()) as found:
        assert {k: v.shape for k, v in found.items()} == {
            "val_logits": (21, 3),
            "val_labels": (21,),
            "test_logits": (33, 3),
            "test_labels": (33,),
            "class_names": (3,),
        }


def test_the_folder_is_named_after_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = train(replace(PLAIN, epochs=1), VECTORS, device="cpu", callbacks=[SaveLogits()])
    assert run.path == Path("runs") / replace(PLAIN, epochs=1).folder_name


def test_the_checkpoint_holds_tensors_and_plain_values_alone(tmp_path: Path) -> None:
    """Of a run with momentum, a learning loss, callbacks and a selected network."""
    recipe, data = SAMPLES["images"]
    train(recipe, data(), out=tmp_path / "run", device="cpu", callbacks=[Keep()])
    found = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert found["best"]["model"].keys() == found["model"].keys()
    assert found["epoch"] == recipe.epochs

    def only_plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(map(only_plain, itertools.chain(value.keys(), value.values())))
        if isinstance(value, list | tuple):
            return all(map(only_plain, value))
        return type(value) in (torch.Tensor, int, float, bool, str, type(None))

    assert only_plain(found)


def test_seeds_make_the_run_and_nothing_else_does(tmp_path: Path) -> None:
    """Dropout, order and weights: twice the same, whatever was drawn before; and another with another seed."""
    runs = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(hash(name) % 1000)
            before = torch.get_rng_state()
            run_of(tmp_path / name, replace(RECIPE, seed=seed), Keep())
            assert torch.equal(torch.get_rng_state(), before)
        runs[name] = contents(tmp_path / name)
    same(runs["a"], runs["b"])
    assert not torch.equal(
        runs["a"]["checkpoint"]["model"]["classifier.weight"], runs["c"]["checkpoint"]["model"]["classifier.weight"]
    )


# What goes wrong.


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    good = contents_of_checkpoint(run_of(tmp_path / "good", replace(PLAIN, epochs=1)))
    recipe = replace(PLAIN, epochs=5)
    with pytest.raises(DivergedError) as caught:
        run_of(tmp_path / "run", recipe, Stop(5, spoil))
    assert str(caught.value) == (
        "the loss became nan in epoch 2, batch 2, at a learning rate of 0.1. Lower the learning rate (--lr) or clip "
        f"the gradient (clip_norm), in another folder. The last good checkpoint is still in {tmp_path / 'run'}."
    )
    # It is that of the first epoch.
    found = contents_of_checkpoint(RunFolder(tmp_path / "run"))
    assert (found["epoch"], found["batch"]) == (1, 0)
    same(found["model"], good["model"])
    assert all(tensor.isfinite().all() for tensor in trained_model(tmp_path / "run", VECTORS).state_dict().values())


def contents_of_checkpoint(run: RunFolder) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(run.path / "checkpoint.pt", weights_only=True)
    return found


def test_a_run_that_diverges_by_itself(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"in epoch 1, batch \d, at a learning rate of 1e\+20.*no checkpoint yet"):
        run_of(tmp_path / "run", replace(PLAIN, optimiser="sgd:1e20"))


class PartlyLabelled(Dataset[Any]):
    """Rows of `VECTORS` of which every third has no label, or those rows alone that have one."""

    def __init__(self, split: str, *, labelled_only: bool) -> None:
        part = VECTORS.split(split)
        self.rows = [i for i in range(len(part)) if i % 3 or not labelled_only]
        self.part = part

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        i = self.rows[place]
        return self.part.inputs[i], int(self.part.labels[i]) if i % 3 else -100


def test_rows_without_a_label_do_not_count(tmp_path: Path) -> None:
    """Batches hold all rows here and there, so that a rate of almost 0 keeps the networks alike."""
    found = []
    for labelled_only in (False, True):
        sets = [PartlyLabelled(split, labelled_only=labelled_only) for split in ("train", "validation", "test")]
        data = DataSet.from_datasets(*sets, n_classes=3, options={"in_features": 5})
        recipe = replace(PLAIN, epochs=1, optimiser="sgd:1e-12", select="accuracy")
        run = train(recipe, data, out=tmp_path / str(labelled_only), device="cpu", progress=False)
        found.append(run)
    for a, b in zip(*(run.history for run in found), strict=True):
        for split in ("train", "validation", "test"):
            assert a[split] == pytest.approx(b[split], abs=1e-6)
    with np.load(found[0].logits()) as a, np.load(found[1].logits()) as b:
        np.testing.assert_array_equal(a["test_labels"], b["test_labels"])
        np.testing.assert_allclose(a["test_logits"], b["test_logits"], atol=1e-6)


def test_inputs_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    data = vectors()
    data.train.inputs[7, 2] = float("inf")
    with pytest.raises(DivergedError, match=r"The training inputs hold NaN or infinity, first in row 7 \(counted"):
        train(PLAIN, data, out=tmp_path / "run", device="cpu", callbacks=[])


def test_batch_normalisation_of_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """33 rows in batches of 16 leave one."""
    monkeypatch.setattr(MODELS, "_items", dict(MODELS._items))

    @MODELS.register("normalised")
    def _(n_classes: int, *, in_features: int) -> nn.Module:
        return nn.Sequential(nn.Linear(in_features, n_classes), nn.BatchNorm1d(n_classes))

    with pytest.raises(UsageError, match="left of 33 rows.*choose another batch_size"):
        train(replace(PLAIN, model="normalised"), vectors(33), out=tmp_path / "run", device="cpu", callbacks=[])


def test_a_weight_that_is_no_number_is_not_saved(tmp_path: Path) -> None:
    """The loss of the last batch was finite: only the weights show it."""
    with pytest.raises(DivergedError, match="a weight is no longer finite in epoch 2, batch 4"):
        run_of(tmp_path / "run", PLAIN, Stop(8, spoil))
    assert contents_of_checkpoint(RunFolder(tmp_path / "run"))["epoch"] == 1


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with RunWriter.opened(out, PLAIN), pytest.raises(UsageError) as caught:
        run_of(out, resume=True)
    assert str(caught.value).startswith(f"another process is training in {out} (process {os.getpid()} on ")
    assert run_of(out, resume=True).history  # the lock has gone with the block


def test_a_folder_with_a_run_is_not_begun_again(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match=r"holds a run already; continue it with --resume \(resume=True\), or name an"):
        run_of(run.path)
    with pytest.raises(UsageError) as caught:
        run_of(run.path, replace(PLAIN, epochs=5, seed=2), resume=True)
    assert "epochs = 3 there, 5 here; seed = 1 there, 2 here. Resume it without these" in str(caught.value)
    after = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    before.pop(run.path / "lock"), after.pop(run.path / "lock")
    assert after == before


def test_other_peoples_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="holds files, but no run; name a new folder"):
        run_of(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UsageError, match="thesis.tex is a file"):
        run_of(tmp_path / "thesis.tex")
    with pytest.raises(FileFormatError, match="cannot make the folder .*: Not a directory"):
        run_of(tmp_path / "thesis.tex" / "run")


def test_a_finished_run_is_finished_again(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", RECIPE, Keep())
    before = contents(run.path)
    same(contents(run_of(run.path, RECIPE, Keep(), resume=True).path), before)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "checkpoint.pt cannot be read: "),
        (b"PK\x03\x04 and no more", "checkpoint.pt cannot be read: "),
        (pickle.dumps(print, protocol=2), "checkpoint.pt cannot be read: "),
        ({"weights": torch.zeros(2)}, "is not the checkpoint of a training run of this version of calkit"),
        ({"format": 99}, "is not the checkpoint of a training run of this version of calkit"),
        ([1, 2], "is not the checkpoint of a training run"),
    ],
)
def test_checkpoints_that_are_none(tmp_path: Path, content: Any, words: str) -> None:
    run = run_of(tmp_path / "run")
    path = run.path / "checkpoint.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(FileFormatError, match=words):
        run_of(run.path, resume=True)
    with pytest.raises(FileFormatError, match=words):
        trained_model(run, VECTORS)


def test_a_checkpoint_does_not_run_what_is_in_it(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'trace'}",)

    torch.save({"format": 1, "recipe": Runs()}, tmp_path / "checkpoint.pt")
    with pytest.raises(FileFormatError, match="cannot be read: Weights only load failed"):
        read_checkpoint(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "trace").exists()


def test_a_checkpoint_of_another_network(tmp_path: Path) -> None:
    """The data have another width under a recipe that is the same."""
    run = run_of(tmp_path / "run")
    parts = [(VECTORS.split(s).inputs[:, :4], VECTORS.split(s).labels) for s in ("train", "validation", "test")]
    others = DataSet.from_arrays(*parts, n_classes=3)
    with pytest.raises(FileFormatError, match="the checkpoint does not fit the network, the optimiser or the loss: "):
        train(PLAIN, others, out=run.path, resume=True, device="cpu", callbacks=[])
    with pytest.raises(FileFormatError, match="the checkpoint of .*run is of another network"):
        trained_model(run, others)


def test_a_checkpoint_of_other_data(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    with pytest.raises(UsageError, match=r"trained on other data: .*'train': 58.*those of vectors have .*'train': 50"):
        train(PLAIN, vectors(50), out=run.path, resume=True, device="cpu", callbacks=[])


def test_a_checkpoint_of_another_recipe(tmp_path: Path) -> None:
    a, b = run_of(tmp_path / "a"), run_of(tmp_path / "b", replace(PLAIN, seed=9))
    (a.path / "checkpoint.pt").write_bytes((b.path / "checkpoint.pt").read_bytes())
    with pytest.raises(UsageError, match="seed = 9 there, 1 here"):
        run_of(a.path, resume=True)


def test_a_history_without_its_epochs(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    (run.path / "history.jsonl").unlink()
    with pytest.raises(
        FileFormatError, match="holds 0 epochs, but the checkpoint is of epoch 3; the two do not belong"
    ):
        run_of(run.path, resume=True)


def test_no_network_yet(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="on purpose"):
        run_of(tmp_path / "run", PLAIN, Stop(1, fail))
    with pytest.raises(FileFormatError, match="holds no checkpoint yet"):
        trained_model(tmp_path / "run", VECTORS)
    with pytest.raises(FileFormatError, match=r"the run has not ended \(0 epochs done\)"):
        RunFolder(tmp_path / "run").logits()


def test_devices_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="device must be auto, cpu, cuda or cuda:N, but is 'gpu'"):
        choose_device("gpu")
    if torch.cuda.is_available():
        with pytest.raises(UsageError, match="but there are"):
            choose_device("cuda:99")
        return
    assert choose_device("auto") == torch.device("cpu")
    for name in ("cuda", "cuda:1"):
        with pytest.raises(UsageError) as caught:
            train(PLAIN, VECTORS, out=tmp_path / "run", device=name)
        assert str(caught.value).startswith(f"device '{name}' was asked for, but torch {torch.__version__} ")
        assert str(caught.value).endswith("pass --device cpu.")
    assert not (tmp_path / "run").exists()


def test_graphs_are_for_cuda_and_leave_no_folder_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cuda_graphs needs a CUDA device, but training is on 'cpu'; leave it out"):
        run_of(tmp_path / "run", replace(PLAIN, cuda_graphs=True))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [{"checkpoint_batches": 0}, {"checkpoint_seconds": -1.0}])
def test_checkpoints_that_cannot_be_that_often(tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be positive"):
        run_of(tmp_path / "run", **options)


def test_checkpoints_inside_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = []
    module = sys.modules["calkit_torch.training.saving"]

    def write(path: Path, content: dict[str, Any]) -> None:
        moments.append((content["epoch"], content["batch"]))
        write_checkpoint(path, content)

    monkeypatch.setattr(module, "write_checkpoint", write)
    run_of(tmp_path / "a", replace(PLAIN, epochs=2), checkpoint_batches=2)
    # Four batches an epoch; the end of the epoch has one in any case.
    assert moments == [(0, 2), (1, 0), (1, 2), (2, 0)]
    moments.clear()
    run_of(tmp_path / "b", replace(PLAIN, epochs=1), checkpoint_seconds=1e-9)
    assert moments == [(0, 1), (0, 2), (0, 3), (1, 0)]


# A disk that is full.


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_loses_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write fails half-way; what was there before it stays, and the run can be resumed from it."""
    whole = run_of(tmp_path / "whole", RECIPE, Keep())
    save, out = torch.save, tmp_path / "run"
    count = itertools.count()

    def half(content: Any, path: Path) -> None:
        if next(count) == 2:
            buffer = io.BytesIO()
            save(content, buffer)
            Path(path).write_bytes(buffer.getvalue()[: buffer.tell() // 2])
            full()
        save(content, path)

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(FileFormatError) as caught:
        run_of(out, RECIPE, Keep())
    assert "cannot write" in str(caught.value)
    assert "No space left on device" in str(caught.value)
    assert "the checkpoint before it is untouched). Free some space and continue with --resume." in str(caught.value)
    assert contents_of_checkpoint(RunFolder(out))["epoch"] == 2
    assert [p.name for p in out.iterdir() if p.name.startswith(".")] == []
    monkeypatch.undo()
    same(contents(run_of(out, RECIPE, Keep(), resume=True).path), contents(whole.path))


@pytest.mark.parametrize("what", ["history.jsonl", "final.npz", "recipe.toml"])
def test_a_disk_that_is_full_for_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    whole = run_of(tmp_path / "whole", RECIPE, Keep())
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        if what == "final.npz":
            patch.setattr(np, "savez", full)
        elif what == "recipe.toml":
            patch.setattr(Path, "write_text", full)
        else:
            patch.setattr(os, "fsync", full)
        with pytest.raises(FileFormatError, match="cannot write .*: No space left on device"):
            run_of(out, RECIPE, Keep())
    same(contents(run_of(out, RECIPE, Keep(), resume=True).path), contents(whole.path))


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    for name in (".checkpoint-abc.pt", ".recipe-abc.toml", "logits/.final-abc.npz"):
        (run.path / name).write_bytes(b"half")
    (run.path / ".mine").write_text("kept")
    run_of(run.path, resume=True)
    assert {p.name for p in run.path.rglob(".*")} == {".mine"}


def test_schedules_do_not_depend_on_what_came_before() -> None:
    factor = get_schedule("step:0.1@2", 4)
    assert [factor(e) for e in (3, 0, 3)] == [0.1, 1.0, 0.1]


def test_checkpoints_at_the_end_of_every_second_epoch(tmp_path: Path) -> None:
    seen = []

    class Look(Callback):
        def on_epoch_start(self, state: Any) -> None:
            found = read_checkpoint(tmp_path / "run" / "checkpoint.pt")
            seen.append(None if found is None else found["epoch"])

    run_of(tmp_path / "run", replace(PLAIN, epochs=5), Look(), checkpoint_epochs=2)
    assert seen == [None, None, 2, 2, 4]
    assert read_checkpoint(tmp_path / "run" / "checkpoint.pt")["epoch"] == 5
