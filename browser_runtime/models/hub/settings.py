"""Settings of the Hub pull; read only at entry points."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from browser_runtime.contract.setup.environment import PREFIX, BadValue, Seconds, Settings, check_url


class HubSettings(Settings):
    """Settings of pulls. Hugging Face's variables keep their names; the others are `WEBINFER_HUB_*`."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}HUB_")

    endpoint: str = Field(
        "https://huggingface.co",
        validation_alias="HF_ENDPOINT",
        description="the Hub, or a mirror of it",
    )
    offline: bool = Field(
        False,
        validation_alias="HF_HUB_OFFLINE",
        description="never fetch: only models that are here already",
    )
    token: SecretStr | None = Field(
        None,
        validation_alias="HF_TOKEN",
        description="access token for gated repositories",
    )
    timeout_s: Seconds = Field(
        1800.0, description="one pull as a whole, waiting for another process included"
    )
    silence_timeout_s: Seconds = Field(30.0, description="connecting, and each wait for the next bytes")
    n_attempts: int = Field(
        5, ge=1, le=1000, description="attempts in a row that bring no byte before a file is given up"
    )
    retry_wait_s: float = Field(
        1.0, ge=0, le=3600, description="wait before the second such attempt; it doubles each time"
    )
    max_model_bytes: int = Field(8 << 30, ge=1, le=1 << 50, description="larger models are refused")

    @field_validator("endpoint")
    @classmethod
    def _is_http(cls, url: str) -> str:
        return check_url(url, ("https", "http"))

    @field_validator("token")
    @classmethod
    def _fits_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        """The token without the line end that files of secrets have. Raises BadValue."""
        if token is None:
            return None
        plain = token.get_secret_value().strip()
        if not plain or not all("!" <= character <= "~" for character in plain):
            raise BadValue("one word of ASCII letters, digits and signs")
        return SecretStr(plain)
