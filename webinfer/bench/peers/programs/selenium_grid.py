"""Selenium Grid 4: as by hand, through a grid's address, with two sessions."""

import base64
from pathlib import Path
from queue import Queue

from page_server import serve
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

SCRIPT = (
    "const [kind, input, done] = arguments; answer(kind, input).then(done, (error) => done(String(error)));"
)
TYPES = {"image": "image/png", "sound": "audio/wav"}
AT_ONCE = 2
free = Queue()


def start(chromium, npm, models, grid, **_):
    address = serve(npm, models)
    for _number in range(AT_ONCE):
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in ("--headless=new", "--no-sandbox"):
            options.add_argument(argument)
        driver = webdriver.Remote(grid, options=options)
        driver.set_script_timeout(60)
        driver.get(address)
        WebDriverWait(driver, 60).until(lambda page: page.execute_script("return window.isReady"))
        free.put(driver)


def answer(kind, item):
    if kind != "text":
        data = base64.b64encode(Path(item).read_bytes()).decode()
        item = f"data:{TYPES[kind]};base64,{data}"
    driver = free.get()
    try:
        return driver.execute_async_script(SCRIPT, kind, item)
    finally:
        free.put(driver)


def stop():
    while not free.empty():
        free.get().quit()
