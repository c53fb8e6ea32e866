"""Each room's README lists what is in the room: no file is missing, none is named that is gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
ROOMS = ("browser_runtime", "tasks", "workers", "scheduler", "webinfer")
READMES = sorted(
    readme
    for room in ROOMS
    for readme in (HOME / room).rglob("README.md")
    if not {"node_modules", "vendor", "page"} & set(readme.relative_to(HOME).parts)
)


def listed(readme: Path) -> set[str]:
    """The files and folders of the room that its tables name."""
    rows = re.findall(r"^\|.*\|$", readme.read_text(encoding="utf-8"), re.MULTILINE)
    names = (name for row in rows for name in re.findall(r"`([\w.-]+(?:\.py|/))`", row))
    return {name.rstrip("/") for name in names}


def there(folder: Path) -> set[str]:
    """The modules and packages of a folder."""
    modules = {path.name for path in folder.glob("*.py") if path.name not in ("__init__.py", "__main__.py")}
    return modules | {path.parent.name for path in folder.glob("*/__init__.py")}


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.parent.relative_to(HOME)))
def test_a_readme_lists_its_room(readme: Path) -> None:
    folder, names = readme.parent, listed(readme)
    assert there(folder) - names == set(), "not listed"
    gone = {name for name in names if name.endswith(".py") and not list(folder.rglob(name))}
    assert gone == set(), "listed and gone"
