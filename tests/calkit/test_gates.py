"""Gates on limits of intervals and against a baseline: they fail when that is sure, and name what was found."""

import json
from xml.etree import ElementTree as ET

import pytest

import calkit
from calkit.cli.thresholds import parse_threshold
from calkit.datasets import digits_path, load_digits_logits
from calkit.errors import UsageError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "logits.npz"
    path.write_bytes(digits_path().read_bytes())
    return path


def gate(calkit_cli, file, *conditions, **options):
    args = [word for condition in conditions for word in ("--fail-if", condition)]
    args += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    code, _, err = calkit_cli("evaluate", file, "--split", "test", *args)
    return code, err


@pytest.mark.parametrize(
    ("text", "part", "relative", "limit"),
    [
        ("ece>5%", "value", False, 0.05),
        ("ece.low>5%", "low", False, 0.05),
        ("accuracy.high < 0.9", "high", False, 0.9),
        ("ece>baseline+1%", "value", True, 0.01),
        ("ece > baseline", "value", True, 0.0),
        ("nll.low>=baseline - 0.5", "low", True, -0.5),
        ("ece:n_bins=25>Baseline+0.01", "value", True, 0.01),
    ],
)
def test_conditions(text, part, relative, limit):
    threshold = parse_threshold(text)
    assert (threshold.part, threshold.relative) == (part, relative)
    assert threshold.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    ("text", "of", "limit"), [("ece.low>baseline.high", "high", 0), ("ece<BASELINE.low-1%", "low", -0.01)]
)
def test_limits_of_a_baseline(text, of, limit):
    threshold = parse_threshold(text)
    assert (threshold.of, threshold.relative, threshold.needs_intervals) == (of, True, True)
    assert threshold.limit == pytest.approx(limit)


def test_both_intervals_are_allowed_for(calkit_cli, file, tmp_path):
    found = calkit.evaluate(load_digits_logits("validation"), ["ece"], confidence_level=0.95)
    saved = tmp_path / "old.json"
    assert calkit_cli("evaluate", file, "--split", "validation", "--confidence-level", "0.95", "-o", saved)[0] == 0
    low = calkit.evaluate(load_digits_logits("test"), ["ece"], confidence_level=0.95).intervals["ece"][0]
    high = found.intervals["ece"][1]
    # The same model: its interval begins above the old value, less 3 points, yet not above the old interval.
    assert found["ece"] - 0.03 < low < high
    assert gate(calkit_cli, file, "ece.low>baseline-3%", baseline=saved)[0] == 3
    assert gate(calkit_cli, file, "ece.low>baseline.high", baseline=saved) == (0, "")
    code, err = gate(calkit_cli, file, "ece.low>baseline.high-10%", baseline=saved)
    assert code == 3
    assert f"baseline.high {100 * high:.6g} % - 10 %" in err


def test_a_baseline_without_intervals(calkit_cli, file, tmp_path):
    saved = tmp_path / "old.json"
    assert calkit_cli("evaluate", file, "--split", "test", "-o", saved)[0] == 0
    code, err = gate(calkit_cli, file, "ece.low>baseline.high", baseline=saved)
    assert code == 2
    assert "--confidence-level 0.95" in err


@pytest.mark.parametrize("text", ["ece", "ece>", "ece>baseline+", "ece>baseline1%x", "ece>1e400", "ece>+", "ece=>5%"])
def test_what_is_no_condition(text):
    with pytest.raises(UsageError, match="--fail-if"):
        parse_threshold(text)


