"""Two processes find what one finds: counts exactly, sums to rounding, by one all-reduce."""

import json
import os
import subprocess
import sys

import pytest
import torch

from calkit_torch.bridge import Accumulator, CalibrationError, DeviceMetrics, evaluate_model, predict
from tests.calkit_torch import bridge_rank
from tests.calkit_torch.ranks import ENVIRONMENT

RANKS = 2

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch is built without torch.distributed"),
]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each process found."""
    folder = tmp_path_factory.mktemp("ranks")
    processes = [
        subprocess.Popen(
            [sys.executable, bridge_rank.__file__, str(rank), str(RANKS), str(folder)],
            env={**os.environ, **ENVIRONMENT},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(RANKS)
    ]
    try:
        errors = [process.communicate(timeout=600)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * RANKS, "\n".join(errors)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(RANKS)]


def agree(found, expected):
    """Integers equal, floats to 1e-12."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            agree(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            agree(a, b)
    elif isinstance(expected, int):
        assert isinstance(found, int)
        assert found == expected
    else:
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("how", ["ignore_index", "sample_weight"])
def test_summaries_are_those_of_one_process(ranks, how):
    logits, y, weight = bridge_rank.data()
    whole = Accumulator(bridge_rank.STATISTICS).update(logits, y, weight if how == "sample_weight" else None)
    for rank in ranks:
        agree(rank[how], bridge_rank.plain(whole.summaries()))
        assert rank[f"all-reduces of {how}"] == 1
    # 101 rows do not divide by two, so one rank was filled up; padding is in no count.
    alone = [rank[f"{how}, alone"][repr(bridge_rank.STATISTICS[1])]["count"] for rank in ranks]
    assert alone == [51, 50]


def test_padding_of_the_sampler_is_not_counted(ranks):
    logits, y, _ = bridge_rank.data()
    whole = evaluate_model(bridge_rank.network(), [(logits.double(), y)])
    for rank in ranks:
        agree(rank["evaluate_model"], {"n_samples": 101, **whole})
    rows = sorted(ranks[0]["predict"] + ranks[1]["predict"])
    expected = sorted(predict(bridge_rank.network(), [(logits.double(), y)]).scores[:, 0].tolist())
    assert rows == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", bridge_rank.ALONE)
def test_a_rank_may_have_no_batch(ranks, name):
    expected = CalibrationError(name).update(*bridge_rank.data()).compute()
    found = [rank[f"one rank without batches, {name}"] for rank in ranks]
    assert found == pytest.approx([expected] * RANKS, rel=1e-12)


def test_rows_and_classes_of_unequal_shares(ranks):
    expected = dict(DeviceMetrics(bridge_rank.ALONE).update(*bridge_rank.data()).compute())
    for rank in ranks:
        agree(rank["all metrics"], expected)


def test_what_is_wrong_on_one_rank_is_said_on_all(ranks):
    for rank in ranks:
        assert "y must lie in 0..5" in rank["bad label of rank 1"]
        assert "1 row has other labels" in rank["bad label of rank 1"]
