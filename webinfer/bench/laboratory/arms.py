"""Arms: everything in which two runs may differ, read from a line such as `browser=chrome flag=--x`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.families import usual_precision
from browser_runtime.contract.options import list_options, suggest
from browser_runtime.contract.setup.environment import Settings, load_class, variable
from browser_runtime.contract.vocabulary import (
    Backend,
    Browser,
    Family,
    Precision,
    check_model_name,
    parse_backend,
    parse_browser,
    parse_precision,
)
from browser_runtime.settings import RuntimeSettings

WORDS = {
    "model": "a model other than the command's, such as another export of it",
    "browser": "firefox, chrome or edge",
    "binary": "path of the browser",
    "driver": "path of its driver",
    "flag": "a command-line argument for Chrome or Edge; repeatable",
    "pref": "a preference for Firefox, as NAME=VALUE; repeatable",
    "backend": "webgpu, webnn or wasm",
    "precision": "fp32, fp16, int8, 4bit, ...",
    "threads": "WebAssembly threads",
    "option.NAME": "an option of the request, such as option.compute_shaders=true",
    "WEBINFER_NAME": "a setting of browsers (docs/settings.md)",
}
# Every run has the same input: a kept result of it would be measured instead of the model.
COMPUTE_ALWAYS: Mapping[str, Any] = {"shared_results_mb": 0}
REPEATABLE = ("flag", "pref")


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of a comparison, or one cell."""

    text: str
    """As it was given."""
    model: str
    browser: Browser = Browser.CHROME
    backend: Backend | None = None
    """None: the first that works, as for a request that names none."""
    precision: Precision | None = None
    """None: the usual one of the model's family."""
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Values of `RuntimeSettings` by field."""

    def runtime_settings(self) -> RuntimeSettings:
        """The settings of its pool; never a simulation. Raises BadSetting."""
        given = {**COMPUTE_ALWAYS, **self.settings}
        own = RuntimeSettings(simulation="never")
        for name in ("chromium_arguments", "firefox_preferences"):
            if name in given:
                given[name] = f"{getattr(own, name)} {given[name]}".strip()
        # The same inputs run again and again: every run has to compute.
        return RuntimeSettings(simulation="never", **{"shared_results_mb": 0, **given})

    def precision_for(self, family: Family) -> Precision:
        """The precision that runs."""
        return self.precision or usual_precision(family)

    def to_plain(self) -> dict[str, Any]:
        """Plain values, as a document holds them."""
        return {
            "text": self.text,
            "model": self.model,
            "browser": str(self.browser),
            "backend": None if self.backend is None else str(self.backend),
            "precision": None if self.precision is None else str(self.precision),
            "options": dict(self.options),
            "settings": {name: str(value) for name, value in self.settings.items()},
        }


def parse_arm(text: str, model: str, name: str = "arm") -> Arm:
    """The arm that `text` describes, for `model` unless it names another. Raises BadInput naming the word."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadInput(name, repr(text), f"words that a shell could split: {error}") from None
    arm, seen = Arm(text.strip(), model), set[str]()
    added: dict[str, list[str]] = {key: [] for key in REPEATABLE}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise BadInput(name, f"holding {word!r}", "words of the form NAME=VALUE")
        if key in added:
            added[key].append(value)
        elif key in seen:
            raise BadInput(name, f"naming {key} twice", "one value of each")
        else:
            seen.add(key)
            arm = _take(arm, key, value, f"{name}: {key}", name)
    return _with_added(_with_program_paths(arm, name), added, name)


def _take(arm: Arm, key: str, value: str, field_name: str, name: str) -> Arm:
    takers: dict[str, Callable[[], Arm]] = {
        "model": lambda: replace(arm, model=check_model_name(value, field_name)),
        "browser": lambda: replace(arm, browser=parse_browser(value, field_name)),
        "backend": lambda: replace(arm, backend=parse_backend(value, field_name)),
        "precision": lambda: replace(arm, precision=parse_precision(value, field_name)),
        "threads": lambda: _set(arm, "wasm_threads", value),
        "binary": lambda: _set(arm, "binary", value),
        "driver": lambda: _set(arm, "driver", value),
    }
    if key in takers:
        return takers[key]()
    if key.startswith("option."):
        return replace(arm, options={**arm.options, **_read_option(key.removeprefix("option."), value)})
    if key.startswith("WEBINFER_"):
        return _set(arm, _setting(key, name), value)
    near = suggest(key, WORDS)
    raise BadInput(name, f"holding the unknown word {key!r}{near}", f"of {', '.join(WORDS)}")


def _set(arm: Arm, setting: str, value: str) -> Arm:
    return replace(arm, settings={**arm.settings, setting: value})


def _setting(key: str, name: str) -> str:
    kind: type[Settings] = load_class("browser_runtime.settings:RuntimeSettings")
    fields = {variable(kind, each): each for each in kind.model_fields}
    if key not in fields:
        raise BadInput(
            name, f"naming {key}{suggest(key, fields)}", "a setting of browsers (docs/settings.md)"
        )
    if fields[key] == "simulation":
        raise BadInput(name, f"naming {key}", "about a real browser: nothing is simulated here")
    return fields[key]


def _read_option(name: str, text: str) -> dict[str, Any]:
    from webinfer.commands.parameters import read_value

    known = {option.name: option for option, _ in list_options()}
    if name not in known:
        raise BadInput(f"option.{name}", f"unknown{suggest(name, known)}", f"one of {', '.join(known)}")
    return {name: known[name].check(read_value(known[name], text))}


def _with_program_paths(arm: Arm, name: str) -> Arm:
    """Paths of programs under the settings of the arm's browser. Raises BadInput for a missing one."""
    settings = dict(arm.settings)
    for key in ("binary", "driver"):
        if key in settings:
            path = Path(str(settings.pop(key))).expanduser()
            if not path.is_file():
                raise BadInput(f"{name}: {key}", repr(str(path)), "a program that is there")
            settings[f"{arm.browser}_{key}"] = str(path)
    return replace(arm, settings=settings)


def _with_added(arm: Arm, added: Mapping[str, list[str]], name: str) -> Arm:
    is_firefox = arm.browser is Browser.FIREFOX
    wrong, right = ("flag", "pref") if is_firefox else ("pref", "flag")
    if added[wrong]:
        raise BadInput(name, f"naming {wrong}= for {arm.browser}", f"{right}=, which that browser has")
    if not added[right]:
        return arm
    setting = "firefox_preferences" if is_firefox else "chromium_arguments"
    given = f"{arm.settings.get(setting, '')} {shlex.join(added[right])}".strip()
    return _set(arm, setting, given)