def test_only_what_is_sure_fails(calkit_cli, file):
    found = calkit.evaluate(load_digits_logits("test"), ["ece"], confidence_level=0.95)
    low, high = found.intervals["ece"]
    between = (low + found["ece"]) / 2
    # The value is above, its lower limit is not: a plain gate fails, one on the limit does not.
    assert gate(calkit_cli, file, f"ece>{between}")[0] == 3
    assert gate(calkit_cli, file, f"ece.low>{between}") == (0, "")
    code, err = gate(calkit_cli, file, f"ece.low>{low - 0.01}")
    assert code == 3
    assert err.startswith(f"calkit: failed: ece.low is {100 * low:.6g} % (> ")
    assert gate(calkit_cli, file, f"ece.high<{high - 0.01}")[0] == 0


def test_what_a_calibrated_model_shows_too(calkit_cli, file):
    found = calkit.evaluate(load_digits_logits("test"), ["mce"])
    floor = found.judgement("mce").floor
    code, err = gate(calkit_cli, file, f"mce>{found['mce'] - 0.001}")
    assert code == 3
    said = f"a calibrated model shows up to {100 * floor.p95:.6g} % on {found.n_samples:,} rows"
    assert (said in err) == (found["mce"] <= floor.p95)
    # Nothing of the kind where the value is beyond that, or where less is worse.
    assert "calibrated model" not in gate(calkit_cli, file, "ece>1%")[1]
    assert "calibrated model" not in gate(calkit_cli, file, "accuracy<99%")[1]


def test_the_worst_group(calkit_cli, tmp_path):
    # By hand: the ECE of a is |.9 - 1|, that of b |.9 - .5|.
    rows = ["confidence,correct,site", *["0.9,1,a"] * 4, *["0.9,1,b", "0.9,0,b"] * 2]
    (tmp_path / "a.csv").write_text("\n".join(rows) + "\n")
    args = ("evaluate", tmp_path / "a.csv", "--metrics", "ece")
    code, _, err = calkit_cli(*args, "--by", "site", "--fail-if", "ece.worst>30%")
    assert (code, err) == (3, f"calkit: failed: ece.worst is 40 % (> 30 %) for {tmp_path / 'a.csv'}, site = b\n")
    assert calkit_cli(*args, "--by", "site", "--fail-if", "ece.worst>41%", "--fail-if", "ece>30%")[0] == 0
    code, _, err = calkit_cli(*args, "--fail-if", "ece.worst>30%")
    assert code == 2
    assert "--by COLUMN" in err


def test_what_the_baseline_lacks_is_said_first(calkit_cli, file, tmp_path):
    output = tmp_path / "new.json"
    assert calkit_cli("evaluate", file, "--fail-if", "ece>baseline", "-o", output)[0] == 2
    assert not output.exists()


def test_against_an_earlier_evaluation(calkit_cli, file, tmp_path):
    code, out, _ = calkit_cli("evaluate", file, "--split", "test", "--format", "json")
    assert code == 0
    baseline = tmp_path / "old.json"
    baseline.write_text(out)
    assert gate(calkit_cli, file, "ece>baseline+1%", baseline=baseline) == (0, "")
    document = json.loads(out)
    metrics = document[0]["metrics"]
    value = metrics["ece"]["value"] if isinstance(metrics["ece"], dict) else metrics["ece"]
    metrics["ece"] = value - 0.02
    baseline.write_text(json.dumps(document))
    code, err = gate(calkit_cli, file, "ece>baseline+1%", baseline=baseline)
    assert code == 3
    assert f"baseline {100 * (value - 0.02):.6g} % + 1 %" in err


def test_against_a_file_of_scores(calkit_cli, file, tmp_path):
    scaled = calkit.TemperatureScaling().fit_predictions(load_digits_logits("validation"))
    calkit.save_predictions(scaled.apply(load_digits_logits("test")), tmp_path / "scaled.npz")
    code, _, err = calkit_cli("evaluate", file, "--split", "test", "--fail-if", "ece>baseline+5%", "--baseline", file)
    assert (code, err) == (0, "")
    both = ("--fail-if", "ece>baseline+5%", "--baseline", tmp_path / "scaled.npz")
    assert calkit_cli("evaluate", tmp_path / "scaled.npz", *both)[0] == 0


