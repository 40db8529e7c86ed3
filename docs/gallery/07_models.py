"""Many models

Two metrics against each other, and values with their intervals, of calibrators fitted on the validation split.
"""

import calkit
from calkit.calibrators import get_calibrator
from calkit.datasets import load_digits_logits
from calkit.plotting import ForestDisplay, ScatterDisplay

test, validation = load_digits_logits("test"), load_digits_logits("validation")
models = {"uncalibrated": test}
for name in ("temperature", "vector", "isotonic"):
    models[name] = get_calibrator(name).fit_predictions(validation).apply(test)
evaluations = {
    name: calkit.evaluate(model, ["accuracy", "ece", "nll"], confidence_level=0.95) for name, model in models.items()
}


def scatter(metric):
    shown = {name: ScatterDisplay.from_evaluation(e, metric=metric, plot=False) for name, e in evaluations.items()}
    return ScatterDisplay.figure(shown)


figures = {
    "scatter": scatter("ece"),
    "scatter-nll": scatter("nll"),
    "forest": ForestDisplay.from_evaluations(evaluations).figure_of(),
    "forest-differences": ForestDisplay.from_comparison(calkit.compare(models, ["ece", "nll"])).figure_of(),
}
