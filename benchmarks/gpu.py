"""A GPU beside the CPU: what differs, and how fast losses, networks and the options of the trainer are.

Run it on a machine with a GPU: ``python benchmarks/gpu.py [--json FILE]``; ``--device cpu`` tries the script itself
with a small network. Images are random: their values change no time. A training step is timed as a user's is, from
inside :func:`calkit_torch.training.train`, without the first steps of an epoch. Every figure is printed as it is found,
and written to the file, which so is whole up to where the script was stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from calkit_torch.bridge import DeviceMetrics
from calkit_torch.data import Augmentation, DataSet
from calkit_torch.data.cifar import CONSTANTS
from calkit_torch.losses import get_loss
from calkit_torch.models import get_model
from calkit_torch.training import Callback, Recipe, train
from calkit_torch.training.callbacks import SaveLogits

LOSSES = ("CE", "Brier", "mmce:2", "mmce-w:2", "FL-3", "FLA-53", "FLA-532", "dual-focal:5", "focal:0.5")
NETWORKS = ("resnet50", "resnet110-bottleneck", "wide-resnet-26-10-postactivation", "densenet121")
OPTIONS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16, channels last": {"precision": "bfloat16", "channels_last": True},
    "bfloat16, channels last, CUDA graphs": {"precision": "bfloat16", "channels_last": True, "cuda_graphs": True},
    "bfloat16, channels last, dataloader": {
        "precision": "bfloat16",
        "channels_last": True,
        "pipeline": "dataloader",
        "workers": 8,
    },
    "bfloat16, channels last, compiled": {"precision": "bfloat16", "channels_last": True, "compile": True},
}
COMPILED = "bfloat16, channels last, compiled"
WARM_UP, STEPS, BATCH = 15, 80, 128


def images(n: int) -> DataSet:
    rng = np.random.default_rng(0)
    part = rng.integers(256, size=(n, 3, 32, 32), dtype=np.uint8), rng.integers(10, size=n)
    few = part[0][:512], part[1][:512]
    return DataSet.from_arrays(part, few, few, n_classes=10, pixels=CONSTANTS["cifar"], augmentation=Augmentation())


class Clock(Callback):
    """Milliseconds of a step, from the end of the warm-up to the last whole batch."""

    def __init__(self, last: int, wait: Callable[[], None]) -> None:
        self.last, self.wait = last, wait
        self.ms = float("nan")

    def on_batch_end(self, state: Any) -> None:
        if state.step == WARM_UP:
            self.wait()
            self.begun = time.perf_counter()
        if state.step == self.last:
            self.wait()
            self.ms = 1e3 * (time.perf_counter() - self.begun) / (self.last - WARM_UP)


class Bench:
    def __init__(self, device: str) -> None:
        self.device, self.on_gpu = device, device != "cpu"
        self.network = "resnet50" if self.on_gpu else "small-resnet"
        self.wait: Callable[[], None] = torch.cuda.synchronize if self.on_gpu else lambda: None

    def losses(self) -> Iterator[dict[str, Any]]:
        """The same logits on both devices, and the time of forward and backward beside cross-entropy's."""
        generator = torch.Generator().manual_seed(0)
        logits, y = 4 * torch.randn(512, 100, generator=generator), torch.arange(512) % 100
        usual = None
        for spec in LOSSES:
            found = []
            for device in ("cpu", self.device):
                z = logits.detach().to(device).requires_grad_()
                value = get_loss(spec)(z, y.to(device))
                value.backward()
                found.append((value.item(), z.grad.cpu()))
            us = self.microseconds(get_loss(spec).to(self.device), logits[:BATCH], y[:BATCH])
            usual = usual or us
            yield {
                "loss": spec,
                "difference of values": abs(found[0][0] - found[1][0]),
                "largest difference of gradients": (found[0][1] - found[1][1]).abs().max().item(),
                "us, forward and backward of 128 x 100": us,
                "ratio to CE": us / usual,
            }

    def microseconds(self, loss: nn.Module, logits: torch.Tensor, y: torch.Tensor, repeats: int = 100) -> float:
        z, y = logits.detach().to(self.device).requires_grad_(), y.to(self.device)
        times = []
        for _ in range(7):
            self.wait()
            begun = time.perf_counter()
            for _ in range(repeats):
                loss(z, y).backward()
            self.wait()
            times.append((time.perf_counter() - begun) / repeats)
        return 1e6 * statistics.median(times)

    def networks(self) -> Iterator[dict[str, Any]]:
        """The same images through the same weights on both devices, without TensorFloat-32."""
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        for name in NETWORKS if self.on_gpu else (self.network,):
            model, x = get_model(name, n_classes=10).eval(), torch.randn(4, 3, 32, 32)
            with torch.no_grad():
                expected = model(x)
                found = model.to(self.device)(x.to(self.device)).cpu()
            yield {
                "network": name,
                "largest difference of logits": (found - expected).abs().max().item(),
                "largest logit": expected.abs().max().item(),
            }

    def metrics(self) -> Iterator[dict[str, Any]]:
        """Counting default metrics where the logits are, beside copying the logits to the host."""
        for n, k in ((BATCH, 10), (8192, 100), (1024, 1000)):
            logits, y = torch.randn(n, k).to(self.device), torch.randint(k, (n,)).to(self.device)
            counter = DeviceMetrics().to(self.device)
            yield {
                "metrics of a batch": f"{n} x {k}",
                "us, update": self.microseconds_of(lambda c=counter, z=logits, y=y: c.update(z, y)),
                "us, copy to the host": self.microseconds_of(lambda z=logits: z.cpu()),
            }

    def microseconds_of(self, job: Callable[[], Any], repeats: int = 50) -> float:
        times = []
        for _ in range(7):
            self.wait()
            begun = time.perf_counter()
            for _ in range(repeats):
                job()
            self.wait()
            times.append((time.perf_counter() - begun) / repeats)
        return 1e6 * statistics.median(times)

    def waits(self) -> Iterator[dict[str, Any]]:
        """Lines of the loop that wait for the device, as torch reports them, in an epoch of 40 steps."""
        if not self.on_gpu:
            return
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self.step_of({}, n_steps=40)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        places = [f"{Path(w.filename).name}:{w.lineno}" for w in caught if "synchroniz" in str(w.message)]
        yield {"waits for the device, 40 steps": {place: places.count(place) for place in sorted(set(places))}}

    def step_of(self, changes: dict[str, Any], n_steps: int = STEPS) -> dict[str, float]:
        """Time the steps of one epoch, the last batch of which is a part."""
        clock = Clock(n_steps, self.wait)
        recipe = Recipe("images", self.network, "FLA-53", epochs=1, reduction="sum", clip_norm=2.0, **changes)
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            data = images(n_steps * BATCH + 72)
            train(recipe, data, out=f"{folder}/run", device=self.device, callbacks=[clock], progress=False)
        return {
            "ms a step": clock.ms,
            "images a second": 1e3 * BATCH / clock.ms,
            "seconds, with all that comes first": time.perf_counter() - begun,
            "peak GB": torch.cuda.max_memory_allocated() / 1e9 if self.on_gpu else 0.0,
        }

    def options(self) -> Iterator[dict[str, Any]]:
        """The options of the trainer but one, one after the other."""
        for name in OPTIONS if self.on_gpu else ("float32",):
            if name != COMPILED:
                yield {"training step": name, **self.step_of(OPTIONS[name], STEPS if self.on_gpu else 20)}

    def compiled(self) -> Iterator[dict[str, Any]]:
        """The last option, which takes a minute before its first step."""
        if self.on_gpu:
            yield {"training step": COMPILED, **self.step_of(OPTIONS[COMPILED])}

    def resuming(self) -> Iterator[dict[str, Any]]:
        """A run stopped in the middle of an epoch and resumed, beside one that was not."""

        class Stop(Callback):
            def on_batch_end(self, state: Any) -> None:
                if state.step == 12:
                    raise KeyboardInterrupt

        recipe, data = Recipe("images", "small-resnet", "FLA-53", epochs=2), images(2560)
        logits = []
        with tempfile.TemporaryDirectory() as folder:
            kept: dict[str, Any] = {"device": self.device, "checkpoint_batches": 5, "progress": False}
            for name, callbacks in (("whole", []), ("cut", [Stop()])):
                try:
                    train(recipe, data, out=f"{folder}/{name}", callbacks=[SaveLogits(), *callbacks], **kept)
                except KeyboardInterrupt:
                    train(recipe, data, out=f"{folder}/{name}", callbacks=[SaveLogits()], resume=True, **kept)
                with np.load(Path(folder) / name / "logits" / "final.npz") as found:
                    logits.append(found["test_logits"])
        difference = float(np.abs(logits[0] - logits[1]).max())
        yield {"resumed run": "small-resnet", "largest difference of logits": difference}


#: In this order, what takes longest last.
PHASES = ("losses", "networks", "metrics", "waits", "resuming", "options", "compiled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", default=PHASES, choices=PHASES)
    args = parser.parse_args()
    bench = Bench(args.device)
    name = torch.cuda.get_device_name() if bench.on_gpu else "CPU"
    found: list[dict[str, Any]] = [{"device": name, "torch": torch.__version__, "network": bench.network}]
    begun = time.monotonic()
    for phase in args.only:
        try:
            for figures in getattr(bench, phase)():
                found.append(figures)
                print(f"{time.monotonic() - begun:6.1f} s  {json.dumps(figures)}", flush=True)
                if args.json is not None:
                    args.json.write_text(json.dumps(found, indent=1) + "\n")
        except Exception as error:  # the phases after it are worth their time
            print(f"{phase}: {type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    main()
