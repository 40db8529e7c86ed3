"""What accumulating the ECE costs: beside a forward pass, and beside torchmetrics if it is installed, as ratios.

Run it on a quiet machine: ``OMP_NUM_THREADS=1 python benchmarks/device_metrics.py [--device cuda] [--json FILE]``. The
jobs of a setting are timed round robin and the medians compared. On CUDA two more figures are printed: the time until
the host may go on, and the extra memory at the peak of one call.
"""

import argparse
import importlib.util
import json
import statistics
import time
from pathlib import Path

import torch
from machine import machine
from torch import nn

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


def jobs(size, k, model, device):
    logits, y = synthetic(size, k, device)
    one, many = CalibrationError(), DeviceMetrics()
    found = {
        "calkit ECE, update": lambda: one.update(logits, y),
        "and compute": lambda: one.reset().update(logits, y).compute(),
        f"calkit, {len(many.metrics)} metrics": lambda: many.update(logits, y),
    }
    if importlib.util.find_spec("torchmetrics"):
        from torchmetrics.classification import MulticlassCalibrationError

        rival = MulticlassCalibrationError(k, n_bins=15, validate_args=False).to(device)

        def update():
            # Its state keeps every row, so it is emptied each time.
            rival.reset()
            rival.update(logits, y)

        def compute():
            update()
            rival.compute()

        found |= {"torchmetrics ECE, update": update, "torchmetrics, and compute": compute}
    if model is not None:
        found["forward pass"] = forward_of(model, size, k, device)
    found["softmax alone (float32)"] = lambda: nn.functional.softmax(logits, 1)
    return found


def race(contestants, device, repeats, budget=20.0):
    """Median seconds until done, and until the host goes on, of each; run in turns."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    done, host = ({name: [] for name in contestants} for _ in range(2))
    for _ in range(repeats + 1):
        for name, job in contestants.items():
            if sum(done[name]) > budget:
                continue
            wait()
            start = time.perf_counter()
            job()
            host[name].append(time.perf_counter() - start)
            wait()
            done[name].append(time.perf_counter() - start)
    # The first round warms caches and lazy imports up.
    return {name: tuple(statistics.median(t[1:] or t) for t in (done[name], host[name])) for name in contestants}


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
    print(f"{machine(*versions)}; {where}; medians of {options.repeats}\n")
    more = " host ms | MB |" if options.device == "cuda" else ""
    print(f"| logits | what | ms | times calkit's update |{more}")
    print("| --- | --- | ---: | ---: |" + (" ---: | ---: |" if more else ""))
    for setting, (size, k, model) in SETTINGS.items():
        contestants = jobs(size, k, model, options.device)
        found = race(contestants, options.device, options.repeats)
        for name, (seconds, host) in found.items():
            ratio = seconds / found["calkit ECE, update"][0]
            memory = peak_memory(contestants[name]) if options.device == "cuda" else None
            rows.append(
                {"setting": setting, "who": name, "seconds": seconds, "host": host, "ratio": ratio, "memory": memory}
            )
            extra = "" if memory is None else f" {host * 1e3:.3f} | {memory / 1e6:.1f} |"
            print(f"| {setting} | {name} | {seconds * 1e3:.3f} | {ratio:.2f} |{extra}", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
