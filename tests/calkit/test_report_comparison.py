"""What a report of several models shows first, and pages by a template of one's own."""

import numpy as np
import pytest

import calkit
from calkit.comparison import compare
from calkit.datasets import load_digits_logits
from calkit.errors import FileFormatError, UsageError
from calkit.report import Entry, make_report, render_report


@pytest.fixture(scope="module")
def report():
    test, validation = load_digits_logits("test"), load_digits_logits("validation")
    sharper = calkit.Predictions(test.scores * 2, test.y_true, kind="logits")
    entries = [Entry.from_predictions(name, p, validation) for name, p in (("digits", test), ("sharper", sharper))]
    return make_report(entries, metrics=["error", "ece", "nll"])


def test_differences_are_those_of_compare(report):
    test = load_digits_logits("test")
    sharper = calkit.Predictions(test.scores * 2, test.y_true, kind="logits")
    found = compare({"digits": test, "sharper": sharper}, ["ece", "nll"], baseline="digits").differences
    shown = {item.spec: item for item in report.differences if item.place == 0}
    assert set(shown) == {"ece", "nll", "error"}
    for spec, expected in found.items():
        item = shown[spec]
        assert (item.name, item.baseline) == ("sharper", "digits")
        assert item.difference.value == pytest.approx(expected["sharper"].value, rel=1e-12)
        assert item.difference.low == pytest.approx(expected["sharper"].low, rel=1e-9)
    assert {item.place for item in report.differences} == {0, 1}
    assert len(report.to_dict()["differences"]) == 6


def test_models_of_other_rows_have_no_differences():
    test = load_digits_logits("test")
    half = test.take(np.arange(test.n_samples) < 400)
    found = make_report([Entry("all", test), Entry("half", half)], metrics=["ece"])
    assert found.differences == ()
    page = render_report(found)
    assert "Difference from" not in page
    assert "Reliability of all, uncalibrated" in page


def test_the_overview_comes_first_and_models_are_folded(report):
    page = render_report(report)
    for subject in report.subjects:
        assert f"{subject.name}: ECE {100 * subject.before.values['ece'].value:.2f}" in page
    assert "ECE %, difference from digits. sharper:" in page
    order = ["Reliability of all, uncalibrated", "Difference from", "All metrics", 'id="s1"', 'id="s2"', 'id="made"']
    assert sorted(order, key=page.index) == order
    assert page.count('<details class="subject">') == 3
    assert page.count("<details") == page.count("</details>")
    one = render_report(make_report([Entry("digits", load_digits_logits("test"))], metrics=["ece"]))
    assert '<details class="subject">' not in one


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.html"
    path.write_text(
        '{% extends "report.html" %}{% block footer %}<footer>ACME & {{ report.title }}</footer>{% endblock %}',
        encoding="utf-8",
    )
    return path


def test_a_template_of_ones_own_replaces_blocks(own):
    found = make_report([Entry("digits", load_digits_logits("test"))], metrics=["ece"], title="<b>")
    page = render_report(found, template=own)
    assert "ACME & &lt;b&gt;" in page
    assert "Made with calkit" not in page
    assert "Reliability diagram" in page
    own.write_text("{{ report.subjects[0].name }}", encoding="utf-8")
    assert render_report(found, template=own) == "digits"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{% block %}", "own.html, line 1: the template cannot be used"),
        ("{{ nothing }}", "'nothing' is undefined"),
        ('{% extends "other.html" %}', "other.html"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_template_is_one_error(text, message, own, report):
    if text is None:
        own.unlink()
    else:
        own.write_text(text, encoding="utf-8")
    with pytest.raises(FileFormatError, match=message):
        render_report(report, template=own)


def test_templates_are_of_pages(own, report, calkit_cli, tmp_path):
    with pytest.raises(UsageError, match="one of a page"):
        render_report(report, "json", template=own)
    calkit.save_predictions(load_digits_logits("test"), tmp_path / "test.npz")
    words = ["report", str(tmp_path / "test.npz"), "--as-is", "--metrics", "ece", "--template", str(own)]
    code, _, err = calkit_cli(*words, "-o", str(tmp_path / "page.html"))
    assert code == 0, err
    assert "ACME" in (tmp_path / "page.html").read_text(encoding="utf-8")
    code, _, err = calkit_cli(*words, "-o", str(own))
    assert code == 2
