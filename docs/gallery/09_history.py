"""Training

The values of every epoch, as the history of a training run holds them.
"""

import math

from calkit.plotting import GradientNormsDisplay, HistoryDisplay, plot_history


def course(rise):
    """Stand in for the history.jsonl of a run: the NLL of wrong answers rises."""
    for epoch in range(1, 21):
        t = epoch / 20
        wrong = {"nll_misclassified": 1.5 + rise * t, "entropy_misclassified": 1.2 * math.exp(-rise * t)}
        test = {"nll": 0.6 * math.exp(-2 * t) + 0.1 * rise * t, "ece": 0.02 * rise * t, "error": 0.4 * math.exp(-t)}
        counts = [round(1000 * math.exp(-((k - 18 + 8 * rise * t / 3) ** 2) / 18)) for k in range(24)]
        norms = {"edges": [10 ** (k / 4 - 4) for k in range(25)], "counts": counts}
        yield {"epoch": epoch, "test": test | wrong} | ({"gradient_norms": norms} if epoch in (1, 20) else {})


runs = {"cross-entropy": list(course(3)), "focal": list(course(1))}
figures = {
    "history": plot_history(HistoryDisplay({"cross-entropy": runs["cross-entropy"]})),
    "history-two-runs": plot_history(HistoryDisplay(runs)),
    "gradient-norms": GradientNormsDisplay(runs).figure(),
}
