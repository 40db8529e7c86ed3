"""Every registered metric under every law, for every target it is defined for, unasked."""

from dataclasses import replace

import pytest

from calkit.metrics import METRICS, available_metrics
from calkit.testing import METRIC_LAWS, check_metric
from calkit.testing.metrics import targets_of

CASES = [(name, target) for name in available_metrics() for target in targets_of(name)]


@pytest.mark.parametrize("law", METRIC_LAWS)
@pytest.mark.parametrize(("name", "target"), CASES)
def test_law(name, target, law):
    exceptions = METRICS[name].law_exceptions
    if law in exceptions:
        pytest.skip(exceptions[law])
    METRIC_LAWS[law](name, target)


@pytest.mark.parametrize(
    "spec", ["ece:binning=quantile", "mce:n_bins=5,binning=quantile", "ece:n_bins=300", "s99:threshold=0.5"]
)
def test_laws_with_parameters(spec):
    check_metric(spec)


@pytest.mark.parametrize("name", available_metrics())
def test_exceptions_are_laws_and_have_reasons(name):
    exceptions = METRICS[name].law_exceptions
    assert set(exceptions) <= set(METRIC_LAWS)
    assert all(len(reason) > 20 for reason in exceptions.values())


def test_a_broken_metric_is_caught(monkeypatch):
    definition = METRICS["ece"]

    def drops_the_first_bin(*arguments, **parameters):
        recipe = definition.declared(*arguments, **parameters)
        return replace(recipe, finish=lambda bins: recipe.finish(bins) + 1e-6 * bins.count.max())

    monkeypatch.setitem(METRICS._items, "ece", replace(definition, declared=drops_the_first_bin))
    with pytest.raises(AssertionError):
        check_metric("ece")
