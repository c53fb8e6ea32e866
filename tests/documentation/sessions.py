"""Runs the `>>>` examples of one page in one interpreter: `python -m tests.documentation.sessions PAGE`.

What an example shows must be what it gives, but for times and where it ran. An exception is shown as its name
and sentence, without the traceback.
"""

from __future__ import annotations

import doctest
import io
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tests.documentation.pages import read_blocks

CHANGING = [
    (re.compile(r"('\w+_ms': )[-\d.e]+"), r"\1N"),
    # Whichever browser was measured to be quickest on this machine.
    (re.compile(r"'(Chromium|Firefox|Microsoft Edge) [^']*'"), "'BUILD'"),
    (re.compile(r"'(webgpu|webnn|wasm)'"), "'BACKEND'"),
    (re.compile(r"'(firefox-audio|chrome-vision|edge-text)'"), "'QUEUE'"),
    (re.compile(r"\d+\.\d{6,}"), lambda found: f"{float(found[0]):.4f}"),
]


def settle(text: str) -> str:
    """`text` without what differs from run to run."""
    for pattern, put in CHANGING:
        text = pattern.sub(put, text)  # type: ignore[arg-type]
    return " ".join(text.split())


def matches(shown: str, given: str) -> bool:
    """Whether an example gave what it shows; `...` stands for anything."""
    parts = (part.strip() for part in settle(shown).split("..."))
    pattern = ".*".join(map(re.escape, parts))
    return re.fullmatch(pattern, settle(given), re.DOTALL) is not None


def give(example: doctest.Example, names: dict[str, Any]) -> str:
    """What the example prints, or the name and sentence of what it raises."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        try:
            exec(compile(example.source, "<example>", "single"), names)
        except Exception as error:
            kind = type(error)
            return f"{printed.getvalue()}{kind.__module__}.{kind.__qualname__}: {error}"
    return printed.getvalue()


def main(page: str) -> int:
    """How many examples of `page` gave something else; each is told."""
    names: dict[str, Any] = {}
    n_wrong = 0
    for block in read_blocks(Path(page).resolve()):
        if block.language != "python" or block.not_run:
            continue
        for example in doctest.DocTestParser().get_examples(block.text):
            given = give(example, names)
            if not matches(example.want, given):
                n_wrong += 1
                said = f"shown: {example.want.strip()}\ngiven: {given.strip()}"
                print(f"{block}: {example.source.strip()}\n{said}\n")
    return n_wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
