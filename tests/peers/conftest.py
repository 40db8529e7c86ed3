"""Cross-checks with other libraries, in an environment of their own: see ``.ci/peers``."""

import importlib
import os
import warnings

import pytest


@pytest.fixture
def peer():
    """Import another library; skip where it is not installed."""

    def load(name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return importlib.import_module(name)
            except ImportError as error:
                if os.environ.get("CALKIT_PEERS"):
                    pytest.fail(f"{name} must be there for the cross-checks: {error}")
                pytest.skip(f"{name} is not installed; .ci/peers makes an environment that has it")

    return load
