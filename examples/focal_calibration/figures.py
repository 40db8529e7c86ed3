"""The paper's figures, drawn from our own runs: python examples/focal_calibration/figures.py 7

Without a name it draws all of them, into docs/_static/paper/.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import linear_model
import numpy as np
from cifar10 import load_shard
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from networks import HERE, OURS
from numpy.typing import NDArray
from scipy.special import softmax

import calkit
from calkit.calibrators import TemperatureScaling
from calkit.plotting import FocalMinimiserDisplay, GradientNormsDisplay, GradientRatioDisplay
from calkit.theory import gamma_star

TARGET = HERE.parents[1] / "docs" / "_static" / "paper"
COLOURS = {"CE": "#4c72b0", "FL-1": "#dd8452", "FL-2": "#55a868", "FL-3": "#c44e52", "FLA-53": "#8172b3"}
Records = Sequence[dict[str, Any]]


class NotRunError(Exception):
    """The networks that a figure shows are not trained yet."""


def canvas(rows: int, columns: int, width: float = 3.4, height: float = 2.7, **options: Any) -> tuple[Picture, Any]:
    """Return a picture and its axes, (rows, columns)."""
    if not rows * columns:
        raise NotRunError
    picture = Picture(figsize=(width * columns, height * rows), layout="constrained")
    return picture, picture.subplots(rows, columns, squeeze=False, **options)


def records_of(experiment: str, loss: str) -> list[dict[str, Any]]:
    """Return the history of seed 0; empty if it was not run."""
    path = HERE / "results" / experiment / f"{loss}-0.json"
    return json.loads(path.read_text())["history"] if path.exists() else []


def course(
    ax: Axes, records: Sequence[dict[str, Any]], split: str, metric: str, scale: float = 1, **style: Any
) -> None:
    """Draw a metric of a split over the epochs."""
    found = [(r["epoch"], r[split][metric]) for r in records if r.get(split, {}).get(metric) is not None]
    ax.plot([epoch for epoch, _ in found], [scale * value for _, value in found], **style)


def name_of(experiment: str) -> str:
    """Return what the tables call the data set of an experiment."""
    return OURS[experiment][0]


def titled(ax: Axes, title: str, y: str, x: str = "epoch") -> None:
    """Label the axes."""
    ax.set_title(title, fontsize=9)
    ax.set_xlabel(x)
    ax.set_ylabel(y)


def figure_1() -> Picture:
    """Draw NLL and entropy on the training and test set, and errors with the test ECE, over the epochs, under CE."""
    experiments = [e for e in ("20newsgroups", "sst") if records_of(e, "CE")]
    picture, axes = canvas(len(experiments), 3)
    for line, experiment in zip(axes, experiments, strict=True):
        records = records_of(experiment, "CE")
        for ax, split in zip(line, ("train", "test"), strict=False):
            for suffix, colour in (("", "C0"), ("_correct", "C2"), ("_misclassified", "C3")):
                word = suffix.removeprefix("_") or "all"
                course(ax, records, split, f"nll{suffix}", color=colour, label=f"NLL, {word}")
                if suffix:
                    course(ax, records, split, f"entropy{suffix}", color=colour, ls="--", label=f"entropy, {word}")
            titled(ax, f"{name_of(experiment)}, {split} set", "nats")
        course(line[2], records, "train", "error", 100, color="C1", label="training error")
        course(line[2], records, "test", "error", 100, color="C0", label="test error")
        course(line[2], records, "test", "ece", 100, color="C3", label="test ECE")
        titled(line[2], f"{name_of(experiment)}, error and ECE", "%")
    picture.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower left", ncols=5, fontsize=8)
    picture.legend(*axes[0, 2].get_legend_handles_labels(), loc="outside lower right", ncols=3, fontsize=8)
    return picture


def figure_2() -> Picture:
    """Draw reliability over the training set in 25 bins, and the share of samples in each, at four epochs."""
    experiments = {e: sorted((HERE / "results" / e).glob("CE-0-epoch-*.npz")) for e in ("cifar10", "20newsgroups")}
    found = {experiment: paths for experiment, paths in experiments.items() if paths}
    picture, axes = canvas(2 * len(found), 4, width=2.6, sharex=True, sharey="row")
    for k, (experiment, paths) in enumerate(found.items()):
        for column, path in zip(axes[2 * k : 2 * k + 2].T, paths, strict=True):
            with np.load(path) as arrays:
                p, y = softmax(arrays["train_logits"].astype(float), axis=1), arrays["train_labels"]
            # Bins are (a, b].
            bins = np.ceil(p.max(axis=1) * 25).astype(int) - 1
            count = np.bincount(bins, minlength=25)
            accuracy = np.bincount(bins, p.argmax(axis=1) == y, minlength=25) / np.maximum(count, 1)
            left, right = np.arange(25) / 25, 1 / 25
            column[0].bar(left, accuracy, right, align="edge", color="C0", edgecolor="white", lw=0.3)
            column[0].plot([0, 1], [0, 1], color="0.3", ls="--", lw=1)
            column[1].bar(left, 100 * count / count.sum(), right, align="edge", color="C1", edgecolor="white", lw=0.3)
            titled(column[0], f"{name_of(experiment)}, epoch {int(path.stem.rpartition('-')[2])}", "accuracy", "")
            titled(column[1], "", "% of the samples", "confidence")
    return picture


def figure_3() -> Picture:
    """Draw eight measures over the epochs under CE and focal losses of fixed gamma."""
    experiments = [
        e
        for e in ("cifar10", "20newsgroups", "sst", "digits")
        if sum(bool(records_of(e, loss)) for loss in COLOURS) > 1
    ]
    panels = [
        ("(a) test NLL", "nll", "nats"),
        ("(b) test NLL, correct", "nll_correct", "nats"),
        ("(c) test NLL, misclassified", "nll_misclassified", "nats"),
        ("(d) entropy, misclassified", "entropy_misclassified", "nats"),
        ("(e) p of the true class, correct", "p_true_correct", ""),
        ("(f) p of the true class, misclassified", "p_true_misclassified", ""),
        ("(g) test ECE", "ece", "%"),
    ]
    picture, axes = canvas(2 * len(experiments), 4, width=2.9)
    for k, experiment in enumerate(experiments):
        places = axes[2 * k : 2 * k + 2].ravel()
        for loss, colour in COLOURS.items():
            records = records_of(experiment, loss)
            for ax, (_, metric, unit) in zip(places, panels, strict=False):
                course(ax, records, "test", metric, 100 if unit == "%" else 1, color=colour, label=loss)
            norms = [(r["epoch"], r["last_layer_norm"]) for r in records if "last_layer_norm" in r]
            places[7].plot([e for e, _ in norms], [n for _, n in norms], color=colour, label=loss if records else None)
        for ax, (title, _, unit) in zip(places, [*panels, ("(h) norm of the last layer", "", "")], strict=True):
            titled(ax, f"{name_of(experiment)}\n{title}", unit)
        places[7].legend(fontsize=6)
    return picture


def figure_4a() -> Picture:
    """Draw g(p, gamma), the gradient of focal loss over that of cross-entropy."""
    display = GradientRatioDisplay.from_gamma(plot=False)
    picture = display.figure(size=(5, 4))
    for p0, height in ((0.19, 1.46), (0.25, 1.34), (0.4, 1.22)):
        display.ax_.plot(p0, 1, "o", color="0.2", ms=4)
        display.ax_.plot([p0, 0.45], [1, height], color="0.7", lw=0.7)
        display.ax_.text(0.46, height - 0.02, f"γ*({p0}) = {gamma_star(p0):.2f}", fontsize=8)
    return picture


def figure_4b() -> Picture:
    """Draw histograms of the gradient norms of the last layer over the training set, under CE and FLA-53."""
    experiments = [
        e for e in ("cifar10", "20newsgroups", "sst") if any("gradient_norms" in r for r in records_of(e, "CE"))
    ]
    picture, axes = canvas(len(experiments), 3, height=3.2)
    for line, experiment in zip(axes, experiments, strict=True):
        records = {loss: records_of(experiment, loss) for loss in ("CE", "FLA-53")}
        for ax in GradientNormsDisplay(records).plot(line.tolist()).axes_:
            ax.set_xlim(1e-6, 1e3)
            ax.set_title(f"{name_of(experiment)}, {ax.get_title()}", fontsize=9)
    return picture


def figure_5() -> Picture:
    """Draw the norms of logits and weights of Appendix G's linear model over the iterations."""
    picture, axes = canvas(1, 2, width=4)
    for loss, run in linear_model.runs().items():
        axes[0, 0].plot(run.iterations, run.logit_norms, color=COLOURS[loss], label=loss)
        axes[0, 1].plot(run.iterations, run.weight_norms, color=COLOURS[loss], label=loss)
    for ax in axes[0]:
        ax.set_xscale("log")
    titled(axes[0, 0], "(a) mean norm of the logits", "", "iteration")
    titled(axes[0, 1], "(b) norm of the weights", "", "iteration")
    axes[0, 0].legend()
    return picture


