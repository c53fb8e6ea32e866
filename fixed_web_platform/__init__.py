"""The guide's import path: `fixed_web_platform.resource_pool_bridge.ResourcePoolBridgeIntegration`."""
