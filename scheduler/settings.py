"""Settings of the scheduler, from `WEBINFER_*` environment variables; read only at entry points."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.setup.environment import (
    BadCombination,
    BadValue,
    FilePath,
    FolderPath,
    Seconds,
    Settings,
    xdg_folder,
)
from scheduler.autoscaling.bounds import MOST, Bounds, parse_bounds

# A hundred years; a longer time is a mistake.
MOST_DAYS = 36_500


def _data_dir() -> Path:
    return xdg_folder("XDG_DATA_HOME", ".local/share")


class SchedulerSettings(Settings):
    """Settings of the history and the decisions. Every field is `WEBINFER_<FIELD>` in upper case."""

    history_path: FilePath = Field(
        default_factory=lambda: _data_dir() / "history.duckdb",
        description="the DuckDB file of the history; only the analytics worker opens it",
    )
    history_days: int = Field(
        30,
        ge=1,
        le=MOST_DAYS,
        description="days that runs and health are kept; older runs are kept as hourly figures",
    )
    history_long_days: int = Field(
        365,
        ge=1,
        le=MOST_DAYS,
        description="days that hourly figures, alerts, changes and decisions are kept",
    )
    history_memory_mb: int = Field(
        1024, ge=64, le=1 << 30, description="megabytes of memory that the history's database may use"
    )
    routing_exploration: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="share of a model's requests that may go to other browsers, to measure",
    )
    autoscaling: Literal["off", "dry-run", "on"] = Field(
        "dry-run",
        description="decisions on the number of workers: off, shown only, or carried out by scalers",
    )
    autoscale_queues: str = Field(
        "",
        description="queues to scale, like chrome-vision=1:4,edge-text; default: all with a worker",
    )
    autoscale_min: int = Field(
        1, ge=0, le=MOST, description="the least number of workers of a queue without bounds of its own"
    )
    autoscale_max: int = Field(
        4, ge=1, le=MOST, description="the greatest number of workers of a queue without bounds of its own"
    )
    autoscale_latency_s: Seconds = Field(
        1.0, description="seconds that nine in ten requests should wait at most for a worker"
    )
    canary_deadline_s: Seconds = Field(
        60.0, description="seconds after which a queue that does not answer its canary counts as dead"
    )
    regression_quick_sample_s: Seconds = Field(
        20.0, description="seconds per sample, to find sudden slowdowns"
    )
    regression_slow_sample_s: Seconds = Field(
        3600.0, description="seconds per sample, to find small and slow changes"
    )
    regression_min_runs: int = Field(
        3,
        ge=1,
        le=1_000_000,
        description="least number of runs in a sample; others are left out",
    )
    regression_min_effect: float = Field(
        0.03, gt=0, lt=1, description="relative changes below this are not reported"
    )
    alert_urls: SecretStr = Field(
        SecretStr(""),
        description="receivers of alerts: Apprise URLs, comma separated; they may hold secrets",
    )
    alert_regression_days: float = Field(
        7.0,
        gt=0,
        le=MOST_DAYS,
        description="days that a regression without recovery stays an alert",
    )
    alert_error_rate: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="share of a model's runs in a browser that may fail without an alert",
    )
    alert_error_window_s: Seconds = Field(
        900.0, description="seconds of recent runs from which that share is computed"
    )
    reports_dir: FolderPath = Field(
        default_factory=lambda: _data_dir() / "reports",
        description="folder of the daily reports, the newest also as latest.html",
    )
    reports_days: float = Field(30.0, gt=0, le=MOST_DAYS, description="days that a daily report covers")
    reports_kept: int = Field(30, ge=1, le=MOST_DAYS, description="number of daily reports to keep")

    @field_validator("alert_urls")
    @classmethod
    def _are_urls(cls, urls: SecretStr) -> SecretStr:
        """Check only the form: loading Apprise, which knows the services, takes a second."""
        text = urls.get_secret_value().strip()
        if text and not re.match(r"[\w+.-]+://\S", text):
            raise BadValue("Apprise URLs like mailto://..., comma separated")
        return urls

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _require_order("autoscale_min", self.autoscale_min, "autoscale_max", self.autoscale_max)
        _require_order("history_days", self.history_days, "history_long_days", self.history_long_days)
        quick, slow = self.regression_quick_sample_s, self.regression_slow_sample_s
        _require_order("regression_quick_sample_s", quick, "regression_slow_sample_s", slow)
        try:
            parse_bounds(self.autoscale_queues, Bounds(self.autoscale_min, self.autoscale_max))
        except BadInput as error:
            raise BadCombination("autoscale_queues", self.autoscale_queues, str(error.args[2])) from None
        return self


def _require_order(name: str, value: float, above: str, most: float) -> None:
    if value > most:
        raise BadCombination(name, value, f"at most WEBINFER_{above.upper()}, which is {most:g}")
