"""Templates of ours, then Flower's, which ours extend; and what ours add to Flower's."""

from __future__ import annotations

from pathlib import Path

import tornado.template

OURS = Path(__file__).parent / "templates"
# Tags of Flower's templates and what replaces the first of each.
EDITS = {
    # At the end of the list with Workers, Tasks and Broker.
    "navbar.html": {"</ul>": '{% include "tabs.html" %}</ul>'},
    "tasks.html": {
        "</header>": '{% include "task_switch.html" %}</header>',
        "{% block title %}": '{% include "task_scripts.html" %}{% block title %}',
    },
    # The one script that Flower writes into a page: the content policy allows it by this number, used once.
    "workers.html": {'<script type="text/javascript">': '<script nonce="{{ request.nonce }}">'},
}


class TwoFolderLoader(tornado.template.BaseLoader):
    """Finds a template by its name in our folder or in Flower's."""

    def __init__(self, flowers: str) -> None:
        super().__init__(autoescape="xhtml_escape")
        self._folders = (OURS, Path(flowers))

    def resolve_path(self, name: str, parent_path: str | None = None) -> str:
        """The name itself: all templates lie side by side."""
        return name

    def _create_template(self, name: str) -> tornado.template.Template:
        return tornado.template.Template(self._text(name), name=name, loader=self)

    def _text(self, name: str) -> str:
        path = next((folder / name for folder in self._folders if (folder / name).is_file()), None)
        if path is None:
            raise FileNotFoundError(f"no template {name!r}")
        return extend(name, path.read_text(encoding="utf-8"))


def extend(name: str, text: str) -> str:
    """Flower's template with what ours add to it. Raises ValueError where a tag is gone."""
    for tag, replacement in EDITS.get(name, {}).items():
        if tag not in text:
            raise ValueError(f"Flower's {name} has no {tag} to add to: another version than 2.2?")
        text = text.replace(tag, replacement, 1)
    return text
