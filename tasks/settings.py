"""Settings of producers and queue, from `WEBINFER_*` environment variables; read only at entry points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kombu.utils.url import maybe_sanitize_url
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.inputs.limits import Limits
from tasks.local_broker import default_broker_url

SCHEMES = ("redis://", "rediss://", "redis+socket://")


class TaskSettings(BaseSettings):
    """Where the queue is and what may be sent. Every field is `WEBINFER_<FIELD>` in upper case."""

    # A URL may carry a password: it must show neither in a repr nor in a validation error.
    model_config = SettingsConfigDict(
        env_prefix="WEBINFER_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    broker_url: str = Field(
        default_factory=default_broker_url,
        description="Redis that holds the queues: redis://, rediss:// or redis+socket:///path;"
        " default: that of this user's running `webinfer up`, else redis://localhost:6379/0",
    )
    result_url: str = Field("", description="Redis that holds results and large arrays; default: broker_url")
    redis_prefix: str = Field(
        "webinfer:", min_length=1, description="what the project's own Redis keys begin with"
    )
    result_ttl_s: int = Field(3600, ge=1, description="how long a result can be fetched")
    claim_ttl_s: int = Field(3600, ge=1, description="how long large inputs wait for a worker")
    inline_limit_bytes: int = Field(
        64 << 10, ge=0, description="arrays up to this size travel in the message; the others beside it"
    )
    task_time_limit_s: float = Field(600.0, gt=0, description="hard time limit of a task that names none")
    redelivery_s: int = Field(
        30, ge=5, description="a dead worker's tasks go to another worker after this long"
    )
    telemetry_max_entries: int = Field(
        5000,
        ge=10,
        description="batches of rows that wait for the history; above that the oldest are dropped",
    )
    grace_s: float = Field(
        20.0, ge=0, description="a stopping worker finishes tasks this long, then hands them back"
    )
    ledger: bool = Field(
        True, description="record what is sent until it is acknowledged: no killed worker loses it"
    )
    max_deliveries: int = Field(3, ge=1, description="a task that ends its worker this often is given up")
    max_items: int = Field(256, ge=1, description="items in one request")
    max_text_characters: int = Field(100_000, ge=1, description="length of one text")
    max_file_bytes: int = Field(64 << 20, ge=1, description="size of one encoded image or sound")
    max_input_bytes: int = Field(192 << 20, ge=1, description="size of one request's arrays in all")
    max_sound_s: float = Field(600.0, gt=0, description="length of one sound")

    @field_validator("broker_url", "result_url")
    @classmethod
    def _is_redis(cls, url: str) -> str:
        if url and not url.startswith(SCHEMES):
            raise ValueError("must begin with one of " + ", ".join(SCHEMES))
        return url

    @property
    def results(self) -> str:
        """The URL results go to."""
        return self.result_url or self.broker_url

    @property
    def ledger_prefix(self) -> str:
        """What the ledger's Redis keys begin with; empty where none is kept."""
        return self.redis_prefix if self.ledger else ""

    def limits(self) -> Limits:
        """What a request's inputs may hold."""
        return Limits(
            self.max_items,
            self.max_text_characters,
            self.max_file_bytes,
            self.max_input_bytes,
            self.max_sound_s,
        )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, redact(value) if name in ("broker_url", "result_url") else value


def redact(url: str) -> str:
    """`url` with its password replaced by stars."""
    return str(maybe_sanitize_url(url)) if url else url
