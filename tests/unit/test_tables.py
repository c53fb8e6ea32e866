"""What is printed is what was given, brackets and all."""

from __future__ import annotations

import io

from rich.console import Console

from browser_runtime.contract.vocabulary import Browser
from webinfer.commands.doctor import _show
from webinfer.examination import BrowserExam, Tool
from webinfer.tables import print_replies

TIMES = dict.fromkeys(
    ("load_ms", "compile_ms", "warmup_ms", "broker_ms", "queue_ms", "total_ms", "compute_ms"), 0.0
)


def test_a_text_in_brackets_is_not_taken_for_a_colour() -> None:
    console = Console(file=io.StringIO(), width=200)
    reply = {
        "adapter": {"name": "[cpu]", "software": True},
        "browser_build": "Chromium 1",
        "backend": "wasm",
        "timings": TIMES,
        "inference_time_ms": 1.0,
    }
    print_replies(console, [("[red]why?[/red]", "[bold]", reply)])
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for words in ("[red]why?[/red]", "[bold]", "[cpu] (software)"):
        assert words in shown


def test_the_remedy_that_doctor_shows_is_whole() -> None:
    console = Console(file=io.StringIO(), width=200)
    remedy = "pip install 'webinfer[drivers]'"
    exam = BrowserExam(Browser.FIREFOX, problem=f"geckodriver is missing; install it with: {remedy}")
    _show(console, [exam], [Tool("page packages", "", "", remedy)])
    assert console.file.getvalue().count(remedy) == 2  # type: ignore[attr-defined]
