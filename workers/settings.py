"""Settings of a worker's metrics, from `WEBINFER_*` environment variables; read only at entry points."""

from __future__ import annotations

import ipaddress
import re

from pydantic import Field, field_validator

from browser_runtime.contract.setup.environment import BadValue, Settings


class MetricsSettings(Settings):
    """Address of the metrics. Every field is `WEBINFER_<FIELD>` in upper case."""

    metrics_port: int = Field(
        0, ge=0, le=65535, description="port of a worker's Prometheus metrics, or the next free one; 0: none"
    )
    metrics_address: str = Field(
        "127.0.0.1", description="address on which a worker serves its Prometheus metrics, without a login"
    )

    @field_validator("metrics_address")
    @classmethod
    def _is_address(cls, address: str) -> str:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            # A name; the last part of one is never all digits, or 1.2.3 would pass.
            if not re.fullmatch(r"(?=.{1,253}$)([\w-]{1,63}\.)*(?!\d+$)[\w-]{1,63}", address, re.ASCII):
                raise BadValue("an IP address or the name of this machine, without a port") from None
        return address
