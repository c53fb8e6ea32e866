"""Make tests/page/fixtures/low_bits.json: a tiny LLaMA in the low-bit format, and what NumPy says that it answers.

    python tests/data/make_low_bits_model.py

Written from browser_runtime/page/kernels/README.md alone, so that the page's engine is held to the format's words and not
to code of its own. Every number of bits is in it, sizes that no vector divides, biases, head norms, a head of its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import numpy as np

OUT = Path(__file__).parents[1] / "page" / "fixtures" / "low_bits.json"
LAYERS, WIDTH, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCAB = 2, 68, 4, 2, 32, 101, 97
PAIRS, EPS, PROMPT, NEW = 12, 1e-5, 150, 8
# An activation that rounds the other way to int8 moves a logit by some hundredths: no answer may hang on less.
MARGIN = 0.1
CACHES = {"k16v16": (16, 16), "k3v2": (3, 2), "k2v4": (2, 4), "k8v8": (8, 8)}
F = np.float32
rng = np.random.default_rng(7)


def up(n: int, step: int) -> int:
    return -(-n // step) * step


def pack(w: np.ndarray, bits: int) -> tuple[bytes, np.ndarray]:
    """The tensor's bytes, and what they stand for."""
    rows, columns = w.shape
    kp, n_p = up(columns, 64), up(rows, 4)
    tiles, blocks = kp // 64, n_p // 4
    if bits >= 16:
        kind = np.float16 if bits == 16 else np.float32
        padded = np.zeros((rows, kp), kind)
        padded[:, :columns] = w
        body = padded.tobytes()
        return body.ljust(up(len(body), 64), b"\0"), padded[:, :columns].astype(F)
    full = np.zeros((n_p, kp), F)
    full[:rows, :columns] = w
    groups = full.reshape(n_p, kp // 32, 32)
    if bits == 8:
        scale = (np.abs(groups).max(-1) / 127).astype(np.float16)
        safe = np.where(scale == 0, 1, scale.astype(F))
        codes = np.clip(np.rint(groups / safe[..., None]), -127, 127)
        value = (codes * scale.astype(F)[..., None]).reshape(n_p, kp)[:rows, :columns]
        # [block, row, tile, column / 4, 4] -> [block, tile, column / 4, row, 4]
        order = codes.astype(np.int8).reshape(blocks, 4, tiles, 16, 4).transpose(0, 2, 3, 1, 4)
        scales = scale.reshape(blocks, 4, tiles, 2).transpose(0, 2, 3, 1)
        parts = [order.tobytes(), scales.tobytes()]
        return b"".join(p.ljust(up(len(p), 64), b"\0") for p in parts), value
    levels = 2**bits - 1
    low = np.minimum(groups.min(-1), 0)
    span = (groups.max(-1) - low) / levels
    s_row = (span.max(-1) / 63 + 1e-6).astype(np.float16)
    m_row = (low.min(-1) / 63 - 1e-6).astype(np.float16)
    cs = np.clip(np.rint(span / s_row[:, None].astype(F)), 1, 63)
    cm = np.clip(np.rint(low / m_row[:, None].astype(F)), 0, 63)
    scale = s_row[:, None].astype(F) * cs.astype(F)
    minimum = m_row[:, None].astype(F) * cm.astype(F)
    codes = np.clip(np.rint((groups - minimum[..., None]) / scale[..., None]), 0, levels).astype(np.uint8)
    value = (codes * scale[..., None] + minimum[..., None]).astype(F).reshape(n_p, kp)[:rows, :columns]
    codes = codes.reshape(n_p, kp)
    nb = tiles * blocks
    low_plane, high_plane = np.zeros(64 * nb, np.uint8), np.zeros({2: 0, 3: 32, 4: 64}[bits] * nb, np.uint8)
    group_bytes, row_bytes = np.zeros(12 * nb, np.uint8), np.zeros(8 * blocks, np.float16)
    for row in range(rows):
        r, block = row % 4, row // 4
        row_bytes[8 * block + r], row_bytes[8 * block + 4 + r] = s_row[row], m_row[row]
        for tile in range(tiles):
            t = block * tiles + tile
            word = sum(int(cs[row, 2 * tile + h]) << 6 * h | int(cm[row, 2 * tile + h]) << 12 + 6 * h for h in (0, 1))
            group_bytes[12 * t + 3 * r : 12 * t + 3 * r + 3] = list(word.to_bytes(3, "little"))
        for column in range(columns):
            t, j = block * tiles + column // 64, column % 64
            a, p, c = j // 16, j // 4 % 4, j % 4
            q = int(codes[row, column])
            low_plane[64 * t + 16 * a + 4 * r + c] |= (q & 3) << 2 * p
            if bits == 4:
                high_plane[64 * t + 16 * a + 4 * r + c] |= (q >> 2) << 2 * p
            if bits == 3:
                high_plane[32 * t + 16 * (a // 2) + 4 * r + c] |= (q >> 2) << 4 * (p // 2) + 2 * (a % 2) + p % 2
    parts = [p.tobytes() for p in (low_plane, high_plane, group_bytes, row_bytes)]
    return b"".join(p.ljust(up(len(p), 64), b"\0") for p in parts), value


class Model:
    def __init__(self) -> None:
        self.tensors: dict[str, dict[str, object]] = {}
        self.bits: dict[str, int] = {}
        self.w: dict[str, np.ndarray] = {}
        self.shard = b""
        q, kv = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
        self.add("embedding", (VOCAB, WIDTH), 8)
        self.add("head", (VOCAB, WIDTH), 4)
        self.add("norm", (WIDTH,), 32)
        plans = [dict(q=2, k=3, v=4, o=8, gate=16, up=32, down=3), dict(q=3, k=4, v=8, o=2, gate=2, up=3, down=4)]
        for i, plan in enumerate(plans):
            at = f"layers.{i}."
            shapes = dict(
                q=(q, WIDTH), k=(kv, WIDTH), v=(kv, WIDTH), o=(WIDTH, q),
                gate=(FFN, WIDTH), up=(FFN, WIDTH), down=(WIDTH, FFN),
            )  # fmt: skip
            for name, shape in shapes.items():
                self.add(at + name, shape, plan[name])
            for name in ("q", "k", "v", "o"):
                self.add(f"{at}{name}_bias", shapes[name][:1], 32)
            self.add(at + "attention_norm", (WIDTH,), 32)
            self.add(at + "ffn_norm", (WIDTH,), 32)
            self.add(at + "q_norm", (HEAD_DIM,), 32)
            self.add(at + "k_norm", (HEAD_DIM,), 32)

    def add(self, name: str, shape: tuple[int, ...], bits: int) -> None:
        if name.endswith("norm"):
            w = 1 + 0.2 * rng.standard_normal(shape)
        else:
            w = rng.standard_normal(shape) * (0.3 if len(shape) == 1 else 1.2 / np.sqrt(shape[1]))
        body, value = pack(w.astype(F).reshape(-1, shape[-1]), bits)
        entry = {"shape": shape, "bits": bits, "shard": 0, "offset": len(self.shard), "size_bytes": len(body)}
        self.tensors[name], self.bits[name] = entry, bits
        self.w[name] = value.reshape(shape)
        self.shard += body

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        y = (quantized(x) if self.bits[name] < 16 else x) @ self.w[name].T
        return y + self.w[f"{name}_bias"] if f"{name}_bias" in self.w else y


def quantized(x: np.ndarray) -> np.ndarray:
    k = x.shape[-1]
    g = np.zeros((*x.shape[:-1], up(k, 32)), F)
    g[..., :k] = x
    g = g.reshape(*x.shape[:-1], -1, 32)
    a = np.abs(g).max(-1, keepdims=True)
    codes = np.rint(g * (F(127) / np.where(a == 0, 1, a)))
    return (codes * (a / F(127))).reshape(*x.shape[:-1], -1)[..., :k].astype(F)


def rms(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return (x / np.sqrt((x * x).mean(-1, keepdims=True) + F(EPS)) * weight).astype(F)


def packed(x: np.ndarray, bits: int, group: int, clip: float) -> np.ndarray:
    """fp16 values, groups along the first axis, as they come back from few bits; `clip` of the range is cut off."""
    n, m = x.shape
    g = x.astype(F).reshape(n // group, group, m)
    low, high = g.min(1, keepdims=True), g.max(1, keepdims=True)
    span = high - low
    s = (span * F(1 - 2 * clip) / F(2**bits - 1)).astype(np.float16).astype(F)
    base = (low + span * F(clip)).astype(np.float16).astype(F)
    codes = np.where(s > 0, np.clip(np.rint((g - base) / np.where(s > 0, s, 1)), 0, 2**bits - 1), 0)
    return (codes * s + base).reshape(n, m)


class Run:
    """A sequence, token by token, over a cache of given bits."""

    def __init__(self, model: Model, bits: tuple[int, int]) -> None:
        self.model, self.bits = model, bits
        self.window = 128 if bits[0] == 2 else 64
        self.keys = [[np.zeros((0, HEAD_DIM), F) for _ in range(KV_HEADS)] for _ in range(LAYERS)]
        self.values = [[np.zeros((0, HEAD_DIM), F) for _ in range(KV_HEADS)] for _ in range(LAYERS)]
        self.n = 0

    def token(self, token: int) -> np.ndarray:
        m, w = self.model, self.model.w
        x = w["embedding"][token].astype(F)
        for i in range(LAYERS):
            at = f"layers.{i}."
            h = rms(x, w[at + "attention_norm"])
            q = rms(m.linear(at + "q", h).reshape(HEADS, HEAD_DIM), w[at + "q_norm"])
            k = rms(m.linear(at + "k", h).reshape(KV_HEADS, HEAD_DIM), w[at + "k_norm"])
            v = m.linear(at + "v", h).reshape(KV_HEADS, HEAD_DIM)
            q, k = self.rope(q), self.rope(k)
            out = np.empty((HEADS, HEAD_DIM), F)
            for g in range(KV_HEADS):
                self.keys[i][g] = np.vstack([self.keys[i][g], k[g].astype(np.float16).astype(F)])
                self.values[i][g] = np.vstack([self.values[i][g], v[g].astype(np.float16).astype(F)])
                for n in range(g * HEADS // KV_HEADS, (g + 1) * HEADS // KV_HEADS):
                    s = self.keys[i][g] @ q[n] / np.sqrt(F(HEAD_DIM))
                    e = np.exp(s - s.max())
                    out[n] = (e / e.sum()) @ self.values[i][g]
            if (self.n + 1) % 64 == 0:
                self.pack(i)
            x = x + m.linear(at + "o", out.reshape(-1))
            h = rms(x, w[at + "ffn_norm"])
            gate = m.linear(at + "gate", h)
            x = x + m.linear(at + "down", (gate / (1 + np.exp(-gate)) * m.linear(at + "up", h)).astype(F))
        self.n += 1
        return m.linear("head", rms(x, w["norm"]))

    def rope(self, x: np.ndarray) -> np.ndarray:
        angles = self.n * FREQUENCIES
        c, s = (np.cos(angles) * FACTOR).astype(F), (np.sin(angles) * FACTOR).astype(F)
        y = x.copy()
        a, b = x[:, :PAIRS], x[:, PAIRS : 2 * PAIRS]
        y[:, :PAIRS], y[:, PAIRS : 2 * PAIRS] = a * c - b * s, b * c + a * s
        return y

    def pack(self, layer: int) -> None:
        block = self.n // 64 - self.window // 64
        if block < 0:
            return
        part = slice(64 * block, 64 * block + 64)
        for g in range(KV_HEADS):
            k, v = self.keys[layer][g], self.values[layer][g]
            if self.bits[0] < 16:
                clip = {2: 1 / 32, 3: 1 / 32}.get(self.bits[0], 0)
                k[part] = packed(k[part], self.bits[0], 32 if self.bits[0] == 2 else 64, clip)
            if self.bits[1] < 16:
                clip = {2: 3 / 32, 3: 1 / 32}.get(self.bits[1], 0)
                v[part] = packed(v[part].T, self.bits[1], 32, clip).T


FREQUENCIES = 10000.0 ** (-np.arange(PAIRS) / PAIRS)
FACTOR = 1.1


def answers(model: Model, prompt: list[int]) -> dict[str, dict[str, list[float]]] | None:
    """The logits after the prompt and the greedy tokens, by cache; None where one is chosen by less than MARGIN
    or most are the same."""
    wanted = {}
    for name, bits in CACHES.items():
        run = Run(model, bits)
        for token in prompt:
            logits = run.token(token)
        first, tokens = [round(float(v), 5) for v in logits], []
        for _ in range(NEW):
            second, best = np.sort(logits)[-2:]
            if best - second < MARGIN:
                return None
            tokens.append(int(logits.argmax()))
            logits = run.token(tokens[-1])
        if len(set(tokens)) < 5:
            return None
        wanted[name] = {"logits": first, "tokens": tokens}
    return wanted


def main() -> None:
    model, wanted = Model(), None
    while wanted is None:
        prompt = [int(t) for t in rng.integers(0, VOCAB, PROMPT)]
        wanted = answers(model, prompt)
    architecture = {
        "layers": LAYERS, "width": WIDTH, "heads": HEADS, "kv_heads": KV_HEADS, "head_dim": HEAD_DIM, "ffn": FFN,
        "vocab": VOCAB, "norm_eps": EPS, "max_positions": 512,
        "rope": {"inverse_frequencies": FREQUENCIES.tolist(), "attention_factor": FACTOR},
        "tied_head": False, "qk_norm": True, "activation": "silu", "values_rotated": False,
    }  # fmt: skip
    sha256 = hashlib.sha256(model.shard).hexdigest()
    shards = [{"path": "low_bits-0000.bin", "size_bytes": len(model.shard), "sha256": sha256}]
    manifest = {
        "format": "webinfer-low-bits", "version": 1, "architecture": architecture, "tensors": model.tensors,
        "shards": shards, "about": {},
    }  # fmt: skip
    shard = base64.b64encode(model.shard).decode()
    OUT.write_text(json.dumps({"manifest": manifest, "shard": shard, "prompt": prompt, "wanted": wanted}))


if __name__ == "__main__":
    main()
