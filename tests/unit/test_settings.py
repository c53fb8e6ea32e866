"""Every setting is documented and known by name; what is wrong is one sentence wherever it is read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.errors import BadSetting, UnknownSetting
from browser_runtime.contract.setup import environment
from browser_runtime.contract.setup.environment import (
    CLASSES,
    KUBERNETES,
    OTHERS,
    Settings,
    check_environment,
    load_class,
    make_folder,
    redact,
    refuse_unknown,
    variable,
    variables,
)
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import find_installation
from browser_runtime.models.hub.settings import HubSettings
from browser_runtime.settings import RuntimeSettings
from scheduler.settings import SchedulerSettings
from tasks.broker.redis_urls import check_redis_url, redis_py_url, socket_url
from tasks.settings import TaskSettings
from webinfer.integration import ResourcePoolBridgeIntegration

ROOT = Path(__file__).parents[2]
KINDS = [load_class(path) for path in CLASSES]


def subclasses(kind: type[Any]) -> set[type[Any]]:
    return {kind} | {each for child in kind.__subclasses__() for each in subclasses(child)}


def test_the_page_lists_exactly_the_settings() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    told = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(told) == sorted(name for kind in KINDS for name in variables(kind))
    for kind in KINDS:
        for field in kind.model_fields.values():
            assert str(field.description) in page


def test_every_class_of_settings_is_known_by_name() -> None:
    ours = {kind for kind in subclasses(Settings) if not kind.__module__.startswith("tests")}
    assert ours - {Settings} == set(KINDS)


def test_the_names_that_compose_files_read_are_known() -> None:
    files = [ROOT / "docker-compose.yml", *(ROOT / "deploy").glob("*.yml"), ROOT / "deploy/env.example"]
    named = {name for file in files for name in re.findall(r"\bWEBINFER_\w+", file.read_text())}
    assert len(named) > 5
    assert named <= {name for kind in KINDS for name in variables(kind)} | set(OTHERS)


BAD = [
    ("WEBINFER_MAX_ITEMS", "many", "WEBINFER_MAX_ITEMS is 'many', but must be a whole number from 1 to"),
    ("WEBINFER_MAX_ITEMS", "0", "a whole number from 1"),
    ("WEBINFER_MAX_ITEMS", "2.5", "a whole number from 1"),
    ("WEBINFER_HEADLESS", "perhaps", "true or false"),
    ("WEBINFER_SIMULATION", "sometimes", "one of never, fallback, always"),
    ("WEBINFER_LAUNCH_TIMEOUT_S", "nan", "a number above 0 and at most 2,592,000"),
    ("WEBINFER_LAUNCH_TIMEOUT_S", "inf", "a number above 0"),
    ("WEBINFER_LAUNCH_TIMEOUT_S", "-1", "a number above 0"),
    ("WEBINFER_GRACE_S", "1e300", "a number from 0"),
    ("WEBINFER_MAX_SOUND_S", "0", "a number above 0"),
    ("WEBINFER_REGRESSION_MIN_EFFECT", "1", "a number above 0 and below 1"),
    ("WEBINFER_MIN_SESSIONS", "9", "a whole number from 1 to 8"),
    ("WEBINFER_MODELS_DIR", "/etc/passwd", "a folder, and /etc/passwd is a file"),
    ("WEBINFER_MODELS_DIR", "/etc/passwd/models", "a folder, and /etc/passwd is a file"),
    ("WEBINFER_MODELS_DIR", "~nobody-of-that-name/x", "no such user's home"),
    ("WEBINFER_MODELS_DIR", "/" + 300 * "x", "a path that can be used here"),
    ("WEBINFER_HISTORY_PATH", "/etc", "a file, and this is a folder"),
    ("WEBINFER_BROKER_URL", "localhost:6379", "a URL that begins with redis:// or rediss://"),
    ("WEBINFER_BROKER_URL", "amqp://localhost", "a URL that begins with redis://"),
    ("WEBINFER_BROKER_URL", "redis://host:70000", "a port from 1 to 65,535"),
    ("WEBINFER_BROKER_URL", "redis://host:x", "a port from 1 to 65,535"),
    ("WEBINFER_BROKER_URL", "redis://host/zero", "whose database is a number"),
    ("WEBINFER_BROKER_URL", "redis://host/0?ssl_cert_reqs=none", "without the option ssl_cert_reqs"),
    ("WEBINFER_BROKER_URL", "rediss://host/0", "ends with ?ssl_cert_reqs=required"),
    ("WEBINFER_BROKER_URL", "redis+socket://", "the path of a socket"),
    ("WEBINFER_BROKER_URL", "redis://a/0;redis://b/0", "the URL of one Redis"),
    ("WEBINFER_BROKER_URL", "redis://my host/0", "holds no spaces"),
    ("WEBINFER_RESULT_URL", "http://host", "a URL that begins with redis://"),
    ("WEBINFER_REDIS_PREFIX", "web*:", "1 to 100 letters, digits or any of"),
    ("WEBINFER_REDIS_PREFIX", "web infer", "1 to 100 letters"),
    ("WEBINFER_METRICS_PORT", "65536", "a whole number from 0 to 65,535"),
    ("WEBINFER_METRICS_ADDRESS", "127.0.0.1:9000", "without a port"),
    ("WEBINFER_METRICS_ADDRESS", "1.2.3", "an IP address"),
    ("WEBINFER_AUTOSCALING", "yes", "one of off, dry-run, on"),
    ("WEBINFER_AUTOSCALE_QUEUES", "chrome=1:2", "of the queues firefox-audio, chrome-vision, edge-text"),
    ("WEBINFER_AUTOSCALE_QUEUES", "chrome-vision=3:2", "fewest:most"),
    ("WEBINFER_AUTOSCALE_MIN", "5", "at most WEBINFER_AUTOSCALE_MAX, which is 4"),
    ("WEBINFER_HISTORY_DAYS", "400", "at most WEBINFER_HISTORY_LONG_DAYS, which is 365"),
    ("WEBINFER_USE_CPU", "no", "true where WEBINFER_USE_GPU is false"),
    ("WEBINFER_LOG_LEVEL", "loud", "one of debug, info, warning, error, critical"),
    ("HF_ENDPOINT", "hub.example", "a URL that begins with https:// or http://"),
    ("HF_ENDPOINT", "https://", "names a host"),
    ("HF_HUB_OFFLINE", "maybe", "true or false"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), BAD)
def test_a_bad_value_is_one_sentence_with_name_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    monkeypatch.setenv("WEBINFER_USE_GPU", "no") if name == "WEBINFER_USE_CPU" else None
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting) as told:
        check_environment()
    sentence = str(told.value)
    assert sentence.startswith(f"{name} is ") and ", but must be " in sentence and allowed in sentence
    assert "\n" not in sentence and len(sentence) < 500
    assert told.value.__cause__ is None and told.value.__suppress_context__


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("WEBINFER_BROKER_URL", "amqp://user:s3cret@host", "s3cret"),
        ("WEBINFER_BROKER_URL", "redis://:s3cr@t@host:x", "s3cr"),
        ("WEBINFER_ALERT_URLS", "s3cret", "s3cret"),
    ],
)
def test_a_sentence_tells_no_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, secret: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting, match=name) as told:
        check_environment()
    assert secret not in str(told.value)


def test_a_password_is_taken_out_of_a_url_and_nothing_else() -> None:
    assert redact("redis://:pass@host:6379/0") == "redis://:**@host:6379/0"
    assert redact("rediss://me:p@ss@h/0?ssl_cert_reqs=none") == "rediss://me:**@h/0?ssl_cert_reqs=none"
    for plain in ("redis://host:6379/0", "redis+socket:///tmp/a%20b/redis.sock", "nothing: here@all"):
        assert redact(plain) == plain


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("WEBINFER_MAX_ITEM", "did you mean WEBINFER_MAX_ITEMS?"),
        ("WEBINFER_BROKER", "did you mean WEBINFER_BROKER_URL?"),
        ("WEBINFER_HUB_TOKEN", "did you mean HF_TOKEN?"),
        ("WEBINFER_COLOUR", "docs/settings.md lists all there are"),
        ("webinfer_model_dir", "did you mean WEBINFER_MODELS_DIR?"),
        ("WEBINFER_SIMULATE", "did you mean WEBINFER_SIMULATION?"),
        ("WEBINFER_", "docs/settings.md lists all there are"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, name: str, advice: str
) -> None:
    monkeypatch.setenv(name, "1")
    for kind in (RuntimeSettings, TaskSettings):
        with pytest.raises(UnknownSetting, match=re.escape(f"There is no setting {name}; ")) as told:
            kind()
        assert advice in str(told.value)


def test_names_of_other_rooms_of_compose_and_of_kubernetes_are_no_mistakes() -> None:
    refuse_unknown(dict.fromkeys(name for kind in KINDS for name in variables(kind)))  # type: ignore[arg-type]
    refuse_unknown(dict.fromkeys(OTHERS, ""))
    services = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_5555_TCP_ADDR")
    refuse_unknown({f"WEBINFER_FLOWER_{name}": "" for name in services})
    assert not any(KUBERNETES.fullmatch(variable(TaskSettings, name)) for name in TaskSettings.model_fields)


def test_a_variable_that_is_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in KINDS:
        for name in variables(kind):
            monkeypatch.setenv(name, "")
    check_environment()
    assert RuntimeSettings().chrome_binary is None
    assert TaskSettings().broker_url == "redis://localhost:6379/0"


def test_variables_of_other_programs_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN", "ENDPOINT", "OFFLINE", "token", "MAX_ITEMS"):
        monkeypatch.setenv(name, "1")
    settings = HubSettings()
    assert settings.token is None and settings.endpoint.startswith("https://") and not settings.offline


def test_a_home_is_meant_by_its_sign_and_asked_for_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WEBINFER_MODELS_DIR", "~/models")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # its specification: to be ignored
    assert RuntimeSettings().models_dir == tmp_path / "models"
    own = tmp_path / ".cache/webinfer"
    assert RuntimeSettings().cache_dir == (own if os.geteuid() else Path("/var/cache/webinfer"))

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("WEBINFER_MODELS_DIR")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setattr(environment.Path, "home", nobody)
    with pytest.raises(BadSetting, match="HOME is not set"):
        RuntimeSettings()


def test_options_of_code_are_checked_like_the_environment() -> None:
    with pytest.raises(BadSetting, match="max_items is 0, but must be a whole number"):
        TaskSettings(max_items=0)
    with pytest.raises(BadSetting, match="min_sessions is 3, but must be at most WEBINFER_MAX_SESSIONS"):
        RuntimeSettings(min_sessions=3, max_sessions=2)
    with pytest.raises(BadSetting, match="WEBINFER_AUTOSCALE_QUEUES"):
        os.environ["WEBINFER_AUTOSCALE_QUEUES"] = "x"
        try:
            SchedulerSettings()
        finally:
            del os.environ["WEBINFER_AUTOSCALE_QUEUES"]


def test_a_program_that_is_not_there_is_a_bad_setting_not_a_missing_browser(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("no program")
    for name in ("WEBINFER_CHROME_BINARY", "WEBINFER_CHROME_DRIVER"):
        for path in (tmp_path / "nothing", tmp_path / "text"):
            with monkeypatch.context() as patch:
                patch.setenv("WEBINFER_CHROME_BINARY", sys.executable)
                patch.setenv(name, str(path))
                with pytest.raises(BadSetting, match=f"{name} is '.*', but must be a program that is there"):
                    find_installation(Browser.CHROME, RuntimeSettings())


def test_a_folder_that_cannot_be_written_is_told_by_its_setting(tmp_path: Path) -> None:
    assert make_folder("WEBINFER_CACHE_DIR", tmp_path / "a b/c").is_dir()
    assert not list((tmp_path / "a b/c").iterdir())
    with pytest.raises(BadSetting, match="WEBINFER_CACHE_DIR is '/proc/no', but must be a path that can be"):
        make_folder("WEBINFER_CACHE_DIR", Path("/proc/no"))


URLS = [
    "redis://",
    "redis:///3",
    "redis://localhost",
    "redis://localhost:6379/0",
    "redis://:p%40ss@[::1]:7000/12",
    "rediss://me:pw@host:6380/1?ssl_cert_reqs=required",
    "rediss://host?ssl_cert_reqs=CERT_NONE",
    "redis+socket:///run/redis.sock",
    "redis+socket://:pw@/run/redis.sock?virtual_host=3",
]


@pytest.mark.parametrize("url", URLS)
def test_what_is_taken_for_a_redis_is_one_to_celery_kombu_and_redis_py(url: str) -> None:
    check_redis_url(url)
    app = Celery(broker=url, backend=url, set_as_current=False)
    broker: Any = app.connection().channel
    ours = redis.ConnectionPool.from_url(redis_py_url(url))
    results: Any = app.backend
    there = results.connparams
    told = ours.connection_kwargs
    assert int(there.get("db") or 0) == int(told.get("db", 0))
    assert there.get("password") == told.get("password")
    assert there.get("path") == told.get("path")
    assert callable(broker)


@given(
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0/"), min_size=1, max_size=30)
)
def test_any_folder_can_hold_the_socket_of_a_redis(name: str) -> None:
    if name in (".", ".."):
        return
    url = socket_url(Path("/tmp") / name / "redis.sock")
    check_redis_url(url)
    path = redis.ConnectionPool.from_url(redis_py_url(url)).connection_kwargs["path"]
    app = Celery(broker=url, backend=url, set_as_current=False)
    results: Any = app.backend
    assert path == results.connparams["path"] == f"/tmp/{name}/redis.sock"


COMMANDS = {
    "webinfer": [sys.executable, "-m", "webinfer", "models", "list"],
    "worker": [sys.executable, "-m", "celery", "-A", "webinfer", "worker", "-Q", "chrome-vision"],
    "beat": [sys.executable, "-m", "celery", "-A", "webinfer", "beat"],
    "flower": [sys.executable, "-m", "celery", "-A", "webinfer", "flower"],
    "monitor": [sys.executable, "-m", "celery", "-A", "webinfer", "webinfer-flower"],
}


BAD_VALUE = (
    "WEBINFER_HISTORY_DAYS",
    "-1",
    "WEBINFER_HISTORY_DAYS is '-1', but must be a whole number from 1",
)
MISSPELT = ("WEBINFER_HISTORY_DAY", "1", "There is no setting WEBINFER_HISTORY_DAY; did you mean")


@pytest.mark.parametrize(
    ("command", "wrong"), [*((command, BAD_VALUE) for command in COMMANDS), ("worker", MISSPELT)]
)
def test_every_command_ends_with_one_sentence(command: str, wrong: tuple[str, str, str]) -> None:
    name, value, told = wrong
    done = run(COMMANDS[command], name, value)
    assert done.returncode == 1
    assert told in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not done.stdout


def run(argv: list[str], name: str, value: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        env=os.environ | {name: value},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_producer_and_an_integration_are_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks import app

    monkeypatch.setenv("WEBINFER_MAX_ITEMS", "0")
    monkeypatch.delitem(app.__dict__, "settings", raising=False)
    with pytest.raises(BadSetting, match="WEBINFER_MAX_ITEMS is '0'"):
        _ = app.settings
    with pytest.raises(BadSetting, match="WEBINFER_MAX_ITEMS is '0'"):
        ResourcePoolBridgeIntegration()


def test_help_is_there_while_a_setting_is_wrong() -> None:
    done = run([sys.executable, "-m", "webinfer", "models", "list", "-h"], "WEBINFER_MAX_ITEMS", "x")
    assert done.returncode == 0 and "Usage:" in done.stdout
