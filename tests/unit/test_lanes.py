"""A lane's run: more items than may go at once go in several calls, and their answers become one."""

from __future__ import annotations

from typing import Any, cast

from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.vocabulary import Backend, Precision
from browser_runtime.link.bridge import LaneConnection
from browser_runtime.session.lanes import SessionLane
from browser_runtime.session.loading import ModelCache


class Doubling:
    """Answers as a page does, and notes how many items came at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def call(
        self, kind: str, limit_s: float, on_tokens: None, silence: None, *, items: list[int], **values: Any
    ) -> dict[str, Any]:
        self.sizes.append(len(items))
        results = [{"ok": True, "output": 2 * item} for item in items]
        return {"results": results, "timings": {"compute_ms": 1.0}, "details": {"bucket": len(items)}}


async def test_a_smaller_batch_is_sent_in_parts() -> None:
    page = Doubling()
    lane = SessionLane(cast(LaneConnection, page), ModelCache(1))
    key = ModelKey("m", "1", Backend.WASM, Precision.FP32)
    answer = await lane.run(key, [1, 2, 3, 4, 5], {}, 1.0, max_items=2)
    assert page.sizes == [2, 2, 1]
    assert [result["output"] for result in answer["results"]] == [2, 4, 6, 8, 10]
    assert (answer["timings"], answer["details"]) == ({"compute_ms": 3.0}, {"bucket": 2})
