"""Settings of the `webinfer` command itself, from `WEBINFER_*` environment variables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from browser_runtime.contract.setup.environment import Settings


class CommandSettings(Settings):
    """Settings of the command. Every field is `WEBINFER_<FIELD>` in upper case."""

    log_level: Literal["debug", "info", "warning", "error", "critical"] = Field(
        "warning", description="least severe log level that the `webinfer` command prints to standard error"
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_any_case(cls, level: object) -> object:
        return level.lower() if isinstance(level, str) else level
