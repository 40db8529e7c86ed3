"""A real browser for tests: Debian's chromium and its driver."""

import contextlib
import shutil

import pytest

#: Marks of tests that drive a browser.
NEEDS_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromedriver") is None, reason="chromium-driver is not installed"),
]


@contextlib.contextmanager
def browsing(path):
    """Open a file in a browser that has no window."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.get(path.as_uri())
        yield driver
    finally:
        driver.quit()


def faults(browser):
    """Return the errors of the console and the requests that left the page."""
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    requests = [entry["message"] for entry in browser.get_log("performance") if "requestWillBeSent" in entry["message"]]
    own = ('"url":"file:', '"url":"data:', '"url":"about:srcdoc')
    return errors + [message for message in requests if not any(url in message for url in own)]
