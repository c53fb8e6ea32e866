"""Base of all settings: `WEBINFER_*` variables in, one sentence for a name or a value that is wrong.

Each room keeps its own settings; what is set for one of them must not be taken for a mistake by another.
So every class is named here, and imported by its name only where a variable asks for it.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin
from urllib.parse import urlsplit

import annotated_types as bounds
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from browser_runtime.contract.errors import BadSetting, UnknownSetting

PREFIX = "WEBINFER_"
CLASSES = (
    "browser_runtime.settings:RuntimeSettings",
    "browser_runtime.models.hub.settings:HubSettings",
    "tasks.settings:TaskSettings",
    "workers.settings:MetricsSettings",
    "scheduler.settings:SchedulerSettings",
    "webinfer.settings:CommandSettings",
)
# Read by deploy/'s compose files, which a shell may hold too; the last marks the processes of a browser.
OTHERS = (
    *(f"{PREFIX}{browser}_SESSIONS" for browser in ("FIREFOX", "CHROME", "EDGE")),
    *(f"{PREFIX}{name}" for name in ("REDIS_PASSWORD", "REDIS_PORT", "BUILD_NETWORK")),
    *(f"{PREFIX}FLOWER_{name}" for name in ("USER", "PASSWORD", "PORT")),
    f"{PREFIX}SESSION",
)
# Kubernetes sets these in every pod for a service whose name starts with webinfer.
KUBERNETES = re.compile(r"\w+_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")

# Longer than anything here may take: a mistyped time must not overflow a timer.
LONGEST_S = 30 * 86400
LONGEST_SHOWN = 200


class Settings(BaseSettings):
    """The settings of one room. Raises BadSetting for a bad value, UnknownSetting for a misspelt name.

    A variable that is set to nothing counts as not set.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    def __init__(self, **values: Any) -> None:
        refuse_unknown(os.environ, set(variables(type(self))))
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise self._explain(error, values) from None

    @classmethod
    def _explain(cls, error: ValidationError, given: Mapping[str, Any]) -> BadSetting:
        first = error.errors(include_url=False)[0]
        raised = first.get("ctx", {}).get("error")
        name = getattr(raised, "field", "") or _field_name(cls, first["loc"])
        value = getattr(raised, "value", first["input"])
        field = cls.model_fields[name]
        allowed = str(raised) if isinstance(raised, BadValue) else describe(field)
        shown = "a secret that is not shown" if _is_secret(field) else _show(value)
        return BadSetting(name if name in given else variable(cls, name), shown, allowed)

    def replace(self, **values: Any) -> Self:
        """A copy with other values, which are checked like those of the environment."""
        return type(self)(**(self.model_dump() | values))


class BadValue(ValueError):
    """Raised by a validator of one field: the values allowed, as they follow "but must be"."""


class BadCombination(BadValue):
    """Raised by a validator of several fields: the one to be changed, its value, the values allowed."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(allowed)
        self.field, self.value = field, value


def variable(kind: type[Settings], name: str) -> str:
    """The environment variable of the field `name`."""
    alias = kind.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else f"{kind.model_config['env_prefix']}{name}".upper()


def variables(kind: type[Settings]) -> Iterator[str]:
    """Every variable that `kind` reads."""
    return (variable(kind, name) for name in kind.model_fields)


def load_class(path: str) -> type[Settings]:
    """The class that an entry of CLASSES names."""
    module, _, name = path.partition(":")
    kind: type[Settings] = getattr(importlib.import_module(module), name)
    return kind


def known_variables() -> set[str]:
    """All there are."""
    return {name for path in CLASSES for name in variables(load_class(path))}


def check_environment() -> None:
    """Load every class, so that a command ends before it begins. Raises BadSetting, UnknownSetting."""
    for path in CLASSES:
        load_class(path)()


def refuse_unknown(environ: Mapping[str, str], known: Set[str] = frozenset()) -> None:
    """Raises UnknownSetting for the first `WEBINFER_*` variable that nothing reads.

    The classes of other rooms are imported only where a variable is not among `known`, the caller's own: a
    producer that sets its broker's URL imports no worker.
    """
    ours = (name for name in environ if name.upper().startswith(PREFIX))
    unexplained = sorted(n for n in ours if n.upper() not in known and not _is_read_elsewhere(n.upper()))
    if not unexplained:
        return
    everything = known_variables()
    for name in unexplained:
        if name.upper() not in everything:
            raise UnknownSetting(name, _advice(name))


def _is_read_elsewhere(name: str) -> bool:
    return name in OTHERS or KUBERNETES.fullmatch(name) is not None


def _advice(name: str) -> str:
    """The nearest variable; Hugging Face's keep names of their own, which are found by ours as well."""
    spelled = {
        f"{kind.model_config['env_prefix']}{field}".upper().removeprefix(PREFIX): variable(kind, field)
        for kind in map(load_class, CLASSES)
        for field in kind.model_fields
    }
    near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), list(spelled), n=1, cutoff=0.7)
    return f"did you mean {spelled[near[0]]}?" if near else "docs/settings.md lists all there are"


