"""What tests of the model store share: a store of their own, and a Hub that is on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from browser_runtime.models.hub.settings import HubSettings
from browser_runtime.models.store import ModelStore
from tests.stand_ins.hub import Hub, serve_hub
from tests.stand_ins.tiny_models import write_json, write_text_repository

REPOSITORY = "tiny/bert"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A Hub with one small model, `tiny/bert`."""
    from huggingface_hub import close_session

    root = tmp_path / "hub"
    write_text_repository(root / REPOSITORY / "main", precisions=("", "_fp16"))
    card = {"tags": ["license:mit", "bert"], "pipeline_tag": "feature-extraction"}
    write_json(root / REPOSITORY / "card.json", card)
    with serve_hub(root) as hub:
        yield hub
    close_session()


@pytest.fixture
def settings(hub: Hub) -> HubSettings:
    """Settings that lead to the Hub on this machine and give up early."""
    return HubSettings(
        endpoint=hub.address, offline=False, token=None, timeout_s=60, silence_timeout_s=5, retry_wait_s=0.0
    )


@pytest.fixture
def pulling_store(tmp_path: Path, settings: HubSettings) -> ModelStore:
    """An empty store that pulls from the Hub on this machine."""
    return ModelStore(tmp_path / "models", settings)


@pytest.fixture
def store(pulling_store: ModelStore) -> ModelStore:
    """The same."""
    return pulling_store
