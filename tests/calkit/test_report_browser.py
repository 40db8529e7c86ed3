"""The page of a report in a real browser: no error, no request, a slider whose numbers are Python's."""

import numpy as np
import pytest

import calkit
from calkit.datasets import digits_path, load_digits_logits
from calkit.report import Entry, make_report, render_report
from tests.browsers import NEEDS_BROWSER, browsing, faults

selenium = pytest.importorskip("selenium", reason="selenium is not installed")
pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def report():
    return make_report([digits_path()], n_bins=15)


@pytest.fixture(scope="module")
def browser(report, tmp_path_factory):
    page = tmp_path_factory.mktemp("page") / "report.html"
    page.write_text(render_report(report), encoding="utf-8")
    with browsing(page) as driver:
        yield driver


def shown(browser, name):
    return browser.find_element("css selector", f".sweep [data-show={name}]").text.replace("\xa0", " ")


def test_no_error_and_no_request(browser):
    assert faults(browser) == []


def test_the_slider_and_the_typed_temperature_show_what_python_says(browser, report):
    (subject,) = report.subjects
    test = load_digits_logits("test")
    box = browser.find_element("css selector", ".sweep")
    assert box.is_displayed()
    fitted = subject.after[0].fitted["temperature"]
    # It starts at the fitted temperature.
    scaled = test.scores / np.float64(fitted)
    assert shown(browser, "ece") == f"{100 * calkit.ece(test.y_true, scaled, from_logits=True):.2f} %"
    typed = box.find_element("css selector", ".typed")
    for wanted in ("1", "1.7", "4"):
        typed.clear()
        typed.send_keys(wanted)
        label = browser.execute_script("return document.querySelector('.sweep svg').getAttribute('aria-label')")
        used = float(label.split("T = ")[1].split(":")[0])
        # The nearest temperature that was computed, which is said.
        assert abs(np.log(used / float(wanted))) < 0.05
        exact = min(subject.sweep.temperature, key=lambda t: abs(np.log(t / used)))
        scaled = test.scores / np.float64(exact)
        assert shown(browser, "ece") == f"{100 * calkit.ece(test.y_true, scaled, from_logits=True):.2f} %"
        assert float(shown(browser, "nll")) == pytest.approx(
            calkit.nll(test.y_true, scaled, from_logits=True), abs=1e-4
        )
    least = next(b for b in box.find_elements("css selector", "button") if b.text.startswith("least ECE"))
    least.click()
    assert shown(browser, "ece") == f"{100 * min(subject.sweep.ece):.2f} %"


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_leaves_the_page_sideways(browser, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    across = browser.execute_script("return document.documentElement.scrollWidth")
    assert across <= width


def test_five_models_do_not_scroll_sideways(tmp_path):
    test, validation = load_digits_logits("test"), load_digits_logits("validation")
    entries = [
        Entry.from_predictions(
            f"resnet50-focal-{i}",
            test.replace(scores=test.scores * np.float32(scale)),
            validation.replace(scores=validation.scores * np.float32(scale)),
        )
        for i, scale in enumerate((1, 0.5, 0.3, 0.7, 1.2))
    ]
    page = tmp_path / "five.html"
    page.write_text(render_report(make_report(entries, n_resamples=100)), encoding="utf-8")
    with browsing(page) as browser:
        size = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        table = browser.find_element("css selector", "#comparison .scroll")
        wide, visible = browser.execute_script("return [arguments[0].scrollWidth, arguments[0].clientWidth]", table)
        assert wide <= visible
        assert browser.execute_script("return document.documentElement.scrollHeight") < 4000


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    script = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    text, ground = ([int(part) for part in colour[4:-1].split(",")[:3]] for colour in browser.execute_script(script))

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 7


def test_folded_tables_open_for_print(browser):
    script = """
      dispatchEvent(new Event("beforeprint"));
      const open = [...document.querySelectorAll("details")].every((item) => item.open);
      dispatchEvent(new Event("afterprint"));
      return [open, [...document.querySelectorAll("details")].some((item) => item.open)];
    """
    assert browser.execute_script(script) == [True, False]


def test_hidden_columns_are_hinted_at_on_a_phone(browser):
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    tables = browser.find_elements("css selector", "div.scroll")
    assert tables
    # The shade at an edge stays while the layers that cover it travel with the columns.
    style = browser.execute_script("return getComputedStyle(arguments[0]).backgroundAttachment", tables[0])
    assert style == "local, local, scroll, scroll"
