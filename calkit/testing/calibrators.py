"""Laws that every calibrator obeys, registered or not."""

from __future__ import annotations

import copy
import json
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators import Calibrator, load_calibrator, save_calibrator
from calkit.errors import CalibrationWarning, InputError
from calkit.evaluation import evaluate
from calkit.io import save_predictions
from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.testing.laws import law_of

__all__ = ["CALIBRATOR_LAWS", "check_calibrator"]

Make = Callable[[], Calibrator]
Law = Callable[[Make], None]

#: Laws by name; each takes a function that makes the unfitted calibrator, and raises AssertionError.
CALIBRATOR_LAWS: dict[str, Law] = {}
_law = law_of(CALIBRATOR_LAWS)

# Solvers stop at a tolerance; probabilities agree to this.
_CLOSE = 1e-6


def check_calibrator(make: Make) -> None:
    """Check a calibrator against every law its attributes do not except.

    Parameters
    ----------
    make : callable
        Takes nothing, returns the calibrator, not yet fitted; a class whose parameters have defaults serves.

    Raises
    ------
    AssertionError
        For the first law that is broken.

    Examples
    --------
    >>> from calkit import TemperatureScaling
    >>> from calkit.testing import check_calibrator
    >>> check_calibrator(TemperatureScaling)  # doctest: +SKIP
    """
    excepted = make().law_exceptions
    for name, law in CALIBRATOR_LAWS.items():
        if name not in excepted:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CalibrationWarning)
                law(make)


def _data(make: Make, n: int = 300, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return over-confident logits with labels drawn from the probabilities at twice their temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 2 if make().binary_only else 4)) * 3
    gumbel = -np.log(-np.log(rng.random(logits.shape)))
    return logits, np.asarray((logits / 2 + gumbel).argmax(axis=1))


def _fitted(make: Make, *arguments: Any) -> Calibrator:
    return make().fit(*arguments)


def _equal(a: Any, b: Any, tolerance: float = _CLOSE) -> None:
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@_law
def rows_sum_to_one(make: Make) -> None:
    """Probabilities lie in [0, 1] and sum to 1; log-probabilities are their logarithms."""
    X, y = _data(make)
    calibrator = _fitted(make, X, y)
    probs, logs = calibrator.predict_proba(X), calibrator.predict_log_proba(X)
    assert probs.shape == X.shape and (probs >= 0).all() and (probs <= 1 + 1e-12).all()
    _equal(probs.sum(axis=1), 1, 1e-9)
    _equal(np.exp(logs), probs, 1e-12)
    assert (calibrator.predict(X) == calibrator.classes_[probs.argmax(axis=1)]).mean() > 0.99


@_law
def order_is_kept(make: Make) -> None:
    """Where `keeps_order` says so, no class of a row overtakes another."""
    X, y = _data(make)
    if make().keeps_order:
        probs = _fitted(make, X, y).predict_proba(X)
        ranked = np.take_along_axis(probs, X.argsort(axis=1), axis=1)
        assert (np.diff(ranked, axis=1) >= 0).all()


@_law
def classes_are_alike(make: Make) -> None:
    """Permuting the columns permutes the probabilities."""
    X, y = _data(make)
    order = np.arange(X.shape[1])[::-1].copy()
    straight = _fitted(make, X, y).predict_proba(X)
    turned = _fitted(make, X[:, order], np.argsort(order)[y]).predict_proba(X[:, order])
    _equal(turned, straight[:, order])


@_law
def rows_are_alike(make: Make) -> None:
    """The order of the rows does not matter."""
    X, y = _data(make)
    _equal(_fitted(make, X[::-1], y[::-1]).predict_proba(X), _fitted(make, X, y).predict_proba(X))


@_law
def constants_do_not_matter(make: Make) -> None:
    """Adding a number to all logits of a row changes nothing."""
    X, y = _data(make)
    shifted = X + np.arange(len(X))[:, None] % 7
    _equal(_fitted(make, shifted, y).predict_proba(shifted), _fitted(make, X, y).predict_proba(X))


@_law
def weights_are_repeats(make: Make) -> None:
    """An integer weight is as good as repeated rows, and 0 as no row."""
    X, y = _data(make, 120)
    weight = np.arange(len(X)) % 3
    if "weights" in make().supports:
        repeated = _fitted(make, np.repeat(X, weight, axis=0), np.repeat(y, weight))
        _equal(_fitted(make, X, y, weight).predict_proba(X), repeated.predict_proba(X))
    else:
        _refused(lambda: make().fit(X, y, weight))


