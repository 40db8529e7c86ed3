"""Every example of every public docstring runs and prints what it says."""

import doctest
import importlib
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
