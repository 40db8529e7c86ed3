"""inverse_transform: logits that a fitted map turns into given probabilities."""

import numpy as np
import pytest
from scipy.special import log_softmax

from calkit.calibrators import get_calibrator
from calkit.errors import InputError

MANY = ("temperature", "vector", "nbvs", "bcts", "svs", "sms", "matrix", "dirichlet")
TWO = ("affine", "platt", "beta")


def drawn(k, n=500):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, k)) * 2
    return z, (0.6 * z + np.arange(k) / 5 - np.log(-np.log(rng.random((n, k))))).argmax(axis=1)


@pytest.mark.parametrize(("name", "k"), [*((name, k) for name in MANY for k in (2, 4)), *((name, 2) for name in TWO)])
def test_there_and_back(name, k):
    z, y = drawn(k)
    calibrator = get_calibrator(name).fit(z, y)
    back = calibrator.inverse_transform(calibrator.transform(z))
    np.testing.assert_allclose(log_softmax(back, axis=1), log_softmax(z, axis=1), atol=1e-8)
    again = calibrator.transform(calibrator.inverse_transform(z[:9] / 9))
    np.testing.assert_allclose(again, log_softmax(z[:9] / 9, axis=1), atol=1e-8)


def test_what_the_map_never_gives():
    z, y = drawn(4)
    calibrator = get_calibrator("sms").fit(z, y)
    with pytest.raises(InputError, match="gives to no row: it mixes"):
        calibrator.inverse_transform([[0.0, 0.0, 0.0, -40.0]])
    with pytest.raises(InputError, match="X holds -inf"):
        calibrator.inverse_transform([[0.0, 0.0, 0.0, -np.inf]])


def test_a_map_that_is_not_one_to_one():
    falling = get_calibrator("affine").fit([-1.0, 1.0, -2.0, 2.0, 0.5], [1, 0, 1, 1, 0])
    assert falling.coef_[1] < 0
    with pytest.raises(InputError, match="not one to one"):
        falling.inverse_transform([0.3])
    assert not hasattr(get_calibrator("quadratic"), "inverse_transform")
