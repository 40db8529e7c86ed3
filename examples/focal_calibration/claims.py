"""The paper's claims and propositions, each with what our networks and the authors' say of it, and a verdict."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import linear_model
import networks as nets
import numpy as np
import torch
from networks import Figure, Network, Row
from scipy.special import softmax

import calkit
from calkit.calibrators import TemperatureScaling
from calkit.calibrators.temperature import temperature_curve
from calkit.theory import focal_minimiser, gamma_star, gradient_ratio
from calkit_torch.losses import get_loss

Found = Mapping[Row, Sequence[Mapping[str, Figure]]]

NAMES = {
    "CIFAR-10, 40 epochs": "CIFAR-10 (40 epochs)",
    "20 Newsgroups": "20 Newsgroups",
    "SST Binary": "SST",
    "Digits with noise, a stand-in": "digits (stand-in)",
}
FIXED = ("FL-1", "FL-2", "FL-3")
PAIR = ("CE", "FLA-53")


@dataclass(frozen=True)
class Claim:
    """What the paper says, what was found, and whether that supports it."""

    says: str
    evidence: Sequence[str]
    verdict: str


def mean_of(found: Found, dataset: str, loss: str, name: str) -> float | None:
    """Return the mean over the seeds of a figure of our networks on a data set; None if they were not run."""
    seeds = [seed for row, seeds in found.items() if (row[0], row[2]) == (dataset, loss) for seed in seeds]
    return sum(seed[name].value for seed in seeds) / len(seeds) if seeds else None


def compared(found: Found, losses: Sequence[str], name: str) -> Iterator[tuple[str, list[float]]]:
    """Yield each of our data sets for which all of some losses were run, with their figures."""
    for dataset in NAMES:
        values = [mean_of(found, dataset, loss, name) for loss in losses]
        if None not in values:
            yield dataset, [v for v in values if v is not None]


def yes(holds: bool) -> str:
    """Return "yes" or "no"."""
    return "yes" if holds else "no"


def judged(holds: Sequence[bool]) -> str:
    """Return a verdict from single cases."""
    if not holds:
        return "not run"
    if all(holds):
        return "confirmed"
    return "against the paper" if not any(holds) else "in part"


def lower(found: Found, says: str, losses: Sequence[str], name: str, *, digits: int = 2) -> Claim:
    """Judge a claim that a figure falls from each loss to the next."""
    evidence, holds = [], []
    for dataset, values in compared(found, losses, name):
        evidence.append(
            f"{NAMES[dataset]}: " + ", ".join(f"{loss} {v:.{digits}f}" for loss, v in zip(losses, values, strict=True))
        )
        holds.append(all(a > b for a, b in itertools.pairwise(values)))
    return Claim(says, evidence, judged(holds))


def temperatures(found: Found) -> Claim:
    """Judge whether T of FLA-53 is nearer to 1 than that of cross-entropy."""
    evidence, holds = [], []
    for dataset, (ce, fla) in compared(found, ("CE", "FLA-53"), "ece_temperature"):
        evidence.append(f"{NAMES[dataset]}: T = {ce:.2f} under CE, {fla:.2f} under FLA-53")
        holds.append(abs(math.log(fla)) < abs(math.log(ce)))
    return Claim("The temperature of focal loss is nearer to 1.", evidence, judged(holds))


def confident(found: Found) -> Claim:
    """Judge whether more samples keep a confidence of .99 after scaling under focal loss."""
    evidence, holds = [], []
    for dataset, (ce, fla) in compared(found, ("CE", "FLA-53"), "s99_post"):
        evidence.append(f"{NAMES[dataset]}: {ce:.1f} % of the test samples under CE, {fla:.1f} % under FLA-53")
        holds.append(fla > ce)
    ours, printed = found.get(("CIFAR-10", "ResNet 50", "FLA-53")), nets.published()["CIFAR-10", "ResNet 50", "FLA-53"]
    if ours:
        evidence.append(
            f"authors' ResNet-50, CIFAR-10, FLA-53: {ours[0]['s99_pre'].value:.2f} % before and "
            f"{ours[0]['s99_post'].value:.2f} % after, where Table 6 prints {printed['s99_pre']} and "
            f"{printed['s99_post']}; no threshold and no T gives both, so that table is of another network than the "
            "other twelve"
        )
    return Claim("|S99| is larger after scaling under focal loss (Table 6).", evidence, judged(holds))


def accuracy_kept(data: Path) -> Claim:
    """Judge the difference in error of FLA-53 and cross-entropy, sample by sample."""
    evidence, holds = [], []
    pairs: dict[str, list[tuple[float, float]]] = {}
    by_place = {(n.dataset, n.loss, n.seed): n for n in nets.networks(data)}
    for (dataset, loss, seed), network in by_place.items():
        other = by_place.get((dataset, "FLA-53", seed))
        if loss == "CE" and other is not None and dataset in NAMES:
            wrong = [errors_of(n) for n in (other, network)]
            difference = wrong[0] - wrong[1]
            pairs.setdefault(dataset, []).append((difference.mean(), difference.std() / math.sqrt(len(difference))))
    for dataset, values in pairs.items():
        mean = 100 * sum(v for v, _ in values) / len(values)
        room = 100 * 1.96 * max(error for _, error in values)
        seeds = f"{len(values)} seed" + "s" * (len(values) > 1)
        evidence.append(f"{NAMES[dataset]}: error of FLA-53 less that of CE {mean:+.2f} ± {room:.2f} points, {seeds}")
        holds.append(abs(mean) <= room)
    return Claim("Accuracy is kept.", evidence, judged(holds))


def errors_of(network: Network) -> np.ndarray:
    """Return 1 for each test sample that a network gets wrong."""
    test = network.split("test")
    return (np.asarray(test.scores).argmax(axis=1) != np.asarray(test.y_true)).astype(float)


def overfitting(data: Path) -> Claim:
    """Judge which test samples the rise of the NLL comes from."""
    evidence, holds = [], []
    for network in nets.networks(data):
        if network.loss != "CE" or network.seed != 0 or network.dataset not in NAMES:
            continue
        records = [r["test"] for r in nets.history(network)]
        best = min(range(len(records)), key=lambda i: records[i]["nll"])
        parts = ("nll", "nll_correct", "nll_misclassified")
        first, last = ([records[i][part] for part in parts] for i in (best, -1))
        evidence.append(
            f"{NAMES[network.dataset]}, CE: from epoch {best + 1}, the lowest test NLL, to the last the NLL goes "
            f"from {first[0]:.2f} to {last[0]:.2f}, of correct samples from {first[1]:.2f} to {last[1]:.2f}, of "
            f"misclassified ones from {first[2]:.2f} to {last[2]:.2f}"
        )
        holds.append(last[0] > first[0] and last[1] <= first[1] and last[2] > first[2])
    return Claim("The NLL over-fits on misclassified samples only.", evidence, judged(holds))


def adaptive(data: Path) -> Claim:
    """Judge whether a larger AdaECE shows miscalibration that the ECE misses, by the floor of both.

    The floor is what labels drawn from the predictions themselves give: the mean of a perfectly calibrated network.
    """
    evidence, holds = [], []
    for network in nets.networks(data):
        if network.seed not in (None, 0):
            continue
        fit = TemperatureScaling("ece").fit_predictions(network.split("validation"))
        rows = fit.apply(network.split("test"))
        p = softmax(np.asarray(rows.scores, dtype=float), axis=1)
        metrics = ["ece", "adaece"]
        values = calkit.evaluate(rows, metrics)
        if values["adaece"] <= 1.15 * values["ece"]:
            continue
        rng = np.random.default_rng(0)
        drawn = [calkit.evaluate(calkit.Predictions(p, drawn_labels(p, rng), kind="probs"), metrics) for _ in range(20)]
        floors = [float(np.mean([d[m] for d in drawn])) for m in metrics]
        over = [100 * (values[m] - floor) for m, floor in zip(metrics, floors, strict=True)]
        evidence.append(
            f"{network.dataset} {network.model} {network.loss} after T: ECE {100 * values['ece']:.2f} "
            f"(floor {100 * floors[0]:.2f}), AdaECE {100 * values['adaece']:.2f} (floor {100 * floors[1]:.2f})"
        )
        holds.append(over[1] > 1.15 * over[0])
    return Claim("AdaECE shows miscalibration that the ECE misses.", evidence, judged(holds))


def drawn_labels(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one label a row, drawn from its probabilities."""
    return np.minimum((p.cumsum(axis=1) < rng.random((len(p), 1))).sum(axis=1), p.shape[1] - 1)


