"""The build's hook: wheels and source archives carry the npm packages that the pages load, or are not built.

A source archive holds them already, so building from one needs neither npm nor Node.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = Path("browser_runtime/page")
NEEDED = ("node", "npm")
REMEDY = "apt-get install -y nodejs npm"


class PagePackages(BuildHookInterface):
    """Found by hatchling, which pyproject.toml points here."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fill vendor/ before the files of the archive are gathered. Ends the build with one sentence."""
        page = Path(self.root) / PAGE
        if is_filled(page):
            return
        missing = [name for name in NEEDED if shutil.which(name) is None]
        if missing:
            self.app.abort(
                f"webinfer cannot be built without {' and '.join(missing)}, which bring the packages that "
                f"the pages load; install them with: {REMEDY}"
            )
        failure = fill(page)
        if failure:
            self.app.abort(f"webinfer cannot be built: {failure}")


def is_filled(page: Path) -> bool:
    """Whether vendor/ holds what the lock file, the kernels and vendor.mjs ask for, each file whole."""
    vendor = page / "vendor"
    try:
        manifest = json.loads((vendor / "manifest.json").read_text())
        packages = json.loads((page / "package-lock.json").read_text())["packages"]
        return (
            manifest["recipe"] == _hash(page / "vendor.mjs")
            and all(
                packages[f"node_modules/{name}"]["version"] == v for name, v in manifest["versions"].items()
            )
            and _kernels(page) == manifest["kernels"]
            and all(_hash(vendor / path) == told["sha256"] for path, told in manifest["files"].items())
        )
    except (OSError, ValueError, KeyError):
        return False


def _kernels(page: Path) -> dict[str, str]:
    """The hash of every file that the kernels are assembled from, as vendor.mjs writes it down."""
    sources = [*page.glob("kernels/wasm/*.wat"), page / "kernels" / "assemble.mjs"]
    return {path.relative_to(page).as_posix(): _hash(path) for path in sources}


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fill(page: Path) -> str:
    """Run the vendoring, if need be over freshly installed packages; why it failed, or an empty text."""
    if _run(page, "node", "vendor.mjs") is None:
        return ""
    # Install scripts would download binaries that the pages never use. A checkout that has the tools of
    # development keeps them.
    without = [] if (page / "node_modules").exists() else ["--omit=dev"]
    install = ["npm", "ci", *without, "--ignore-scripts", "--no-audit", "--no-fund"]
    return _run(page, *install) or _run(page, "node", "vendor.mjs") or ""


def _run(page: Path, *command: str) -> str | None:
    """None when it succeeded, else the command and what it said last."""
    done = subprocess.run(
        command, cwd=page, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode == 0:
        return None
    errors = [line for line in done.stdout.splitlines() if "error" in line.lower()]
    return f"`{' '.join(command)}` failed in {page}: " + " / ".join(errors[:4])