def figure_6() -> Picture:
    """Draw the confidence of the linear model's mistakes, and its decision boundaries."""
    picture, axes = canvas(1, 3)
    runs, (x, y) = linear_model.runs(), linear_model.sample(linear_model.TEST_SEED)
    for loss, run in runs.items():
        confidence, right = run.confidence(x, y)
        bins = np.linspace(0.5, 1, 26)
        axes[0, 0].hist(confidence[~right], bins, color=COLOURS[loss], alpha=0.6, label=loss)
    titled(axes[0, 0], "(a) mistakes on new data", "samples", "confidence")
    axes[0, 0].legend()
    grid = np.linspace(-2.2, 2.2, 200)
    for ax, (loss, run) in zip(axes[0, 1:], runs.items(), strict=True):
        field = 1 / (1 + np.exp(-(run.weights[0] * grid[None, :] + run.weights[1] * grid[:, None])))
        ax.contourf(grid, grid, field, levels=20, cmap="RdBu", vmin=0, vmax=1, alpha=0.6)
        ax.scatter(*x[:400].T, c=np.where(y[:400] > 0, "#1f4e9c", "#a11d21"), s=4)
        ax.contour(grid, grid, field, levels=[0.5], colors="k")
        titled(ax, f"{'(b)' if loss == 'CE' else '(c)'} {loss}", "x2", "x1")
    return picture


