"""Selenium by hand: one browser, a page with transformers.js, `execute_async_script`."""

import base64
from pathlib import Path

from page_server import serve
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

SCRIPT = (
    "const [kind, input, done] = arguments; answer(kind, input).then(done, (error) => done(String(error)));"
)
TYPES = {"image": "image/png", "sound": "audio/wav"}


def start(chromium, npm, models, **_):
    global driver
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options)
    driver.set_script_timeout(60)
    driver.get(serve(npm, models))
    WebDriverWait(driver, 60).until(lambda page: page.execute_script("return window.isReady"))


def answer(kind, item):
    if kind != "text":
        data = base64.b64encode(Path(item).read_bytes()).decode()
        item = f"data:{TYPES[kind]};base64,{data}"
    return driver.execute_async_script(SCRIPT, kind, item)


def stop():
    driver.quit()
