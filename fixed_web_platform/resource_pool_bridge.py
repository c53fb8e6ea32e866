"""Browsers and models inside this Python process, without a queue: see webinfer.integration."""

from webinfer.integration import PooledModel, ResourcePoolBridgeIntegration

__all__ = ["PooledModel", "ResourcePoolBridgeIntegration"]
