"""The paper's tables, with what was found beside what is printed: python examples/focal_calibration/tables.py 1

Without a number it prints all of them. --write makes the page docs/paper.md of the tables, figures and claims.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import networks as nets
from networks import HERE, LOSSES, Figure, Row

PAGE = HERE.parents[1] / "docs" / "paper.md"
BASELINES, FOCAL = (
    ("CE", "Brier", "MMCE", "FLA-53"),
    ("FL-1", "FL-2", "FL-3", "FLS-531", "FLS-532", "FLA-532", "FLA-53"),
)
CHOSEN = ("FL-3", "FLS-532", "FLA-53")
#: A printed temperature is one of a grid of .1; a step either way is close.
TEMPERATURE_STEP = 0.1001


@dataclass(frozen=True)
class Table:
    """What a table of the paper shows: some figures of some losses, for all networks or for some."""

    title: str
    losses: Sequence[str]
    figures: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, str]] | None = None


def both(metric: str) -> list[tuple[str, str]]:
    """Return the figures of a table with the values before and after scaling, and T."""
    return [("before", f"{metric}_pre"), ("after", f"{metric}_post"), ("T", f"{metric}_temperature")]


S99 = [
    ("\\|S99\\|, before", "s99_pre"),
    ("its accuracy", "s99_accuracy_pre"),
    ("\\|S99\\|, after", "s99_post"),
    ("its accuracy", "s99_accuracy_post"),
]
TABLES = {
    1: Table("ECE (%), T chosen on ECE", BASELINES, both("ece")),
    2: Table("AdaECE (%), T chosen on AdaECE", BASELINES, both("adaece")),
    3: Table("Error (%)", ("CE", "Brier", "MMCE", *CHOSEN), [("", "error")]),
    4: Table("ECE (%) of the focal losses chosen", CHOSEN, both("ece")),
    5: Table("AdaECE (%) of the focal losses chosen", CHOSEN, both("adaece")),
    6: Table(
        "Test samples of confidence 0.99 or more (%), and their accuracy (%)",
        ("CE", "MMCE", "FLA-53"),
        S99,
        [("CIFAR-10", "ResNet 110"), ("CIFAR-10", "ResNet 50")],
    ),
    7: Table("ECE (%) of all focal losses", FOCAL, both("ece")),
    8: Table("AdaECE (%) of all focal losses", FOCAL, both("adaece")),
    9: Table("Error (%) of all focal losses", FOCAL, [("", "error")]),
    10: Table("NLL (%) before scaling", LOSSES, [("", "nll_pre")]),
    11: Table("NLL (%) after scaling by the T chosen on ECE", LOSSES, [("", "nll_post")]),
    12: Table("MCE (%) before scaling", LOSSES, [("", "mce_pre")]),
    13: Table("MCE (%) after scaling by the T chosen on ECE", LOSSES, [("", "mce_post")]),
}
Found = Mapping[Row, Sequence[Mapping[str, Figure]]]


def together(seeds: Sequence[Mapping[str, Figure]], name: str) -> Figure:
    """Return the mean over the seeds, and the widest limits that any of them has."""
    figures = [seed[name] for seed in seeds]
    lows, highs = ([getattr(f, end) for f in figures if getattr(f, end) is not None] for end in ("low", "high"))
    value = sum(f.value for f in figures) / len(figures)
    return Figure(value, min(lows, default=None), max(highs, default=None))


def verdict(printed: float | None, found: Figure | None, name: str, authors: bool) -> str:
    """Tell how a figure compares with the printed one.

    Of a network of the authors' it is "exact", up to the rounding of the print, or "different". One of ours is another
    network, and its test rows are others, so that both figures vary: it is "close" if the printed one is no further off
    than the difference of two such figures may be, which is the interval widened by the root of 2.
    """
    if found is None:
        return "not run"
    if printed is None:
        return "new"
    off = printed - found.value
    if authors:
        return "exact" if abs(off) <= 0.0101 else "different"
    if name.endswith("temperature"):
        return "close" if abs(off) <= TEMPERATURE_STEP else "different"
    if found.low is None or found.high is None:
        return "different"
    room = (found.high - found.value) if off > 0 else (found.value - found.low)
    return "close" if abs(off) <= math.sqrt(2) * room else "different"


def cell(printed: float | None, found: Figure | None, name: str, authors: bool) -> str:
    """Return the text of a cell: what is printed, and what was found."""
    digits = 1 if name.endswith("temperature") else 2
    text = "" if printed is None else f"{printed:.{digits}f}"
    if found is None:
        return text
    if authors and verdict(printed, found, name, authors) == "exact":
        return f"{text} ✓"
    limits = "" if found.low is None or found.high is None else f" [{found.low:.{digits}f}, {found.high:.{digits}f}]"
    return f"{text} / **{found.value:.{digits}f}**{limits}".removeprefix(" / ")


def is_authors(row: Row) -> bool:
    """Tell whether the network of a row was trained by the paper's authors."""
    return row in nets.AUTHORS.values()


