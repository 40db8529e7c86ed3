"""Calibrator files: what damaged, foreign and newer ones lead to, and files of earlier releases."""

import copy
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import calkit
from calkit.calibrators import (
    CALIBRATORS,
    Calibrator,
    MatrixScaling,
    OneVsRest,
    TemperatureScaling,
    available_calibrators,
    load_calibrator,
    register_calibrator,
    save_calibrator,
)
from calkit.calibrators.state import decode, encode
from calkit.errors import FileFormatError, InputError

GOLDEN = Path(__file__).parents[1] / "golden"


def no_array(name):
    raise KeyError(name)


def no_calibrator(document):
    raise ValueError("none")


VALUES = [
    None,
    True,
    3,
    -2.5,
    float("inf"),
    -float("inf"),
    "text",
    [1, [2.0, "x"]],
    (1, 2.0),
    {"a": 1, "b": [None]},
    np.float32(0.1),
    np.int64(-(2**62)),
    np.arange(6, dtype=np.int8).reshape(2, 3),
    np.array([0.1, -np.inf, np.inf, 5e-324]),
    np.array([0.1, 1 / 3], dtype=np.float32),
    np.array([True, False]),
    np.array(["ant", "élan"]),
    np.array(["a", 1, 2.5], dtype=object),
    np.empty((0, 3)),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_return_as_they_were(value):
    plain = json.loads(json.dumps(encode(value), allow_nan=False))
    found = decode(plain, no_array, no_calibrator)
    assert type(found) is type(value)
    if isinstance(value, np.ndarray | np.generic):
        np.testing.assert_array_equal(found, value, strict=True)
    else:
        assert found == value


@pytest.mark.parametrize(
    "value",
    [float("nan"), np.array([1.0, np.nan]), [np.nan], {1: 2}, np.array([1j]), object(), np.array([{}, 1], object)],
)
def test_other_values_cannot_be_stored(value):
    with pytest.raises(ValueError, match="not a number|cannot be stored|NaN|must have strings|something else"):
        encode(value)


def fitted(seed=0, **parameters):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(60, 3)) * 3
    y = (logits / 2 - np.log(-np.log(rng.random((60, 3))))).argmax(axis=1)
    return TemperatureScaling(**parameters).fit(logits, y)


@pytest.fixture
def document(tmp_path):
    fitted().save(tmp_path / "cal.json")
    return json.loads((tmp_path / "cal.json").read_text())


def write(path, document):
    path.write_text(json.dumps(document))
    return path


