"""Rows at the edge of what logits can be: -inf, ties, huge numbers, other precisions; fits to such."""

import json
import warnings

import numpy as np
import pytest

from calkit import load_calibrator, save_calibrator
from calkit.calibrators import get_calibrator
from calkit.calibrators.binning.lookup import Tables
from calkit.calibrators.binning.table_export import TABLE_FORMATS, table_proba
from calkit.errors import CalibrationWarning, CalkitError, FileFormatError


def edge_rows(k, dtype):
    rng = np.random.default_rng(5)
    rows = np.concatenate([rng.normal(size=(5, k)) * scale for scale in (0, 1e-6, 1, 30, 1e4)])
    tied, masked, certain = np.round(rows), rows.copy(), np.full_like(rows, -np.inf)
    tied[:, -1] = tied.max(axis=1)
    masked[:, 0] = -np.inf
    certain[np.arange(len(rows)), rng.integers(k, size=len(rows))] = 1.0
    return np.concatenate([rows, tied, masked, certain]).astype(dtype)


def labelled(k, scale=2.0):
    rng = np.random.default_rng(k)
    z = scale * rng.normal(size=(300, k))
    return z, (0.6 * z + rng.gumbel(size=z.shape)).argmax(axis=1)


def fitted(name, k, **kwargs):
    with warnings.catch_warnings():
        # Data that can be separated, and absent classes, are warned of.
        warnings.simplefilter("ignore", CalibrationWarning)
        return get_calibrator(name).fit(*labelled(k, **kwargs))


@pytest.mark.parametrize("name", ["histogram", "isotonic", "centred-isotonic", "bbq", "cdf-spline"])
@pytest.mark.parametrize("k", [2, 30])
@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_tables_are_the_calibrator_on_edge_rows_or_refused(name, k, suffix, tmp_path):
    for scale in (2.0, 2e4):
        path = tmp_path / f"table_{scale}{suffix}"
        calibrator = fitted(name, k, scale=scale)
        try:
            calibrator.export_table(path)
        except CalkitError:
            assert not path.exists()
            continue
        document = TABLE_FORMATS[suffix][1](path)
        for dtype in (np.float16, np.float32, np.float64):
            rows = edge_rows(k, dtype).astype(np.float64)
            np.testing.assert_allclose(table_proba(document, rows), calibrator.predict_proba(rows), atol=1e-9)
            one = calibrator.predict_proba(rows[:1])
            np.testing.assert_allclose(table_proba(document, rows[:1]), one, atol=1e-9)


@pytest.mark.parametrize("name", ["bcts", "vector", "prior", "cdf-spline", "isotonic", "focal-map", "scaling-binning"])
@pytest.mark.parametrize("k", [2, 100])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_edge_rows_have_probabilities(name, k, dtype):
    p = fitted(name, k, scale=2e4).predict_proba(edge_rows(k, dtype))
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert (p[np.isneginf(edge_rows(k, dtype))] == 0).all()


def test_an_impossible_class_stays_so_where_the_scale_is_negative():
    z, y = labelled(3)
    calibrator = get_calibrator("bcts").fit(-z, y)
    assert calibrator.scale_ < 0
    # Without the first class, p of the others is the softmax of scale z + b.
    u = calibrator.scale_ * np.array([1.0, 0.0]) + calibrator.bias_[1:]
    expected = np.append(0, np.exp(u) / np.exp(u).sum())
    np.testing.assert_allclose(calibrator.predict_proba([[-np.inf, 1.0, 0.0]])[0], expected, atol=1e-12)


def test_a_row_whose_classes_have_frequency_0_keeps_its_probabilities():
    calibrator = get_calibrator("prior")
    calibrator.set_params(source_prior=[0.4, 0.3, 0.3], target_prior=[1.0, 0.0, 0.0]).fit(np.zeros((2, 3)))
    logits = np.array([[-np.inf, np.log(3.0), 0.0], [0.0, 0.0, 0.0]])
    expected = [[0, 0.75, 0.25], [1, 0, 0]]
    np.testing.assert_allclose(calibrator.predict_proba(logits), expected, atol=1e-12)
    np.testing.assert_allclose(np.exp(calibrator.transform(logits)), expected, atol=1e-12)


def test_points_of_a_table_so_near_that_the_slope_overflows():
    keys = np.array([0.0, 2e-314, 0.5, 1.0])
    tables = Tables.of([(keys, np.array([0.0, 0.5, 0.6, 1.0]))], is_step=False)
    np.testing.assert_allclose(tables.look_up(0, np.array([0.0, 1e-314, 2e-314, 1.0])), [0, 0.25, 0.5, 1], atol=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.5, 3.0, 8.0, 9.0])
def test_the_focal_map_of_whole_and_other_exponents_is_its_formula(gamma):
    z, y = labelled(4)
    calibrator = get_calibrator("focal-map").set_params(gamma=gamma).fit(z, y)
    q = np.exp(z / calibrator.temperature_)
    q /= q.sum(axis=1, keepdims=True)
    # Komisarenko & Kull 2024, the map in the docstring of the class.
    p = q / ((1 - q) ** gamma - gamma * q * (1 - q) ** (gamma - 1) * np.log(q))
    np.testing.assert_allclose(calibrator.predict_proba(z), p / p.sum(axis=1, keepdims=True), rtol=1e-9)


@pytest.mark.parametrize("change", [
    {"version": 3}, {"version": True}, {"version": "2"}, {"version": None}, {"format": "other"}, {"calibrator": "none"},
    {"parameters": {"guard": 0.75, "newer": 1}}, {"state": {}}, {"classes": [0, 1]},
])  # fmt: skip
def test_foreign_newer_and_damaged_files_of_auto_are_refused(change, tmp_path):
    path = tmp_path / "auto.json"
    save_calibrator(fitted("auto", 3), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FileFormatError, match=r"auto\.json"):
        load_calibrator(path)


@pytest.mark.parametrize(("name", "value"), [
    ("kept_", 1), ("uniform_share_", 1.0), ("inverse_temperature_", 0.0), ("coef_", np.zeros((5, 3))),
])  # fmt: skip
def test_an_impossible_state_of_auto_is_refused_though_the_fingerprint_is_right(name, value, tmp_path):
    calibrator = fitted("auto", 3)
    setattr(calibrator, name, value)
    save_calibrator(calibrator, tmp_path / "auto.json")
    with pytest.raises(FileFormatError, match="damaged"):
        load_calibrator(tmp_path / "auto.json")


def test_many_pairs_of_venn_abers_are_warned_of(monkeypatch):
    from calkit.calibrators.binning import venn_abers_pairs

    monkeypatch.setattr(venn_abers_pairs, "_MANY_PAIRS", 5)
    with pytest.warns(CalibrationWarning, match="4 classes have 6 pairs.*Use venn-abers"):
        get_calibrator("venn-abers-one-vs-one").fit(*labelled(4))
