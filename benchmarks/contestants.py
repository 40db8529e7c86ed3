"""How each library is asked for each quantity that benchmarks/peers.py compares. Each call takes a :class:`Data`."""

import contextlib
import os

import core
import numpy as np
from floor import floor_ece
from scipy.special import softmax

import calkit
from calkit.calibrators import TemperatureScaling

GRID = np.arange(1, 101) / 10
SUMS = ["accuracy", "ece", "mce", "nll", "brier", "s99", "smece", "classwise_ece"]


class Data:
    """Logits and labels, in all the forms that are asked for."""

    def __init__(self, logits, y):
        self.logits, self.y = logits, y
        self.predictions = calkit.Predictions(logits, y, kind="logits")

    @property
    def probs(self):
        return softmax(self.logits, axis=1)

    @property
    def tensors(self):
        import torch

        return torch.from_numpy(self.logits), torch.from_numpy(self.y)

    @property
    def top(self):
        probs = self.probs
        return probs.max(axis=1), probs.argmax(axis=1) == self.y


def with_kernels(kernels, job):
    """The same job with NumPy's kernels or numba's."""

    def run(data):
        os.environ["CALKIT_KERNELS"] = kernels
        try:
            return job(data)
        finally:
            del os.environ["CALKIT_KERNELS"]

    return run


def both(job):
    return {"calkit[fast]": with_kernels("numba", job), "calkit": with_kernels("numpy", job)}


def evaluated(metric):
    return both(lambda d: calkit.evaluate(d.predictions, [metric])[metric])


def fitted(objective):
    return both(lambda d: TemperatureScaling(objective).fit_predictions(d.predictions).temperature_)


def torchmetrics_ece(data):
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, y = data.tensors
    return multiclass_calibration_error(logits, y, logits.shape[1], n_bins=15, validate_args=False).item()


def netcal_ece(data):
    from netcal.metrics import ECE

    return float(ECE(15).measure(data.probs, data.y))


def probmetrics_ece(data):
    from probmetrics.metrics import CalibrationError

    logits, y = data.tensors
    return next(iter(CalibrationError(15).compute_all_from_labels_logits(y, logits).values())).item()


def uncertainty_calibration_ece(data):
    from calibration import get_ece

    return float(get_ece(data.probs, data.y, num_bins=15))


def torch_uncertainty_error(name, softmaxed=False, **options):
    def run(data):
        from torch_uncertainty.metrics import classification

        logits, y = data.tensors
        metric = getattr(classification, name)(**{k: v(logits) if callable(v) else v for k, v in options.items()})
        metric.update(logits.softmax(1) if softmaxed else logits, y)
        return float(metric.compute())

    return run


def columns(logits):
    return logits.shape[1]


def from_paper(error, grid=False):
    def run(data):
        import paper_code

        function = getattr(paper_code, error)
        return paper_code.grid_search(function, *data.tensors) if grid else function(*data.tensors)

    return run


def netcal_temperature(data):
    from netcal.scaling import TemperatureScaling as Netcal

    method = Netcal()
    # In float32 its optimiser stays where it starts.
    method.fit(data.probs.astype(np.float64), data.y, tensorboard=False)
    return float(1 / np.ravel(method.temperature)[0])  # its temperature is 1 / T


def probmetrics_temperature(data):
    from probmetrics.calibrators import get_calibrator
    from probmetrics.distributions import CategoricalLogits

    logits, y = data.tensors
    method = get_calibrator("temp-scaling")
    method.fit_torch(CategoricalLogits(logits), y)
    found = method.predict_proba_torch(CategoricalLogits(logits[:1])).get_logits()[0].double().numpy()
    given = logits[0].double().numpy()
    return float((given.max() - given.min()) / (found.max() - found.min()))


def torch_uncertainty_temperature(data):
    from torch.utils.data import DataLoader, TensorDataset
    from torch_uncertainty.post_processing import TemperatureScaler

    method = TemperatureScaler()
    # Batches come as they are; a loader that collates rows one by one would be most of its time.
    method.fit(DataLoader(TensorDataset(*[t[None] for t in data.tensors]), batch_size=None), progress=False)
    return float(1 / method.inv_temp)


def torchmetrics_grid(data):
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, y = data.tensors
    values = [
        multiclass_calibration_error(logits / t, y, columns(logits), n_bins=15, validate_args=False).item()
        for t in GRID
    ]
    return float(GRID[int(np.argmin(values))])


def relplot_smooth(data):
    import relplot

    confidence, correct = data.top
    return float(relplot.smECE(confidence.astype(np.float64), correct.astype(float)))


class Pairs:
    """(confidence, correct) of a million rows, for smooth ECE; without logits, so that no softmax is timed."""

    def __init__(self, n):
        rng = np.random.default_rng(0)
        confidence = 1 / (1 + np.exp(-rng.gumbel(2, 2, n)))
        self.top = confidence, rng.random(n) < confidence - 0.02
        self.predictions = calkit.Predictions.from_confidence(*self.top)


