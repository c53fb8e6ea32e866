"""`celery -A tests.cluster.memory_app worker ...`: the product's app with the runner in memory."""

import asyncio
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from tasks import app
from tasks.coroutines import CoroutineTask

app.steps["worker"].discard("workers.steps:BrowserPool")
app.steps["worker"].add("tests.cluster.memory_runner:MemoryBrowsers")


@app.task(name="collect")
def collect(replies: Any) -> list[Any]:
    """A chord's body: the outputs of its header."""
    return [reply["output"] for reply in replies]


@app.task(name="say")
def say(what: Any) -> Any:
    """What a task before another one gives it."""
    return what


class Patient(CoroutineTask):
    """Shows what a body can do: mind its soft limit, retry by hand."""

    name = "patient"

    async def body(self, what: str) -> Any:
        if what == "mind":
            try:
                await asyncio.sleep(30)
            except SoftTimeLimitExceeded:
                return "minded"
        if what == "retry" and self.request.retries < 2:
            raise self.retry(countdown=0.05, exc=ValueError("not yet"))
        return [self.request.retries, self.request.id]


patient = app.register_task(Patient())
