"""What notebooks show, in a real browser: outputs on one page that leave each other alone."""

import numpy as np
import pytest

import calkit
from calkit.datasets import digits_path, load_digits_logits
from calkit.report import TemperatureSlider, make_report
from tests.browsers import NEEDS_BROWSER, browsing, faults

selenium = pytest.importorskip("selenium", reason="selenium is not installed")
pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def test_split():
    return load_digits_logits("test")


@pytest.fixture(scope="module")
def notebook(test_split, tmp_path_factory):
    shown = (
        TemperatureSlider.from_predictions(test_split, temperature=2.5),
        TemperatureSlider.from_predictions(test_split, temperature={"mine": 3.0}, target="positive:class=3"),
        make_report([digits_path()], metrics=["ece", "nll"], confidence_level=None),
    )
    page = tmp_path_factory.mktemp("page") / "notebook.html"
    outputs = "\n".join(f"<div>{item._repr_html_()}</div>" for item in shown)
    page.write_text(f'<!doctype html><meta charset="utf-8">{outputs}', encoding="utf-8")
    with browsing(page) as driver:
        yield driver


@pytest.fixture
def frame(notebook):
    def enter(place):
        notebook.switch_to.default_content()
        notebook.switch_to.frame(notebook.find_elements("css selector", "iframe")[place])
        return notebook

    yield enter
    notebook.switch_to.default_content()


def shown(browser, name):
    return browser.find_element("css selector", f".sweep [data-show={name}]").text.replace("\xa0", " ")


def test_a_slider_moves_alone_and_shows_what_python_says(frame, test_split):
    other = [shown(frame(1), name) for name in ("ece", "nll")]
    typed = frame(0).find_element("css selector", ".typed")
    for wanted in (1.0, 2.5):
        typed.clear()
        typed.send_keys(str(wanted))
        scaled = test_split.scores / np.float64(wanted)
        ece = calkit.ece(test_split.y_true, scaled, from_logits=True)
        nll = calkit.nll(test_split.y_true, scaled, from_logits=True)
        assert shown(frame(0), "ece") == f"{100 * ece:.2f} %"
        assert float(shown(frame(0), "nll")) == pytest.approx(nll, abs=1e-4)
    assert [shown(frame(1), name) for name in ("ece", "nll")] == other
    event = calkit.ece(
        test_split.y_true, test_split.scores / np.float64(3), from_logits=True, target="positive:class=3"
    )
    assert other[0] == f"{100 * event:.2f} %"


def test_scripts_do_not_reach_out_of_their_output(frame):
    script = "try { return parent.document.title } catch (error) { return error.name }"
    assert frame(0).execute_script(script) == "SecurityError"


def test_links_of_a_report_stay_within_it(frame):
    browser = frame(2)
    browser.find_element("css selector", "nav.bar a[href='#reading']").click()
    assert browser.execute_script("return location.href") == "about:srcdoc#reading"
    assert browser.find_element("id", "reading").is_displayed()


def test_no_error_and_no_request(notebook):
    assert faults(notebook) == []