def lines_of(table: Table, found: Found) -> list[str]:
    """Return the lines of a table in Markdown."""
    printed = nets.published()
    places = table.rows or dict.fromkeys([row[:2] for row in printed] + [row[:2] for row in found])
    lines = [
        "| data set | network | | " + " | ".join(table.losses) + " |",
        "| --- | --- | --- | " + " | ".join(["---"] * len(table.losses)) + " |",
    ]
    for dataset, model in places:
        for word, name in table.figures:
            cells = []
            for loss in table.losses:
                row = (dataset, model, loss)
                figure = together(found[row], name) if row in found else None
                cells.append(cell(printed.get(row, {}).get(name), figure, name, is_authors(row)))
            if any(cells):
                lines.append(f"| {dataset} | {model} | {word} | " + " | ".join(cells) + " |")
    return lines


def text_of(number: int, found: Found) -> str:
    """Return a table with its title, in Markdown."""
    table = TABLES[number]
    return "\n".join([f"### Table {number}: {table.title}", "", *lines_of(table, found), ""])


def counts(found: Found) -> Counter[str]:
    """Count the printed figures by how they compare; each once, though some stand in two tables."""
    return Counter(
        verdict(value, together(found[row], name) if row in found else None, name, is_authors(row))
        for row, figures in nets.published().items()
        for name, value in figures.items()
    )


def page(found: Found, data: Path) -> str:
    """Return the whole page."""
    from claims import claims_text
    from figures import figures_text

    tally = counts(found)
    summary = "\n".join(f"| {word} | {tally[word]:,} |" for word in ("exact", "close", "different", "not run"))
    text = (HERE / "page.md").read_text(encoding="utf-8")
    parts = {
        "summary": f"| figures of the tables | |\n| --- | ---: |\n{summary}\n",
        "runs": runs_text(data),
        "tables": "\n".join(text_of(number, found) for number in TABLES),
        "figures": figures_text(),
        "claims": claims_text(found, data),
    }
    for word, part in parts.items():
        text = text.replace(f"<!-- {word} -->\n", part)
    return text


def runs_text(data: Path) -> str:
    """Return a table of the networks that we trained: seeds, epochs, error, seconds."""
    groups: dict[tuple[str, str, str], list[nets.Network]] = {}
    for network in nets.networks(data):
        if network.seed is not None:
            groups.setdefault(network.row, []).append(network)
    lines = ["| data set | loss | seeds | epochs | best epoch of each |", "| --- | --- | --- | --- | --- |"]
    for (dataset, _, loss), seeds in groups.items():
        histories = [nets.history(network) for network in seeds]
        epochs = [str(records[-1].get("best_epoch", "the last")) for records in histories]
        best = "the last" if set(epochs) == {"the last"} else ", ".join(epochs)
        numbers = ", ".join(str(network.seed) for network in seeds)
        lines.append(f"| {dataset} | {loss} | {numbers} | {len(histories[0])} | {best} |")
    return "\n".join(lines) + "\n"


def main(arguments: Iterable[str] | None = None) -> None:
    """Print tables, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", type=int, nargs="*", metavar="N", help="tables, 1 to 13")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of focal-calibration-logits/")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    args = parser.parse_args(None if arguments is None else list(arguments))
    if unknown := sorted(set(args.numbers) - TABLES.keys()):
        parser.error(f"there is no table {', '.join(map(str, unknown))}; there are {min(TABLES)} to {max(TABLES)}")
    found = nets.rows(args.data, HERE / "results" / "authors.json")
    if args.write:
        PAGE.write_text(page(found, args.data), encoding="utf-8")
    else:
        print("\n".join(text_of(number, found) for number in args.numbers or TABLES))


if __name__ == "__main__":
    main()
