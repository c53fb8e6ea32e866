"""The native check of the kernels computes the cases that the page has."""

from __future__ import annotations

import json
import runpy
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_native_check_has_every_case_of_the_page() -> None:
    program = (
        "import('./browser_runtime/page/kernels/cases.js')"
        ".then(({ CASES }) => console.log(JSON.stringify(CASES.map(({ name }) => name))))"
    )
    found = subprocess.run(["node", "-e", program], cwd=ROOT, check=True, capture_output=True, text=True)
    table = runpy.run_path(str(ROOT / "scripts/native_kernels/table.py"))
    assert sorted(table["names"]()) == sorted(json.loads(found.stdout))
