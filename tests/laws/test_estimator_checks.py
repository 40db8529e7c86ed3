"""scikit-learn's checks of estimators on bare calibrators: what fails, and why it must."""

import warnings

import pytest
from sklearn.utils.estimator_checks import check_estimator

from calkit.calibrators import available_calibrators, get_calibrator

_COLUMNS = "columns are classes: the check has other numbers of columns than of classes"
_ONE_COLUMN = "a single column is the logit of class 1 of two"

#: Checks that fail, with the reason; every other one has to pass.
EXCUSED = {
    "check_estimators_overwrite_params": _COLUMNS,
    "check_estimators_fit_returns_self": _COLUMNS,
    "check_readonly_memmap_input": _COLUMNS,
    "check_classifiers_classes": _COLUMNS,
    "check_classifiers_train": _COLUMNS,
    "check_classifiers_one_label": "a column without rows is a class all the same, and may be predicted",
    "check_n_features_in_after_fitting": _ONE_COLUMN,
    "check_fit2d_predict1d": _ONE_COLUMN,
    "check_dtype_object": "the error names the row and what it holds, not the words scikit-learn looks for",
    "check_estimators_empty_data_messages": "the error says which shape is needed, in other words",
    "check_estimators_nan_inf": "a logit of -inf is a probability of 0",
}
_UNDETERMINED = "30 columns without a penalty are determined to the tolerance of the objective only"
_TEACHER = "labels stand for the classes of a teacher, which may disagree everywhere"

#: The same for single calibrators.
EXCUSED_BY_NAME = {
    "matrix": {"check_sample_weight_equivalence_on_dense_data": _UNDETERMINED},
    "sms": {"check_sample_weight_equivalence_on_dense_data": "equal to 3e-8, the tolerance of the objective"},
    "dirichlet": {"check_sample_weight_equivalence_on_dense_data": _UNDETERMINED},
    "teacher": {"check_classifiers_one_label_sample_weights": _TEACHER, "check_fit2d_1sample": _TEACHER},
}

# They take many seconds.
_SLOW = ("adaptive-temperature", "auto", "one-vs-rest", "prior", "top-label")

# What calibrators of two classes say to all checks with more columns.
_BINARY = "takes two classes"


def is_excused(name, item):
    error = item["exception"]
    said = f"{error} {error.__context__} {error.__cause__}"
    return item["check_name"] in {**EXCUSED, **EXCUSED_BY_NAME.get(name, {})} or _BINARY in said


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in _SLOW)) for name in available_calibrators()]
)
def test_only_what_is_excused_fails(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(get_calibrator(name), on_fail=None, on_skip=None)
    failed = [item for item in found if item["status"] == "failed"]
    assert [item["check_name"] for item in failed if not is_excused(name, item)] == []
