"""Loads webinfer's package `tasks` beside a program's own module `tasks`, Celery's usual name.

The name `tasks` then stays the program's. webinfer's package is loaded from its folder, with all its modules,
under the names `tasks.app`, `tasks.infer`, ... So webinfer imports those, never `tasks` itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

NAME = "tasks"
FOLDER = Path(__file__).resolve().parent.parent / NAME


def load_tasks() -> None:
    """Load webinfer's `tasks` if another one hides it. Raises ImportError if they share a module's name."""
    if f"{NAME}.app" in sys.modules and _is_ours(sys.modules[f"{NAME}.app"].__file__, FOLDER / "app.py"):
        return
    theirs = sys.modules.get(NAME)
    place = theirs.__file__ if theirs is not None else _find()
    if place is None or _is_ours(place, FOLDER / "__init__.py"):
        return
    _check_modules(Path(place))
    try:
        _load()
    finally:
        if theirs is not None:
            sys.modules[NAME] = theirs
        else:
            sys.modules.pop(NAME, None)


def _find() -> str | None:
    spec = importlib.util.find_spec(NAME)
    return None if spec is None else spec.origin


def _is_ours(place: str | None, ours: Path) -> bool:
    return place is not None and Path(place).resolve() == ours


def _check_modules(place: Path) -> None:
    """Raises ImportError if both packages have a module of the same name."""
    if place.name != "__init__.py":
        return
    both = {each.name for each in pkgutil.iter_modules([str(place.parent)])} & {
        each.name for each in pkgutil.iter_modules([str(FOLDER)])
    }
    if both:
        name = f"{NAME}.{min(both)}"
        raise ImportError(f"webinfer and {place.parent} both have a module {name}: give yours another name")


def _load() -> None:
    spec = importlib.util.spec_from_file_location(
        NAME, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    assert spec is not None
    assert spec.loader is not None
    ours: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = ours
    spec.loader.exec_module(ours)
    # All modules now, since later they cannot be found through the package.
    for each in pkgutil.walk_packages([str(FOLDER)], f"{NAME}."):
        importlib.import_module(each.name)
