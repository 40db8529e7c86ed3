"""Draw each of calkit's displays, one model and two models: the pictures of the user guide.

python examples/plot_displays.py [FOLDER]
"""

import sys
from pathlib import Path

import calkit
from calkit.datasets import load_digits_logits
from calkit.plotting import PLOTS, available_plots, plot_reliability

WIDTH = {"reliability": (7.6, 4.8), "confidence": (7.6, 3.2)}


def main(folder):
    test = load_digits_logits("test")
    calibrator = calkit.TemperatureScaling().fit_predictions(load_digits_logits("validation"))
    shown = {"uncalibrated": test, "temperature": calibrator.apply(test)}
    folder.mkdir(parents=True, exist_ok=True)
    for name in available_plots():
        kind = PLOTS[name]
        displays = {label: kind.from_predictions(item, plot=False) for label, item in shown.items()}
        size = WIDTH.get(name, (5.6, 4.0))
        kind.figure(displays, size=size).savefig(folder / f"{name}.png", dpi=100)
    reliability = {label: PLOTS["reliability"].from_predictions(item, plot=False) for label, item in shown.items()}
    plot_reliability(reliability, overlay=True, size=(4.6, 5.2)).savefig(folder / "reliability-overlay.png", dpi=100)
    bars = plot_reliability(reliability, style="bars", size=(7.6, 4.8))
    bars.savefig(folder / "reliability-bars.png", dpi=100)
    print(f"wrote {len(list(folder.glob('*.png')))} pictures to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "displays"))
