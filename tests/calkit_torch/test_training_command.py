"""``calkit train`` as somebody uses it who has read its help and makes mistakes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from calkit.cli.app import run
from calkit.runs import RunFolder
from calkit_torch.cli import command
from calkit_torch.data import DATASETS
from calkit_torch.data.cifar import CIFAR10
from calkit_torch.data.files import md5_of
from calkit_torch.losses._base import LOSSES
from calkit_torch.models import MODELS
from calkit_torch.training import Recipe, get_recipe
from tests.calkit_torch.cifar_shards import members, write_archive, write_folder
from tests.processes import interruptible

TRAIN = ["train", "--dataset", "digits", "--model", "mlp:hidden=8", "--loss", "FLA-53", "--device", "cpu"]

Called = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Called:
    """Call the command line in an empty folder; return exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALKIT_DATA", str(tmp_path / "data"))

    def called(*args: Any) -> tuple[int, str, str]:
        code = run([str(arg) for arg in args])
        return code, *capsys.readouterr()

    return called


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch compute as in a process that is told to use one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_help_names_every_option_and_the_examples_in_it_are_commands(call: Called) -> None:
    code, out, _ = call("train", "--help")
    assert code == 0
    for option in command.params:
        assert max(option.opts, key=len) in out, option
    assert "torchrun --nproc-per-node 4 -m calkit train" in out
    assert "train" in call("--help")[1]


def test_a_run_and_what_is_said_of_it(call: Called, tmp_path: Path) -> None:
    code, out, err = call(*TRAIN, "--epochs", 2, "--out", "run")
    assert (code, out) == (0, "run\n")
    assert [line.split()[:2] for line in err.splitlines()[:2]] == [["epoch", "1/2"], ["epoch", "2/2"]]
    assert call(*TRAIN, "--epochs", 2, "--out", "quiet", "--quiet") == (0, "quiet\n", "")
    assert len(RunFolder("run").history) == 2
    code, out, err = call("evaluate", "run", "-m", "temperature")
    assert code == 0
    assert "AdaECE" in out


def test_without_out_the_folder_is_named_after_the_recipe(call: Called) -> None:
    recipe = get_recipe(dataset="digits", model="mlp:hidden=8", loss="FLA-53", epochs=1)
    assert call(*TRAIN, "--epochs", 1)[:2] == (0, f"runs/{recipe.folder_name}\n")
    assert call(*TRAIN, "--epochs", 1)[0] == 2
    assert call(*TRAIN, "--epochs", 1, "--resume", "--quiet") == (0, f"runs/{recipe.folder_name}\n", "")


def test_all_options_reach_the_recipe(call: Called, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'dataset = "digits"\nmodel = "mlp:hidden=8"\nloss = "CE"\nlr_schedule = "step:0.1@10"\n'
    )
    options = ["--recipe", "mine.toml", "--loss", "focal:2", "--seed", 7, "--epochs", 3, "--batch-size", 200]
    options += ["--optimiser", "adam:0.5", "--lr", 0.003, "--precision", "bfloat16", "--device", "cpu"]
    options += [
        "--set",
        "clip_norm=2",
        "--set",
        "select=accuracy",
        "--set",
        "save_epochs=[1, 3]",
        "--set",
        "channels_last=true",
    ]
    code, _, err = call("train", *options, "--out", "run", "--quiet")
    assert (code, err) == (0, "")
    assert Recipe.from_dict(RunFolder("run").recipe) == Recipe(
        "digits",
        "mlp:hidden=8",
        "focal:2",
        optimiser="adam:0.003",
        lr_schedule="step:0.1@1",
        epochs=3,
        batch_size=200,
        seed=7,
        precision="bfloat16",
        clip_norm=2.0,
        select="accuracy",
        channels_last=True,
        save_epochs=(1, 3),
    )
    assert RunFolder("run").logits_epochs == [1, 3]