def figure_7() -> Picture:
    """Draw the prediction that minimises the expected loss, against the true probability."""
    return FocalMinimiserDisplay.from_gamma(plot=False).figure(size=(4.2, 4.2))


def test_images(data: Path, n: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.int64]], list[str]]:
    """Return CIFAR-10 test images whose place in the original order is known, and the classes.

    With the images come their rows, of the authors' networks in the original order, of our own in that of the shard.
    """
    with np.load(data / "cifar10" / "cifar10-labels.npz") as found:
        places, classes = found["test_original_index"].astype(int), [str(c) for c in found["classes"]]
    images, _ = load_shard(data / "cifar10" / "cifar10-test.npz")
    order = np.argsort(np.where(places < 0, len(places), places), kind="stable")[:n]
    return images[order], {"authors": places[order], "ours": order}, classes


def figure_8(data: Path) -> Picture:
    """Show the first four test images that all networks classify rightly, and the first four that all do wrongly."""
    images, rows, classes = test_images(data, 761)
    authors, ours = data / "focal-calibration-logits", HERE / "results" / "cifar10"
    files = {
        "Brier": (authors / "cifar10-resnet50-brier.npz", "authors"),
        "FLA-53": (authors / "cifar10-resnet50-focal-sd53.npz", "authors"),
        "CE, ours": (ours / "CE-0.npz", "ours"),
        "FLA-53, ours": (ours / "FLA-53-0.npz", "ours"),
    }
    found, labels = {}, None
    for name, (path, order) in files.items():
        test = calkit.load_predictions(path, split="test")
        fit = TemperatureScaling("ece").fit_predictions(calkit.load_predictions(path, split="validation"))
        labels = np.asarray(test.y_true)[rows[order]]
        pair = [softmax(np.asarray(r.scores, dtype=float), axis=1)[rows[order]] for r in (test, fit.apply(test))]
        found[name] = (pair[0].argmax(axis=1), pair[0].max(axis=1), pair[1].max(axis=1))
    right = np.all([predicted == labels for predicted, _, _ in found.values()], axis=0)
    wrong = np.all([predicted != labels for predicted, _, _ in found.values()], axis=0)
    picture, axes = canvas(2, 4, width=2.6, height=3.35)
    for line, chosen in zip(axes, (right, wrong), strict=True):
        for ax, i in zip(line, np.flatnonzero(chosen)[:4], strict=True):
            ax.imshow(images[i], interpolation="nearest")
            ax.axis("off")
            words = [f"test image {rows['authors'][i]}: {classes[labels[i]]}"]
            for name, (predicted, before, after) in found.items():
                words.append(f"{name}: {classes[predicted[i]]} {before[i]:.4f}, after T {after[i]:.4f}")
            ax.set_title("\n".join(words), fontsize=6)
    return picture


