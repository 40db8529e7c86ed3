"""The equations that fitted calibrators give of themselves, worked out by what they say and nothing else."""

import re

import numpy as np
import pytest
from numpy import exp, log
from numpy.testing import assert_allclose
from scipy.special import expit, log_softmax, softmax

from calkit.calibrators import get_calibrator
from calkit.calibrators.description import Description
from tests.parametric_oracles import binary_data, data

# They give four digits.
CLOSE = {"rtol": 0, "atol": 3e-3}


def worked(text, **names):
    """The value of a formula as people write it: 2 s is a product, ^ a power."""
    for written, meant in {"^": "**", "s²": "s**2", "Σ exp(x) x": "mean", "log q": "log(q)", "log p": "log(p)"}.items():
        text = text.replace(written, meant)
    text = re.sub(r"(?<=[\dqz)]) (?=[a-z(])", " * ", text)
    return eval(text, {"exp": exp, "log": log, **names})


def parts(equation):
    """The definitions in the equation, by what they define."""
    return dict(part.split(" = ", 1) for part in re.split(r", (?=\S+ = )", equation.replace("∝", "=")))


@pytest.mark.parametrize("name", ["affine", "platt", "quadratic", "beta"])
def test_of_two_classes(name):
    s, y = binary_data()
    calibrator = get_calibrator(name).fit(s, y)
    found = worked(parts(calibrator.describe().equation)["p'"], s=s, p=expit(s))
    assert_allclose(found, calibrator.predict_proba(s)[:, 1], **CLOSE)


@pytest.mark.parametrize("name", ["temperature", "ets:objective=mse", "focal-map:gamma=2.5"])
def test_of_one_temperature(name):
    z, y = data()
    calibrator = get_calibrator(name).fit(z, y)
    told = parts(calibrator.describe().equation)

    def shares(u):
        return softmax(u, axis=1)

    q = worked(told["q"], softmax=shares, z=z) if "q" in told else None
    p = worked(told["p"], softmax=shares, z=z, q=q)
    assert_allclose(p / p.sum(axis=1, keepdims=True), calibrator.predict_proba(z), **CLOSE)


def test_of_a_temperature_for_each_row():
    z, y = data(n=2000)
    calibrator = get_calibrator("adaptive-temperature").fit(z, y)
    told = parts(calibrator.describe().equation)
    x = log_softmax(z / float(re.search(r"z / ([\d.]+)", told["x"]).group(1)), axis=1)
    ranked = np.sort(x, axis=1)[:, ::-1]
    w = worked(told["w"], x=lambda place: ranked[:, place - 1], mean=(exp(x) * x).sum(axis=1))
    assert_allclose(softmax(w[:, None] * x, axis=1), calibrator.predict_proba(z), **CLOSE)


def test_of_a_temperature_for_each_predicted_class():
    z, y = data()
    names = np.array(["ant", "bee", "cow", "dog", "eel"])
    calibrator = get_calibrator("class-temperature").fit(z, names[y])
    told = parts(calibrator.describe().equation)
    t = np.array([float(told[f"T({name})"]) for name in names])
    assert_allclose(softmax(z / t[z.argmax(axis=1)][:, None], axis=1), calibrator.predict_proba(z), **CLOSE)
    many = get_calibrator("class-temperature").fit(*data(n=300, k=12)).describe().equation
    assert "T from " in many
    assert ", median " in many


def test_reports_read_them_where_the_values_do_not_say_as_much():
    z, y = data()
    assert get_calibrator("ets").fit(z, y).describe().sentences[0].startswith("The map is p = ")
    told = get_calibrator("temperature").fit(z, y).describe()
    assert told.equation
    assert told.sentences == told.notes
    assert Description("nothing").sentences == ()
