"""Two processes measure what one does."""

from __future__ import annotations

import numpy as np
import pytest

import calkit
from calkit.runs import RunFolder
from tests.calkit_torch.callbacks_rank import main as train_it
from tests.calkit_torch.training_samples import together


@pytest.mark.slow
def test_two_ranks_measure_what_one_does(tmp_path):
    train_it(str(tmp_path / "one"))
    assert together(2, train_it, str(tmp_path / "two")) == [0, 0]
    one, two = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")
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