_FIRST = (
    "Appendix F: test images in their original order, the first four that all networks classify rightly and the first "
    "four that all classify wrongly; ResNet-50, two of the authors and two of ours."
)
_NORMS = (
    "Gradient norms of the last layer over the training set at three epochs; the first bin also has those below 1e-6."
)
#: By name: how to draw it, what is to be seen, whether it needs the data.
FIGURES: dict[str, tuple[Callable[..., Picture], str, bool]] = {
    "1": (figure_1, "NLL, entropy, error and ECE over the epochs, cross-entropy.", False),
    "2": (
        figure_2,
        "Reliability over the training set in 25 bins, and the share of samples in each, cross-entropy.",
        False,
    ),
    "3": (figure_3, "Eight measures over the epochs, cross-entropy and focal losses.", False),
    "4a": (figure_4a, "g(p, γ) of Proposition 1, with three γ* of Proposition 2 (dots).", False),
    "4b-d": (figure_4b, _NORMS, False),
    "5": (figure_5, "Appendix G: norms of logits and weights of the linear model.", False),
    "6": (figure_6, "Appendix G: confidence of mistakes, and decision boundaries.", False),
    "7": (figure_7, "Appendix H: the prediction that minimises the expected loss of two classes.", False),
    "8": (figure_8, _FIRST, True),
}


def figures_text() -> str:
    """Return the pictures that are there, each with its command, in Markdown."""
    parts = []
    for name, (_, caption, _) in FIGURES.items():
        if (TARGET / f"figure-{name}.png").exists():
            parts += [
                f"### Figure {name}",
                "",
                f"{caption} `python examples/focal_calibration/figures.py {name}`",
                "",
                f"![Figure {name}](_static/paper/figure-{name}.png)",
                "",
            ]
    return "\n".join(parts)


def main() -> None:
    """Draw figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FIGURES))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of cifar10/")
    parser.add_argument("--out", type=Path, default=TARGET)
    args = parser.parse_args()
    if unknown := sorted(set(args.names) - FIGURES.keys()):
        parser.error(f"there is no figure {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names or FIGURES:
        draw, _, needs_data = FIGURES[name]
        try:
            picture = draw(args.data) if needs_data else draw()
        except NotRunError:
            print(f"figure {name}: its networks are not trained yet (run.py)")
            continue
        picture.savefig(args.out / f"figure-{name}.png", dpi=90)
        print(args.out / f"figure-{name}.png")


if __name__ == "__main__":
    main()
