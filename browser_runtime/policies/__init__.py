"""Decisions from plain values: no I/O, no asyncio, and the time is always an argument."""
