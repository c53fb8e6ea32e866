"""Unpack what the first start of a browser would otherwise wait for: `python -m webinfer.preparation`."""

from __future__ import annotations

from browser_runtime.launching.stand_in import stand_in_binary
from browser_runtime.settings import RuntimeSettings


def main() -> None:
    """Unpack Edge's stand-in, where npm brought it."""
    stand_in_binary(RuntimeSettings().cache_dir)


if __name__ == "__main__":
    main()
