"""Arguments of `infer`, bound to names and made into a `Request`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from browser_runtime.contract.acceleration import FLAGS as ACCELERATIONS
from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.families import inputs_of, parse_family, rows_of, usual_precision
from browser_runtime.contract.fields import check_backends, check_deadline, check_flag, check_name
from browser_runtime.contract.messages import Request
from browser_runtime.contract.options import SEED, check_options
from browser_runtime.contract.vocabulary import Backend, Family, Precision, parse_browser, parse_precision
from tasks.inputs import normalise
from tasks.inputs.limits import InputLimits
from tasks.payloads.codec import Readable

NAMES = (
    *("model_type", "model_name", "inputs", "priority_list", "precision", "browser"),
    *("options", "deadline_s", "hardware_preferences"),
)
REQUIRED = ("model_type", "model_name", "inputs")
FLAGS = (*ACCELERATIONS, "mixed_precision")
PREFERENCES = ("priority_list", "precision", *FLAGS)


def bind(args: tuple[Any, ...] | list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name: keywords first, then positional ones fill what is left, in order.

    So in a chain the result of the task before becomes the `inputs` of a signature that names the rest.
    Raises BadInput for an unknown name or too many arguments.
    """
    for name in kwargs:
        if name not in NAMES:
            raise BadInput(
                "infer", f"called with the unknown argument {name!r}", "one of " + ", ".join(NAMES)
            )
    free = [name for name in NAMES if name not in kwargs]
    if len(args) > len(free):
        raise BadInput("infer", f"called with {len(args) + len(kwargs)} arguments", f"at most {len(NAMES)}")
    # In a worker the result of the task before has not been through the codec yet.
    plain = [value.value if isinstance(value, Readable) else value for value in args]
    return dict(zip(free, plain, strict=False)) | kwargs


def is_complete(named: Mapping[str, Any]) -> bool:
    """True if nothing that a request needs is missing."""
    return all(name in named for name in REQUIRED)


def check_partial(named: Mapping[str, Any]) -> None:
    """Refuse early what is already wrong in a signature that lacks its inputs. Raises BadInput."""
    family = parse_family(named["model_type"]) if "model_type" in named else None
    _settings_of(named, family)
    if "model_name" in named:
        check_name(named["model_name"])


def build_request(named: Mapping[str, Any], limits: InputLimits, *, allow_paths: bool = True) -> Request:
    """The frozen request. Raises BadInput or TooLarge naming the field, its value and what is allowed."""
    for name in REQUIRED:
        if name not in named:
            raise BadInput(name, "missing", "given; " + ", ".join(REQUIRED) + " are required")
    family = parse_family(named["model_type"])
    settings = _settings_of(named, family)
    plain = normalise(family, named["inputs"], limits, allow_paths=allow_paths)
    drawn_seed = None
    if any(row.generates for row in rows_of(family)):
        if SEED not in settings["options"]:
            # Here, so that a request that is run again gives the same text.
            drawn_seed = secrets.randbelow(1 << 32)
    else:  # where text is generated, top_k is no number of results
        limits.check_results(len(plain.inputs[inputs_of(family).batch]), settings["options"].get("top_k", 0))
    return Request(
        family=family,
        model_name=check_name(named["model_name"]),
        inputs=plain.inputs,
        single=plain.single,
        synthetic=plain.synthetic,
        notes=plain.notes,
        drawn_seed=drawn_seed,
        **settings,
    )


def build_load(named: Mapping[str, Any]) -> Request:
    """A request without items, which only loads its model. Raises BadInput like `build_request`."""
    family = parse_family(named.get("model_type"))
    name = check_name(named.get("model_name"))
    nothing: dict[str, Any] = {inputs_of(family).batch: []}
    settings = _settings_of(named, family)
    return Request(family=family, model_name=name, inputs=nothing, single=False, **settings)


def _settings_of(named: Mapping[str, Any], family: Family | None) -> dict[str, Any]:
    """Everything of a request but its model and inputs; an argument wins over the same preference."""
    preferences = _checked_preferences(named.get("hardware_preferences"))
    backends = named.get("priority_list")
    flags = {name: preferences[name] for name in FLAGS if name in preferences}
    options = flags | check_options(named.get("options"), family)
    precision = named.get("precision") or preferences.get("precision") or _usual_precision(family, options)
    browser = named.get("browser")
    return {
        "backends": _checked_backends(preferences.get("priority_list") if backends is None else backends),
        "precision": parse_precision(precision),
        "browser": None if browser is None else parse_browser(browser),
        "options": options,
        "deadline_s": check_deadline(named.get("deadline_s")),
    }


def _usual_precision(family: Family | None, options: Mapping[str, Any]) -> Precision:
    """The precision of a request that names none: its family's, or mixed where that is wanted."""
    if family is None:
        return Precision.FP32
    if options.get("mixed_precision") and any(Precision.MIXED in row.precisions for row in rows_of(family)):
        return Precision.MIXED
    return usual_precision(family)


def _checked_preferences(preferences: Any) -> dict[str, Any]:
    if preferences is None:
        return {}
    if not isinstance(preferences, dict):
        raise BadInput("hardware_preferences", f"of type {type(preferences).__name__}", "a dict")
    for name, value in preferences.items():
        if name not in PREFERENCES:
            raise BadInput("hardware_preferences", f"holding {name!r}", "made of " + ", ".join(PREFERENCES))
        if name in FLAGS:
            check_flag(value, f"hardware_preferences.{name}")
    return preferences


def _checked_backends(backends: Any) -> tuple[Backend, ...]:
    """None asks for the default order; an empty list for nothing that could be run."""
    if backends is None:
        return ()
    found = check_backends(backends)
    if not found:
        raise BadInput("priority_list", "[]", "a list of webgpu, webnn, wasm, cpu")
    return found
