"""Every command of README and docs does what the page says, word by word, beside one `webinfer up`."""

from __future__ import annotations

import re
from contextlib import ExitStack

import pytest

from tests.documentation.conftest import Process, Terminal, free_port
from tests.documentation.pages import ROOT, Block, Command, blocks

pytestmark = pytest.mark.browser("firefox", "chrome", "edge")

# Commands that go on until they are stopped, and what they print when they serve.
READY = [
    (r"webinfer up", "stop:"),
    (r"celery .* worker", r"ready\."),
    (r"celery .* beat", "beat: Starting"),
    (r"celery .* (webinfer-)?flower", "Visit me at"),
]
# Done by the fixtures.
DONE = ("source .venv/bin/activate", "export WEBINFER_BROKER_URL=")
ERROR = re.compile(r"^(Error:|webinfer: )")
BOX = re.compile(r"[\u2500-\u257f]+")

SEEN: set[str] = set()


def strip(line: str) -> str:
    """A command without its comment."""
    return re.sub(r"\s+# .*", "", line).strip()


def fails(command: Command) -> bool:
    """Whether the page shows that it fails."""
    return any(ERROR.match(line) for line in command.output)


def ready_words(line: str) -> str | None:
    return next((words for pattern, words in READY if re.search(pattern, line)), None)


def settle(text: str) -> str:
    """`text` without frames and line breaks."""
    return " ".join(BOX.sub(" ", text).split())


def check_output(block: Block, command: Command, printed: str, home: str) -> None:
    """What is shown was printed: an error as a whole, of other output the lines without figures."""
    if block.not_compared:
        return
    lines = [" ".join(command.output)] if fails(command) else command.output
    said = re.sub(r"\d+", "0", settle(printed.replace(home, "~")))
    for line in lines:
        shown = settle(line)
        if shown and (fails(command) or not re.search(r"\d", shown)):
            parts = re.split(r"\s*\.\.\.\s*", re.sub(r"\d+", "0", shown))
            where = f"{block}: {command.line}\nshown: {shown}\nprinted: {printed[-3000:]}"
            assert re.search(".*".join(map(re.escape, parts)), said), where


def start(line: str) -> tuple[str, dict[str, str]]:
    """How a command that goes on is started beside the stack that is up, and what it needs of its own."""
    if re.search(r"\bwebinfer up", line):
        own = {} if "WEBINFER_HISTORY_PATH" in line else {"WEBINFER_HISTORY_PATH": "second/history.duckdb"}
        return (line if "--monitor-port" in line else f"{line} --monitor-port 0"), own
    if re.search(r"celery .* (worker|beat)", line):
        return f"{line} --loglevel INFO", {}
    return line, {"FLOWER_PORT": free_port()}


@pytest.mark.parametrize("block", blocks("console"), ids=str)
@pytest.mark.timeout(600)
def test_the_commands_of_a_block(terminal: Terminal, up: Process, redis_url: str, block: Block) -> None:
    typed = [(strip(command.line), command) for command in block.commands]
    goes_on = {line: ready_words(line) for line, command in typed if not fails(command)}
    more, home = {}, terminal.environment["HOME"]
    if any(words and re.search(r"celery .* (worker|beat)", line) for line, words in goes_on.items()):
        more["WEBINFER_BROKER_URL"] = redis_url  # workers of their own, not further ones of `up`
    with ExitStack() as running:
        for line, command in typed:
            if line.startswith(DONE) or (line in SEEN and not command.output):
                continue
            SEEN.add(line)
            if line == "webinfer up":
                check_output(block, command, up.output, home)
            elif ready := goes_on.get(line):
                started, own = start(line)
                process = running.enter_context(terminal.started(started, ready, **own, **more))
                check_output(block, command, process.output, home)
            else:
                done = terminal.run(line, **more)
                assert (done.returncode != 0) == fails(command), f"{block}: {line}\n{done.stdout}"
                check_output(block, command, done.stdout, home)


PAGES_WITH_EXAMPLES = sorted({block.page for block in blocks("python") if ">>>" in block.text})
PROGRAMS = [block for block in blocks("python") if ">>>" not in block.text]


@pytest.mark.parametrize("page", PAGES_WITH_EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.timeout(300)
def test_the_examples_of_a_page(terminal: Terminal, up: Process, page: object) -> None:
    done = terminal.run(f"python -m tests.documentation.sessions {page}")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
@pytest.mark.timeout(300)
def test_a_program_of_a_page(terminal: Terminal, up: Process, block: Block) -> None:
    program = terminal.folder / f"program{block.number}.py"
    program.write_text(block.text)
    done = terminal.run(f"python {program.name}")
    assert done.returncode == 0, f"{block}\n{done.stdout}"
