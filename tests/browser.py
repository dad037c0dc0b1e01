"""A headless Chromium for the tests of the pages, where there is one."""

import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import needed
import pytest

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")


def start(*arguments: str) -> Iterator[Any]:
    """Yield a browser that keeps a log of errors and of requests."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    if not (CHROMIUM and DRIVER):
        needed.skip(needed.BROWSER)
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    usual = ("--headless=new", "--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--mute-audio")
    for argument in (*usual, *arguments):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield chrome
    chrome.quit()


def press(browser: Any, *keys: str) -> None:
    """Press keys one after the other, wherever the focus is."""
    from selenium.webdriver.common.action_chains import ActionChains

    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def assert_readable(browser: Any, scheme: str, *, marks: Sequence[str] = ()) -> None:
    """Check that text, and `marks`, stand out in a colour scheme, and that the open page fits a narrow window."""
    feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    narrow = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    names = ("back", "card", "text", "quiet", "mark", *marks)
    colours = browser.execute_script(
        "const s = getComputedStyle(document.documentElement);"
        "return Object.fromEntries(arguments[0].map(name => [name, s.getPropertyValue('--' + name).trim()]))",
        names,
    )
    for name in ("text", "quiet", "mark"):
        assert min(contrast(colours[name], colours[back]) for back in ("back", "card")) >= 4.5  # WCAG 2.2, 1.4.3
    for name in marks:
        assert contrast(colours[name], colours["card"]) >= 3  # WCAG 2.2, 1.4.11
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours after WCAG 2.2."""

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)