def test_epochs_by_set_are_those_of_the_option() -> None:
    def recipe(*options: str) -> Recipe:
        from calkit_torch.cli import _recipe

        context = command.make_context("train", [*TRAIN[1:], *options])
        names = ("recipe", "lr", "assignments", "dataset", "model", "loss", "seed", "epochs", "optimiser", "batch_size")
        return _recipe(None, **{name: context.params[name] for name in names})

    assert recipe("--set", "epochs=30") == recipe("--epochs", "30")
    assert recipe("--epochs", "30").lr_schedule == "step:0.1@20,26"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["train"], 2, "name a data set (--dataset digits) or a recipe file that does (--recipe FILE)"),
        (["train", "--dataset", "digits"], 2, "a recipe needs model, loss"),
        ([*TRAIN, "--loss", "FLA-54"], 2, "unknown loss 'FLA-54'. Did you mean 'FLA-53'"),
        ([*TRAIN, "--dataset", "digit"], 2, "unknown data set 'digit'. Did you mean 'digits'"),
        ([*TRAIN, "--dataset", "cifar11", "--model", "resnet50"], 2, "Did you mean 'cifar10"),
        ([*TRAIN, "--model", "small-resnett"], 2, "Did you mean 'small-resnet'"),
        ([*TRAIN, "--model", "mlp:hiden=3"], 2, "Parameters: "),
        ([*TRAIN, "--recipe", "digitz"], 2, "unknown recipe 'digitz'. Did you mean 'digits'"),
        ([*TRAIN, "--recipe", "none.toml"], 1, "the recipe none.toml cannot be read: No such file"),
        ([*TRAIN, "--set", "epoch=3"], 2, "unknown recipe key 'epoch'. Did you mean 'epochs'"),
        ([*TRAIN, "--set", "clip_norm"], 2, "--set takes KEY=VALUE, for example --set clip_norm=2"),
        ([*TRAIN, "--set", "clip_norm=two"], 1, "clip_norm must be a number, but is 'two'"),
        ([*TRAIN, "--epochs", 0], 1, "epochs must be at least 1"),
        ([*TRAIN, "--epochs", "many"], 2, "'many' is not a valid integer"),
        ([*TRAIN, "--eposch", 3], 2, "Did you mean '--epochs'"),
        ([*TRAIN, "--lr", 0], 1, "the learning rate must be a positive number"),
        ([*TRAIN, "--checkpoint-seconds", 0], 1, "checkpoint_seconds must be positive"),
        ([*TRAIN, "--device", "gpu"], 2, "device must be auto, cpu, cuda or cuda:N, but is 'gpu'"),
        ([*TRAIN, "--precision", "half"], 2, "unknown precision 'half'"),
        ([*TRAIN, "--resume", "--recipe", "none.toml"], 1, "none.toml cannot be read"),
        (["train", "--resume", "--out", "nowhere"], 2, "nowhere holds no run to go on with; name its folder, or begin"),
        (["train", "--resume"], 2, "name a data set"),
    ],
)
def test_mistakes_have_one_clear_line(call: Called, options: list[Any], code: int, words: str) -> None:
    found, out, err = call(*options)
    assert (found, out) == (code, "")
    assert words in err
    assert "Traceback" not in err
    assert not Path("runs").exists() or not list(Path("runs").glob("*/recipe.toml"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_asked_for_and_absent(call: Called) -> None:
    code, out, err = call(*TRAIN, "--device", "cuda")
    assert (code, out) == (2, "")
    assert err.startswith(f"calkit: error: device 'cuda' was asked for, but torch {torch.__version__} ")
    assert "pass --device cpu" in err


CIFAR = ["train", "--dataset", "cifar10", "--model", "small-resnet:width=4", "--loss", "CE", "--device", "cpu"]


def test_a_data_set_that_is_missing(call: Called, tmp_path: Path) -> None:
    code, out, err = call(*CIFAR)
    assert (code, out) == (1, "")
    place = tmp_path / "data" / "cifar10"
    assert f"calkit: error: cifar10 is not in {place}: put cifar-10-python.tar.gz there, or the folder" in err
    assert f"mkdir -p {place} && curl -L -o {place}/cifar-10-python.tar.gz https://www.cs.toronto.edu/~kriz/" in err
    assert "calkit train --download does that" in err
    assert f"cifar10 is not in {tmp_path / 'elsewhere'}" in call(*CIFAR, "--folder", tmp_path / "elsewhere")[2]
    for dataset, model, words in (
        ("sst", "tree-lstm", "unzip -j"),
        ("20newsgroups", "global-pooling-cnn", "20newsgroups"),
    ):
        code, _, err = call("train", "--dataset", dataset, "--model", model, "--loss", "CE", "--device", "cpu")
        assert code == 1
        assert words in err
        assert str(tmp_path / "data" / dataset) in err


def test_a_data_set_with_the_wrong_checksum(call: Called, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / CIFAR10.archive.name, CIFAR10.folder, members(CIFAR10))
    code, _, err = call(*CIFAR, "--folder", tmp_path)
    assert code == 1
    assert f"has the MD5 checksum {md5_of(archive)}, and not {CIFAR10.archive.md5}: it is damaged or another" in err


def test_images_from_a_folder(call: Called, tmp_path: Path) -> None:
    """The published code's recipe on a few images: sums, clipped."""
    write_folder(tmp_path / "there" / CIFAR10.folder, members(CIFAR10))
    code, _, err = call(*CIFAR, "--folder", tmp_path / "there", "--epochs", 2, "--out", "run", "--quiet")
    assert (code, err) == (0, "")
    recipe = RunFolder("run").recipe
    assert (recipe["reduction"], recipe["clip_norm"], recipe["lr_schedule"]) == (
        "focal-calibration",
        2.0,
        "step:0.1@1,2",
    )


def test_a_run_of_another_recipe_is_not_resumed(call: Called) -> None:
    assert call(*TRAIN, "--epochs", 1, "--out", "run")[0] == 0
    code, _, err = call("train", "--resume", "--out", "run", "--seed", 5)
    assert code == 2
    assert "run holds a run of another recipe: seed = 1 there, 5 here. Resume it without these" in err


def test_a_damaged_checkpoint(call: Called) -> None:
    assert call(*TRAIN, "--epochs", 1, "--out", "run")[0] == 0
    Path("run/checkpoint.pt").write_bytes(b"PK\x03\x04")
    code, _, err = call("train", "--resume", "--out", "run")
    assert code == 1
    assert "the checkpoint run/checkpoint.pt cannot be read: " in err


def test_a_run_that_diverges(call: Called) -> None:
    code, _, err = call(*TRAIN, "--lr", 1e30, "--out", "run")
    assert code == 1
    assert err.startswith("calkit: error: the loss became nan in epoch 1, batch ")
    assert "Lower the learning rate (--lr) or clip the gradient (clip_norm)" in err


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("pipeline", ["resident", "dataloader"])
def test_ctrl_c_and_on(tmp_path: Path, pipeline: str) -> None:
    """The whole group of processes gets the signal, as from a terminal: workers of a DataLoader included."""
    out = tmp_path / "run"
    train = interruptible("calkit", *TRAIN, "--epochs", "2000", "--out", out)
    if pipeline == "dataloader":
        train += ["--set", "pipeline=dataloader", "--set", "workers=1"]
    process = subprocess.Popen(
        train,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    history = out / "history.jsonl"
    deadline = time.monotonic() + 120
    while not (history.exists() and history.read_text().count("\n") >= 3):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert stderr.splitlines()[-1].startswith("calkit: stopped ")
    assert stderr.endswith(f"nothing is lost. Continue with: calkit train --resume --out {out}\n")
    assert "Traceback" not in stderr
    done = torch.load(out / "checkpoint.pt", weights_only=True)
    assert done["epoch"] >= 3


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_command_goes_on_as_if_nothing_had_been(call: Called, one_thread: None) -> None:
    """Without options but --resume: the folder knows the rest."""
    command = [*TRAIN, "--epochs", "40", "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "calkit", *command, "run"], env=environment)
    history = Path("run/history.jsonl")
    while not (history.exists() and history.read_text().count("\n") >= 2):
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    assert process.wait(120) == -signal.SIGKILL
    assert call("train", "--resume", "--out", "run", "--device", "cpu")[0] == 0
    assert call(*command, "whole")[0] == 0
    whole, again = RunFolder("whole"), RunFolder("run")
    assert again.logits().read_bytes() == whole.logits().read_bytes()
    assert [r["test"] for r in again.history] == [r["test"] for r in whole.history]


MINE = """
import torch
from calkit_torch.data import DataSet, register_dataset
from calkit_torch.losses import Loss, register_loss
from calkit_torch.models import MODELS


@register_dataset("mine-%(n)s")
def mine():
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    parts = [(x[a:b], (x[a:b, 0] > 0).long()) for a, b in ((0, 20), (20, 30), (30, 40))]
    return DataSet.from_arrays(*parts, n_classes=2)


@MODELS.register("mine-%(n)s")
class Mine(torch.nn.Linear):
    def __init__(self, n_classes, in_features):
        super().__init__(in_features, n_classes)


@register_loss("mine-%(n)s")
class Absolute(Loss):
    def values(self, logits, targets):
        return targets.nll(logits).abs()
"""


@pytest.mark.parametrize("n", ["module", "file"])
def test_data_networks_and_losses_of_ones_own(
    call: Called, tmp_path: Path, n: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {registry: dict(registry._items) for registry in (DATASETS, LOSSES, MODELS)}
    for registry, items in before.items():
        monkeypatch.setattr(registry, "_items", dict(items))
    (tmp_path / f"my_{n}.py").write_text(MINE % {"n": n})
    which = f"my_{n}" if n == "module" else f"my_{n}.py"
    names = [word for option in ("--dataset", "--model", "--loss") for word in (option, f"mine-{n}")]
    code, out, err = call("train", "--import", which, *names, "--epochs", 2, "--device", "cpu", "--out", n, "--quiet")
    assert (code, out, err) == (0, f"{n}\n", "")
    assert RunFolder(n).history[-1]["loss"] == f"mine-{n}"
    if n == "file":  # A module is imported once only.
        for registry, items in before.items():
            monkeypatch.setattr(registry, "_items", dict(items))
        assert call("predict", n, "-o", "no.npz", "--device", "cpu")[0] != 0
    assert call("predict", n, "--import", which, "-o", "again.npz", "--device", "cpu")[0] == 0
    with np.load("again.npz") as again, np.load(RunFolder(n).logits()) as first:
        np.testing.assert_array_equal(again["test_logits"], first["test_logits"])


@pytest.mark.parametrize(
    ("which", "words"),
    [("no_such_module", "ModuleNotFoundError"), ("none.py", "there is no such file"), ("bad.py", "ZeroDivisionError")],
)
def test_modules_that_cannot_be_imported(call: Called, tmp_path: Path, which: str, words: str) -> None:
    (tmp_path / "bad.py").write_text("1 / 0")
    code, _, err = call(*TRAIN, "--import", which)
    assert code == 2
    assert words in err


def test_what_is_measured_and_how_often_a_checkpoint_is_written(call: Called) -> None:
    options = ["--epochs", 3, "--history", "test", "--history-every", 2, "--checkpoint-epochs", 2, "--quiet"]
    assert call(*TRAIN, *options, "--out", "run")[0] == 0
    assert [sorted({"train", "test"} & record.keys()) for record in RunFolder("run").history] == [
        [],
        ["test"],
        ["test"],
    ]
    assert call(*TRAIN, "--epochs", 1, "--history", "none", "--out", "none", "--quiet")[0] == 0
    assert "validation" not in RunFolder("none").history[0]
    code, _, err = call(*TRAIN, "--history", "tests", "--out", "typo")
    assert code == 2
    assert "unknown history 'tests'. Did you mean 'test'" in err
    code, _, err = call(*TRAIN, "--checkpoint-epochs", 0, "--out", "typo")
    assert code == 1
    assert "checkpoint_epochs must be a whole number of at least 1, but is 0" in err
