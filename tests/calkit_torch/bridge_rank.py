"""One process of ``test_bridge_distributed``: ``bridge_rank.py RANK RANKS FOLDER``; writes what it found as JSON.

The data are the same in every process; which rows a rank sees is decided here.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import distributed as dist
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from calkit.errors import InputError
from calkit.stats import NllDerivatives, RowMean, Tail, UniformBins
from calkit_torch.bridge import Accumulator, CalibrationError, DeviceMetrics, evaluate_model, predict

STATISTICS = [UniformBins(15), RowMean("nll"), RowMean("brier"), Tail(0.9), NllDerivatives(0.8)]
ALONE = ["ece", "adaece", "classwise_ece", "smece", "nll:target=ordinal", "d2-brier"]
ALONE += ["adaece:target=classwise", "tace", "l2-debiased", "l2-debiased:target=classwise", "l1-debiased"]
N = 101


def data():
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(3 * rng.standard_normal((N, 6), dtype=np.float32))
    y = torch.from_numpy(np.where(rng.random(N) < 0.6, logits.numpy().argmax(1), rng.integers(0, 6, N)))
    return logits, y, torch.from_numpy(rng.random(N))


def network():
    """A layer in float64, so that what it says does not depend on the size of a batch; sure enough for S99."""
    torch.manual_seed(0)
    layer = nn.Linear(6, 6, dtype=torch.float64)
    nn.init.normal_(layer.weight)
    return layer


def plain(summaries):
    """Summaries as JSON knows them, floats with every digit."""
    return {
        repr(statistic): {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in vars(summary).items()
            if value is not None
        }
        for statistic, summary in summaries.items()
    }


def share(rank, ranks, how):
    """The rows of a rank, filled up to the same number on every rank with rows that do not count."""
    logits, y, weight = data()
    mine = torch.arange(N)[rank::ranks]
    missing = -(-N // ranks) - len(mine)
    filled = torch.cat([mine, torch.zeros(missing, dtype=torch.int64)])
    logits, y, weight = logits[filled], y[filled], weight[filled]
    if missing:
        logits[-missing:] = torch.nan
        if how == "ignore_index":
            y[-missing:] = -100
        else:
            weight[-missing:] = 0
    return logits, y, weight


def scenarios(rank, ranks, all_reduces):
    for how in ("ignore_index", "sample_weight"):
        logits, y, weight = share(rank, ranks, how)
        everything = Accumulator(STATISTICS)
        for rows in torch.arange(len(y)).split(17):
            everything.update(logits[rows], y[rows], weight[rows] if how == "sample_weight" else None)
        before = all_reduces[0]
        yield how, plain(everything.summaries())
        yield f"all-reduces of {how}", all_reduces[0] - before
        yield f"{how}, alone", plain(everything.summaries(sync=False))
    logits, y, weight = data()
    dataset = TensorDataset(logits.double(), y)
    sampler = DistributedSampler(dataset, ranks, rank, shuffle=True, seed=3)
    loader = DataLoader(dataset, batch_size=8, sampler=sampler)
    found = evaluate_model(network(), loader)
    yield "evaluate_model", {"n_samples": found.n_samples, **found}
    yield "predict", sorted(predict(network(), loader).scores[:, 0].tolist())
    for name in ALONE:
        metric = CalibrationError(name)
        if rank == 0:
            metric.update(logits, y, weight)
        yield f"one rank without batches, {name}", metric.compute()
    mine = slice(0, 30) if rank == 0 else slice(30, None)  # unequal shares
    yield "all metrics", dict(DeviceMetrics(ALONE).update(logits[mine], y[mine], weight[mine]).compute())
    bad = DeviceMetrics(["error"]).update(logits[:2], torch.tensor([0, 6 if rank == 1 else 1]))
    try:
        bad.compute()
    except InputError as error:
        yield "bad label of rank 1", str(error)


def main():
    rank, ranks, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    all_reduces, all_reduce = [0], dist.all_reduce

    def counting(*args, **kwargs):
        all_reduces[0] += 1
        return all_reduce(*args, **kwargs)

    dist.all_reduce = counting
    try:
        found = dict(scenarios(rank, ranks, all_reduces))
    finally:
        dist.destroy_process_group()
    (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
