"""The report in a real browser: drawn, readable on a phone, fetching nothing; a hostile name stays a name."""

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
from scheduler.history.history import History
from scheduler.reports.gathering import gather
from scheduler.reports.writing import write_html
from tasks.telemetry import Row
from tests.unit.reports.histories import HOSTILE, N_DAYS, NOW_S, make_history

pytestmark = pytest.mark.browser("chrome")

RUN = {
    "browser": "chrome",
    "model": "bert",
    "family": "text_embedding",
    "backend": "wasm",
    "precision": "fp32",
    "total_ms": 15.0,
    "compute_ms": 9.0,
    "ok": True,
}
INJECTION = """const script = document.createElement('script');
script.textContent = 'window.ran = 1'; document.body.append(script)"""
PHONE = {"width": 390, "height": 844, "pixelRatio": 2}
DESKTOP = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
# Notes each text on a canvas with its place, until it is drawn anew; labels of the axis of times are centred.
RECORD_TEXTS = """
const clear = CanvasRenderingContext2D.prototype.clearRect;
CanvasRenderingContext2D.prototype.clearRect = function (...box) {
  window.drawn.delete(this.canvas);
  return clear.apply(this, box);
};
const draw = CanvasRenderingContext2D.prototype.fillText;
window.drawn = new Map();
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  const place = `${this.textAlign} ${this.textAlign === 'center' ? Math.round(x) : Math.round(y)}`;
  if (!window.drawn.has(this.canvas)) window.drawn.set(this.canvas, new Map());
  const texts = window.drawn.get(this.canvas);
  texts.set(place, new Set([...(texts.get(place) ?? []), text]));
  return draw.apply(this, arguments);
};
"""
# The labels of each axis of each chart that is shown; a label of two lines is one.
LABELS = """
return [...window.drawn].filter(([canvas]) => canvas.isConnected).flatMap(([_, texts]) =>
  ['center', 'right'].map((align) => [...texts].filter(([place]) => place.startsWith(align))
    .map(([_, lines]) => [...lines].join(' '))));
"""
WIDER = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Cells whose text reaches out of them, and so into another or out of the table.
OVERPRINTED = """
return [...document.querySelectorAll('#capabilities th, #capabilities td')].filter((cell) => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  const [text, box] = [range.getBoundingClientRect(), cell.getBoundingClientRect()];
  return text.left < box.left || text.right > box.right || text.top < box.top || text.bottom > box.bottom;
}).map((cell) => cell.textContent);
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report's file."""
    folder = tmp_path_factory.mktemp("report")
    with make_history(folder / "history.duckdb") as history:
        report = gather(history.query, NOW_S, N_DAYS)
    file: Path = folder / "report.html"
    file.write_text(write_html(report))
    return file.as_uri()


@pytest.fixture(scope="module")
def odd_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report of one run, and of browsers with long names and long reasons."""
    folder = tmp_path_factory.mktemp("odd")
    rows: list[Row] = [("runs", RUN | {"at": NOW_S - 60})]
    for browser in ("firefox", "chrome", "edge"):
        build = f"{browser} 156.0.8078.108, a Chromium with WebNN that stands in for another"
        for feature in ("webgpu", "webnn reason", "wasm maxStorageBufferBindingSize"):
            value = f"failed: {'createComputePipelineAsync' * 4} is invalid due to a previous error"
            row = {"browser": browser, "browser_build": build, "feature": feature, "value": value}
            rows.append(("capabilities", row | {"at": NOW_S - 60}))
    with History(folder / "history.duckdb") as history:
        history.append(rows)
        report = gather(history.query, NOW_S, 30)
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


@pytest.mark.parametrize("device", [None, DESKTOP], ids=["phone", "desktop"])
def test_no_two_labels_of_an_axis_are_alike(
    page: str, odd_page: str, phone: Any, device: dict[str, Any] | None
) -> None:
    phone.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": RECORD_TEXTS})
    if device:
        phone.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    for address, measures in ((page, ["p50_ms", "n", "memory_mb"]), (odd_page, ["p50_ms", "n_failed"])):
        phone.get(address)
        for measure in measures:
            Select(phone.find_elements(By.CSS_SELECTOR, "#trends select")[0]).select_by_value(measure)
            axes = phone.execute_script(LABELS)
            assert len(axes) >= 4 and all(len(labels) >= 2 for labels in axes), (measure, axes)
            for labels in axes:
                assert len(set(labels)) == len(labels), (measure, labels)
            assert not [label for labels in axes for label in labels if label.startswith("2027")]


@pytest.mark.parametrize("device", [None, DESKTOP], ids=["phone", "desktop"])
def test_no_cell_of_the_capabilities_prints_over_another(
    odd_page: str, phone: Any, device: dict[str, Any] | None
) -> None:
    phone.get(odd_page)
    if device:
        phone.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    assert phone.find_elements(By.CSS_SELECTOR, "#capabilities td")
    assert phone.execute_script(OVERPRINTED) == []
    assert phone.execute_script(WIDER) == 0


@pytest.mark.parametrize("device", [None, DESKTOP], ids=["phone", "desktop"])
def test_the_first_screen_answers(page: str, phone: Any, device: dict[str, Any] | None) -> None:
    phone.get(page)
    if device:
        phone.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    height = phone.execute_script("return innerHeight")
    for row in ("#choice tbody tr:last-child", "#worse tbody tr:first-child"):
        (found,) = phone.find_elements(By.CSS_SELECTOR, row)
        assert found.rect["y"] + found.rect["height"] <= height, row
    assert "chrome, wasm" in phone.find_element(By.ID, "choice").text
    assert "latency of bert firefox" in phone.find_element(By.ID, "worse").text


def test_a_phone_shows_it_whole_safe_and_silent(page: str, phone: Any) -> None:
    phone.get(page)
    assert phone.title == "webinfer report"
    # Two trends, health, breakers, shares, one scaled queue.
    assert inked(phone) == [True] * 6
    titles = [heading.text for heading in phone.find_elements(By.CSS_SELECTOR, "#trends h3")]
    assert f"{HOSTILE} · wasm · fp32" in titles
    assert phone.execute_script(WIDER) == 0

    # Experiments in full; in none of them is a name markup.
    boxes = phone.find_elements(By.CSS_SELECTOR, "details.result-box")
    assert len(boxes) == 5
    for box in boxes[1:]:
        box.find_element(By.TAG_NAME, "summary").click()
        assert box.find_element(By.CSS_SELECTOR, ".result tbody tr").is_displayed()
    assert HOSTILE in boxes[1].text and phone.execute_script(WIDER) == 0
    hot = phone.find_element(By.CSS_SELECTOR, ".result .heat-10")
    assert hot.value_of_css_property("background-color") == "rgba(86, 140, 200, 1)"

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
