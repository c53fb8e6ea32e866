"""The report in a real browser: its charts are drawn, nothing is fetched, and a hostile name stays a name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import find_installation
from browser_runtime.launching.drivers import locate_driver
from browser_runtime.settings import RuntimeSettings
from scheduler.reports.gathering import gather
from scheduler.reports.writing import write_html
from tests.unit.reports.histories import HOSTILE, N_DAYS, NOW_S, make_history

pytestmark = pytest.mark.browser("chrome")

INJECTION = """const script = document.createElement('script');
script.textContent = 'window.ran = 1'; document.body.append(script)"""
PHONE = {"width": 390, "height": 844, "pixelRatio": 2}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report's file."""
    folder = tmp_path_factory.mktemp("report")
    with make_history(folder / "history.duckdb") as history:
        report = gather(history.query, NOW_S, N_DAYS)
    file: Path = folder / "report.html"
    file.write_text(write_html(report))
    return file.as_uri()


@pytest.fixture
def phone() -> Iterator[Any]:
    """Chrome as a phone."""
    found = find_installation(Browser.CHROME, RuntimeSettings())
    options = webdriver.ChromeOptions()
    options.binary_location = str(found.binary)
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.add_experimental_option("mobileEmulation", {"deviceMetrics": PHONE})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(locate_driver(found))))
    yield driver
    driver.quit()


def inked(driver: Any) -> list[bool]:
    """Whether each chart has anything drawn on it."""
    found: list[bool] = driver.execute_script(
        """return [...document.querySelectorAll('canvas')].map((canvas) => canvas.getContext('2d')
             .getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0))"""
    )
    return found


def faults(driver: Any) -> list[str]:
    """What the console tells, but for the advice about reading canvases, which only `inked` does."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["source"] != "rendering"]


def test_a_phone_shows_it_whole_safe_and_silent(page: str, phone: Any) -> None:
    phone.get(page)
    assert phone.title == "webinfer report"
    # Two trends, health, breakers, shares, one scaled queue.
    assert inked(phone) == [True] * 6
    titles = [heading.text for heading in phone.find_elements(By.CSS_SELECTOR, "#trends h3")]
    assert f"{HOSTILE} · wasm · fp32" in titles
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert phone.execute_script(wide) == 0

    # The reader chooses one model and another measure.
    Select(phone.find_elements(By.CSS_SELECTOR, "#trends select")[1]).select_by_visible_text("bert")
    Select(phone.find_elements(By.CSS_SELECTOR, "#trends select")[0]).select_by_value("memory_mb")
    assert [heading.text for heading in phone.find_elements(By.CSS_SELECTOR, "#trends h3")] == [
        "bert · wasm · fp32"
    ]
    assert inked(phone) == [True] * 5

    assert faults(phone) == []
    # What is not ours does not run, however it got there.
    phone.execute_script(INJECTION)
    assert phone.execute_script("return window.ran") is None
    (refusal,) = faults(phone)
    assert "Content Security Policy" in refusal

    sent = (json.loads(entry["message"])["message"] for entry in phone.get_log("performance"))
    asked = {one["params"]["request"]["url"] for one in sent if one["method"] == "Network.requestWillBeSent"}
    assert asked <= {page, "data:,"}
    assert page in asked
