"""The paper's own networks: every published figure for which there are logits, to its last digit."""

import csv
import json
import subprocess
import sys

import pytest

import calkit
from calkit.calibrators import TemperatureScaling

FILES = {
    "cifar10-densenet121-brier": ("CIFAR-10", "DenseNet 121", "Brier"),
    "cifar10-resnet50-brier": ("CIFAR-10", "ResNet 50", "Brier"),
    "cifar10-resnet50-focal-sd53": ("CIFAR-10", "ResNet 50", "FLA-53"),
    "cifar10-wide-resnet-focal-sd53": ("CIFAR-10", "Wide ResNet 26-10", "FLA-53"),
    "cifar100-resnet50-brier": ("CIFAR-100", "ResNet 50", "Brier"),
    "cifar100-resnet110-brier": ("CIFAR-100", "ResNet 110", "Brier"),
}
FIGURES = [
    "error",
    "ece_pre",
    "ece_post",
    "ece_temperature",
    "adaece_pre",
    "adaece_post",
    "adaece_temperature",
    "mce_pre",
    "mce_post",
    "nll_pre",
    "nll_post",
]
ADAECE = "adaece:convention=focal-calibration"
METRICS = ["error", "ece", ADAECE, "mce", "nll"]


@pytest.fixture(scope="module")
def published(data_folder):
    with (data_folder.parent / "paper" / "tables.csv").open(newline="") as stream:
        rows = {(row["dataset"], row["model"], row["loss"]): row for row in csv.DictReader(stream)}
    return {name: {figure: float(rows[key][figure]) for figure in FIGURES} for name, key in FILES.items()}


def figures(before, by_ece, by_adaece, t_ece, t_adaece):
    """The 11 figures in percent, as the paper prints them: NLL and MCE after scaling use the T chosen on ECE."""
    percent = {
        "error": before["error"],
        "ece_pre": before["ece"],
        "ece_post": by_ece["ece"],
        "adaece_pre": before[ADAECE],
        "adaece_post": by_adaece[ADAECE],
        "mce_pre": before["mce"],
        "mce_post": by_ece["mce"],
        "nll_pre": before["nll"],
        "nll_post": by_ece["nll"],
    }
    return {**{k: 100 * v for k, v in percent.items()}, "ece_temperature": t_ece, "adaece_temperature": t_adaece}


def assert_equal_in_print(found, expected):
    wrong = {k: (found[k], expected[k]) for k in FIGURES if f"{found[k]:.2f}" != f"{expected[k]:.2f}"}
    assert not wrong


@pytest.mark.parametrize("name", FILES)
def test_from_python(name, data_folder, published):
    path = data_folder / "focal-calibration-logits" / f"{name}.npz"
    validation = calkit.load_predictions(path, split="val")
    test = calkit.load_predictions(path, split="test")
    by_ece = TemperatureScaling("ece").fit_predictions(validation)
    by_adaece = TemperatureScaling(ADAECE).fit_predictions(validation)
    found = figures(
        calkit.evaluate(test, METRICS),
        calkit.evaluate(by_ece.apply(test), METRICS),
        calkit.evaluate(by_adaece.apply(test), METRICS),
        by_ece.temperature_,
        by_adaece.temperature_,
    )
    assert_equal_in_print(found, published[name])


@pytest.fixture(scope="module")
def printed(data_folder):
    """What one command prints of all files."""
    paths = [str(data_folder / "focal-calibration-logits" / f"{name}.npz") for name in FILES]
    command = [sys.executable, "-m", "calkit", "evaluate", *paths, "--split", "test", "--format", "json"]
    command += ["--metrics", ",".join(METRICS), "-m", "temperature:objective=ece"]
    command += ["-m", f"temperature:objective={ADAECE}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    rows = json.loads(done.stdout)
    assert [row["file"] for row in rows] == [path for path in paths for _ in range(3)]
    return {name: rows[3 * i : 3 * i + 3] for i, name in enumerate(FILES)}


@pytest.mark.parametrize("name", FILES)
def test_from_the_command_line(name, printed, published):
    before, by_ece, by_adaece = printed[name]
    found = figures(
        before["metrics"],
        by_ece["metrics"],
        by_adaece["metrics"],
        by_ece["calibrator"]["fitted"]["temperature"],
        by_adaece["calibrator"]["fitted"]["temperature"],
    )
    assert_equal_in_print(found, published[name])
    assert (before["split"], before["n_samples"]) == ("test", 10_000)
