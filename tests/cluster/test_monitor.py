"""Flower with our pages, as a process: real events, a real Redis, a real history, a real browser."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import find_installation
from browser_runtime.launching.drivers import locate_driver
from browser_runtime.settings import RuntimeSettings
from scheduler.alerts.alert import Alert, OpenAlert, Severity
from scheduler.autoscaling.desired import DesiredStore, DesiredWorkers
from scheduler.health.canaries import Canary, CanaryStore
from tasks import app, infer
from tasks.keys import RedisKeys
from tasks.settings import TaskSettings
from tasks.telemetry import emit
from tests.cluster.conftest import until, workers
from tests.cluster.monitoring import HOSTILE, N_SESSIONS, PAIR, flower, get, health, publish, read
from tests.conftest import require_browser
from tests.stand_ins.experiments import experiment_rows

pytest.importorskip("flower", reason="the extra `monitor` is not installed")

PAGES = ("browsers", "queues", "performance")


@pytest.fixture(scope="module")
def monitor(settings: TaskSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A monitor that asks for a password."""
    with flower(tmp_path_factory.mktemp("flower"), FLOWER_BASIC_AUTH=PAIR) as address:
        yield address


@pytest.fixture
def sessions(monitor: str) -> list[dict[str, Any]]:
    """500 sessions that the monitor has heard of just now."""

    def heard() -> bool:
        publish(N_SESSIONS)  # until it listens, events are lost
        found = read(f"{monitor}/api/browsers")["sessions"]
        return len(found) == N_SESSIONS and not any(row["silent"] for row in found)

    until(heard)
    return list(read(f"{monitor}/api/browsers")["sessions"])


def test_everything_but_style_asks_for_the_password(monitor: str) -> None:
    paths = [*PAGES, *(f"api/{page}" for page in PAGES), "metrics", "", "workers", "api/tasks"]
    for path in paths:
        assert get(f"{monitor}/{path}", "")[0] == 401, path
        assert get(f"{monitor}/{path}", "watcher:wrong")[0] == 401, path
        assert get(f"{monitor}/{path}")[0] == 200, path
    assert get(f"{monitor}/monitor/static/monitor.css", "")[0] == 200
    for beside in ("../pages.py", "%2e%2e/pages.py", "..%2fpages.py"):
        assert get(f"{monitor}/monitor/static/{beside}")[0] in (403, 404)


def test_500_sessions_are_told_as_page_json_and_gauges(monitor: str, sessions: list[dict[str, Any]]) -> None:
    assert sessions[0]["breaker"] == "OPEN"  # what needs a look comes first
    told = read(f"{monitor}/api/browsers")["summary"]
    assert (told["sessions"], told["open_breakers"], told["workers"]) == (N_SESSIONS, 1, 63)
    page = get(f"{monitor}/browsers")[1].decode()
    assert page.count('data-label="Session"') == N_SESSIONS
    assert "<script>window.hacked" not in page and "&lt;script&gt;window.hacked" in page
    gauges = get(f"{monitor}/metrics")[1].decode()
    assert gauges.count("\nwebinfer_session_health{") == N_SESSIONS
    assert 'webinfer_session_breaker{browser="firefox",session="firefox-7",state="OPEN"' in gauges
    assert 'webinfer_failing_models{state="OPEN"} 1.0' in gauges
    assert 'webinfer_model_failures{flags="",model="odd-graph"' in gauges
    failing = read(f"{monitor}/api/browsers")["failing_models"]
    assert [(row["model"], row["breaker"]) for row in failing] == [
        ("odd-graph", "OPEN"),
        ("short-table", "CLOSED"),
    ]
    assert "flower_events_total" in gauges  # Flower's own are there too


def test_an_event_that_makes_no_sense_changes_nothing(monitor: str, sessions: list[dict[str, Any]]) -> None:
    def told() -> int:
        return len(read(f"{monitor}/api/browsers")["sessions"])

    with (
        app.connection_for_write() as connection,
        app.events.Dispatcher(connection, hostname="odd@host") as dispatcher,
    ):
        dispatcher.send("browser-health", session=["no", "name"], health="high")
        dispatcher.send("browser-health", **health(0) | {"session": "after"})
        until(lambda: told() == N_SESSIONS + 1)
        assert get(f"{monitor}/browsers")[0] == 200
        dispatcher.send("worker-offline")
        until(lambda: told() == N_SESSIONS)


