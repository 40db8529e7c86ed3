"""The results of benchmarks/peers.py as Markdown: the limits calkit sets itself, a table for each job, and memory."""

from dataclasses import dataclass

FAST, PLAIN = "calkit[fast]", "calkit"
FLOOR = "C, fused (floor)"
BARE = ("bare NumPy", "bare SciPy")
# No library, but what one would write without one.
BY_HAND = ("plain NumPy", *BARE)
LARGE, MIDDLE, SMALL, PAIRS = "50,000x1,000", "10,000x100", "1,000x10", "1,000,000 pairs"
ECE, NLL = "ECE from logits", "temperature by NLL"
GRID_ECE, GRID_ADA = "temperature by ECE, grid of 100", "temperature by AdaECE, grid of 100"
SMALL_ECE = "ECE of a small array, checks and all"
# Metrics of which only sums are kept.
SUMMED = (ECE, "classwise ECE", "all sums", "smooth ECE of pairs")


@dataclass(frozen=True)
class Limit:
    """A number that is to stay on one side of a limit."""

    what: str
    found: float
    limit: float
    at_most: bool

    @property
    def met(self):
        return self.found <= self.limit if self.at_most else self.found >= self.limit

    def row(self):
        side, answer = ("≤" if self.at_most else "≥"), ("yes" if self.met else "**no**")
        return f"| {self.what} | {side} {self.limit:g} | {self.found:.3g} | {answer} |"


class Results:
    """What was measured, by size, job and contestant."""

    def __init__(self, rows):
        self.times = {(r["size"], r["job"], r["who"]): r for r in rows if "seconds" in r}
        self.memory = {(r["size"], r["job"], r["who"]): r["extra_mb"] for r in rows if "extra_mb" in r}

    def ratio(self, size, job, who, to):
        """How many times as long one contestant takes as another."""
        return self.times[size, job, who]["seconds"] / self.times[size, job, to]["seconds"]

    def sizes(self, job, kind="times"):
        return list(dict.fromkeys(size for size, j, _ in getattr(self, kind) if j == job))

    def contestants(self, job, kind="times"):
        return list(dict.fromkeys(who for _, j, who in getattr(self, kind) if j == job))

    def peers(self, size, job):
        return [who for s, j, who in self.times if (s, j) == (size, job) and who not in (FAST, PLAIN, FLOOR, *BY_HAND)]


def limits(found):
    """Every limit whose measurements are there."""
    peer_jobs = dict.fromkeys((s, j) for s, j, _ in found.times if j not in (SMALL_ECE, "predict_proba"))
    nearest = {
        (size, job): min(found.ratio(size, job, who, PLAIN) for who in found.peers(size, job))
        for size, job in peer_jobs
        if found.peers(size, job)
    }
    errors = [found.times[s, NLL, who]["error"] for s in found.sizes(NLL) for who in (FAST, PLAIN)]
    memory = [mb for (_, job, who), mb in found.memory.items() if job in SUMMED and who in (FAST, PLAIN)]

    def faster(size, job, peer, who, limit):
        name = f"{job}, {size}: {peer} takes this many times as long as {who}"
        return name, lambda: found.ratio(size, job, peer, who), limit, False

    wanted = [
        (f"{ECE}, {LARGE}: {FAST}, times the floor", lambda: found.ratio(LARGE, ECE, FAST, FLOOR), 1.5, True),
        (f"{ECE}, {LARGE}: {PLAIN}, times the floor", lambda: found.ratio(LARGE, ECE, PLAIN, FLOOR), 4.7, True),
        faster(LARGE, ECE, "torchmetrics", FAST, 10),
        (f"any job and size: the fastest other library, times {PLAIN}", lambda: min(nearest.values()), 1, False),
        faster(LARGE, NLL, "scikit-learn", FAST, 25),
        faster(LARGE, NLL, "probmetrics", FAST, 50),
        faster(LARGE, NLL, "scikit-learn", PLAIN, 6),
        faster(LARGE, NLL, "probmetrics", PLAIN, 12),
        (f"{NLL}, any size: relative error", lambda: max(errors), 1e-10, True),
        *(
            faster(MIDDLE, job, "paper's code", who, limit)
            for job in (GRID_ECE, GRID_ADA)
            for who, limit in ((FAST, 150), (PLAIN, 80))
        ),
        faster(PAIRS, "smooth ECE of pairs", "relplot", PLAIN, 4),
        (f"{SMALL_ECE}, {SMALL}: times bare NumPy", lambda: found.ratio(SMALL, SMALL_ECE, PLAIN, BARE[0]), 3, True),
        (
            f"predict_proba, {SMALL}: times bare SciPy",
            lambda: found.ratio(SMALL, "predict_proba", PLAIN, BARE[1]),
            1.2,
            True,
        ),
        ("metrics of sums, any size: extra memory, MB", lambda: max(memory), 16, True),
    ]
    for what, measured, limit, at_most in wanted:
        try:
            yield Limit(what, measured(), limit, at_most)
        except (KeyError, ValueError):
            print(f"not measured yet: {what}")


def seconds_text(seconds):
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def cell(found, size, job, who):
    """Seconds, the ratio to calkit, and how far a temperature is off."""
    row = found.times.get((size, job, who))
    if row is None:
        return ""
    first = FAST if (size, job, FAST) in found.times else PLAIN
    notes = [f"{found.ratio(size, job, who, first):.3g}×"]
    if "error" in row:
        notes.append("exact" if row["error"] < 1e-12 else f"off by {row['error']:.0e}")
    return f"{seconds_text(row['seconds'])} ({', '.join(notes)})"


def grid(heading, columns, rows):
    yield f"| {' | '.join([heading, *columns])} |"
    yield f"| --- |{' --: |' * len(columns)}"
    for name, cells in rows:
        yield f"| {' | '.join([name, *cells])} |"
    yield ""


def tables(results):
    """The whole document."""
    found, machine = Results(results["rows"]), results["machine"]
    lines = [
        f"One thread of {machine['cpu']}; Python {machine['python']}, gcc {machine['gcc']}.",
        f"{', '.join(machine['versions'])}.",
        "",
        "### Limits",
        "",
        "| what | limit | measured | met |",
        "| --- | --: | --: | --- |",
        *(limit.row() for limit in limits(found)),
        "",
    ]
    for job in dict.fromkeys(job for _, job, _ in found.times):
        sizes = found.sizes(job)
        rows = [(who, [cell(found, size, job, who) for size in sizes]) for who in found.contestants(job)]
        lines += [f"### {job[0].upper()}{job[1:]}", "", *grid("", sizes, rows)]
    if found.memory:
        lines += ["### Memory", "", "Megabytes beyond what was there before, at the most.", ""]
        for job in dict.fromkeys(job for _, job, _ in found.memory):
            sizes = found.sizes(job, "memory")
            rows = [
                (who, [f"{found.memory[s, job, who]:.3g}" if (s, job, who) in found.memory else "" for s in sizes])
                for who in found.contestants(job, "memory")
            ]
            lines += grid(job, sizes, rows)
    return "\n".join(lines)
