"""A Docker engine, webinfer's images, and pytest-celery's cluster made of the project's own containers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
import pytest_docker_tools.wrappers.container
from celery import Celery
from pytest_celery import CeleryBrokerCluster, CeleryWorkerContainer, RedisContainer, RedisTestBroker
from pytest_docker_tools import container, fxtr

from tasks import app
from tasks.settings import TaskSettings
from tests.cluster.conftest import disconnect_app, point_app
from tests.conftest import missing_service
from tests.docker.compose import ROOT, fill, run_options, service

PASSWORD = "aPasswordOfTheTests"
BUILD_TIMEOUT_S = 900
# As in deploy/redis.Dockerfile.
REDIS_USER = 902

# The published ports are on this machine even where it looks like a container itself.
pytest_docker_tools.wrappers.container.tests_inside_container = lambda: False


@pytest.fixture(scope="session", autouse=True)
def docker_engine() -> None:
    """A Docker engine that answers; skipped without one, failed in CI."""
    # Not by docker-py: a try that fails leaves its socket open.
    try:
        done = subprocess.run(["docker", "version"], capture_output=True, text=True, timeout=60, check=False)
        why = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        why = str(error)
    if why:
        missing_service(f"a Docker engine (apt-get install docker.io): {why}")


def build_image(name: str) -> str:
    """The image of a service, built by what docker-compose.yml says. Layers that are there are taken."""
    told = service(name)
    command = ["docker", "build", "--quiet", "--tag", told["image"], "--file", told["build"]["dockerfile"]]
    command += ["--network", os.environ.get("WEBINFER_BUILD_NETWORK", "default")]
    for key, value in told["build"].get("args", {}).items():
        command += ["--build-arg", f"{key}={os.environ.get(key) or fill(value)}"]
    done = subprocess.run(
        [*command, "."], cwd=ROOT, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return str(told["image"])


@pytest.fixture(scope="session")
def redis_image(docker_engine: None) -> str:
    """The image of Redis."""
    return build_image("redis")


@pytest.fixture(scope="session")
def chrome_image(docker_engine: None) -> str:
    """The image of Chrome's worker."""
    return build_image("worker-chrome")


class GuardedRedis(RedisContainer):  # type: ignore[misc]  # the plugin has no types
    """The project's Redis, which asks for a password."""

    @property
    def url(self) -> str:
        """For the other containers."""
        return f"redis://:{PASSWORD}@{self.hostname}:6379/0"

    @property
    def host_url(self) -> str:
        """For this machine."""
        return f"redis://:{PASSWORD}@localhost:{self.port}/0"


guarded_redis = container(
    image="{redis_image}",
    ports={"6379/tcp": None},
    environment={"WEBINFER_REDIS_PASSWORD": PASSWORD},
    network="{default_pytest_celery_network.name}",
    wrapper_class=GuardedRedis,
    timeout=60,
    # A volume in the file; in a test nothing need last.
    **(run_options("redis") | {"tmpfs": {"/data": f"uid={REDIS_USER},gid={REDIS_USER}"}}),
)


@pytest.fixture
def celery_broker_cluster(guarded_redis: GuardedRedis) -> Iterator[CeleryBrokerCluster]:
    """Redis alone."""
    cluster = CeleryBrokerCluster(RedisTestBroker(guarded_redis))
    yield cluster
    cluster.teardown()


@pytest.fixture
def celery_backend_cluster() -> None:
    """None of its own: results go to the broker's Redis."""


@pytest.fixture
def chrome_security() -> list[str]:
    """A fixture, because the profile's braces would be taken for names of fixtures."""
    return list(run_options("worker-chrome")["security_opt"])


@pytest.fixture
def worker_environment(guarded_redis: GuardedRedis) -> dict[str, str]:
    """As in the file, with the test's Redis."""
    return {"WEBINFER_BROKER_URL": guarded_redis.url}


default_worker_container = container(
    image="{chrome_image}",
    command=[fill(word) for word in service("worker-chrome")["command"]],
    environment=fxtr("worker_environment"),
    network="{default_pytest_celery_network.name}",
    wrapper_class=CeleryWorkerContainer,
    timeout=90,
    **(run_options("worker-chrome") | {"security_opt": fxtr("chrome_security")}),
)


@pytest.fixture
def celery_setup_app(guarded_redis: GuardedRedis) -> Iterator[Celery]:
    """The project's own app, as a producer outside of the containers has it."""
    before = app.__dict__.get("settings") or TaskSettings()
    point_app(TaskSettings(broker_url=guarded_redis.host_url))
    yield app
    disconnect_app()
    point_app(before)
