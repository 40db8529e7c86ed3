"""Images per second of the resident pipeline and of DataLoader pipelines that feed the same network.

Run it on a quiet machine: ``OMP_NUM_THREADS=1 python benchmarks/pipeline.py [--device cuda] [--json FILE]``. All
pipelines train the same network on the same random images of 3 x 32 x 32, cropped, flipped and normalised; they take
turns, epoch by epoch, and medians are compared. Two settings: a whole training step, and batches alone, which
shows what a pipeline could feed at most. "network alone" steps on one batch that is there already: the ceiling.

With torchvision installed, its transforms (PIL image, crop, flip, tensor, normalise) are one of the pipelines, as the
published code has them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from calkit_torch.data import Augmentation, DataSet
from calkit_torch.data.cifar import CONSTANTS
from calkit_torch.models import get_model

Epoch = Callable[[int], Iterator[tuple[Tensor, Tensor]]]


def random_images(n: int) -> DataSet:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(256, size=(n, 3, 32, 32), dtype=np.uint8), rng.integers(10, size=n)
    part = (images, labels)
    return DataSet.from_arrays(part, part, part, n_classes=10, pixels=CONSTANTS["cifar"], augmentation=Augmentation())


class WithTorchvision(Dataset[Any]):
    """As the published code goes about it."""

    def __init__(self, data: DataSet) -> None:
        from torchvision import transforms  # type: ignore[import-not-found, unused-ignore]

        self.images = data.train.inputs.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = data.train.labels.tolist()
        constants = CONSTANTS["cifar"]
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(constants.mean, constants.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[i])), self.labels[i]


def pipelines(data: DataSet, options: argparse.Namespace) -> dict[str, Epoch]:
    how = {"batch_size": options.batch_size, "train": True, "device": options.device}
    how["channels_last"] = options.channels_last
    found: dict[str, Epoch] = {"resident": data.loader("train", **how).batches}
    for workers in options.workers:
        loader = data.loader("train", pipeline="dataloader", num_workers=workers, **how)
        found[f"DataLoader, {workers} workers"] = loader.batches
        if importlib.util.find_spec("torchvision"):
            found[f"torchvision, {workers} workers"] = torchvision_epochs(data, options, workers)
    images, labels = next(found["resident"](0))
    n_batches = -(-len(data.train) // options.batch_size)
    found["network alone"] = lambda _: ((images, labels) for _ in range(n_batches))
    return found


def torchvision_epochs(data: DataSet, options: argparse.Namespace, workers: int) -> Epoch:
    loader = DataLoader(
        WithTorchvision(data),
        batch_size=options.batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=options.device != "cpu",
    )
    layout = torch.channels_last if options.channels_last else torch.contiguous_format

    def epoch(_: int) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in loader:
            moved = images.to(options.device, non_blocking=True, memory_format=layout)
            yield moved, labels.to(options.device, non_blocking=True)

    return epoch


def training_step(options: argparse.Namespace) -> Callable[[Tensor, Tensor], None]:
    model: nn.Module = get_model(options.model, n_classes=10).to(options.device)
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, fused=True)
    network = torch.compile(model) if options.compile else model
    autocast = (
        (lambda: torch.autocast(torch.device(options.device).type, torch.bfloat16))
        if options.bfloat16
        else contextlib.nullcontext
    )

    def step(images: Tensor, labels: Tensor) -> None:
        with autocast():
            loss = nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def seconds(epoch: Epoch, number: int, step: Callable[[Tensor, Tensor], None] | None, device: str) -> float:
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    wait()
    start = time.perf_counter()
    for images, labels in epoch(number):
        if step is not None:
            step(images, labels)
    wait()
    return time.perf_counter() - start


def race(contestants: dict[str, Epoch], step: Any, options: argparse.Namespace) -> dict[str, float]:
    """Median images per second of each, epoch by epoch in turns; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(options.repeats + 1):
        for name, epoch in contestants.items():
            times[name].append(seconds(epoch, number, step, options.device))
    return {name: options.images / statistics.median(found[1:]) for name, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Images per second of input pipelines with the same network.")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--model", default="small-resnet")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--images", type=int, default=2048, help="images an epoch")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="worker processes of the DataLoaders")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--bfloat16", action="store_true", help="autocast of the network")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    contestants = pipelines(random_images(options.images), options)
    rows = []
    print(
        f"torch {torch.__version__}, {options.device}, {torch.get_num_threads()} thread(s), batch {options.batch_size}"
    )
    for setting, step in ((options.model, training_step(options)), ("batches alone", None)):
        found = race({k: v for k, v in contestants.items() if step or k != "network alone"}, step, options)
        for name, speed in found.items():
            ratio = found["resident"] / speed
            rows.append({"setting": setting, "pipeline": name, "images_per_second": speed, "resident_is_faster": ratio})
            print(f"{setting:16} {name:24} {speed:12,.0f} images/s   resident: {ratio:6.2f} x")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
