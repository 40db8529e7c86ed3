"""Tables of binning and monotone maps for other programs."""

import csv
import json

import numpy as np
import pytest

from calkit.calibrators import get_calibrator
from calkit.calibrators.binning import table_export
from calkit.cli.app import run
from calkit.errors import CalkitError, UsageError

NAMES = ("isotonic", "centred-isotonic", "near-isotonic", "histogram", "bbq", "scaling-binning", "cdf-spline", "spline")


def drawn(k, n=300):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, k)) * 2
    return z, (0.6 * z - np.log(-np.log(rng.random((n, k))))).argmax(axis=1)


@pytest.mark.parametrize("name", [*NAMES, "isotonic:mix=none", "histogram:mix=probmetrics"])
@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_every_table_is_that_of_its_calibrator(name, k, suffix, tmp_path):
    # The comparison is made before a file gets its name; here it is made again, on other rows.
    z, y = drawn(k)
    calibrator = get_calibrator(name).fit(z, y)
    path = tmp_path / f"map{suffix}"
    calibrator.export_table(path)
    document = table_export.TABLE_FORMATS[suffix][1](path)
    np.testing.assert_allclose(table_export.table_proba(document, z[:50] / 3), calibrator.predict_proba(z[:50] / 3))


def test_steps_by_hand(tmp_path):
    # Plain Python on the lines of the CSV: the first step whose upper end is at least the probability.
    z, y = drawn(2)
    calibrator = get_calibrator("histogram:n_bins=5,mix=none").fit(z, y)
    calibrator.export_table(tmp_path / "map.csv")
    with (tmp_path / "map.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["shape"] for row in rows} == {"step"}
    p = 1 / (1 + np.exp(-0.7))
    value = next(float(row["value"]) for row in rows if float(row["probability"]) >= p)
    assert calibrator.predict_proba([0.7])[0, 1] == pytest.approx(value)


def test_names_of_classes(tmp_path):
    z, y = drawn(3)
    get_calibrator("isotonic").fit(z, np.array(["ant", "bee", "cow"])[y]).export_table(tmp_path / "map.json")
    document = json.loads((tmp_path / "map.json").read_text())
    assert [table["class"] for table in document["tables"]] == document["classes"] == ["ant", "bee", "cow"]


def test_a_difference_is_refused(tmp_path, monkeypatch):
    z, y = drawn(2)
    calibrator = get_calibrator("isotonic").fit(z, y)
    proba = table_export.table_proba
    monkeypatch.setattr(table_export, "table_proba", lambda document, z: proba(document, z + np.array([0, 0.1])))
    with pytest.raises(CalkitError, match="other probabilities than the calibrator"):
        calibrator.export_table(tmp_path / "map.csv")
    assert list(tmp_path.iterdir()) == []


def test_suffix(tmp_path):
    calibrator = get_calibrator("isotonic").fit(*drawn(2))
    with pytest.raises(UsageError, match=r"must end in \.json or \.csv"):
        calibrator.export_table(tmp_path / "map.xlsx")


def test_on_the_command_line(tmp_path, capsys):
    get_calibrator("isotonic").fit(*drawn(2)).save(tmp_path / "cal.json")
    get_calibrator("svs").fit(*drawn(2)).save(tmp_path / "svs.json")
    target = tmp_path / "map.csv"
    assert run(["show", str(tmp_path / "cal.json"), "--save-table", str(target)]) == 0
    assert target.read_text().startswith("class,shape,probability,value,uniform_share\n1,line,")
    capsys.readouterr()
    assert run(["show", str(tmp_path / "svs.json"), "--save-table", str(tmp_path / "b.csv")]) == 2
    assert "svs is not a table" in capsys.readouterr().err
    assert run(["show", str(target), "--save-table", str(tmp_path / "b.csv")]) == 2
    assert "is not a calibrator" in capsys.readouterr().err
