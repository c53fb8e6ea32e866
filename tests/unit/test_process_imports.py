"""Each process of the stack imports what it uses, and nothing that another one alone needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

# By the process that alone needs them: a web server, a database, statistics, pages, browsers, models.
FLOWER = ("flower", "tornado", "prompt_toolkit")
HISTORY = ("duckdb", "scipy", "jinja2")
PAGES = ("selenium", "websockets", "onnxruntime", "tokenizers", "PIL", "soundfile")
START = "import webinfer.stack.celery_command, webinfer\nwebinfer.app.finalize(auto=True)\n"
WORKER = START + "webinfer.app.Worker(queues=['{}'], pool='{}')"
PROCESSES = {
    "supervisor": ("import webinfer.commands.up", (*FLOWER, *HISTORY, *PAGES)),
    "beat": (
        START + "webinfer.app.Beat(scheduler=webinfer.app.conf.beat_scheduler)",
        FLOWER + HISTORY + PAGES,
    ),
    "watch": (WORKER.format("watch", "threads"), (*FLOWER, *HISTORY, *PAGES)),
    # It opens the history when the first task comes, and analyses now and then.
    "analytics": (WORKER.format("analytics", "solo"), (*FLOWER, *HISTORY, *PAGES)),
    "browser": (WORKER.format("edge-text", "threads"), (*FLOWER, *HISTORY)),
}


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_imports_nothing_that_another_one_alone_needs(process: str) -> None:
    start, others = PROCESSES[process]
    show = f"import sys\nprint(*sorted(set(sys.modules) & {set(others)}))"
    ran = subprocess.run(
        [sys.executable, "-c", f"{start}\n{show}"], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == []
