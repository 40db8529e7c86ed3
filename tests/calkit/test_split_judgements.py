"""Floors, intervals and p-values of shards and of streams are those of the same rows in memory."""

import numpy as np
import pytest

import calkit
from calkit.metrics.base import METRICS
from calkit.streaming import StreamingEvaluation

# More rows than folds.
N = 1100
OPTIONS = {"confidence_level": 0.9, "n_resamples": 60, "random_state": 3}
CUTS = (1, 300, 301, 900)


def rows(weighted, k=3):
    rng = np.random.default_rng([k, weighted])
    z = 2 * rng.normal(size=(N, k))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = (rng.random((N, 1)) > p.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return 1.2 * z, y, rng.choice([0.25, 1.0, 3.0], N) if weighted else None


def numbers_of(evaluation):
    for metric in evaluation.metrics:
        found = evaluation.judgement(metric.spec)
        floor = () if found.floor is None else (found.floor.mean, found.floor.p95, found.p_value)
        pooled = () if found.pooled is None else (found.pooled.value, found.pooled.floor.mean, found.pooled.p_value)
        yield metric.spec, [evaluation[metric.spec], *(found.interval or ()), *floor, *pooled]


def assert_same(one, two):
    one, two = dict(numbers_of(one)), dict(numbers_of(two))
    assert list(one) == list(two)
    for spec, numbers in one.items():
        assert two[spec] == pytest.approx(numbers, rel=1e-9, abs=1e-12, nan_ok=True), spec


@pytest.mark.parametrize("target", ["top", "classwise"])
@pytest.mark.parametrize("weighted", [False, True])
def test_streams_and_shards(target, weighted, tmp_path):
    z, y, w = rows(weighted)
    names = [name for name in METRICS if target in METRICS[name].supports() and name != "kde-ece"]
    whole = calkit.evaluate(calkit.Predictions(z, y, kind="logits", sample_weight=w), names, target=target, **OPTIONS)
    stream = StreamingEvaluation(names, target=target, keep_pairs=True, **OPTIONS)
    for i, part in enumerate(np.split(np.arange(N), CUTS)):
        weight = None if w is None else w[part]
        stream.update(z[part], y[part], weight)
        shard = calkit.Predictions(z[part], y[part], kind="logits", sample_weight=weight)
        calkit.save_predictions(shard, tmp_path / f"part-{i}.npz")
    assert_same(whole, stream.result())
    assert_same(whole, calkit.evaluate(calkit.Shards(str(tmp_path / "part-*.npz")), names, target=target, **OPTIONS))
