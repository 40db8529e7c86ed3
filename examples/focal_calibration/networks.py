"""The networks whose logits are here, those of the paper's authors and our own, and their figures."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import calkit
from calkit.calibrators import TemperatureScaling

__all__ = [
    "FIGURES",
    "HERE",
    "LOSSES",
    "Figure",
    "Network",
    "Row",
    "history",
    "measured",
    "networks",
    "published",
    "rows",
]

HERE = Path(__file__).parent
LOSSES = ("CE", "Brier", "MMCE", "FL-1", "FL-2", "FL-3", "FLS-531", "FLS-532", "FLA-532", "FLA-53")

#: Data set, network and loss as the tables name them, by file of the authors' logits.
AUTHORS = {
    "cifar10-resnet50-brier": ("CIFAR-10", "ResNet 50", "Brier"),
    "cifar10-resnet50-focal-sd53": ("CIFAR-10", "ResNet 50", "FLA-53"),
    "cifar10-wide-resnet-focal-sd53": ("CIFAR-10", "Wide ResNet 26-10", "FLA-53"),
    "cifar10-densenet121-brier": ("CIFAR-10", "DenseNet 121", "Brier"),
    "cifar100-resnet50-brier": ("CIFAR-100", "ResNet 50", "Brier"),
    "cifar100-resnet110-brier": ("CIFAR-100", "ResNet 110", "Brier"),
}
#: Data set and network of our own, by folder of results/.
OURS = {
    "cifar10": ("CIFAR-10, 40 epochs", "ResNet 50"),
    "20newsgroups": ("20 Newsgroups", "Global Pooling CNN"),
    "20newsgroups-50epochs": ("20 Newsgroups, 50 epochs", "Global Pooling CNN"),
    "20newsgroups-split2": ("20 Newsgroups, division 2", "Global Pooling CNN"),
    "20newsgroups-split3": ("20 Newsgroups, division 3", "Global Pooling CNN"),
    "20newsgroups-bydate": ("20 Newsgroups, by date", "Global Pooling CNN"),
    "sst": ("SST Binary", "Tree LSTM"),
    "digits": ("Digits with noise, a stand-in", "small ResNet"),
}
ADAECE = "adaece:convention=focal-calibration"
#: Metric and moment of each figure: before scaling, or after it by the T chosen on a metric. All are in percent.
FIGURES = {
    "error": ("error", None),
    "ece_pre": ("ece", None),
    "ece_post": ("ece", "ece"),
    "adaece_pre": (ADAECE, None),
    "adaece_post": (ADAECE, ADAECE),
    "mce_pre": ("mce", None),
    "mce_post": ("mce", "ece"),
    "nll_pre": ("nll", None),
    "nll_post": ("nll", "ece"),
    "s99_pre": ("s99", None),
    "s99_accuracy_pre": ("s99_accuracy", None),
    "s99_post": ("s99", "ece"),
    "s99_accuracy_post": ("s99_accuracy", "ece"),
}
TEMPERATURES = {"ece_temperature": "ece", "adaece_temperature": ADAECE}


@dataclass(frozen=True)
class Network:
    """Logits of one network: where they are, and what was trained."""

    dataset: str
    model: str
    loss: str
    path: Path
    seed: int | None = None

    @property
    def row(self) -> Row:
        """Its row of the tables."""
        return (self.dataset, self.model, self.loss)

    def split(self, name: str) -> calkit.Predictions:
        """Return the validation or test rows."""
        return calkit.load_predictions(self.path, split=name)


Row = tuple[str, str, str]
"""Data set, network and loss."""


@dataclass(frozen=True)
class Figure:
    """A figure and its 95 % interval over the test rows; None where there is no sound one."""

    value: float
    low: float | None = None
    high: float | None = None


def networks(data: Path) -> Iterator[Network]:
    """Yield the networks whose logits are there: the authors' in the folder of the data, our own in results/."""
    for name, row in AUTHORS.items():
        path = data / "focal-calibration-logits" / f"{name}.npz"
        if path.exists():
            yield Network(*row, path)
    for folder, (dataset, model) in OURS.items():
        for path in sorted((HERE / "results" / folder).glob("*.npz")):
            loss, _, seed = path.stem.rpartition("-")
            if seed.isdecimal() and loss in LOSSES:
                yield Network(dataset, model, loss, path, int(seed))


def measured(network: Network, *, n_resamples: int = 300) -> dict[str, Figure]:
    """Compute the figures that the paper prints of a network: T on the validation rows, the rest on the test rows."""
    validation, test = network.split("validation"), network.split("test")
    fits = {
        spec: TemperatureScaling(objective=spec).fit_predictions(validation)
        for spec in dict.fromkeys(TEMPERATURES.values())
    }
    metrics = [*dict.fromkeys(metric for metric, _ in FIGURES.values()), "adaece"]
    found = {
        spec: calkit.evaluate(rows, metrics, confidence_level=0.95, n_resamples=n_resamples)
        for spec, rows in {None: test, **{spec: fit.apply(test) for spec, fit in fits.items()}}.items()
    }
    figures = {}
    for name, (metric, moment) in FIGURES.items():
        # The paper's convention, which drops a sample, has no interval; that of the metric without it serves.
        limits = found[moment].intervals.get("adaece" if metric == ADAECE else metric) or (None, None)
        figures[name] = Figure(*(None if x is None else 100 * x for x in (found[moment][metric], *limits)))
    for name, spec in TEMPERATURES.items():
        figures[name] = Figure(fits[spec].temperature_)
    return figures


def rows(data: Path, cache_file: Path) -> dict[Row, list[dict[str, Figure]]]:
    """Return the figures of all networks, one entry a seed, by row of the tables.

    Those of the authors' networks are computed where their logits are, and else read from the cache, which was
    written where they were.
    """
    kept = json.loads(cache_file.read_text()) if cache_file.exists() else {}
    found: dict[Row, list[dict[str, Figure]]] = {}
    there = list(networks(data))
    for network in there:
        found.setdefault(network.row, []).append(measured(network))
    for name, row in AUTHORS.items():
        if row not in found and name in kept:
            found[row] = [{k: Figure(*v) for k, v in kept[name].items()}]
    text = {
        name: {k: [v.value, v.low, v.high] for k, v in found[row][0].items()}
        for name, row in AUTHORS.items()
        if row in found
    }
    if {network.row for network in there} >= set(AUTHORS.values()):
        cache_file.write_text(json.dumps(text, indent=0) + "\n")
    return found


@cache
def published() -> Mapping[Row, Mapping[str, float]]:
    """Return the figures that the paper prints, by row."""
    table: dict[Row, dict[str, float]] = {}
    for name in ("published.csv", "published-s99.csv"):
        with (HERE / name).open(newline="") as file:
            for line in csv.DictReader(file):
                row = (line.pop("dataset"), line.pop("model"), line.pop("loss"))
                table.setdefault(row, {}).update({k: float(v) for k, v in line.items()})
    return table


def history(network: Network) -> list[dict[str, Any]]:
    """Return the records of the epochs of one of our networks."""
    records: list[dict[str, Any]] = json.loads(network.path.with_suffix(".json").read_text())["history"]
    return records
