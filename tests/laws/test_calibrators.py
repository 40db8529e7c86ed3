"""Every registered calibrator under every law, unasked."""

import warnings

import pytest

from calkit.calibrators import CALIBRATORS, available_calibrators
from calkit.errors import CalibrationWarning
from calkit.testing import CALIBRATOR_LAWS, check_calibrator


@pytest.mark.parametrize("law", CALIBRATOR_LAWS)
@pytest.mark.parametrize("name", available_calibrators())
def test_law(name, law):
    calibrator = CALIBRATORS[name]
    if law in calibrator.law_exceptions:
        pytest.skip(calibrator.law_exceptions[law])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        CALIBRATOR_LAWS[law](calibrator)


@pytest.mark.parametrize("name", available_calibrators())
def test_exceptions_are_laws_and_have_reasons(name):
    exceptions = CALIBRATORS[name].law_exceptions
    assert set(exceptions) <= set(CALIBRATOR_LAWS)
    assert all(len(reason) > 20 for reason in exceptions.values())


def test_a_broken_calibrator_is_caught():
    class Broken(CALIBRATORS["temperature"]):
        def _proba(self, logits):
            return super()._proba(logits) * 0.9

    with pytest.raises(AssertionError):
        check_calibrator(Broken)
