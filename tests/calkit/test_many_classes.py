"""More classes than rows, with ties and impossible classes: K = 1,000 and 500 rows."""

import warnings

import numpy as np
import pytest

from calkit.calibrators import get_calibrator
from calkit.errors import CalibrationWarning

K, ROWS = 1000, 500

#: Those that take well below a second here.
QUICK = [
    "histogram",
    "isotonic",
    "centred-isotonic",
    "top-label-histogram",
    "venn-abers",
    "temperature",
    "adaptive-temperature",
    "bcts",
    "class-temperature",
    "ets",
    "focal-map",
    "svs",
    "vector",
    "nbvs",
    "teacher",
    "top-label",
    "identity",
    "auto",
]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(1)
    z = np.round(3 * rng.normal(size=(ROWS, K)))
    y = (z / 1.5 + rng.gumbel(size=z.shape)).argmax(axis=1)
    masked = rng.random(z.shape) < 0.5
    masked[np.arange(ROWS), y] = False
    return np.where(masked, -np.inf, z), y


@pytest.mark.parametrize("name", QUICK)
def test_ties_and_impossible_classes(rows, name):
    z, y = rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        proba = get_calibrator(name).fit(z, y).predict_proba(z)
    assert np.isfinite(proba).all()
    assert proba.min() >= 0
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=0, atol=1e-9)
    if get_calibrator(name).keeps_order:
        # Equal logits stay equal but for rounding, larger ones are not overtaken.
        ranked = np.take_along_axis(proba, z.argsort(axis=1), axis=1)
        assert np.diff(ranked, axis=1).min() >= -1e-15