DAMAGE = {
    "calibrator": 5,
    "no such calibrator": {"calibrator": "temprature"},
    "parameters": {"parameters": [1]},
    "unknown parameter": {"parameters": {"objective": "nll", "grid": None, "prior": None, "goal": 1}},
    "classes": {"classes": "three"},
    "too few classes": {"classes": {"dtype": "int64", "shape": [1], "values": [0]}},
    "missing state": {"state": {}},
    "state is a list": {"state": [1, 2]},
    "a string for a number": {"state": {"temperature_": "hot"}},
    "negative": {"state": {"temperature_": -1.0}},
    "changed by a hair": {"state": {"temperature_": 1.5000001}},
    "another dtype": {"state": {"temperature_": {"dtype": "object", "shape": [1], "values": [{}]}}},
    "an unknown object": {"state": {"temperature_": {"module": "os", "call": "system"}}},
    "an array elsewhere": {"state": {"temperature_": {"dtype": "float64", "shape": [1], "array": "array_0"}}},
    "a fingerprint": {"fingerprint": "0" * 64},
    "no fingerprint": {"fingerprint": None},
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_damaged_files_are_one_clear_error(tmp_path, document, change):
    if change == 5:
        change = {"calibrator": 5}
    for key, value in change.items():
        both_are_objects = isinstance(value, dict) and isinstance(document[key], dict) and key == "state" and value
        document[key] = {**document[key], **value} if both_are_objects else value
    with pytest.raises(FileFormatError, match="is a damaged calibrator: .*; fit it again"):
        load_calibrator(write(tmp_path / "cal.json", document))


TEXTS = {
    "100,000 brackets": ("[" * 100_000, "nested too deeply|not JSON"),
    "a temperature of 10^400": ('{"temperature_": 1' + "0" * 400 + "}", "an integer is too large"),
    "a temperature of 1e400": ('{"temperature_": 1e400}', "a value is inf"),
    "NaN": ('{"temperature_": NaN}', "a value is nan"),
    "NaN inside a list": ('{"temperature_": [1.0, NaN]}', "a value is nan"),
    "NaN inside an array": (
        '{"temperature_": {"dtype": "float64", "shape": [2], "values": [1.0, NaN]}}',
        "no float64|holds NaN",
    ),
    "a number with 5,000 digits": ('{"temperature_": ' + "1" * 5000 + "}", "not JSON"),
    "deep inside": ('{"temperature_": ' + "[" * 900 + "]" * 900 + "}", "damaged|nested"),
}


@pytest.mark.parametrize(("text", "message"), TEXTS.values(), ids=TEXTS)
def test_hostile_texts(tmp_path, document, text, message):
    path = tmp_path / "cal.json"
    if text.startswith("{"):
        state = json.dumps({**document["state"], "temperature_": "HERE"})
        value = text.removeprefix('{"temperature_": ').removesuffix("}")
        text = json.dumps({**document, "state": "STATE"}).replace('"STATE"', state.replace('"HERE"', value))
    path.write_text(text)
    with pytest.raises(FileFormatError, match=message):
        load_calibrator(path)


def test_newer_and_foreign_files(tmp_path, document):
    with pytest.raises(FileFormatError, match=r"version 3 of the calibrator format.*or update calkit"):
        load_calibrator(write(tmp_path / "cal.json", {**document, "version": 3}))
    with pytest.raises(FileFormatError, match="is not a calibrator: write one"):
        load_calibrator(write(tmp_path / "cal.json", {"format": "another"}))
    with pytest.raises(FileFormatError, match="not JSON.*copy the whole file, or fit it again"):
        (tmp_path / "cal.json").write_bytes(b"\xff\xfe\x00")
        load_calibrator(tmp_path / "cal.json")


def test_files_of_version_1_are_read(tmp_path):
    # As calkit 0.1.0 before this format wrote it.
    old = {
        "format": "calkit-calibrator",
        "version": 1,
        "calkit": "0.1.0",
        "calibrator": "temperature",
        "parameters": {"objective": "ece", "grid": [1.0, 2.0]},
        "classes": ["ant", "bee"],
        "state": {"temperature_": 2.0, "inverse_temperature_": 0.5, "objective_value_": 0.1, "n_evaluations_": 2},
    }
    found = load_calibrator(write(tmp_path / "cal.json", old))
    assert (found.temperature_, found.classes_.tolist(), found.grid) == (2.0, ["ant", "bee"], [1.0, 2.0])


def test_large_arrays_are_beside_the_document(tmp_path):
    k = 150
    rng = np.random.default_rng(0)
    calibrator = MatrixScaling.__new__(MatrixScaling)
    rows = rng.normal(size=(30, 3))
    calibrator = copy.deepcopy(MatrixScaling(ridge=0.1).fit(rows, np.arange(30) % 3))
    calibrator.matrix_, calibrator.bias_ = np.eye(k) + rng.normal(size=(k, k)) / 100, rng.normal(size=k)
    calibrator.classes_, calibrator.n_features_in_ = np.arange(k), k
    path = tmp_path / "cal.json"
    calibrator.save(path)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["cal.json", "cal.json.npz"]
    assert path.stat().st_size < 20_000
    again = load_calibrator(path)
    np.testing.assert_array_equal(again.matrix_, calibrator.matrix_, strict=True)
    assert again.fingerprint() == calibrator.fingerprint()
    np.savez_compressed(tmp_path / "cal.json.npz", array_0=calibrator.matrix_)
    with pytest.raises(FileFormatError, match="is compressed"):
        load_calibrator(path)
    np.savez(tmp_path / "cal.json.npz", array_0=calibrator.matrix_ + 1e-9)
    with pytest.raises(FileFormatError, match="fingerprint does not match"):
        load_calibrator(path)
    (tmp_path / "cal.json.npz").unlink()
    with pytest.raises(FileFormatError, match="which holds its arrays, cannot be read"):
        load_calibrator(path)


def test_calibrators_inside_calibrators(tmp_path):
    rng = np.random.default_rng(0)
    inner = TemperatureScaling(grid=np.array([0.5, 1.0, 2.0, 99.0]))
    logits = 3 * rng.normal(size=(60, 3))
    calibrator = OneVsRest(inner).fit(logits, (logits / 2 - np.log(-np.log(rng.random((60, 3))))).argmax(axis=1))
    calibrator.save(tmp_path / "cal.json")
    again = load_calibrator(tmp_path / "cal.json")
    assert again.fingerprint() == calibrator.fingerprint()
    np.testing.assert_array_equal(again.calibrator.grid, inner.grid, strict=True)


def test_a_class_that_is_not_the_registered_one_is_not_saved(tmp_path):
    class Mine(TemperatureScaling):
        pass

    calibrator = Mine().fit(*_two_classes())
    with pytest.raises(InputError, match="no name is registered for that class"):
        save_calibrator(calibrator, tmp_path / "cal.json")


def _two_classes():
    return np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 3.0], [1.0, 0.0]]), [0, 0, 1, 1]


