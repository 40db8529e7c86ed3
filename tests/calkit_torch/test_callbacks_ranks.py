"""Two processes measure what one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import calkit
from calkit.runs import RunFolder
from tests.calkit_torch.callbacks_rank import main as train_on_one

SCRIPT = Path(__file__).with_name("callbacks_rank.py")


def run_on_two(folder):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", SCRIPT, folder]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return RunFolder(folder)


@pytest.mark.slow
def test_two_ranks_measure_what_one_does(tmp_path):
    train_on_one(str(tmp_path / "one"))
    one, two = RunFolder(tmp_path / "one"), run_on_two(tmp_path / "two")
    # The second epoch is no better than the first, nor is the third: it stops.
    assert len(one.history) == len(two.history) == 3
    for first, second in zip(one.history, two.history, strict=True):
        for split in ("train", "validation", "test"):
            assert second[split] == pytest.approx(first[split], rel=1e-5)
        assert second["best_epoch"] == first["best_epoch"] == 1
    found, expected = two.history[0]["gradient_norms"], one.history[0]["gradient_norms"]
    assert sum(found["counts"]) == sum(expected["counts"]) == 997
    # A norm within rounding of an edge may fall on its other side.
    assert np.abs(np.subtract(found["counts"], expected["counts"])).sum() <= 2
    assert found["mean"] == pytest.approx(expected["mean"], rel=1e-5)
    for epoch in (None, 2):
        ours, theirs = (calkit.load_predictions(run.logits(epoch), split="test") for run in (two, one))
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(ours.y_true, theirs.y_true)
    assert len(list((two.path / "tensorboard").iterdir())) == 1
