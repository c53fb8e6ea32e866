"""The options of an integration, checked before anything is started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.families import FAMILY_ALIASES, PREFERRED_BROWSER
from browser_runtime.contract.vocabulary import Browser, Family, parse_browser
from browser_runtime.pool.fleet import MAX_SESSIONS, MIN_SESSIONS
from browser_runtime.settings import RuntimeSettings

NAMES = (
    *("max_connections", "min_connections", "enable_gpu", "enable_cpu", "headless"),
    *("adaptive_scaling", "browser_preferences", "db_path", "tensor_sharing"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """The guide's options. Raises BadInput naming the option and the allowed values."""

    max_connections: int = 4
    min_connections: int = 1
    enable_gpu: bool = True
    enable_cpu: bool = True
    headless: bool = True
    adaptive_scaling: bool = True
    browser_preferences: Mapping[str, str] | None = None
    db_path: Any = None
    tensor_sharing: bool = True
    preferred: dict[Family, Browser] = field(init=False)
    """The user's browser by family; for others the guide's table decides."""
    history_path: Path | None = field(init=False)
    """The DuckDB file to write runs to, if any."""

    def __post_init__(self) -> None:
        for name in ("max_connections", "min_connections"):
            _check_number(name, getattr(self, name))
        if self.min_connections > self.max_connections:
            allowed = f"at most max_connections, {self.max_connections}"
            raise BadInput("min_connections", self.min_connections, allowed)
        for name in ("enable_gpu", "enable_cpu", "headless", "adaptive_scaling", "tensor_sharing"):
            _check_flag(name, getattr(self, name))
        if not (self.enable_gpu or self.enable_cpu):
            raise BadInput("enable_cpu", "False", "True where enable_gpu is False: nothing could compute")
        object.__setattr__(self, "history_path", _parse_path(self.db_path))
        object.__setattr__(self, "preferred", _parse_preferences(self.browser_preferences))

    def browser_for(self, family: Family) -> Browser:
        """The user's browser for `family`, or the guide's."""
        return self.preferred.get(family, PREFERRED_BROWSER[family])

    def start_order(self) -> tuple[Browser, ...]:
        """All browsers, those preferred by most families first, so that one session serves most."""
        votes = Counter(self.browser_for(family) for family in Family)
        return tuple(sorted(Browser, key=lambda browser: -votes[browser]))

    def settings(self) -> RuntimeSettings:
        """The environment's settings, overridden by these options. Raises BadSetting.

        Without the CPU there is no simulation either, since it computes on the CPU.
        """
        settings = RuntimeSettings(
            headless=self.headless,
            use_gpu=self.enable_gpu,
            use_cpu=self.enable_cpu,
            adaptive_scaling=self.adaptive_scaling,
            min_sessions=self.min_connections,
            max_sessions=self.max_connections,
        )
        if not self.tensor_sharing:
            settings = settings.model_copy(update={"tensor_sharing": False})
        return settings if self.enable_cpu else settings.model_copy(update={"simulation": "never"})


def refuse_unknown(options: Mapping[str, object]) -> None:
    """Raises BadInput for an unknown option."""
    for name in options:
        raise BadInput("the option", repr(name), "one of " + ", ".join(NAMES))


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not MIN_SESSIONS <= value <= MAX_SESSIONS:
        raise BadInput(name, repr(value), f"a whole number from {MIN_SESSIONS} to {MAX_SESSIONS}")


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise BadInput(name, repr(value), "True or False")


def _parse_path(path: object) -> Path | None:
    if path is None or (isinstance(path, (str, PathLike)) and str(path).strip()):
        return None if path is None else Path(path)
    raise BadInput(
        "db_path", repr(path)[:100], "the path of a DuckDB file, which is made where there is none"
    )


def _parse_preferences(preferences: object) -> dict[Family, Browser]:
    if preferences is None:
        return {}
    if not isinstance(preferences, Mapping):
        raise BadInput("browser_preferences", f"of type {type(preferences).__name__}", "a dict")
    return {_parse_family(word): parse_browser(b, _key(word)) for word, b in preferences.items()}


def _parse_family(word: object) -> Family:
    """The family of a word; families that are not served yet are accepted too."""
    name = FAMILY_ALIASES.get(word, word) if isinstance(word, str) else ""
    if name in list(Family):
        return Family(name)
    raise BadInput(
        "a key of browser_preferences", repr(word), "one of " + ", ".join([*Family, *FAMILY_ALIASES])
    )


def _key(word: object) -> str:
    return f"browser_preferences[{word!r}]"
