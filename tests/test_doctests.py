"""Every example of every public docstring runs and prints what it says."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import calkit
import calkit_torch


def modules(package):
    yield package.__name__
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not info.name.endswith("__main__"):
            yield info.name


@pytest.mark.parametrize("name", [*modules(calkit), *modules(calkit_torch)])
def test_examples(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0


@pytest.mark.parametrize("name", [name for name in modules(calkit) if name.startswith("calkit.metrics.")])
def test_examples_of_declared_metrics(name):
    # doctest passes over functions that were made by a decorator of another module.
    module = importlib.import_module(name)
    found = [f for f in vars(module).values() if hasattr(f, "__wrapped__") and f.__module__ == name]
    declared = [f for f in found if "y_true" in inspect.signature(f).parameters]
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for function in declared:
        examples = doctest.DocTestFinder().find(function, function.__name__, module=False, globs={})
        assert any(test.examples for test in examples), f"{function.__name__} has no example"
        for test in examples:
            assert runner.run(test).failed == 0
