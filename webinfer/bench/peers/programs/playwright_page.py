"""Playwright: the same page through `page.evaluate`."""

import base64
from pathlib import Path

from page_server import serve
from playwright.sync_api import sync_playwright

TYPES = {"image": "image/png", "sound": "audio/wav"}


def start(chromium, npm, models, **_):
    global playwright, browser, page
    playwright = sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    page = browser.new_page()
    page.goto(serve(npm, models))
    page.wait_for_function("window.isReady", timeout=60_000)


def answer(kind, item):
    if kind != "text":
        data = base64.b64encode(Path(item).read_bytes()).decode()
        item = f"data:{TYPES[kind]};base64,{data}"
    return page.evaluate("([kind, input]) => answer(kind, input)", [kind, item])


def stop():
    browser.close()
    playwright.stop()
