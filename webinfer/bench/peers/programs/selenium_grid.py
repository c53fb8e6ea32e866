"""Selenium Grid 4: as by hand, through a grid's address; a session for each thread that asks."""

import base64
import threading
from pathlib import Path

from page_server import serve
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

SCRIPT = (
    "const [kind, input, done] = arguments; answer(kind, input).then(done, (error) => done(String(error)));"
)
TYPES = {"image": "image/png", "sound": "audio/wav"}
AT_ONCE = 2
local, drivers = threading.local(), []


def start(chromium, npm, models, grid, **_):
    global connect
    address = serve(npm, models)

    def connect():
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in ("--headless=new", "--no-sandbox"):
            options.add_argument(argument)
        driver = webdriver.Remote(grid, options=options)
        drivers.append(driver)
        driver.set_script_timeout(60)
        driver.get(address)
        WebDriverWait(driver, 60).until(lambda page: page.execute_script("return window.isReady"))
        return driver


def answer(kind, item):
    if not hasattr(local, "driver"):
        local.driver = connect()
    if kind != "text":
        data = base64.b64encode(Path(item).read_bytes()).decode()
        item = f"data:{TYPES[kind]};base64,{data}"
    return local.driver.execute_async_script(SCRIPT, kind, item)


def stop():
    for driver in drivers:
        driver.quit()
