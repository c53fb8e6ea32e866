"""Pools of real browsers, one a browser and module: a start costs seconds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from browser_runtime.vocabulary import Browser


@pytest.fixture(scope="session")
def settings() -> RuntimeSettings:
    """Real browsers or nothing: a test must never pass on a simulation unseen."""
    return RuntimeSettings(simulation="never")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(Browser))
async def shared_pool(request: pytest.FixtureRequest, settings: RuntimeSettings) -> AsyncIterator[Pool]:
    """A pool of one session, for tests that leave it as it was."""
    from tests.conftest import require_browser

    require_browser(request.param)
    pool = Pool(settings, request.param)
    await pool.open()
    yield pool
    await pool.close()
