"""Settings of the scheduler's rooms, from `WEBINFER_*` environment variables; read only at entry points."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _data_dir() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "webinfer"


class SchedulerSettings(BaseSettings):
    """What is kept and decided. Every field is `WEBINFER_<FIELD>` in upper case."""

    # What an alert is sent to may be a secret: it must not show in a validation error.
    model_config = SettingsConfigDict(
        env_prefix="WEBINFER_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    history_path: Path = Field(
        default_factory=lambda: _data_dir() / "history.duckdb",
        description="the DuckDB file of the history; only the analytics worker opens it",
    )
    history_days: int = Field(
        30, ge=1, description="runs and health are kept one by one this long, then runs as hourly figures"
    )
    history_long_days: int = Field(
        365, ge=1, description="hourly figures, alerts, changes and decisions are kept this long"
    )
    history_memory_mb: int = Field(1024, ge=64, description="memory the history's database may take")
    routing_exploration: float = Field(
        0.05, ge=0, le=0.5, description="share of a model's requests that may go to another browser to learn"
    )
    autoscaling: Literal["off", "dry-run", "on"] = Field(
        "dry-run",
        description="whether decisions on the number of workers are made, and whether scalers act on them",
    )
    autoscale_queues: str = Field(
        "",
        description="queues that are scaled, like chrome-vision=1:4,edge-text; default: all with a worker",
    )
    autoscale_min: int = Field(1, ge=0, description="the fewest workers of a queue that names no bounds")
    autoscale_max: int = Field(4, ge=1, description="the most workers of a queue that names no bounds")
    autoscale_latency_s: float = Field(
        1.0, gt=0, description="nine in ten requests should not wait longer for a worker than this"
    )
    canary_deadline_s: float = Field(
        60.0, gt=0, description="a queue that does not answer its canary in this time is taken for dead"
    )
    regression_quick_sample_s: float = Field(
        20.0, gt=0, description="spacing of the samples that show a sudden slowdown"
    )
    regression_slow_sample_s: float = Field(
        3600.0, gt=0, description="spacing of the samples that show small and slow changes"
    )
    regression_min_runs: int = Field(3, ge=1, description="runs that make a sample; fewer are left out")
    regression_min_effect: float = Field(
        0.03, gt=0, lt=1, description="changes by a smaller share of the value are not told"
    )
    alert_urls: SecretStr = Field(
        SecretStr(""),
        description="who is told of alerts: Apprise URLs, comma separated; they may hold secrets",
    )
    alert_regression_days: float = Field(
        7.0, gt=0, description="a regression that nothing undid is an alert this long; then it is the usual"
    )
    reports_dir: Path = Field(
        default_factory=lambda: _data_dir() / "reports",
        description="where the daily reports are written, the newest as latest.html too",
    )
    reports_days: float = Field(30.0, gt=0, description="days that a daily report tells of")
    reports_kept: int = Field(30, ge=1, description="daily reports that are kept")
