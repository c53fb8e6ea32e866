"""Scripts of the images have no ending and so no type check: what they import must be there."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
SCRIPTS = [path for path in DEPLOY.iterdir() if b"python" in path.read_bytes().partition(b"\n")[0]]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_what_a_script_imports_is_there(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


def test_there_is_such_a_script() -> None:
    assert "is-alive" in {script.name for script in SCRIPTS}
