"""Controls a browser through Selenium, known here and in driver_line only: starts it, opens its page."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import structlog
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.options import ArgOptions
from selenium.webdriver.common.selenium_manager import SeleniumManager
from selenium.webdriver.common.service import Service
from urllib3.exceptions import HTTPError

from browser_runtime.contract.errors import BrowserDied, SetupError
from browser_runtime.contract.setup.additions import merge_arguments
from browser_runtime.contract.setup.remedies import install_extra
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import Installation
from browser_runtime.launching.confinement import Confinement
from browser_runtime.launching.driver_files import driver_name
from browser_runtime.launching.driver_line import DriverConnection, confined, connect_to, popen_options

log = structlog.get_logger(__name__)

# For each of Selenium Manager's requests: less than a browser may take to start, and little where a driver
# that is here already serves as well.
MANAGER_TIMEOUT_S = 30
SPARE_TIMEOUT_S = 5
# Of a browser that starts: its driver tells nobody when it ends.
WATCH_INTERVAL_S = 0.1
# Its outcome is logged here.
logging.getLogger("selenium.webdriver.common.selenium_manager").setLevel(logging.CRITICAL)

# Each was needed on a machine without a display, a GPU or a way out: see docs/browsers.md.
CHROMIUM_ARGUMENTS = (
    "--enable-unsafe-webgpu",
    "--enable-features=WebMachineLearningNeuralNetwork",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-breakpad",
    "--disable-backgrounding-occluded-windows",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--no-proxy-server",
    # Its driver speaks to it through a pipe, not through a port that others find.
    "--remote-debugging-pipe",
)
FIREFOX_PREFERENCES: dict[str, bool | int | str] = {
    "dom.webgpu.enabled": True,
    "gfx.webgpu.ignore-blocklist": True,
    "dom.webgpu.workers.enabled": True,
    # Background pages run at full speed: a headless page is always in the background.
    "dom.min_background_timeout_value": 4,
    "dom.min_background_timeout_value_without_budget_throttling": 4,
    "dom.timeout.enable_budget_timer_throttling": False,
    # A process kept ready for the next page: there is none. Firefox starts in 0.95 of the time without it.
    "dom.ipc.processPrelaunch.enabled": False,
    # Nothing calls home.
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.proxy.type": 0,  # none
    "toolkit.telemetry.unified": False,
}


class Launched:
    """A running browser under WebDriver; its calls block, so they belong in a thread."""

    def __init__(self, driver: webdriver.Remote, service: Service) -> None:
        self._driver = driver
        self._service = service
        self._is_held = False
        self.version = str(driver.capabilities.get("browserVersion", ""))
        self.driver_version = _driver_version(driver.capabilities)
        self.leader: int = service.process.pid
        """Process id of the driver, which leads the session's own process session."""

    def open_page(self, url: str, timeout_s: float) -> None:
        """Navigate to `url`. Raises BrowserDied."""
        try:
            with self._awake():
                self._driver.set_page_load_timeout(timeout_s)
                self._driver.get(url)
        except Exception as error:
            raise BrowserDied("", f"its page did not open: {_first_line(error)}") from error

    def call_script(self, script: str, timeout_s: float, *arguments: Any) -> Any:
        """Return what an asynchronous script in the page calls back with. Slow: only for comparison."""
        with self._awake():
            self._driver.set_script_timeout(timeout_s)
            return self._driver.execute_async_script(script, *arguments)

    def page_status(self) -> str:
        """Return the page's own status text; empty when it cannot be asked."""
        try:
            with self._awake():
                return str(self._driver.find_element("id", "status").text)
        except WebDriverException as error:
            return _first_line(error)

    def hold(self) -> None:
        """Let the driver stand still but for the calls above, so that it obeys nobody else meanwhile."""
        self._is_held = True
        self._signal(signal.SIGSTOP)

    @contextlib.contextmanager
    def _awake(self) -> Iterator[None]:
        if not self._is_held:
            yield
            return
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.leader, number)

    def quit(self) -> None:
        """Have the browser end by itself, which puts away what it keeps. Raises BrowserDied."""
        try:
            self._driver.quit()
        except (WebDriverException, HTTPError) as error:
            raise BrowserDied("", f"it did not quit: {_first_line(error)}") from error

    def release(self) -> None:
        """Drop the client side after the processes have been ended; nothing is asked of the browser."""
        with contextlib.suppress(Exception):
            self._driver.command_executor.close()  # type: ignore[union-attr]
        process = self._service.process
        with contextlib.suppress(Exception):
            process.stdin.close()  # type: ignore[union-attr]
        with contextlib.suppress(Exception):
            process.wait(timeout=5)
        with contextlib.suppress(Exception):
            self._service.log_output.close()  # type: ignore[union-attr]  # Selenium does so in a polite stop only
        self._service.process = None  # type: ignore[assignment]


def locate_driver(installation: Installation) -> Path:
    """The driver to use, downloaded if need be. Raises SetupError with the command that brings one."""
    found = installation.driver or _managed_driver(installation) or installation.spare_driver
    if found is None:
        _managed_driver.cache_clear()  # the network may be back the next time
        name = driver_name(installation.browser, stands_in=installation.stands_in)
        raise SetupError(
            f"{name}, which drives {installation.browser},",
            f"Selenium Manager has none either; install it with: {install_extra('drivers')}",
        )
    return found


