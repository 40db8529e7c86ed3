"""Published values of calibration measures, through the command line."""

import json

import numpy as np
import pytest

from calkit.cli.app import run
from tests.calkit.test_measures import LIFEEVAL_MODELS, LIFEEVAL_SETS

pytestmark = pytest.mark.data


def evaluated(capsys, *words):
    assert run(["evaluate", *map(str, words), "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)[0]


# As the issue of calkit's measures lists them; no U-calibration of the two-class table is printed there.
@pytest.mark.parametrize(
    ("name", "ks", "kuiper", "atb", "ucal", "squared"),
    [
        ("fivethirtyeight-nba-games", 0.047492, 0.048871, 1.882e-3, 0.002855, 2.575e-3),
        ("fivethirtyeight-mlb-games", 0.003682, 0.005987, 5.056e-6, 0.001195, 3.855e-5),
        ("yardstick-two-class", 0.029007, 0.046264, 1.172e-3, None, None),
    ],
)
def test_forecasts_of_events(data_folder, capsys, name, ks, kuiper, atb, ucal, squared):
    names = "ks,kuiper,atb,ucal,l2-debiased:convention=t-cal"
    found = evaluated(capsys, data_folder / "forecasts" / f"{name}.npz", "--metrics", names)["metrics"]
    assert (round(found["ks"], 6), round(found["kuiper"], 6)) == (ks, kuiper)
    assert f"{found['atb']:.3e}" == f"{atb:.3e}"
    if ucal is not None:
        assert round(found["ucal"], 6) == ucal
        assert f"{found['l2-debiased:convention=t-cal']:.3e}" == f"{squared:.3e}"


# Table of Dimitriadis, Gneiting & Jordan, PNAS 2021.
@pytest.mark.parametrize(
    ("name", "score", "mcb", "dsc"),
    [
        ("EMOS", 0.232, 0.0183, 0.0305),
        ("ENS", 0.266, 0.0661, 0.0441),
        ("EPC", 0.234, 0.0223, 0.0323),
        ("Logistic", 0.206, 0.0171, 0.0555),
    ],
)
def test_rain_in_niamey(data_folder, capsys, name, score, mcb, dsc):
    path = data_folder / "forecasts" / "precip-niamey-2016.npz"
    how = ["--scores", name, "--kind", "probs", "--metrics", "brier,corp-mcb,corp-dsc,corp-unc"]
    found = evaluated(capsys, path, *how)["metrics"]
    values = round(found["brier"], 3), round(found["corp-mcb"], 4), round(found["corp-dsc"], 4)
    assert values == (score, mcb, dsc)
    assert round(found["corp-unc"], 3) == 0.244


def test_all_printed_errors_of_lifeeval(data_folder, capsys, tmp_path):
    """Table 1 of LifeEval: the answers of 11 models to 5 sets, those that all gave, in one command."""
    data = np.load(data_folder / "lifeeval" / "lifeeval-llm-confidence.npz")
    stated = data["stated_confidence"].astype(float)
    answered = ~np.isnan(stated)
    names = np.char.add(np.char.add(data["qset"].astype(str), "/"), data["question_id"].astype(str))
    _, question = np.unique(names, return_inverse=True)
    seen = np.zeros((question.max() + 1, len(data["models"])), dtype=bool)
    seen[question[answered], data["llm"][answered]] = True
    kept = answered & seen.all(axis=1)[question]
    cells = np.char.add(np.char.add(data["models"][data["llm"]], "|"), data["qsets"][data["qset"]])
    path = tmp_path / "lifeeval.npz"
    np.savez(path, confidence=stated[kept], correct=data["correct"][kept].astype(int), cell=cells[kept])
    spec = "ece:n_bins=10,convention=r-cut"
    groups = evaluated(capsys, path, "--metrics", spec, "--by", "cell")["groups"]
    found = {group["group"]: group["metrics"][spec] for group in groups}
    lines = (data_folder / "lifeeval" / "lifeeval-table1.csv").read_text().splitlines()[1:]
    rows = [line.split(",") for line in lines if not line.startswith("LifeEval")]
    assert len(found) == len(rows) == 55
    for qset, llm, _, printed, *_ in rows:
        assert found[f"{LIFEEVAL_MODELS[llm]}|{LIFEEVAL_SETS[qset]}"] == pytest.approx(float(printed), abs=1e-12)
