"""A pool of browsers inside this Python process, without a queue. See README.md."""

from browser_runtime.contract.setup.extras import require

require("worker")

from webinfer.integration.integration import ResourcePoolBridgeIntegration  # noqa: E402
from webinfer.integration.models import PooledModel  # noqa: E402

__all__ = ["PooledModel", "ResourcePoolBridgeIntegration"]