@_law
def weights_may_be_uneven(make: Make) -> None:
    """Weights over 20 decades give probabilities, the same in any order of the rows."""
    X, y = _data(make, 120)
    if "weights" in make().supports:
        weight = 10.0 ** np.random.default_rng(2).uniform(-16, 4, len(X))
        probs = _fitted(make, X, y, weight).predict_proba(X)
        _equal(probs.sum(axis=1), 1, 1e-9)
        _equal(_fitted(make, X[::-1], y[::-1], weight[::-1]).predict_proba(X), probs)


@_law
def absent_classes_are_no_trouble(make: Make) -> None:
    """A class without rows leaves all defined."""
    X, y = _data(make)
    few = y != X.shape[1] - 1
    probs = _fitted(make, X[few], y[few]).predict_proba(X)
    assert np.isfinite(probs).all()
    _equal(probs.sum(axis=1), 1, 1e-9)


@_law
def two_classes_have_two_spellings(make: Make) -> None:
    """One column, the logit of class 1, is the same as two."""
    X, y = _data(make)
    single, labels = X[:, 1] - X[:, 0], (y == 1).astype(int)
    double = np.stack([np.zeros_like(single), single], axis=1)
    one, two = _fitted(make, single, labels), _fitted(make, double, labels)
    np.testing.assert_array_equal(one.predict_proba(single), two.predict_proba(double))
    np.testing.assert_array_equal(one.predict_proba(single[:, None]), two.predict_proba(single))


@_law
def precision_is_kept(make: Make) -> None:
    """float32 logits give float32 probabilities, near those of float64."""
    X, y = _data(make)
    calibrator = _fitted(make, X, y)
    single = calibrator.predict_proba(X.astype(np.float32))
    assert single.dtype == np.float32
    assert calibrator.predict_log_proba(X.astype(np.float32)).dtype == np.float32
    # A step function may put a few rows on the other side of an edge.
    far = np.abs(single - calibrator.predict_proba(X)).max(axis=1) > 1e-4
    assert far.mean() <= 0.02


@_law
def files_return_it_to_the_bit(make: Make) -> None:
    """Saving and loading changes no bit and no type, in memory neither."""
    X, y = _data(make)
    names = np.array(["ant", "bee", "cow", "dog"])[: X.shape[1]]
    calibrator = _fitted(make, X, names[y])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calibrator.json"
        save_calibrator(calibrator, path)
        again = load_calibrator(path)
    assert type(again) is type(calibrator) and again.fingerprint() == calibrator.fingerprint()
    for other in (again, copy.deepcopy(calibrator)):
        np.testing.assert_array_equal(other.predict_proba(X), calibrator.predict_proba(X), strict=True)
        np.testing.assert_array_equal(other.predict(X), calibrator.predict(X), strict=True)


@_law
def fits_forget(make: Make) -> None:
    """A second fit leaves nothing of the first; the same fit again changes no bit."""
    X, y = _data(make)
    other, labels = _data(make, 150, seed=1)
    once = _fitted(make, X, y)
    np.testing.assert_array_equal(_fitted(make, other, labels).fit(X, y).predict_proba(X), once.predict_proba(X))


@_law
def shards_are_memory(make: Make) -> None:
    """Files worked on one at a time give the calibrator of all rows in memory."""
    X, y = _data(make)
    everything = Predictions(X, y, kind="logits")
    with tempfile.TemporaryDirectory() as folder:
        for part in range(3):
            save_predictions(everything.take(slice(part, None, 3)), Path(folder) / f"part-{part}.npz")
        shards = Shards(f"{folder}/part-*.npz")
        if "shards" not in make().supports:
            _refused(lambda: make().fit_predictions(shards))
            return
        fitted = make().fit_predictions(shards)
        _equal(fitted.predict_proba(X), make().fit_predictions(everything).predict_proba(X))
        assert np.isfinite(evaluate(fitted.apply(shards), ["brier"])["brier"])


@_law
def impossible_classes_are_allowed(make: Make) -> None:
    """A logit of -inf, a probability of 0, can be fitted, mapped and evaluated."""
    X, y = _data(make)
    masked = X.copy()
    masked[np.arange(0, len(X), 5), (y[::5] + 1) % X.shape[1]] = -np.inf
    calibrator = _fitted(make, masked, y)
    probs = calibrator.predict_proba(masked)
    assert np.isfinite(probs).all()
    _equal(probs.sum(axis=1), 1, 1e-9)


