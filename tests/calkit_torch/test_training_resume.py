"""A run that is killed and resumed ends as one that never was: on the CPU to the last bit."""

import json
import os
import signal
import time

import pytest
import torch

from calkit.runs import RunFolder
from tests.calkit_torch.training_samples import EPOCHS, contents, context, run_sample, same

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL")

NAMES = ("images", "vectors", "trees")
MOMENTS = [
    ("inside a step", 0),
    ("after a batch", 3),
    ("inside a step", 6),
    ("after a batch", 7),
    ("at the end of an epoch", 1),
    ("between epochs", 2),
    ("while writing a checkpoint", 1),
    ("while writing a checkpoint", 4),
    ("before the rename", 5),
    ("at the end", 0),
    ("after the end", 0),
]


@pytest.fixture(scope="module")
def start():
    """Start a sample in a process of its own."""

    def started(*args, **kwargs):
        process = context().Process(target=run_sample, args=args, kwargs=kwargs)
        process.start()
        return process

    return started


@pytest.fixture(scope="module")
def whole(tmp_path_factory, start):
    """Runs that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    for process in [start(name, folder / name) for name in NAMES]:
        process.join(240)
        assert process.exitcode == 0
    return {name: contents(folder / name) for name in NAMES}


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment[0]} {moment[1]}")
@pytest.mark.parametrize("name", NAMES)
def test_killed_and_resumed(name, moment, tmp_path, start, whole):
    out = tmp_path / "run"
    process = start(name, out, kill=moment, checkpoint_batches=3)
    process.join(240)
    assert process.exitcode == -signal.SIGKILL
    process = start(name, out, resume=True)
    process.join(240)
    assert process.exitcode == 0
    same(contents(out), whole[name])
    assert [p.name for p in out.iterdir() if p.name.startswith(".")] == []


def test_a_loss_that_learns_is_part_of_what_comes_back(whole):
    """AdaFocal's state has moved in these runs, so that a resume without it would show."""
    first, last = (whole["images"]["history"][i]["loss"] for i in (0, -1))
    state = whole["images"]["checkpoint"]["loss"]
    assert state
    assert any(tensor.float().std() > 0 for tensor in state.values())
    assert first.startswith("adafocal")
    assert last.startswith("adafocal")


def test_killed_again_and_again(tmp_path, start, whole):
    """At moments that nobody chose, until a try comes through; each makes a little way."""
    out = tmp_path / "run"
    for patience in [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 240]:
        process = start("images", out, resume=True, checkpoint_batches=1)
        process.join(patience)
        if process.is_alive():
            process.kill()
            process.join()
    assert process.exitcode == 0
    same(contents(out), whole["images"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_resumed(number, tmp_path, start, whole):
    out = tmp_path / "run"
    process = start("images", out, kill=("wait", 5))
    deadline = time.monotonic() + 240
    while not (out / "waiting").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, number)
    process.join(240)
    assert process.exitcode == 130
    said = (tmp_path / "said").read_text()
    assert f"calkit train --resume --out {out}" in said
    assert "in epoch 2, after 1 of 4 batches" in said
    process = start("images", out, resume=True)
    process.join(240)
    assert process.exitcode == 0
    same(contents(out), whole["images"])


def test_files_that_may_not_grow(tmp_path, start, whole):
    """A real limit of the operating system, met in the middle of torch's own writing of the second checkpoint."""
    out = tmp_path / "run"
    process = start("vectors", out, kill=("a full disk", 1))
    process.join(240)
    assert process.exitcode == 1
    said = (tmp_path / "said").read_text()
    assert f"cannot write {out / 'checkpoint.pt'}" in said
    assert "the checkpoint before it is untouched" in said
    assert [p.name for p in out.iterdir() if p.name.startswith(".")] == []
    assert torch.load(out / "checkpoint.pt", weights_only=True)["epoch"] == 1
    start("vectors", out, resume=True).join(240)
    same(contents(out), whole["vectors"])


def test_history_ends_with_the_checkpoint(tmp_path, start):
    """What was recorded after the last checkpoint is taken back, and recorded again."""
    out = tmp_path / "run"
    start("vectors", out, kill=("while writing a checkpoint", 3)).join(240)
    assert [record["epoch"] for record in RunFolder(out).history] == [1, 2, 3]
    with (out / "history.jsonl").open("a") as file:
        file.write('{"epoch": 4, "cut o')
    assert len(RunFolder(out).history) == 3
    start("vectors", out, resume=True).join(240)
    lines = (out / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, EPOCHS + 1))
