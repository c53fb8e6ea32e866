"""Integrations with real browsers, one a module for tests that leave it as it was."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from browser_runtime.models.store import BUILTIN_FOLDER
from fixed_web_platform.resource_pool_bridge import PooledModel, ResourcePoolBridgeIntegration

SEVEN = BUILTIN_FOLDER / "digits-vit/examples/7.png"
CPU = {"priority_list": ["cpu"]}


@pytest.fixture(scope="package", autouse=True)
def real_browsers_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A test must never pass on a simulation unseen. A model store of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEBINFER_SIMULATION", "never")
        patch.setenv("WEBINFER_MODELS_DIR", str(tmp_path_factory.mktemp("models")))
        yield


@pytest.fixture(autouse=True)
def leaves_no_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """An integration that is closed has ended its loop."""
    yield
    if "shared_integration" not in request.fixturenames:
        assert not [thread for thread in threading.enumerate() if thread.name == "webinfer-pool"]


@pytest.fixture(scope="module")
def shared_integration() -> Iterator[ResourcePoolBridgeIntegration]:
    """Two browsers at most. It has its own loop, so it may outlive the one that opened it."""
    integration = ResourcePoolBridgeIntegration(
        max_connections=2, adaptive_scaling=False, browser_preferences={"vision": "chrome", "text": "edge"}
    )
    assert asyncio.run(integration.initialize())
    yield integration
    asyncio.run(integration.close())


@pytest.fixture(scope="module")
def digits(shared_integration: ResourcePoolBridgeIntegration) -> PooledModel:
    """The built-in reader of digits."""
    return asyncio.run(shared_integration.get_model("vision", "digits-vit", CPU))


@pytest.fixture(scope="module")
def sentences(shared_integration: ResourcePoolBridgeIntegration) -> PooledModel:
    """The built-in text encoder."""
    return asyncio.run(shared_integration.get_model("text", "sentences-bert", CPU))


@pytest.fixture
def seven() -> np.ndarray:
    """A drawn seven."""
    return np.asarray(Image.open(SEVEN).convert("RGB"))
