"""Pictures of web pages, taken with headless Chromium."""

from __future__ import annotations

import shutil
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

SIZE = (1280, 1400)


def take_pictures(pages: dict[str, str], folder: Path) -> None:
    """`NAME.png` in `folder` of each page; fails where a page writes an error to its console."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", f"--window-size={SIZE[0]},{SIZE[1]}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        for name, address in pages.items():
            driver.get(address)
            WebDriverWait(driver, 20).until(
                lambda driver: driver.execute_script(
                    "return !!document.querySelector('table tr td, canvas, svg')"
                )
            )
            driver.save_screenshot(str(folder / f"{name}.png"))
            problems = [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
            assert not problems, problems
    finally:
        driver.quit()
