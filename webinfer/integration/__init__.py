"""Browsers and models inside this Python process, without a queue: see README.md."""

from webinfer.integration.integration import ResourcePoolBridgeIntegration
from webinfer.integration.models import PooledModel

__all__ = ["PooledModel", "ResourcePoolBridgeIntegration"]
