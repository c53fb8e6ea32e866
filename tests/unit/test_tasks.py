"""Settings, routing, configuration, and how light a producer is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from browser_runtime.contract.errors import BadSetting, SetupError
from browser_runtime.contract.vocabulary import Browser, Family
from tasks import app
from tasks.app import configuration
from tasks.broker.redis_urls import redis_py_url
from tasks.routing.router import QUEUE_OF, Choice, choose_route, keys_of
from tasks.runner import bind_runner, bound_runner, need_runner
from tasks.settings import TaskSettings

SECRET = "redis://user:hunter2@host:6379/0"


@pytest.mark.parametrize("variable", ["WEBINFER_BROKER_URL", "WEBINFER_BUILD_NETWORK"])
def test_a_producer_loads_nothing_heavy(variable: str) -> None:
    heavy = [
        "selenium",
        "websockets",
        "duckdb",
        "onnxruntime",
        "PIL",
        "soundfile",
        "soxr",
        "workers",
    ]
    code = (
        "import sys; from tasks import infer; infer.s(model_type='text', model_name='m', inputs='x');"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    environment = os.environ | {variable: "redis://nobody:1/2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_importing_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import os; from tasks import app; os.environ['WEBINFER_BROKER_URL'] = 'redis://later:1/2';"
        "print(app.conf.broker_url)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "redis://later:1/2"


def test_passwords_show_nowhere() -> None:
    settings = TaskSettings(broker_url=SECRET, result_url=SECRET)
    assert "hunter2" not in repr(settings) + str(settings) and "user" in repr(settings)
    with pytest.raises(BadSetting) as caught:
        TaskSettings(broker_url="amqp://user:hunter2@host")
    assert "hunter2" not in str(caught.value) and "redis+socket://" in str(caught.value)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBINFER_BROKER_URL", "redis+socket:///run/r.sock")
    monkeypatch.setenv("WEBINFER_MAX_ITEMS", "3")
    settings = TaskSettings()
    assert settings.results == "redis+socket:///run/r.sock" and settings.limits().max_items == 3


def test_nothing_lost_is_configured() -> None:
    conf = configuration(TaskSettings(redelivery_s=40))
    assert conf["task_acks_late"] and conf["task_reject_on_worker_lost"]
    assert conf["broker_transport_options"]["visibility_timeout"] == 40
    assert "pickle" not in str(conf["accept_content"])
    assert {queue.name for queue in conf["task_queues"]} == {
        "celery",
        "analytics",
        "watch",
        "webinfer",
        *QUEUE_OF.values(),
    }


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("redis+socket:///run/r.sock", "unix:///run/r.sock?db=0"),
        ("redis+socket:///run/r.sock?virtual_host=3", "unix:///run/r.sock?db=3"),
        ("redis+socket://:pw@/run/r.sock", "unix://:pw@/run/r.sock?db=0"),
    ],
)
def test_urls_for_redis_py(url: str, expected: str) -> None:
    assert redis_py_url(url) == expected


def test_the_prior_routes_by_family() -> None:
    assert choose_route(keys_of(Family.AUDIO, "w")).queue == "firefox-audio"
    assert choose_route(keys_of(Family.VISION, "v")).queue == "chrome-vision"
    assert choose_route(keys_of(Family.TEXT_EMBEDDING, "b")).queue == "edge-text"


def test_an_override_wins_over_a_measured_table_and_that_over_the_prior() -> None:
    table = {
        "vision": (Choice(Browser.EDGE, "measured 8 ms against 12 ms"),),
        "vision/vit|fp32": (Choice(Browser.FIREFOX, "measured 5 ms"),),
    }
    vit = keys_of(Family.VISION, "vit", "fp32", "webgpu")
    assert choose_route(keys_of(Family.VISION, "x"), table=table).reason == "measured 8 ms against 12 ms"
    assert choose_route(vit, table=table).queue == "firefox-audio"
    assert choose_route(keys_of(Family.AUDIO, "w"), table=table).queue == "firefox-audio"
    assert choose_route(vit, Browser.CHROME, table=table).queue == "chrome-vision"
    assert choose_route(vit, Browser.CHROME, "mine", table).queue == "mine"


def test_without_a_runner_the_remedy_is_named() -> None:
    assert bound_runner() is None
    with pytest.raises(SetupError, match="celery -A webinfer worker -Q chrome-vision"):
        need_runner()
    bind_runner(None)


def test_the_app_is_found_under_both_names() -> None:
    import tasks

    assert tasks.app is tasks.celery is app
    assert {"infer", "noop", "echo"} <= set(app.tasks)