def torch_uncertainty_smooth(data):
    import torch
    from torch_uncertainty.metrics.classification import SmoothCalibrationError

    metric = SmoothCalibrationError(kernel_type="reflected")
    # It takes the confidence of binary predictions for max(p, 1 - p); handing over pairs goes past that.
    metric.confidences.append(torch.from_numpy(data.top[0]).float())
    metric.accuracies.append(torch.from_numpy(data.top[1]).float())
    metric._update_count = 1
    return float(metric.compute())


def bare_softmax_and_bincount(data):
    """What one would write for a small array, nothing checked."""
    p = softmax(data.logits, axis=1)
    confidence = p.max(axis=1)
    index = np.ceil(confidence * 15).astype(int) - 1
    gaps = np.bincount(index, confidence - (p.argmax(axis=1) == data.y), 15)
    return float(np.abs(gaps).sum() / len(data.y))


def predicted(data):
    if not hasattr(data, "calibrator"):
        data.calibrator = TemperatureScaling().fit(data.logits, data.y)
    return float(data.calibrator.predict_proba(data.logits)[0, 0])


def divided_and_softmaxed(data):
    return float(softmax(data.logits / np.float32(data.calibrator.temperature_), axis=1)[0, 0])


#: What is computed, by whom; the first is what the others are compared with.
JOBS = {
    "ECE from logits": {
        "C, fused (floor)": lambda d: floor_ece(d.logits, d.y),
        **both(lambda d: calkit.ece(d.y, d.logits, from_logits=True)),
        "paper's code": from_paper("ece"),
        "plain NumPy": lambda d: core.plain_ece(d.logits, d.y),
        "scikit-learn": lambda d: core.sklearn_ece(d.logits, d.y),
        "torchmetrics": torchmetrics_ece,
        "torch-uncertainty": torch_uncertainty_error(
            "CalibrationError", task="multiclass", num_bins=15, num_classes=columns, softmaxed=True
        ),
        "probmetrics": probmetrics_ece,
        "netcal": netcal_ece,
        "uncertainty-calibration": uncertainty_calibration_ece,
    },
    "AdaECE from logits": {
        **evaluated("adaece"),
        "paper's code": from_paper("adaece"),
        "torch-uncertainty": torch_uncertainty_error(
            "CalibrationError", task="multiclass", adaptive=True, num_bins=15, num_classes=columns, softmaxed=True
        ),
    },
    "classwise ECE": {
        **evaluated("classwise_ece"),
        "plain NumPy": lambda d: core.plain_classwise_ece(d.logits, d.y),
        "scikit-learn": lambda d: core.sklearn_classwise_ece(d.logits, d.y),
        "paper's code": from_paper("classwise_ece"),
        "torch-uncertainty": torch_uncertainty_error(
            "ClasswiseCalibrationError", num_classes=columns, num_bins=15, softmaxed=True
        ),
    },
    "all sums": both(lambda d: calkit.evaluate(d.predictions, SUMS)["ece"]),
    "temperature by NLL": {
        **fitted("nll"),
        "scikit-learn": lambda d: core.sklearn_temperature(d.logits, d.y),
        "probmetrics": probmetrics_temperature,
        "netcal": netcal_temperature,
        "torch-uncertainty": torch_uncertainty_temperature,
    },
    "temperature by ECE, grid of 100": {
        **fitted("ece"),
        "paper's code": from_paper("ece", grid=True),
        "plain NumPy": lambda d: core.plain_grid(d.logits, d.y),
        "torchmetrics": torchmetrics_grid,
    },
    "temperature by AdaECE, grid of 100": {**fitted("adaece"), "paper's code": from_paper("adaece", grid=True)},
    "smooth ECE of pairs": {
        "calkit": lambda d: calkit.evaluate(d.predictions, ["smece"])["smece"],
        "relplot": relplot_smooth,
        "torch-uncertainty": torch_uncertainty_smooth,
    },
    "ECE of a small array, checks and all": {
        "bare NumPy": bare_softmax_and_bincount,
        **both(lambda d: calkit.ece(d.y, d.logits, from_logits=True)),
    },
    "predict_proba": {"calkit": predicted, "bare SciPy": divided_and_softmaxed},
}

#: How far the temperature may be off, for the column beside the times.
TEMPERATURES = ("temperature by NLL",)


@contextlib.contextmanager
def quiet():
    """No prints, warnings or logs of contestants."""
    import io
    import logging
    import warnings

    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        yield


def newton_step(logits, y, temperature, rows=50_000):
    """The temperature of least NLL, from one next to it: in plain float64, twice as many digits as were right.

    A step from T shows how far T is off, whoever found it.
    """
    beta, slope, curvature = 1 / temperature, [], []
    for start in range(0, len(y), rows):
        z = np.asarray(logits[start : start + rows], dtype=np.float64)
        z -= z.max(axis=1, keepdims=True)
        p = softmax(beta * z, axis=1)
        mean = (p * z).sum(axis=1)
        slope.append((mean - z[np.arange(len(z)), y[start : start + rows]]).sum())
        curvature.append(((p * z * z).sum(axis=1) - mean * mean).sum())
    return float(1 / (beta - sum(slope) / sum(curvature)))
