"""What accumulating the ECE costs: beside a forward pass, and beside torchmetrics if it is installed, as ratios.

Run it on a quiet machine: ``OMP_NUM_THREADS=1 python benchmarks/device_metrics.py [--device cuda] [--json FILE]``. A
job updates with as many batches as hold half a million scores or so and computes once, since calkit counts small
batches together and torchmetrics does its work at the end; the time is that of a batch. The jobs of a setting are timed
round robin and their best times compared. On CUDA two more figures are printed: the time until the host may go on, and
the extra memory at the peak of one job.
"""

import argparse
import importlib.util
import json
import time
from pathlib import Path

import torch
from machine import machine

from calkit_torch.bridge import CalibrationError, DeviceMetrics
from calkit_torch.models import get_model

# Name: number of labels (or shape of a batch of pixels), classes, model.
SETTINGS = {
    "ResNet-50, 32 x 10": (32, 10, "resnet50"),
    "ResNet-50, 32 x 100": (32, 100, "resnet50"),
    "logits only, 1,024 x 1,000": (1024, 1000, None),
    "logits only, 8,192 x 10": (8192, 10, None),
    "pixels, 2 x 19 x 512 x 512": ((2, 512, 512), 19, None),
}


def synthetic(size, k, device):
    generator = torch.Generator().manual_seed(0)
    n, *pixels = (size,) if isinstance(size, int) else size
    logits = 3 * torch.randn(n, k, *pixels, generator=generator)
    y = torch.randint(0, k, (n, *pixels), generator=generator)
    return logits.to(device), y.to(device)


def forward_of(name, size, k, device):
    model = get_model(name, n_classes=k).to(device).eval()
    x = torch.randn(size, 3, 32, 32, device=device)

    def forward():
        with torch.no_grad():
            model(x)

    return forward


def epoch(metric, logits, y, n_batches):
    def job():
        metric.reset()
        for _ in range(n_batches):
            metric.update(logits, y)
        metric.compute()

    return job


def rivals(k, device):
    """torchmetrics' ECE; and its accuracy, ECE and MCE, three of calkit's default metrics."""
    from torchmetrics import MetricCollection
    from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError

    how = {"num_classes": k, "validate_args": False}
    three = {
        "accuracy": MulticlassAccuracy(average="micro", **how),
        "ece": MulticlassCalibrationError(n_bins=15, **how),
        "mce": MulticlassCalibrationError(n_bins=15, norm="max", **how),
    }
    return {
        "torchmetrics, ECE": MulticlassCalibrationError(n_bins=15, **how).to(device),
        "torchmetrics, accuracy, ECE, MCE": MetricCollection(three).to(device),
    }


def jobs(size, k, model, device):
    """Jobs by name, and how many batches each takes in."""
    logits, y = synthetic(size, k, device)
    n_batches = max(1, (1 << 19) // logits.numel())
    many = DeviceMetrics()
    metrics = {"calkit, ECE": CalibrationError(), f"calkit, {len(many.metrics)} metrics": many}
    if importlib.util.find_spec("torchmetrics"):
        metrics |= rivals(k, device)
    found = {name: (epoch(metric, logits, y, n_batches), n_batches) for name, metric in metrics.items()}
    if model is not None:
        found["forward pass"] = forward_of(model, size, k, device), 1
    return found


def race(contestants, device, repeats, budget=20.0):
    """Best seconds a batch until done, and until the host goes on, of each; run in turns."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    done, host = ({name: [] for name in contestants} for _ in range(2))
    for _ in range(repeats + 1):
        for name, (job, n_batches) in contestants.items():
            if n_batches * sum(done[name]) > budget:
                continue
            wait()
            start = time.perf_counter()
            job()
            host[name].append((time.perf_counter() - start) / n_batches)
            wait()
            done[name].append((time.perf_counter() - start) / n_batches)
    # The first round warms caches and lazy imports up.
    return {name: tuple(min(t[1:] or t) for t in (done[name], host[name])) for name in contestants}


def peak_memory(job):
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    job()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    rows = []
    versions = ["torch", *(["torchmetrics"] if importlib.util.find_spec("torchmetrics") else [])]
    where = torch.cuda.get_device_name() if options.device == "cuda" else f"{torch.get_num_threads()} thread(s)"
    print(f"{machine(*versions)}; {where}; best of {options.repeats}\n")
    more = " host ms | MB |" if options.device == "cuda" else ""
    print(f"| logits | what | ms | times calkit's ECE |{more}")
    print("| --- | --- | ---: | ---: |" + (" ---: | ---: |" if more else ""))
    for setting, (size, k, model) in SETTINGS.items():
        contestants = jobs(size, k, model, options.device)
        found = race(contestants, options.device, options.repeats)
        for name, (seconds, host) in found.items():
            ratio = seconds / found["calkit, ECE"][0]
            memory = peak_memory(contestants[name][0]) if options.device == "cuda" else None
            rows.append(
                {"setting": setting, "who": name, "seconds": seconds, "host": host, "ratio": ratio, "memory": memory}
            )
            extra = "" if memory is None else f" {host * 1e3:.3f} | {memory / 1e6:.1f} |"
            print(f"| {setting} | {name} | {seconds * 1e3:.3f} | {ratio:.2f} |{extra}", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
