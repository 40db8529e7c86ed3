"""Two processes train as one does with the same global batches."""

import json
import os
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from calkit.errors import UsageError
from calkit.runs import RunFolder
from calkit_torch.training import Recipe, train
from tests.calkit_torch.training_samples import contents, context, run_sample, same, together, vectors

RANKS = 2

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="SIGKILL"),
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch is built without torch.distributed"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same run by one process and by two, and what the two found."""
    folder = tmp_path_factory.mktemp("ranks")
    alone = context().Process(target=run_sample, args=("batches", folder / "one"))
    alone.start()
    assert together(RANKS, run_sample, "batches", folder / "two", compare=folder / "two-compared") == [0, 0]
    alone.join(240)
    assert alone.exitcode == 0
    found = [json.loads((folder / f"two-compared-{rank}.json").read_text()) for rank in range(RANKS)]
    return contents(folder / "one"), contents(folder / "two"), found


def test_weights_and_history_are_those_of_one_process(runs):
    """A loss of the batch (MMCE), a clipped gradient and an uneven last batch included."""
    one, two, _ = runs
    for name, tensor in one["checkpoint"]["model"].items():
        torch.testing.assert_close(two["checkpoint"]["model"][name], tensor, rtol=1e-4, atol=1e-5)
    for a, b in zip(one["history"], two["history"], strict=True):
        assert (a["epoch"], a["lr"], a["loss"], a["seen"]) == (b["epoch"], b["lr"], b["loss"], b["seen"])
        assert b["train_loss"] == pytest.approx(a["train_loss"], rel=1e-4)
        assert b["test"] == pytest.approx(a["test"], rel=1e-3, abs=2e-3)


@pytest.mark.parametrize("name", ["vectors", "documents", "trees"])
def test_dropout_is_that_of_one_process(name, tmp_path):
    """Networks with dropout, and trees whose nodes come in another order: the same weights."""
    alone = context().Process(target=run_sample, args=(name, tmp_path / "one"))
    alone.start()
    assert together(RANKS, run_sample, name, tmp_path / "two") == [0, 0]
    alone.join(240)
    one, two = (contents(tmp_path / which)["checkpoint"]["model"] for which in ("one", "two"))
    for tensor, found in zip(one.values(), two.values(), strict=True):
        torch.testing.assert_close(found, tensor, rtol=0, atol=1e-6)


def test_logits_come_in_their_order(runs):
    one, two, _ = runs
    for name, array in one["logits"].items():
        if name.endswith("logits"):
            np.testing.assert_allclose(two["logits"][name], array, rtol=1e-3, atol=1e-4)
        else:
            np.testing.assert_array_equal(two["logits"][name], array)


def test_metrics_are_exactly_those_of_the_same_logits(runs):
    _, _, found = runs
    for rank in found:
        for split in rank.values():
            assert split["together"] == split["on one device"]
            assert split["by sums"] == pytest.approx(split["together"], rel=1e-14)
            assert split["by sums"]["error"] == split["together"]["error"]
            assert split["with AdaECE"] == split["alone"]
            assert split["together"] == pytest.approx({k: split["alone"][k] for k in split["together"]}, abs=1e-6)
    assert found[0]["test"]["labels"] == found[1]["test"]["labels"] == vectors(57, 1, 513).test.labels.tolist()


def test_a_part_may_be_empty(runs):
    _, _, found = runs
    assert [rank["validation"]["rows of this rank"] for rank in found] == [0, 1]
    assert [rank["test"]["rows of this rank"] for rank in found] == [256, 257]


def test_a_training_batch_too_small_to_share_is_refused():
    with pytest.raises(UsageError, match="too few for 2 processes"):
        vectors(33).loader("train", batch_size=16, train=True, world_size=2)


def test_two_processes_resume_exactly(tmp_path):
    """With batch normalisation, augmentation and a loss that learns; with dropout."""
    for name in ("images", "vectors", "trees"):
        whole, out = tmp_path / f"{name}-whole", tmp_path / name
        assert together(RANKS, run_sample, name, whole) == [0, 0]
        killed = together(RANKS, run_sample, name, out, kill=("after a batch", 6), checkpoint_batches=2)
        assert killed[0] == -signal.SIGKILL
        assert together(RANKS, run_sample, name, out, resume=True) == [0, 0]
        same(contents(out), contents(whole))


def test_torchrun_and_the_command(tmp_path):
    out = tmp_path / "run"
    train_it = shlex.split("--dataset digits --model mlp:hidden=16 --loss FLA-53 --epochs 2 --device cpu --out")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS)]
    done = subprocess.run(
        [*launcher, "-m", "calkit", "train", *train_it, str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(out)]
    alone = train(Recipe.from_dict(RunFolder(out).recipe), out=tmp_path / "alone", device="cpu", progress=False)
    for a, b in zip(RunFolder(out).history, alone.history, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)
        assert a["test"]["nll"] == pytest.approx(b["test"]["nll"], rel=1e-3)
