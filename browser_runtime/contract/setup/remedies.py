"""The commands that our sentences advise, in one place: tests run each of them where the thing is missing."""

from __future__ import annotations

import os
from pathlib import Path

from browser_runtime.contract.vocabulary import Browser

PAGE = Path(__file__).parents[2] / "page"

DEBIAN_PACKAGES = {
    "redis": "redis-server",
    "node": "nodejs npm",
    # Software Vulkan is what lets Firefox do WebGPU on a machine without a GPU.
    Browser.FIREFOX: "firefox-esr mesa-vulkan-drivers libvulkan1",
    Browser.CHROME: "chromium chromium-driver",
}
EXTRA = "pip install 'webinfer[{}]'"
SOCKS = "pip install 'httpx2[socks]'"
"""Lets pulls go through a SOCKS proxy."""
STAND_IN = "webinfer prepare"
"""Brings the Chromium that stands in for Edge."""
STACK = "webinfer up"
WORKER = "celery -A webinfer worker -Q chrome-vision -n chrome@%h"
ANALYTICS = "celery -A webinfer worker -Q analytics -P solo -c 1 -n analytics@%h"
BEAT = "celery -A webinfer beat"


def install_packages(what: str) -> str:
    """The command that installs Debian's packages of `what`, by this user."""
    return f"{_sudo()}apt-get install -y {DEBIAN_PACKAGES[what]}"


def install_extra(extra: str) -> str:
    """The command that installs an extra of webinfer."""
    return EXTRA.format(extra)


def install_browser(browser: Browser) -> str:
    """The command that brings `browser`, or what stands in for it."""
    return STAND_IN if browser is Browser.EDGE else install_packages(browser)


def vendor_page() -> str:
    """The command that brings the npm packages that the pages of this installation load."""
    return f"cd '{PAGE}' && npm ci --ignore-scripts && npm run vendor"


def _sudo() -> str:
    return "" if os.geteuid() == 0 else "sudo "
