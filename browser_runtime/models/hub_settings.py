"""Settings of the Hub pull; read only at entry points."""

from __future__ import annotations

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class HubSettings(BaseSettings):
    """How models are fetched. Hugging Face's variables keep their names; the others are `WEBINFER_HUB_*`."""

    model_config = SettingsConfigDict(env_prefix="WEBINFER_HUB_", extra="ignore", populate_by_name=True)

    endpoint: str = Field(
        "https://huggingface.co",
        validation_alias=AliasChoices("endpoint", "HF_ENDPOINT"),
        description="the Hub, or a mirror of it",
    )
    offline: bool = Field(
        False,
        validation_alias=AliasChoices("offline", "HF_HUB_OFFLINE"),
        description="never fetch: only models that are here already",
    )
    token: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("token", "HF_TOKEN"),
        description="access token for gated repositories",
    )
    timeout_s: float = Field(
        1800.0, gt=0, description="one pull as a whole, waiting for another process included"
    )
    silence_timeout_s: float = Field(30.0, gt=0, description="connecting, and each wait for the next bytes")
    n_attempts: int = Field(
        5, ge=1, description="attempts in a row that bring no byte before a file is given up"
    )
    retry_wait_s: float = Field(
        1.0, ge=0, description="wait before the second such attempt; it doubles each time"
    )
    max_model_bytes: int = Field(8 << 30, ge=1, description="larger models are refused")