def grid_search(data: Path) -> Claim:
    """Judge T by grid search on the validation ECE against T by NLL, by the test ECE."""
    differences = []
    for network in nets.networks(data):
        validation, test = network.split("validation"), network.split("test")
        fits = [TemperatureScaling(objective).fit_predictions(validation) for objective in ("ece", "nll")]
        differences.append(np.subtract(*(100 * calkit.evaluate(fit.apply(test), ["ece"])["ece"] for fit in fits)))
    if not differences:
        return Claim("Grid search on the ECE gives a lower ECE than T by NLL.", [], "not run")
    wins, n, mean = sum(d < 0 for d in differences), len(differences), float(np.mean(differences))
    text = f"{n} networks: lower for {wins} of them; mean difference {mean:+.2f} points of ECE"
    verdict = "confirmed" if wins >= 0.7 * n and mean < 0 else "against the paper" if wins <= 0.3 * n else "in part"
    return Claim("Grid search on the ECE gives a lower ECE than T by NLL.", [text], verdict)


def convexity(data: Path) -> Claim:
    """Judge the NLL as a function of T, and of 1/T."""
    by_t, by_inverse, n = 0, 0, 0
    for network in nets.networks(data):
        rows, n = network.split("validation"), n + 1
        grid = np.linspace(0.2, 10, 99)
        by_t += bool((np.diff(temperature_curve(rows, ["nll"], grid=grid)["nll"], 2) < -1e-9).any())
        inverse = np.linspace(0.1, 5, 99)
        curve = temperature_curve(rows, ["nll"], grid=np.sort(1 / inverse))["nll"][::-1]
        by_inverse += bool((np.diff(curve, 2) < -1e-9).any())
    text = (
        f"second differences of the validation NLL of {n} networks: some negative in T for {by_t}, in 1/T for "
        f"{by_inverse}. It is convex in 1/T (a log-sum-exp), so that it has one minimum in T as well, and no search "
        "can get stuck"
    )
    held = by_t > 0 and by_inverse == 0
    return Claim(
        "The NLL is not convex in T, so that an optimiser may get stuck.",
        [text],
        "true, without consequence" if held else "against the paper",
    )


