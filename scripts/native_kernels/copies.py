"""Times plain copies: what share of them a product reaches says how well it uses the memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from device import Native

WANTED_S, SAMPLES = 0.02, 5
THREADS, GROUPS = 256, 16384
SHADER = """@group(0) @binding(0) var<uniform> count: u32;
@group(0) @binding(1) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> copy: array<vec4<u32>>;
@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var i = id.x; i < count; i += groups.x * THREADS) { copy[i] = WORDS; }
}
""".replace("THREADS", f"{THREADS}u")


def time_copies(native: Native, size: int) -> dict[str, float]:
    """Bytes read and written a second: by the device's own copy, and by a shader.

    A card's own copy may be slower than its memory, and a copy that is too short tells how long a submission
    takes; so each is repeated until it takes a while.
    """
    limits = native.device.limits
    size = min(size, limits["max-buffer-size"], limits["max-storage-buffer-binding-size"]) // 16 * 16
    source, target = native.buffer(size), native.buffer(size)

    # Zeros might be kept in less than they are.
    _record(native, "vec4<u32>(i, 3u, 5u, source[0].x) * 2654435761u", target, source)
    native.submit()

    def own(times: int) -> float:
        encoder = native.device.create_command_encoder()
        for _ in range(times):
            encoder.copy_buffer_to_buffer(source, 0, target, 0, size)
        return native.wait(encoder)

    by_itself = _least(own)
    _record(native, "source[i]", source, target)
    by_shader = _least(lambda times: native.submit(times, keep=True))
    native.forget()
    return {"own": 2 * size / by_itself, "shader": 2 * size / by_shader}


def _record(native: Native, words: str, source: Any, target: Any) -> None:
    code = SHADER.replace("WORDS", words)
    native.record_code(code, [source.size // 16], [source, target], (GROUPS,))


def _least(run: Callable[[int], float]) -> float:
    """Seconds of one, of the quickest submission of as many as take `WANTED_S`."""
    times = 1
    while (taken := run(times)) < WANTED_S:
        times = max(times + 1, min(10 * times, int(1.2 * times * WANTED_S / taken)))
    return min(run(times) for _ in range(SAMPLES)) / times
