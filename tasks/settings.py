"""Settings of producers and queue, from `WEBINFER_*` environment variables; read only at entry points."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import Field, field_validator

from browser_runtime.contract.setup.environment import LONGEST_S, BadValue, Seconds, Settings, redact
from tasks.broker.local_broker import default_broker_url
from tasks.broker.redis_urls import check_redis_url
from tasks.inputs.limits import InputLimits

YEAR_S = 366 * 86400
# More bytes than a machine holds; what is larger is a mistake.
MOST_BYTES = 1 << 50


class TaskSettings(Settings):
    """Address of the queue, limits of what may be sent. Every field is `WEBINFER_<FIELD>` in upper case."""

    broker_url: str = Field(
        default_factory=default_broker_url,
        description="Redis that holds the queues: redis://, rediss:// or redis+socket:///path;"
        " default: that of this user's running `webinfer up`, else redis://localhost:6379/0",
    )
    result_url: str = Field("", description="Redis that holds results and large arrays; default: broker_url")
    redis_prefix: str = Field(
        "webinfer:", description="prefix of webinfer's own Redis keys: letters, digits and : . _ - /"
    )
    result_ttl_s: int = Field(3600, ge=1, le=YEAR_S, description="seconds that a result is kept")
    claim_ttl_s: int = Field(
        86_400,
        ge=1,
        le=YEAR_S,
        description="seconds that large inputs wait for a worker, after a countdown and up to their expiry",
    )
    inline_limit_bytes: int = Field(
        64 << 10,
        ge=0,
        le=MOST_BYTES,
        description="bytes up to which arrays are sent in the message; larger ones are stored beside it",
    )
    task_time_limit_s: Seconds = Field(
        600.0, description="seconds: hard time limit of a task without its own"
    )
    redelivery_s: int = Field(
        6, ge=2, le=86400, description="seconds after which a dead worker's tasks go to another worker"
    )
    max_queue_length: int = Field(
        50_000,
        ge=0,
        le=1_000_000_000,
        description="the most requests that may wait in one queue; a further one is refused; 0: no limit",
    )
    redis_memory_share: float = Field(
        0.8,
        gt=0,
        le=1,
        description="share of Redis's memory (its maxmemory, else the machine's) up to which requests are"
        " accepted; the rest is kept for results and workers",
    )
    telemetry_max_entries: int = Field(
        5000,
        ge=10,
        le=100_000_000,
        description="the most batches of rows waiting for the history; beyond that the oldest are dropped",
    )
    grace_s: float = Field(
        20.0,
        ge=0,
        le=LONGEST_S,
        description="seconds in which a stopping worker finishes tasks; it returns the rest to the queue",
    )
    ledger: bool = Field(
        True, description="record messages until they are acknowledged, so that no killed worker loses one"
    )
    wait_for_workers: bool = Field(
        False,
        description="let a request without a queue and browser wait while no queue has a worker;"
        " else it is refused",
    )
    max_deliveries: int = Field(
        3, ge=1, le=1000, description="number of times a task may end its worker before it is given up"
    )
    max_items: int = Field(256, ge=1, le=1_000_000, description="the most items in one request")
    max_text_characters: int = Field(
        100_000, ge=1, le=MOST_BYTES, description="the most characters of one text"
    )
    max_text_bytes: int = Field(
        16 << 20,
        ge=1,
        le=24 << 20,
        description="the most bytes of all texts of a request, as UTF-8; at most 24 MB",
    )
    max_file_bytes: int = Field(
        64 << 20, ge=1, le=MOST_BYTES, description="the most bytes of one encoded image or sound"
    )
    max_input_bytes: int = Field(
        192 << 20, ge=1, le=MOST_BYTES, description="the most bytes of all arrays of a request"
    )
    max_sound_s: Seconds = Field(600.0, description="the most seconds of one sound")

    @field_validator("broker_url", "result_url")
    @classmethod
    def _is_redis(cls, url: str) -> str:
        return check_redis_url(url) if url else url

    @field_validator("redis_prefix")
    @classmethod
    def _is_prefix(cls, prefix: str) -> str:
        """Keys are looked for by pattern: no sign of one may be in them."""
        if not re.fullmatch(r"[A-Za-z0-9:._/-]{1,100}", prefix):
            raise BadValue("1 to 100 letters, digits or any of : . _ - /")
        return prefix

    @property
    def results(self) -> str:
        """The URL results go to."""
        return self.result_url or self.broker_url

    @property
    def ledger_prefix(self) -> str:
        """Prefix of the ledger's Redis keys; empty without a ledger."""
        return self.redis_prefix if self.ledger else ""

    def limits(self) -> InputLimits:
        """Limits of a request's inputs."""
        return InputLimits(
            max_items=self.max_items,
            max_text_characters=self.max_text_characters,
            max_text_bytes=self.max_text_bytes,
            max_file_bytes=self.max_file_bytes,
            max_input_bytes=self.max_input_bytes,
            max_sound_s=self.max_sound_s,
        )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, redact(value) if name in ("broker_url", "result_url") else value