def test_refusals(calkit_cli, file, tmp_path):
    code, err = gate(calkit_cli, file, "ece>baseline")
    assert code == 2
    assert "needs --baseline FILE" in err
    code, err = gate(calkit_cli, file, "ece>5%", baseline=file)
    assert code == 2
    assert "--baseline is not used" in err
    old = tmp_path / "old.json"
    old.write_text('[{"metrics": {"nll": 1.0}}]')
    code, err = gate(calkit_cli, file, "ece>baseline", baseline=old)
    assert code == 2
    assert "no value of ece; it has nll" in err
    old.write_text('[{"metrics": {"ece": 0.1}}, {"metrics": {"ece": 0.1}}]')
    code, err = gate(calkit_cli, file, "ece>baseline", baseline=old)
    assert code == 2
    assert "holds 2 evaluations, but 1 are judged" in err
    old.write_text("[")
    code, err = gate(calkit_cli, file, "ece>baseline", baseline=old)
    assert code == 1
    assert "cannot read the baseline" in err
    # A metric without an interval cannot be sure of anything, so the gate fails.
    code, err = gate(calkit_cli, file, "ece.low>99%")
    assert code == 0


def junit(calkit_cli, file, path, *words):
    code, out, _ = calkit_cli("evaluate", file, "--junit", path, *words)
    suite = ET.fromstring(path.read_bytes()).find("testsuite")
    cases = list(suite)
    assert int(suite.get("tests")) == len(cases)
    assert int(suite.get("failures")) == sum(case.find("failure") is not None for case in cases)
    return code, out, cases


def test_junit_has_a_test_for_each_condition(calkit_cli, file, tmp_path):
    conditions = ("--fail-if", "ece>5%", "--fail-if", "accuracy<10%")
    path = tmp_path / "gates.xml"
    code, out, (ece, accuracy) = junit(calkit_cli, file, path, "--split", "test", *conditions)
    _, plain, err = calkit_cli("evaluate", file, "--split", "test", *conditions)
    assert (code, out) == (3, plain)
    assert (ece.get("name"), ece.get("classname")) == ("fail if ece>5%", f"{file} test")
    assert f"calkit: {ece.find('failure').get('message')}\n" == err
    assert accuracy.find("failure") is None
    assert accuracy.find("system-out").text.endswith("(fails if < 10 %)")


def test_junit_judges_what_the_gate_judges(calkit_cli, file, tmp_path):
    """Calibrated values where there are calibrators, every file, and a baseline; names do not depend on values."""
    old = tmp_path / "old.json"
    assert calkit_cli("evaluate", file, "--split", "test", "-o", old)[0] == 0
    words = ("--baseline", old, "--fail-if", "ece>baseline+1%")
    code, _, (case,) = junit(calkit_cli, file, tmp_path / "a.xml", "--split", "test", "-m", "temperature", *words)
    assert (code, case.find("failure")) == (0, None)
    assert case.get("name") == "fail if ece>baseline+1%"
    assert case.get("classname").endswith("test temperature")


@pytest.mark.parametrize("name", ["a<b>&\"'.npz", "\x07bell.npz", "שלום.npz"])
def test_junit_of_odd_names_is_xml(calkit_cli, file, tmp_path, name):
    odd = file.rename(tmp_path / name)
    code, _, cases = junit(calkit_cli, odd, tmp_path / "gates.xml", "--fail-if", "ece>1%")
    assert code == 3
    assert len(cases) == 2


def test_junit_needs_conditions_and_a_file_of_its_own(calkit_cli, file):
    code, _, err = calkit_cli("evaluate", file, "--junit", "gates.xml")
    assert code == 2
    assert "--fail-if 'ece>5%'" in err
    code, _, err = calkit_cli("evaluate", file, "--junit", file, "--fail-if", "ece>5%")
    assert code == 2
    assert "which would be lost" in err
