"""The sizes of `page/kernels/cases.js`, which has each case's reason."""

from __future__ import annotations

ALL_BITS = (2, 3, 4, 8, 16, 32)
SIZES = ((7, 33, 1), (7, 33, 5), (9, 100, 1), (5, 4099, 1), (13, 4099, 6), (192, 576, 1), (192, 576, 32))
"""Of products, at each of the bits: rows, columns, tokens."""
PRODUCTS = tuple((bits, *size) for size in SIZES for bits in ALL_BITS)
_CACHES = ((2, 2), (3, 2), (3, 3), (4, 4), (8, 8), (16, 16), (16, 4), (4, 16))
ATTENTIONS = (
    *((kv, 301, (6, 2, 64), None) for kv in _CACHES),
    ((3, 2), 1, (3, 3, 32), None),
    ((2, 2), 65, (4, 1, 96), 0),
    ((4, 3), 257, (2, 1, 128), 128),
)
"""Bits of keys and values; tokens; heads, heads of keys, their width; the window, None: as usual."""
ROWS = (("norm", 33, 3), ("norm", 576, 32), ("silu", 1537, 3))
"""The kernel; columns, tokens."""
ROPES = ((3, 64, 32, 5), (2, 36, 9, 3))
"""Heads, their width, pairs that are turned, tokens."""


def product_name(bits: int, rows: int, columns: int, tokens: int) -> str:
    """The name that the page gives to a product."""
    return f"matmul {bits} bits {rows}x{columns}, {tokens} token{'s' if tokens > 1 else ''}"


def attention_name(kv: tuple[int, int], tokens: int, heads: tuple[int, int, int]) -> str:
    """The name that the page gives to a case of attention."""
    return f"attention k{kv[0]}v{kv[1]}, {tokens} tokens, {heads[0]}/{heads[1]} heads of {heads[2]}"


def rows_name(kernel: str, columns: int, tokens: int) -> str:
    """The name that the page gives to norms and activations."""
    return f"{kernel} {columns} columns, {tokens} tokens"


def rope_name(heads: int, width: int, pairs: int, tokens: int) -> str:
    """The name that the page gives to RoPE."""
    return (
        "rope of a part of the head"
        if 2 * pairs < width
        else f"rope {heads} heads of {width}, {tokens} tokens"
    )


def names() -> list[str]:
    """Every case."""
    found = [product_name(*case) for case in PRODUCTS]
    found += [attention_name(*case[:3]) for case in ATTENTIONS]
    found += [rows_name(*case) for case in ROWS]
    return found + [rope_name(*case) for case in ROPES]