def _field_name(kind: type[Settings], location: tuple[int | str, ...]) -> str:
    """The field of an error, which pydantic gives by its name or its alias."""
    spelled = str(location[0]).lower()
    return next(name for name in kind.model_fields if spelled in (name, variable(kind, name).lower()))


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def _show(value: object) -> str:
    shown = repr(str(value)) if isinstance(value, Path) else repr(value)
    shown = redact(shown)
    return shown if len(shown) <= LONGEST_SHOWN else shown[: LONGEST_SHOWN - 3] + "..."


def redact(url: str) -> str:
    """`url` with its password replaced by stars."""
    return re.sub(r"(://[^/@\s]*?:)[^/\s]*@", r"\1**@", url)


def describe(field: FieldInfo) -> str:
    """Return the values that a field takes, as they follow "but must be"."""
    kind: Any = field.annotation
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _describe_range(field.metadata)
    return "a path" if kind is Path or Path in get_args(kind) else "a text"


def _describe_range(metadata: Iterable[Any]) -> str:
    limits = {
        name: getattr(each, name)
        for each in metadata
        for name, kind in (("ge", bounds.Ge), ("gt", bounds.Gt), ("le", bounds.Le), ("lt", bounds.Lt))
        if isinstance(each, kind)
    }
    if {"ge", "le"} <= limits.keys():
        return f" from {limits['ge']:,} to {limits['le']:,}"
    words = {"ge": "of at least {:,}", "gt": "above {:,}", "le": "at most {:,}", "lt": "below {:,}"}
    return " and".join(f" {form.format(limits[name])}" for name, form in words.items() if name in limits)


def xdg_folder(name: str, fallback: str) -> Path:
    """Our folder beneath an XDG base folder. Raises BadSetting where neither it nor a home is known."""
    base = Path(os.environ.get(name, ""))
    if base.is_absolute():  # the specification: others are to be ignored
        return base / "webinfer"
    try:
        return Path.home() / fallback / "webinfer"
    except RuntimeError:
        raise BadSetting("HOME", "not set", "the folder of a user") from None


def _expand(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise BadValue("a path, and there is no such user's home") from None


def _check_folder(path: Path) -> Path:
    path = _expand(path)
    try:
        file = next((each for each in (path, *path.parents) if each.exists() and not each.is_dir()), None)
    except OSError as error:
        raise BadValue(f"a path that can be used here: {error.strerror}") from None
    if file is not None:
        raise BadValue(f"a folder, and {file} is a file")
    return path


def _check_file(path: Path) -> Path:
    path = _check_folder(_expand(path).parent) / path.name
    if path.is_dir():
        raise BadValue("a file, and this is a folder")
    return path


def make_folder(setting: str, path: Path) -> Path:
    """`path`, made where it is not there. Raises BadSetting, naming `setting`, where it cannot be written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        allowed = f"a path that can be written ({error.strerror})"
        raise BadSetting(setting, repr(str(path)), allowed) from error


def check_url(url: str, schemes: Iterable[str], *, needs_host: bool = True) -> str:
    """`url` as it is. Raises BadValue where its scheme, host or port cannot be."""
    allowed = "a URL that begins with " + " or ".join(f"{scheme}://" for scheme in schemes)
    if any(character.isspace() or not character.isprintable() for character in url):
        raise BadValue(f"{allowed} and holds no spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadValue(f"{allowed} and names a port from 1 to 65,535") from None
    if parts.scheme not in schemes:
        raise BadValue(allowed)
    if needs_host and not parts.hostname:
        raise BadValue(f"{allowed} and names a host")
    if port == 0:
        raise BadValue(f"{allowed} and names a port from 1 to 65,535")
    return url


Seconds = Annotated[float, Field(gt=0, le=LONGEST_S)]
"""A time that must pass some day."""
FolderPath = Annotated[Path, AfterValidator(_check_folder)]
"""A folder, there or to be made; `~` is a home."""
FilePath = Annotated[Path, AfterValidator(_check_file)]
"""A file, there or to be made; `~` is a home."""