@cache
def _managed_driver(installation: Installation) -> Path | None:
    """The driver that Selenium Manager has in its cache or downloads; None where it has none."""
    browser = Browser.CHROME if installation.stands_in else installation.browser
    name = "MicrosoftEdge" if browser is Browser.EDGE else str(browser)
    timeout_s = SPARE_TIMEOUT_S if installation.spare_driver else MANAGER_TIMEOUT_S
    words = ["--browser", name, "--browser-path", str(installation.binary), "--skip-driver-in-path"]
    words += ["--avoid-stats", "--timeout", str(timeout_s)]
    try:
        path = Path(SeleniumManager().binary_paths(words)["driver_path"])
    except WebDriverException as error:
        log.info("driver not found by Selenium Manager", browser=name, error=_first_line(error))
        return None
    return path if path.is_file() else None


def launch(
    installation: Installation,
    environment: dict[str, str],
    folder: Path,
    confinement: Confinement,
    *,
    headless: bool = True,
    profile: Path | None = None,
) -> Launched:
    """A started browser in a process session of its own. Blocks. Raises BrowserDied, SetupError.

    `profile` is Firefox's; its driver makes one where it is None.
    """
    service, options = _recipe(installation, environment, folder, confinement, headless)
    if profile is not None:
        options.add_argument("-profile")
        options.add_argument(str(profile))
    if confinement.user is not None:
        confinement.user.give(folder)
    try:
        service.start()
        connection = DriverConnection(service.service_url, connect_to(confinement))
        # geckodriver notices by itself, and has other children before: it asks the browser for its version.
        is_watched = installation.browser is not Browser.FIREFOX
        with watched_start(service.process) if is_watched else contextlib.nullcontext():
            driver = webdriver.Remote(connection, options=options)
    except (WebDriverException, HTTPError, OSError, ValueError) as error:  # HTTPError: its driver was killed
        with contextlib.suppress(Exception):  # it may not even have a process
            service.stop()
        raise BrowserDied(folder.name, f"it did not start: {_first_line(error)}") from error
    return Launched(driver, service)


@contextlib.contextmanager
def watched_start(driver: subprocess.Popen[Any]) -> Iterator[None]:
    """Ends the driver when the browser that it starts ends: it would wait for its pipe for a minute."""
    done = threading.Event()
    watch = threading.Thread(target=_watch_start, args=(driver, done), name="browser-start", daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()


def _watch_start(driver: subprocess.Popen[Any], done: threading.Event) -> None:
    was_there = False
    while not done.wait(WATCH_INTERVAL_S):
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(driver.pid).children()
            alive = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
            if was_there and not alive:
                log.info("browser ended while it started", driver=driver.pid)
                driver.kill()
                return
            was_there = was_there or bool(children)


def _recipe(
    installation: Installation,
    environment: dict[str, str],
    folder: Path,
    confinement: Confinement,
    headless: bool,
) -> tuple[Service, ArgOptions]:
    common: dict[str, Any] = {
        "executable_path": str(locate_driver(installation)),
        "env": environment,
        "log_output": str(folder / "driver.log"),
        "popen_kw": popen_options(confinement.entry),
    }
    if installation.browser is Browser.FIREFOX:
        service = confined(webdriver.FirefoxService, confinement)
        return service(**common), _firefox_options(installation, headless)
    if installation.browser is Browser.EDGE and not installation.stands_in:
        edge = webdriver.EdgeOptions()
        _fill_chromium(edge, installation, confinement, headless)
        return confined(webdriver.EdgeService, confinement)(**common), edge
    chrome = webdriver.ChromeOptions()
    _fill_chromium(chrome, installation, confinement, headless)
    # A driver need not be of the very build of the binary.
    common["service_args"] = ["--disable-build-check"]
    return confined(webdriver.ChromeService, confinement)(**common), chrome


def _firefox_options(installation: Installation, headless: bool) -> webdriver.FirefoxOptions:
    options = webdriver.FirefoxOptions()
    options.binary_location = str(installation.binary)
    if headless:
        options.add_argument("-headless")
    for name, value in {**FIREFOX_PREFERENCES, **dict(installation.preferences)}.items():
        options.set_preference(name, value)
    return options


def _fill_chromium(
    options: Any, installation: Installation, confinement: Confinement, headless: bool
) -> None:
    options.binary_location = str(installation.binary)
    if headless:
        options.add_argument("--headless" if installation.headless_shell else "--headless=new")
    for argument in merge_arguments(CHROMIUM_ARGUMENTS, installation.arguments):
        options.add_argument(argument)
    if not confinement.has_sandbox:
        options.add_argument("--no-sandbox")


def _driver_version(capabilities: Mapping[str, Any]) -> str:
    for vendor in ("chrome", "msedge"):
        if isinstance(capabilities.get(vendor), dict):
            version = capabilities[vendor].get(f"{vendor}driverVersion") or ""
            return str(version).split(" ")[0]
    return str(capabilities.get("moz:geckodriverVersion", ""))


def _first_line(error: BaseException) -> str:
    return (str(getattr(error, "msg", "") or error).strip().splitlines() or [type(error).__name__])[0]