@pytest.fixture
def decisions(settings: TaskSettings) -> Iterator[None]:
    """Something waits; there are a decision, a canary, an alert, and a value that makes no sense."""
    redis, prefix, now = app.redis, settings.redis_prefix, time.time()
    app.control.purge()  # what an earlier test sent and nobody took
    waiting = infer.delay(model_type="vision", model_name="digits-vit", inputs=np.zeros((8, 8, 3), np.uint8))
    factors = {"depth": 12, "load": 2.33333}
    desired = DesiredWorkers("chrome-vision", 3, (), f"12 wait {HOSTILE}", now, True, 1, factors)
    DesiredStore(redis, prefix).write(desired)
    redis.lpush(f"{prefix}scaling:events", "not json")
    CanaryStore(redis, prefix).write("chrome-vision", Canary(False, "silent", "no answer", now), served=True)
    alert = OpenAlert(Alert("k", Severity.HIGH, HOSTILE, "why"), now)
    redis.hset(f"{prefix}alerts:open", "k", json.dumps(alert.to_plain()))
    yield
    kept = ("scaling:desired", "scaling:events", "canary:chrome-vision", "alerts:open")
    redis.delete(*(f"{prefix}{name}" for name in kept))
    waiting.forget()
    app.control.purge()


def test_the_users_task_is_found_among_the_schedulers(
    monitor: str, history: None, chromium: Any, tmp_path: Path
) -> None:
    with workers(tmp_path) as start:
        start().ready()
        inputs = np.zeros((8, 8, 3), np.uint8)
        mine = infer.delay(model_type="vision", model_name="digits-vit", inputs=inputs)
        mine.get(timeout=60)
        drains = [app.send_task("scheduler.history.drain", queue="analytics") for _ in range(100)]
        for drain in drains:
            drain.get(timeout=60)

    def rows() -> list[str]:
        found = chromium.execute_script(
            "return [...document.querySelectorAll('#tasks-table tbody tr')].map((row) => row.id)"
        )
        return [row for row in found if row]

    def n_hidden() -> int:
        return int(chromium.find_element(By.ID, "n-hidden").text.replace(",", ""))

    until(lambda: len(read(f"{monitor}/api/tasks?taskname=scheduler.history.drain")) >= 100)
    wait = WebDriverWait(chromium, 60)
    chromium.get(f"{monitor.replace('http://', f'http://{PAIR}@')}/tasks")
    wait.until(lambda _: mine.id in rows() and n_hidden() >= 100)
    assert not set(rows()) & {drain.id for drain in drains}
    chromium.find_element(By.LINK_TEXT, "Show them").click()
    wait.until(lambda _: set(rows()) & {drain.id for drain in drains})
    chromium.get(f"{monitor}/tasks?name=scheduler.history.drain")  # as the name of a task links to
    wait.until(lambda _: set(rows()) & {drain.id for drain in drains})
    assert chromium.get_log("browser") == []