def proposition_1() -> Claim:
    """Compare the gradient of focal loss, by automatic differentiation, with that of cross-entropy times g."""
    worst = 0.0
    y = torch.arange(400) % 10
    for gamma, seed in itertools.product((0.5, 1, 2, 3, 5), range(3)):
        z = 3 * torch.randn(400, 10, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        gradients = []
        for spec in (f"focal:{gamma}", "ce"):
            free = z.clone().requires_grad_()
            get_loss(spec, reduction="sum")(free, y).backward()
            gradients.append(free.grad.numpy())
        p = softmax(z.numpy(), axis=1)[np.arange(400), y.numpy()]
        ratio = gradient_ratio(p, gamma)[:, None]
        worst = max(worst, np.abs(gradients[0] - ratio * gradients[1]).max())
    text = f"400 samples, ten classes, five gammas: largest difference {worst:.1e}"
    return Claim(
        "Proposition 1: the gradient of focal loss is that of cross-entropy times g(p, γ).",
        [text],
        judged([worst < 1e-9]),
    )


def proposition_2() -> Claim:
    """Check g(p0, gamma*(p0)) = 1, above 1 below p0 and below 1 above it."""
    p0 = np.linspace(0.02, 0.49, 48)
    gammas = gamma_star(p0)
    at = np.abs(gradient_ratio(p0, gammas) - 1).max()
    p = np.linspace(0.001, 0.999, 999)
    g = gradient_ratio(p[None, :], gammas[:, None])
    sides = bool(np.all(((g > 1) == (p[None, :] < p0[:, None])) | (np.abs(g - 1) < 1e-9)))
    above = bool(np.all(gradient_ratio(np.maximum(p[None, :], p0[:, None]), 1.5 * gammas[:, None]) <= 1 + 1e-12))
    text = (
        f"48 thresholds: |g(p0, γ*) - 1| at most {at:.1e}; g > 1 below p0 and < 1 above: {yes(sides)}; g <= 1 above p0 "
        f"for γ = 1.5 γ*: {yes(above)}. γ*(.19) = {gamma_star(0.19):.2f}, where the paper's policy has 5"
    )
    return Claim("Proposition 2: γ* by Lambert's W.", [text], judged([at < 1e-9 and sides and above]))


def appendix_h() -> Claim:
    """Check FL >= KL + Entropy(p) - gamma Entropy(q), and that the minimiser has more entropy than p."""
    rng = np.random.default_rng(0)
    p, q = (rng.dirichlet(np.full(5, 0.5), 20_000) for _ in range(2))
    low = math.inf
    for gamma in (1, 2, 3, 5):
        with np.errstate(divide="ignore", invalid="ignore"):
            log_q = np.log(q)
            focal = -((1 - q) ** gamma * p * log_q).sum(axis=1)
            # KL + Entropy(p) is the cross-entropy.
            bound = (np.where(p > 0, -p * log_q, 0) + gamma * np.where(q > 0, q * log_q, 0)).sum(axis=1)
        low = min(low, float(np.nanmin(focal - bound)))
    grid = np.linspace(0.01, 0.99, 99)
    nearer = bool(np.all(np.abs(focal_minimiser(grid, 3) - 0.5) <= np.abs(grid - 0.5) + 1e-12))
    text = (
        f"80,000 pairs of distributions: FL less the bound at least {low:.1e}; the minimiser is nearer to 1/2 than p "
        f"everywhere: {yes(nearer)}"
    )
    says = "Appendix H: focal loss bounds a regularised KL divergence; its solutions have more entropy."
    return Claim(says, [text], judged([low >= -1e-12 and nearer]))


def linear() -> Claim:
    """Judge Appendix G: norms, and the confidence of mistakes, by calibration on new data."""
    x, y = linear_model.sample(linear_model.TEST_SEED, 100_000)
    parts, eces = [], []
    for loss, run in linear_model.runs().items():
        confidence, right = run.confidence(x, y)
        p = np.column_stack([1 / (1 + np.exp(x @ run.weights)), 1 / (1 + np.exp(-x @ run.weights))])
        eces.append(100 * calkit.ece((y > 0).astype(int), p))
        parts.append(
            f"{loss}: norm of the weights {run.weight_norms[-1]:.2f}, mean confidence of mistakes "
            f"{confidence[~right].mean():.2f}, ECE on 100,000 new points {eces[-1]:.2f} %"
        )
    parts.append(
        "a tenth of the labels is flipped, so that a confidence of .9 on mistakes is right: on this model focal loss "
        "is less confident because it is under-confident"
    )
    norms = [run.weight_norms[-1] for run in linear_model.runs().values()]
    return Claim(
        "Appendix G: cross-entropy has larger weights and confident mistakes.",
        parts,
        "confirmed, but it is CE that is calibrated" if norms[0] > norms[1] and eces[0] < eces[1] else "in part",
    )


def claims(found: Found, data: Path) -> list[Claim]:
    """Return all claims, judged."""
    return [
        lower(
            found,
            "The ECE before scaling is lower under FLA-53 than under cross-entropy (Table 1).",
            ("CE", "FLA-53"),
            "ece_pre",
        ),
        lower(found, "So it is after scaling.", ("CE", "FLA-53"), "ece_post"),
        temperatures(found),
        confident(found),
        accuracy_kept(data),
        lower(found, "γ = 3 gives a lower ECE than γ = 2, and that than γ = 1 (section 4).", FIXED, "ece_pre"),
        overfitting(data),
        adaptive(data),
        grid_search(data),
        convexity(data),
        proposition_1(),
        proposition_2(),
        linear(),
        appendix_h(),
    ]


def claims_text(found: Found, data: Path) -> str:
    """Return the claims in Markdown."""
    lines = ["| the paper says | what was found | verdict |", "| --- | --- | --- |"]
    for claim in claims(found, data):
        cells = (claim.says, "; ".join(claim.evidence) or "no network of ours yet", f"**{claim.verdict}**")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the claims."""
    data = Path("../shared/data")
    found = nets.rows(data, nets.HERE / "results" / "authors.json")
    print(claims_text(found, data))


if __name__ == "__main__":
    main()
