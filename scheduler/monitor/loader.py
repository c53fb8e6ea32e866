"""Templates of ours, then Flower's, which ours extend; and our tabs in Flower's navigation."""

from __future__ import annotations

from pathlib import Path

import tornado.template

OURS = Path(__file__).parent / "templates"
NAVIGATION = "navbar.html"
# The end of the list with Workers, Tasks and Broker: the first list of Flower's navigation.
END_OF_TABS = "</ul>"


class TwoFolderLoader(tornado.template.BaseLoader):
    """Finds a template by its name in our folder or in Flower's."""

    def __init__(self, flowers: str) -> None:
        super().__init__(autoescape="xhtml_escape")
        self._folders = (OURS, Path(flowers))

    def resolve_path(self, name: str, parent_path: str | None = None) -> str:
        """All templates lie side by side."""
        return name

    def _create_template(self, name: str) -> tornado.template.Template:
        return tornado.template.Template(self._text(name), name=name, loader=self)

    def _text(self, name: str) -> str:
        path = next((folder / name for folder in self._folders if (folder / name).is_file()), None)
        if path is None:
            raise FileNotFoundError(f"no template {name!r}")
        text = path.read_text(encoding="utf-8")
        return _with_our_tabs(text) if name == NAVIGATION else text


def _with_our_tabs(text: str) -> str:
    before, end, after = text.partition(END_OF_TABS)
    if not end:
        raise ValueError("Flower's navigation has no list to add tabs to: another version than 2.2?")
    return f'{before}{{% include "tabs.html" %}}{end}{after}'
