"""How often tests of calibration reject, by what is wrong and by the number of rows: level and power by simulation.

``OMP_NUM_THREADS=1 python benchmarks/power.py [--samples 500]`` runs what is missing and writes the table of the docs;
``--table`` writes the table alone.
"""

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from calkit.inference.tests import TESTS, run_tests

# What is true, of the logit and the probability that are said.
WORLDS = {
    "calibrated": lambda p, _: p,
    "over-confident": lambda p, _: expit(logit(p) / 1.3),
    "under-confident": lambda p, _: expit(logit(p) * 1.3),
    "shifted": lambda p, _: np.maximum(p - 0.03, 0),
    "waves": lambda p, _: np.clip(p + 0.06 * np.sin(6 * np.pi * p), 0, 1),
    "mixed": lambda p, rng: expit(logit(p) * np.where(rng.random(len(p)) < 0.5, 1.5, 0.6)),
}
ROWS = (200, 1000, 5000)
DRAWS, LEVEL = 199, 0.05
RESULTS = Path(__file__).with_name("results") / "power.json"
TABLE = Path(__file__).parents[1] / "docs" / "user_guide" / "power_table.inc"


def forecasts(world, n, seed):
    """Probabilities said, most of them above a half, and outcomes."""
    rng = np.random.default_rng([list(WORLDS).index(world), n, seed])
    p = rng.beta(3, 1.2, n)
    return p, rng.random(n) < WORLDS[world](p, rng)


def rejections(world, n, samples):
    """Shares of samples that each test rejects."""
    names, found = list(TESTS), []
    for seed in range(samples):
        results = run_tests(*forecasts(world, n, seed), tests=names, n_resamples=DRAWS, random_state=seed)
        found.append([results[name].p_value <= LEVEL for name in names])
    return dict(zip(names, np.mean(found, axis=0).round(4).tolist(), strict=True))


def table(found):
    """Markdown: a row for each test, percents by the number of rows."""
    samples = found["samples"]
    yield f"Rejections at 5 % in percent of {samples:,} samples each, of {', '.join(f'{n:,}' for n in ROWS)} rows.\n"
    yield f"| | {' | '.join(WORLDS)} |"
    yield f"| --- |{' :-: |' * len(WORLDS)}"
    for test in TESTS:
        cells = ([100 * found["shares"][f"{world} {n}"][test] for n in ROWS] for world in WORLDS)
        yield f"| `{test}` | {' | '.join(' / '.join(f'{share:.0f}' for share in cell) for cell in cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--table", action="store_true", help="write the table of the docs, and simulate nothing")
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if not options.table and found.get("samples") != options.samples:
        found = {"samples": options.samples, "shares": {}}
    for world, n in itertools.product(() if options.table else WORLDS, ROWS):
        if f"{world} {n}" not in found["shares"]:
            found["shares"][f"{world} {n}"] = rejections(world, n, options.samples)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(world, n, found["shares"][f"{world} {n}"], flush=True)
    TABLE.write_text("\n".join(table(found)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
