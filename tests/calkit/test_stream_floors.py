"""Floors of streams: those of all rows at once, from sums alone, through files and merges."""

import json

import numpy as np
import pytest

import calkit
from calkit.errors import InputError
from calkit.inference.resampling import Resampling
from calkit.metrics import available_metrics, get_metric
from calkit.streaming import StreamingEvaluation

SPECS = ["ece", "mce", "rmsce", "classwise_ece", "smece", "murphy-rel", "tl-ece", "nll"]


def example(n=600, k=3, seed=0):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, k))
    y = np.where(rng.random(n) < 0.6, logits.argmax(1), rng.integers(0, k, n))
    return logits, y, rng.integers(0, 2, n)


def streamed(logits, y, group, rows, **options):
    stream = StreamingEvaluation(SPECS, by="g", random_state=0, **options)
    return stream.update(logits[rows], y[rows], columns={"g": group[rows]})


def judged(evaluation):
    return {spec: (j.floor, j.p_value) for spec, j in ((s, evaluation.judgement(s)) for s in SPECS)}


def test_floors_are_those_of_all_rows(tmp_path):
    logits, y, group = example()
    parts = [streamed(logits, y, group, slice(a, b)) for a, b in ((0, 1), (1, 300), (300, 600))]
    parts[1].save(tmp_path / "part.npz")
    parts[1] = StreamingEvaluation.load(tmp_path / "part.npz")
    found = (parts[0] + parts[1] + parts[2]).result()
    data = calkit.Predictions(logits, y, kind="logits", columns={"g": group})
    whole = calkit.evaluate(data, SPECS, by="g")
    for mine, theirs in ((found, whole), (found.groups[1], whole.groups[1])):
        for spec, (floor, p_value) in judged(theirs).items():
            own = mine.judgement(spec)
            if floor is None:
                assert own.floor is None
                continue
            assert (own.floor.mean, own.floor.p95) == pytest.approx((floor.mean, floor.p95), rel=1e-9)
            assert own.p_value == pytest.approx(p_value, abs=2e-3)
    assert whole.judgement("nll").floor is None


def test_without_floors_less_is_kept():
    logits, y, group = example()
    lean = streamed(logits, y, group, slice(None), floors=False)
    assert lean.result().judgement("ece").floor is None
    assert len(lean._totals) < len(streamed(logits, y, group, slice(None))._totals)
    with pytest.raises(InputError, match="different floors"):
        lean.merge(streamed(logits, y, group, slice(None)))


def test_files_of_before_have_none(tmp_path):
    logits, y, group = example()
    path = tmp_path / "old.npz"
    streamed(logits, y, group, slice(None), floors=False).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))
    del header["floors"]
    np.savez(path, **{**arrays, "header": np.array(json.dumps(header))})
    loaded = StreamingEvaluation.load(path)
    assert loaded.floors is False
    expected = calkit.evaluate(calkit.Predictions(logits, y, kind="logits"), SPECS, floors=False)
    assert dict(loaded.result()) == pytest.approx(dict(expected), abs=1e-12)


@pytest.mark.parametrize("name", available_metrics())
def test_what_a_sum_needs_for_its_floor_is_a_sum(name):
    metric = get_metric(name)
    if metric.statistic.is_sum and metric.inference is not None:
        assert all(statistic.is_sum for statistic in metric.inference.statistics(Resampling()))
