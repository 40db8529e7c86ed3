"""A package of someone else's adds a reader, a plot, a loss and metrics: each one file, announced by an entry point.

More of metrics and calibrators of other packages is in tests/calkit/test_catalogue.py and test_calibrator_files.py.
"""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

READER = '''
"""Files of probabilities in a format of one's own: a line a row, the label after a bar."""
from functools import partial
from pathlib import Path

import numpy as np

from calkit.io import FORMATS, Container, Field, Format


class Bars(Format):
    """Probabilities, a bar, the label."""

    name = "bars"
    suffixes = (".bars",)

    def read(self, path: Path) -> Container:
        rows = [line.split("|") for line in path.read_text().splitlines()]
        probs = np.array([[float(word) for word in row[0].split()] for row in rows])
        labels = np.array([int(row[1]) for row in rows])
        arrays = {"probs": probs, "labels": labels}
        fields = {k: Field(k, v.shape, v.dtype, partial(np.asarray, v)) for k, v in arrays.items()}
        return Container(path, self.name, fields)


FORMATS.register("bars")(Bars())
'''

PLOT = '''
"""How often each class is predicted."""
import numpy as np

from calkit.plotting.base import PLOTS, CurveDisplay, taken_predictions


@PLOTS.register("shares")
class SharesDisplay(CurveDisplay):
    """Share of the samples for which each class is predicted."""

    x_label, y_label = "Class", "Share"

    def __init__(self, shares, name=None):
        self.shares, self.name = shares, name

    @classmethod
    def from_predictions(cls, y_true, y_proba=None, *, from_logits=False, sample_weight=None, class_names=None,
                         name=None, ax=None, plot=True):
        data = taken_predictions(y_true, y_proba, from_logits=from_logits, sample_weight=sample_weight,
                                 class_names=class_names)
        counts = np.bincount(np.asarray(data.scores[:]).argmax(axis=1), minlength=data.n_classes)
        made = cls(counts / counts.sum(), name)
        return made.plot(ax) if plot else made

    def columns(self):
        return {"class": np.arange(len(self.shares)), "share": self.shares}

    def _draw(self, ax, index, curve_kwargs):
        return ax.plot(self.shares, label=self.name or "share", **curve_kwargs)[0]
'''

LOSS = '''
"""Cross-entropy times a factor."""
from calkit_torch.losses import Loss, register_loss


@register_loss("scaled-ce", formula=r"$-c \\log p_y$", reference="nobody")
class ScaledCE(Loss):
    """Cross-entropy times a factor."""

    def __init__(self, factor=2.0, **options):
        super().__init__(**options)
        self.factor = factor

    def values(self, logits, targets):
        return self.factor * targets.expect(lambda nll: nll, logits)
'''

METRICS = '''
"""Metrics of bins, and two of statistics of their own, which nothing counts on devices."""
from dataclasses import dataclass, replace

import numpy as np

from calkit.metrics import Recipe, metric
from calkit.stats import EqualMass, Pairs, RowMean, UniformBins


@metric("Gap of confidence", name="large-gap", formula="|mean confidence - accuracy|", trust="any n")
def mean_gap(y_true, y_proba, **shared):
    """Calibration in the large."""
    return Recipe(UniformBins(1), lambda bins: float(abs(bins.gap).mean()))


@dataclass(frozen=True)
class Halved(RowMean):
    """Half of a quantity."""

    def values(self, rows):
        return super().values(rows) / 2


@metric("Half the Brier score", name="half-brier", formula="half of it", trust="any n", targets=("top",))
def half_brier(y_true, y_proba, **shared):
    """Half of the Brier score."""
    return Recipe(Halved("brier"), lambda total: total.mean)


@dataclass(frozen=True)
class Doubts(Pairs):
    """Pairs of doubt, which is one minus the confidence, and correctness."""

    def count(self, forecasts):
        found = super().count(forecasts)
        return replace(found, confidence=1 - found.confidence)


@metric("Mean doubt", name="mean-doubt", formula="one minus the mean confidence", trust="any n", targets=("top",))
def mean_doubt(y_true, y_proba, **shared):
    """One minus the mean confidence."""
    return Recipe(Doubts(), lambda pairs: float(np.average(pairs.confidence, weights=pairs.weight)))


@metric("Surest tenth", name="surest", formula="gap of the surest tenth", trust="any n", targets=("top",))
def surest(y_true, y_proba, **shared):
    """The gap of the surest tenth."""
    statistic = EqualMass(10)
    return Recipe(statistic, lambda summary: abs(float(statistic.to_bins(summary).gap[-1])))
'''

ENTRY_POINTS = """
[calkit.metrics]
large-gap = plugin_metrics

[calkit.formats]
bars = plugin_reader

[calkit.plots]
shares = plugin_plot

[calkit.losses]
scaled-ce = plugin_loss
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Return a folder with a package that adds a reader, a plot, a loss and metrics."""
    folder = tmp_path_factory.mktemp("plugin")
    for name, text in {
        "plugin_reader": READER,
        "plugin_plot": PLOT,
        "plugin_loss": LOSS,
        "plugin_metrics": METRICS,
    }.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    info = folder / "plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    (folder / "run.bars").write_text("0.8 0.2|0\n0.4 0.6|0\n0.3 0.7|1\n", encoding="utf-8")
    return folder


