"""Every setting is documented, and nothing is documented that is not a setting."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import AliasChoices

from browser_runtime.models.hub_settings import HubSettings
from browser_runtime.settings import RuntimeSettings
from scheduler.settings import SchedulerSettings
from tasks.settings import TaskSettings
from workers.exposition import MetricsSettings

PAGE = Path(__file__).parents[2] / "docs/settings.md"
# Read by the command itself, before any settings class.
OTHERS = {"WEBINFER_LOG_LEVEL"}


def variables() -> dict[str, str]:
    """Each setting's variable and description."""
    found = {}
    for kind in (RuntimeSettings, TaskSettings, HubSettings, SchedulerSettings, MetricsSettings):
        prefix = kind.model_config["env_prefix"]
        for name, field in kind.model_fields.items():
            alias = field.validation_alias
            variable = (
                str(alias.choices[-1]) if isinstance(alias, AliasChoices) else f"{prefix}{name}".upper()
            )
            found[variable] = str(field.description)
    return found


def test_the_page_lists_exactly_the_settings() -> None:
    page = PAGE.read_text()
    told = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(told) == sorted({*variables(), *OTHERS})
    for variable, description in variables().items():
        assert description in page, variable