@pytest.mark.parametrize("name", available_calibrators())
def test_files_of_this_release_are_read_by_all_later_ones(name):
    path = GOLDEN / "calibrators" / f"{name}.json"
    assert path.exists(), f"write it once: python tests/golden/make.py {name}"
    spec = importlib.util.spec_from_file_location("golden", GOLDEN / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    calibrator = load_calibrator(path)
    assert type(calibrator) is CALIBRATORS[name]
    logits, _ = make.rows(calibrator.n_features_in_)
    expected = json.loads(path.with_suffix(".expected").read_text())
    np.testing.assert_allclose(calibrator.predict_proba(logits[:8]), expected, atol=1e-12)
    assert calibrator.classes_.tolist() == ["ant", "bee", "cow"][: calibrator.n_features_in_]


PLUGIN = '''
import numpy as np
from calkit.calibrators import Calibrator, register_calibrator

@register_calibrator("uniform-plugin")
class Uniform(Calibrator):
    """Says nothing."""
    supports = frozenset({"weights", "shards", "pairs", "soft"})
    keeps_order = True

    def _fit(self, data):
        from calkit.stats import LogitGap, summarize
        summarize(data, [LogitGap()])

    def _log_proba(self, logits):
        return np.full_like(logits, -np.log(logits.shape[1]))
'''


def test_another_package_adds_one(tmp_path, monkeypatch):
    import subprocess
    import sys

    (tmp_path / "my_calibrators.py").write_text(PLUGIN)
    info = tmp_path / "my_calibrators-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-calibrators\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[calkit.calibrators]\nuniform-plugin = my_calibrators\n")
    script = (
        "from calkit.calibrators import CALIBRATORS, available_calibrators\n"
        "from calkit.testing import check_calibrator\n"
        "assert 'uniform-plugin' in available_calibrators()\n"
        "check_calibrator(CALIBRATORS['uniform-plugin'])\n"
    )
    root = str(Path(calkit.__file__).parents[1])
    environment = {"PYTHONPATH": f"{tmp_path}:{root}", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", script],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert found.returncode == 0, found.stderr


def test_names_are_set_by_the_registration():
    assert all(CALIBRATORS[name].name == name for name in available_calibrators())
    with pytest.raises(ValueError, match="'temperature' is registered already"):
        register_calibrator("temperature")(type("Again", (Calibrator,), {}))
