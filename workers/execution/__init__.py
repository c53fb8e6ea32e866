"""Running tasks: the asyncio task pool, its jobs, their limits and reports."""