def test_pages_travel_compressed(monitor: str) -> None:
    basic = base64.b64encode(PAIR.encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Accept-Encoding": "gzip"}
    request = urllib.request.Request(f"{monitor}/browsers", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", [*PAGES, "", "workers", "tasks", "broker", "api/tasks", "metrics", "nowhere"]
)
def test_every_page_has_a_policy_and_stays_out_of_frames(monitor: str, path: str) -> None:
    headers = {"Authorization": f"Basic {base64.b64encode(PAIR.encode()).decode()}"}
    request = urllib.request.Request(f"{monitor}/{path}", headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_queues_tell_depth_decisions_and_reasons(
    monitor: str, decisions: None, settings: TaskSettings
) -> None:
    until(lambda: bool(read(f"{monitor}/api/queues")["alerts"]))
    board = read(f"{monitor}/api/queues")
    (queue,) = [each for each in board["queues"] if each["queue"] == "chrome-vision"]
    assert (queue["depth"], queue["workers"], queue["desired"]["n"]) == (1, [], 3)
    assert queue["canary"]["state"] == "silent"
    assert [(each["n_before"], each["n"]) for each in board["decisions"]] == [(1, 3)]
    assert board["unreadable"] == [f"{settings.redis_prefix}scaling:events: not json"]
    assert board["alerts"][0]["alert"]["severity"] == "high"
    page = get(f"{monitor}/queues")[1].decode()
    assert "depth 12, load 2.33" in page and "1 → 3" in page
    assert "12 wait &lt;script&gt;" in page and "<script>window" not in page
    assert "scaling:events: not json" in page
    gauges = get(f"{monitor}/metrics")[1].decode()
    assert 'webinfer_queue_depth{queue="chrome-vision"} 1.0' in gauges
    assert 'webinfer_queue_desired_workers{queue="chrome-vision"} 3.0' in gauges


def test_a_worker_that_comes_later_is_asked_for_its_queues(monitor: str, tmp_path: Path) -> None:
    with workers(tmp_path) as start:
        name = start().ready().name

        def served() -> list[str]:
            queues = read(f"{monitor}/api/queues")["queues"]
            return next(queue["workers"] for queue in queues if queue["queue"] == "chrome-vision")

        until(lambda: served() == [name])


@pytest.fixture(scope="module")
def history(settings: TaskSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An analytics worker whose history holds an hour of runs, and a change."""
    folder, now = tmp_path_factory.mktemp("analytics"), time.time()
    run = {"browser": "chrome", "backend": "wasm", "queue_ms": 1.0, "memory_mb": 300.0, "ok": True}
    names = ("digits-vit", HOSTILE)
    rows = [
        ("runs", run | {"at": now - 30 * n, "model": names[n % 2], "total_ms": 10.0 + n})
        for n in range(1, 100)
    ]
    change = {"series": json.dumps({"model": HOSTILE}), "metric": "latency", "changed_at": now - 600}
    change |= {"before": 20.0, "after": 32.0, "severity": "critical", "direction": "regression"}
    app.redis.delete(
        RedisKeys(settings.redis_prefix).telemetry
    )  # what other tests' workers did is not told here
    rows += [("changes", change | {"p_value": 0.001}), *experiment_rows(HOSTILE, now)]
    emit(app.redis, rows, settings)
    with workers(folder, "scheduler") as start:
        start("-P", "solo", queue="analytics", WEBINFER_HISTORY_PATH=str(folder / "h.duckdb")).ready()
        app.send_task("scheduler.history.drain", queue="analytics").get(timeout=60)
        yield


def test_performance_tells_lines_and_changes(monitor: str, history: None) -> None:
    until(lambda: bool(read(f"{monitor}/api/performance?hours=1")["lines"]))
    told = read(f"{monitor}/api/performance?hours=1")
    assert told["problem"] is None
    assert {line["model"] for line in told["lines"]} == {"digits-vit", HOSTILE}
    assert told["changes"][0]["severity"] == "critical"
    page = get(f"{monitor}/performance?hours=1")[1].decode()
    assert "+60 %" in page and "<script>window" not in page
    assert get(f"{monitor}/performance?hours=2")[0] == 400
    until(lambda: b'webinfer_changes{direction="regression",severity="critical"} 1' in metrics(monitor))
    assert b"webinfer_history_up 1.0" in metrics(monitor)
    assert b'webinfer_latency_p50_seconds{backend="wasm",browser="chrome",model="digits-vit"}' in metrics(
        monitor
    )


def metrics(monitor: str) -> bytes:
    return get(f"{monitor}/metrics")[1]


@pytest.fixture
def chromium(own_temporary_folder: None) -> Iterator[Any]:
    """A real, headless Chromium."""
    require_browser(Browser.CHROME)
    installation = find_installation(Browser.CHROME, RuntimeSettings())
    options = webdriver.ChromeOptions()
    options.binary_location = str(installation.binary)
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(locate_driver(installation))))
    try:
        yield driver
    finally:
        driver.quit()


# Badges that are higher than one line of their text.
BROKEN_PILLS = """
return [...document.querySelectorAll('.rows .pill')]
  .filter((pill) => pill.offsetHeight > 1.5 * parseFloat(getComputedStyle(pill).lineHeight) + 2)
  .map((pill) => pill.textContent)
"""


def test_click_through_in_a_real_browser(
    monitor: str, sessions: list[dict[str, Any]], decisions: None, history: None, chromium: Any
) -> None:
    wait = WebDriverWait(chromium, 60)
    chromium.get(monitor.replace("http://", f"http://{PAIR}@"))
    for page in PAGES:
        chromium.find_element(By.LINK_TEXT, page.capitalize()).click()
        wait.until(lambda driver, page=page: page.capitalize() in driver.title)
        assert chromium.find_element(By.CSS_SELECTOR, ".nav-link.active").text == page.capitalize()
    assert chromium.current_url.endswith("/performance?hours=1")  # the hour that has data
    wait.until(lambda driver: len(driver.find_elements(By.CSS_SELECTOR, ".chart canvas")) == 4)
    legend = chromium.find_element(By.CSS_SELECTOR, ".u-legend").text
    assert "digits-vit · chrome · wasm" in legend and HOSTILE in legend
    see_experiments(chromium, wait)

    chromium.find_element(By.LINK_TEXT, "Browsers").click()
    wait.until(lambda driver: len(driver.find_elements(By.CSS_SELECTOR, ".rows tbody tr")) >= N_SESSIONS)
    shown = (
        "return [...document.querySelectorAll('.rows-sessions tbody tr')].filter(r => r.offsetParent).length"
    )
    assert chromium.execute_script(shown) == 25
    assert "The first 25 of 500 sessions" in chromium.find_element(By.ID, "live").text
    chromium.execute_script("document.querySelector('.rows-sessions + .rest button').click()")
    assert chromium.execute_script(shown) == N_SESSIONS
    chromium.find_element(By.ID, "filter").send_keys("digits-vit firefox-7 open")
    wait.until(lambda driver: driver.execute_script(shown) == 1)
    publish(N_SESSIONS)
    wait.until(lambda driver: "Live, " in driver.find_element(By.ID, "live-text").text)
    assert chromium.execute_script(shown) == 1  # the filter outlives the refresh

    for width in (1280, 390):
        device = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width == 390}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
        for page in (*PAGES, "tasks", "workers", "broker"):
            chromium.get(f"{monitor}/{page}")
            assert chromium.execute_script("return document.documentElement.scrollWidth") <= width, page
            assert chromium.execute_script("return window.hacked") is None
            assert chromium.execute_script(BROKEN_PILLS) == [], page
    assert chromium.get_log("browser") == []  # no error, no breach of the content security policy


def see_experiments(chromium: Any, wait: Any) -> None:
    """The newest of each kind is there in full, with colours, and stays as the reader opened it."""
    boxes = chromium.find_elements(By.CSS_SELECTOR, "details.result-box")
    kinds = [box.get_attribute("id").partition("-")[0] for box in boxes]
    assert kinds == [
        "compare",
        "matrix",
        "gate",
        "load",
        "gate",
    ]  # of a document that makes no sense, the verdict
    assert HOSTILE in boxes[1].text and boxes[0].get_attribute("open") and not boxes[1].get_attribute("open")
    boxes[1].find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    quick, slow = (
        boxes[1].find_element(By.CSS_SELECTOR, f".{name}").value_of_css_property("background-color")
        for name in ("heat-0", "heat-10")
    )
    assert (quick, slow) == ("rgba(255, 255, 255, 1)", "rgba(86, 140, 200, 1)")
    chromium.execute_script("document.querySelector('details[id^=matrix]').isOld = true")
    refreshed = "const box = document.querySelector('details[id^=matrix]'); return box.open && !box.isOld"
    wait.until(lambda driver: driver.execute_script(refreshed))
    chromium.find_element(By.CSS_SELECTOR, "details[id^=load] summary").send_keys(Keys.ENTER)
    assert chromium.find_element(By.CSS_SELECTOR, "details[id^=load] svg polyline").is_displayed()


def test_without_credentials_it_serves_this_machine_alone(settings: TaskSettings, tmp_path: Path) -> None:
    refused = subprocess.run(
        [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "webinfer",
            "webinfer-flower",
            "--address=0.0.0.0",
            "--port=0",
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ,
    )
    assert refused.returncode == 2
    assert "refusing to listen on 0.0.0.0 without credentials" in refused.stderr
    assert "Traceback" not in refused.stderr
    with flower(tmp_path, "--url_prefix=watch/it") as address:
        for foreign in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            request = urllib.request.Request(f"{address}/watch/it/workers", headers=foreign)
            with pytest.raises(urllib.error.HTTPError, match="403") as refusal:
                urllib.request.urlopen(request, timeout=60)
            with refusal.value:
                assert "refusing" in refusal.value.read().decode()
        page = get(f"{address}/watch/it/browsers", "")[1].decode()
        found = re.findall(r'(?:href|src)="(/[^"]*)"', page)
        assert "/watch/it/queues" in found and "/watch/it/monitor/static/monitor.js" in found
        for link in found:
            assert get(address + link, "")[0] == 200, link
        assert read(f"{address}/watch/it/api/browsers")["sessions"] == []
