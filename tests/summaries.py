"""Comparing summaries field by field."""

from dataclasses import fields, is_dataclass

import numpy as np


def leaves(summary, name=""):
    """(name, array) of every number of a summary."""
    if is_dataclass(summary):
        for field in fields(summary):
            yield from leaves(getattr(summary, field.name), f"{type(summary).__name__}.{field.name}")
    elif isinstance(summary, dict):
        for key, value in summary.items():
            yield from leaves(value, f"{name}[{key!r}]")
    elif summary is not None:
        yield name, np.asarray(summary)


def assert_same_bits(a, b):
    """Two dicts of summaries are equal to the last bit."""
    assert list(a) == list(b)
    for key in a:
        for (name, x), (_, y) in zip(leaves(a[key]), leaves(b[key]), strict=True):
            np.testing.assert_array_equal(x, y, err_msg=name)


def assert_equal_summaries(a, b):
    """Counts are equal, sums to 1e-12."""
    assert list(a) == list(b)
    for key in a:
        for (name, x), (_, y) in zip(leaves(a[key]), leaves(b[key]), strict=True):
            if x.dtype.kind in "biu":
                np.testing.assert_array_equal(x, y, err_msg=name)
            else:
                np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12, err_msg=name)
