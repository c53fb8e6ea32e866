"""The way of a measurement to the history: observed, made into rows, recorded, emitted into a stream."""

from tasks.telemetry.stream import (
    MAX_ROWS,
    Row,
    RowBatch,
    StreamEntry,
    batch_up,
    decode,
    emit,
    encode,
)

__all__ = [
    "MAX_ROWS",
    "Row",
    "RowBatch",
    "StreamEntry",
    "batch_up",
    "decode",
    "emit",
    "encode",
]
