"""`python -m webinfer.compatibility > docs/compatibility.md`."""

from __future__ import annotations

import sys

from webinfer.compatibility.page import render

sys.stdout.write(render())