@_law
def results_can_be_evaluated(make: Make) -> None:
    """Calibrated predictions have a Brier score and an ECE, whatever probabilities are 0, and keep their columns."""
    X, y = _data(make)
    for predictions in (Predictions(X, y, kind="logits"), Predictions(X[:, 1], y == 1, kind="logits")):
        calibrator = make().fit_predictions(predictions)
        for kind in ("logits", "probs"):
            found = evaluate(calibrator.apply(predictions, kind=kind), ["brier", "ece"])
            assert np.isfinite(list(found.values())).all()


@_law
def pairs_are_mapped(make: Make) -> None:
    """(confidence, correct) pairs are calibrated where that is supported, and refused where not."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 300)
    pairs = Predictions.from_confidence(confidence, rng.random(300) < confidence**2)
    if "pairs" not in make().supports:
        _refused(lambda: make().fit_predictions(pairs))
        return
    after = make().fit_predictions(pairs).apply(pairs)
    assert after.kind == "confidence" and np.isfinite(evaluate(after, ["ece"])["ece"])


@_law
def parameters_are_scikit_learns(make: Make) -> None:
    """`clone` gives an equal, unfitted calibrator; fitting leaves the parameters alone."""
    from sklearn.base import clone

    X, y = _data(make)
    calibrator = make()
    before = repr(calibrator.get_params())
    twin = clone(calibrator.fit(X, y))
    assert repr(calibrator.get_params()) == before == repr(twin.get_params())
    assert not hasattr(twin, "classes_")


@_law
def columns_have_names(make: Make) -> None:
    """A frame's columns are remembered, and others, or the same in another order, are refused."""
    try:
        import pandas as pd  # type: ignore[import-untyped]
    except ImportError:
        return
    X, y = _data(make)
    frame = pd.DataFrame(X, columns=[f"logit_{k}" for k in range(X.shape[1])])
    calibrator = _fitted(make, frame, y)
    assert list(calibrator.feature_names_in_) == list(frame.columns)
    assert list(calibrator.get_feature_names_out()) == list(frame.columns)
    # Sums may run in another order, since a frame lies in memory column by column.
    _equal(calibrator.predict_proba(frame), _fitted(make, X, y).predict_proba(X), 1e-9)
    _refused(lambda: calibrator.predict_proba(frame[frame.columns[::-1]]), ValueError)
    assert list(calibrator.set_output(transform="pandas").transform(frame).columns) == list(frame.columns)


@_law
def impossible_logits_are_refused(make: Make) -> None:
    """NaN, +inf and rows without a possible class are one clear error, in fitting and mapping."""
    X, y = _data(make)
    calibrator = _fitted(make, X, y)
    for value in (np.nan, np.inf):
        wrong = X.copy()
        wrong[3, 1] = value
        _refused(partial(make().fit, wrong, y))
        _refused(partial(calibrator.predict_proba, wrong))


@_law
def extreme_data_are_defined_or_refused(make: Make) -> None:
    """One class, equal logits, one row, ties, perfect and hopeless scores, logits of any size: defined, or an error."""
    X, y = _data(make, 40)
    truth = np.eye(X.shape[1])[y]
    extremes = {
        "one class": (X, np.zeros_like(y)),
        "equal logits": (np.zeros_like(X), y),
        "equal rows": (np.tile(X[:1], (len(X), 1)), y),
        "one row": (X[:1], y[:1]),
        "ties": (X.round(), y),
        "perfect": (50 * truth + X / 100, y),
        "certain": (np.where(truth > 0, 0.0, -np.inf), y),
        "hopeless": (X / 100 - 50 * truth, y),
        "large": (X * 1e30, y),
        "largest": (X * 1e300, y),
        "small": (X * 1e-30, y),
        "smallest": (X * 1e-300, y),
    }
    for what, (logits, labels) in extremes.items():
        try:
            calibrator = _fitted(make, logits, labels)
        except InputError:
            continue
        for rows in (logits, X, X * 1e6):
            probs, logs = calibrator.predict_proba(rows), calibrator.predict_log_proba(rows)
            assert np.isfinite(probs).all() and not np.isnan(logs).any(), what
            np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=0, atol=1e-9, err_msg=what)
            np.testing.assert_allclose(np.exp(logs), probs, rtol=0, atol=1e-9, err_msg=what)
        assert calibrator.describe().title


@_law
def it_describes_itself(make: Make) -> None:
    """`describe` returns plain data."""
    X, y = _data(make)
    told = _fitted(make, X, y).describe()
    assert told.title and isinstance(told.text(), str)
    json.dumps(told.to_dict(), allow_nan=False)


def _refused(action: Callable[[], Any], error: type[Exception] = InputError) -> None:
    try:
        action()
    except error:
        return
    raise AssertionError(f"no {error.__name__} was raised")