def run(package, code):
    path = os.pathsep.join([str(package), *(entry for entry in sys.path if entry)])
    environment = {**os.environ, "PYTHONPATH": path, "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        cwd=package,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_a_reader(package):
    out, _ = run(
        package,
        """
        import calkit
        from calkit.cli.app import run
        from calkit.io import available_formats
        from calkit.io.catalogue import markdown
        from calkit.testing import check_format
        print(available_formats()["bars"] == (".bars",), "| `bars` | `.bars` | Probabilities, a bar" in markdown())
        print(round(calkit.evaluate(calkit.load_predictions("run.bars"), ["accuracy"])["accuracy"], 4))
        sandboxed = calkit.load_predictions("run.bars", sandbox=True)
        print(sandboxed.n_samples)
        check_format("bars", "run.bars")
        run(["evaluate", "run.bars", "--metrics", "accuracy", "--format", "json"])
        """,
    )
    first, second, third, *rest = out.splitlines()
    # By hand: two of three answers are right.
    assert (first, second, third) == ("True True", "0.6667", "3")
    [row] = json.loads("\n".join(rest))
    assert row["metrics"]["accuracy"] == pytest.approx(2 / 3)


def test_a_plot(package):
    out, _ = run(
        package,
        """
        from pathlib import Path
        from calkit.cli.app import run
        from calkit.plotting import available_plots
        from calkit.plotting.catalogue import markdown
        from calkit.testing import check_plot
        print("shares" in available_plots(), "| `shares` | Share of the samples" in markdown())
        check_plot("shares")
        run(["plot", "run.bars", "--what", "shares", "-o", "shares.svg"])
        print("<svg" in Path("shares.svg").read_text())
        run(["plot", "--help"])
        """,
    )
    assert out.splitlines()[0] == "True True"
    assert "True" in out.splitlines()[1:3]
    assert "shares" in out.partition("--what PLOT")[2]


def test_a_loss(package):
    pytest.importorskip("torch")
    out, said = run(
        package,
        """
        from calkit.cli.app import run
        from calkit_torch.losses import available_losses, get_loss
        from calkit_torch.losses.catalogue import markdown
        from calkit_torch.testing import check_loss
        print("scaled-ce" in available_losses(), "| `scaled-ce:2` | $-c" in markdown(), str(get_loss("scaled-ce:3")))
        check_loss("scaled-ce")
        print(run(["train", "--dataset", "digits", "--model", "mlp:hidden=4", "--loss", "scaled-cf"]))
        """,
    )
    # The command line names what is near: it knows the loss.
    assert out.splitlines() == ["True True scaled-ce:3", "2"]
    assert "unknown loss 'scaled-cf'. Did you mean 'scaled-ce'?" in said


def test_metrics_on_devices(package):
    pytest.importorskip("torch")
    out, _ = run(
        package,
        """
        import torch
        from calkit.errors import UsageError
        from calkit.testing import check_metric
        from calkit_torch.bridge import DeviceMetrics
        from calkit_torch.testing import check_device_metric
        for name in ("large-gap", "surest", "half-brier", "mean-doubt"):
            check_metric(name)
            check_device_metric(name)
            try:
                counted = DeviceMetrics([name], kind="probs")
            except UsageError as error:
                print(error)
            else:
                p = torch.tensor([[0.75, 0.25], [0.625, 0.375], [0.25, 0.75]])
                print(counted.update(p, torch.tensor([0, 1, 1])).compute()[name])
        """,
    )
    value, _, *refusals = out.splitlines()
    # By hand: (0.75 + 0.625 + 0.75) / 3 - 2 / 3.
    assert float(value) == pytest.approx(0.125 / 3, abs=1e-12)
    for name, statistic, refusal in zip(("half-brier", "mean-doubt"), ("Halved", "Doubts"), refusals, strict=True):
        assert refusal.startswith(f"{name} cannot be accumulated on a device: it is made of {statistic}")


def test_the_metric_of_the_contributing_page(package):
    page = (Path(__file__).parents[1] / "docs" / "development" / "contributing.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, re.S)
    out, _ = run(
        package,
        example
        + textwrap.dedent(
            """
            import calkit
            from calkit.testing import check_metric
            found = calkit.evaluate([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ["mean-gap"], by=[0, 0, 1])
            print(round(found["mean-gap"], 12), round(found.groups[1]["mean-gap"], 12))
            check_metric("mean-gap")
            """
        ),
    )
    # By hand: |(0.9 + 0.8 + 0.6) / 3 - 2 / 3|, and 0.6 - 0.
    assert out.split() == ["0.1", "0.6"]
