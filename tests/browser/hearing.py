"""Sounds heard in pages through the log-mel shader, and through the features that transformers.js makes."""

from __future__ import annotations

from typing import Any

from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.vocabulary import Backend, Family
from browser_runtime.pool import Pool


async def hear_both_ways(pool: Pool, model: str, items: list[Any]) -> tuple[Reply, Reply]:
    """The replies with the shader and without; in this order, for a model opened without it stays so."""
    replies = []
    for wanted in (True, False):
        options = {"compute_shaders": wanted, "reuse_results": False}
        request = Request(
            Family.AUDIO, model, {"sounds": items}, backends=(Backend.WEBGPU,), options=options, single=False
        )
        replies.append(await pool.run(request))
    by_shader, by_library = replies
    assert by_shader.backend == by_library.backend == Backend.WEBGPU
    assert not any("compute_shaders" in told for told in by_shader.warnings), by_shader.warnings
    assert (by_shader.compute_shader_optimized, by_library.compute_shader_optimized) == (True, False)
    kernels = {row["kernels"] for row in by_shader.details["front_ends"]["measured"]}
    assert kernels == {"log_mel webgpu", "transformers.js"}
    return by_shader, by_library
