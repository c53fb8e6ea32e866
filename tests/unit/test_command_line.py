"""The command line: help everywhere, choices that a shell can complete, and mistakes in one sentence."""

from __future__ import annotations

import io
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.options import list_options
from browser_runtime.contract.vocabulary import Browser, Family, Precision
from webinfer.cli import COMMANDS, cli
from webinfer.commands.infer import name_input, read_inputs, read_options

ROOT = Path(__file__).parents[2]


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield (name,), command
        if isinstance(command, click.Group):
            yield from (((name, each), command.commands[each]) for each in command.commands)


def run(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command as a process."""
    argv = [sys.executable, "-m", "webinfer", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT, **options)


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_every_command_has_short_and_long_help(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _, command in commands():
        # click keeps the help option of a command's first call: another test may have called it by itself.
        monkeypatch.setattr(command, "_help_option", None, raising=False)
    short, long = (CliRunner().invoke(cli, [*words, sign]) for sign in ("-h", "--help"))
    assert short.exit_code == long.exit_code == 0
    assert short.output == long.output and short.output.startswith("Usage: ")


def test_what_is_one_of_few_words_is_a_choice_everywhere() -> None:
    words = {*Browser, *Precision, "webgpu", "webnn", "wasm", *Family}
    for names, command in commands():
        for param in command.params:
            if isinstance(param.type, click.Choice) or not isinstance(param, click.Option):
                continue
            named = words & set((param.help or "").replace(",", " ").replace(".", " ").split())
            assert not named, f"{names} {param.opts}: its help lists {named}, which a choice would offer"


def test_every_option_explains_itself_and_names_its_unit() -> None:
    options = ((words, each) for words, command in commands() for each in command.params)
    for words, option in options:
        if not isinstance(option, click.Option):
            continue
        text = option.help or ""
        assert text[:1].isupper() and text.endswith("."), f"{words} {option.opts}: {text!r}"
        unit = option.type.name if option.type.name in ("days", "seconds", "milliseconds") else ""
        assert unit in text.lower(), f"{words} {option.opts} names no unit: {text}"


def test_the_reference_is_written_from_the_commands() -> None:
    script = runpy.run_path(str(ROOT / "scripts/command_reference.py"))
    page = script["PAGE"].read_text(encoding="utf-8")
    assert page == script["render"](page), "python scripts/command_reference.py"


def complete(*words: str, incomplete: str = "") -> list[str]:
    """What a shell offers next."""
    found = BashComplete(cli, {}, "webinfer", "_WEBINFER_COMPLETE").get_completions(list(words), incomplete)
    return [str(item.value) for item in found]


VISION = ("infer", "-t", "vision", "-m", "digits-vit")


@pytest.mark.parametrize(
    ("words", "incomplete", "offered"),
    [
        ((), "al", ["alerts"]),
        ((), "mod", ["models"]),
        (("models",), "li", ["list"]),
        (("infer", "-t"), "", ["text_embedding", "vision", "audio", "text_generation", "multimodal", "text"]),
        (("infer", "-t", "vision", "-m"), "digits", ["digits-clip", "digits-vit"]),
        (("infer", "-t", "audio", "-m"), "digits", ["digits-clap"]),
        ((*VISION, "--precision"), "", [str(precision) for precision in Precision]),
        ((*VISION, "--browser"), "e", ["edge"]),
        ((*VISION, "--backend"), "web", ["webgpu", "webnn"]),
        ((*VISION, "--option"), "to", ["top_k="]),
        ((*VISION, "-o"), "lang", []),
        (("infer", "-t", "audio", "-o"), "ta", ["task="]),
        (("infer", "-t", "audio", "-o"), "task=", ["task=transcribe", "task=translate"]),
        ((*VISION, "-o"), "compute_shaders=t", ["compute_shaders=true"]),
        ((*VISION, "-o"), "nothing=", []),
        (("recommend",), "sentences", ["sentences-bert"]),
        (("up", "--browser"), "f", ["firefox"]),
        (("bench", "overhead", "--browser"), "c", ["chrome"]),
    ],
)
def test_a_shell_completes_what_there_is(words: tuple[str, ...], incomplete: str, offered: list[str]) -> None:
    assert complete(*words, incomplete=incomplete) == offered


def test_completion_is_a_line_in_the_shells_file() -> None:
    done = run(env=os.environ | {"_WEBINFER_COMPLETE": "bash_source"})
    assert done.returncode == 0 and "COMP_WORDS" in done.stdout


BAD = "webinfer infer: Invalid value for "
MISTAKES = {
    ("infr",): "webinfer: No such command 'infr'. Did you mean 'infer'? (webinfer -h shows how)",
    ("models", "lst"): "webinfer models: No such command 'lst'. Did you mean 'list'? (webinfer models -h",
    ("infer", "x"): "webinfer infer: Missing option '--model-type' / '-t'. Choose from: text_embedding,",
    (*VISION, "--deadline", "nan", "x"): f"{BAD}'--deadline': 'nan' is not a finite number",
    (*VISION, "--deadline", "inf", "x"): f"{BAD}'--deadline': inf is not in the range",
    (*VISION, "--timeout", "0", "x"): f"{BAD}'--timeout': 0.0 is not in the range",
    (*VISION, "--priority", "10", "x"): f"{BAD}'--priority': 10 is not in the range",
    (*VISION, "-o", "top_k", "x"): f"{BAD}'--option' / '-o': 'top_k' is not NAME=VALUE",
    (*VISION, "--browsr", "edge", "x"): "webinfer infer: No such option '--browsr'. Did you mean '--browser'",
    ("up", "--monitor-port", "70000"): "webinfer up: Invalid value for '--monitor-port': 70000 is not in the",
    ("up", "--autoscale", "--without-scheduler"): "webinfer up: --autoscale needs the scheduler",
    ("report", "--html", "--json"): "webinfer report: --html and --json: choose one format",
    (
        "report",
        "--html",
        "--output",
        "gone/r.html",
    ): "webinfer report: Invalid value for '--output': the folder",
    ("bench", "regression", "--picture", "gone/r.svg"): "webinfer bench regression: Invalid value for '--pic",
}


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_wrong_command_line_is_one_sentence(words: tuple[str, ...], capsys: Any, monkeypatch: Any) -> None:
    from webinfer import cli as module

    monkeypatch.setattr(sys, "argv", ["webinfer", *words])
    monkeypatch.setattr("webinfer.cli.take_signals", lambda: None)
    with pytest.raises(SystemExit) as stop:
        module.main()
    told = capsys.readouterr().err
    assert stop.value.code == 2
    assert told.startswith(MISTAKES[words]) and len(told.strip().splitlines()) == 1, told


def test_options_are_read_by_the_table_and_refused_by_it() -> None:
    from webinfer.commands.parameters import RequestOption

    read = RequestOption().convert
    pairs = tuple(
        read(text, None, None) for text in ("top_k=3", "compute_shaders=TRUE", "function_to_apply=none")
    )
    told = {"top_k": 3, "compute_shaders": True, "function_to_apply": "none"}
    assert read_options(pairs, Family.VISION) == told
    assert read_options((read("prompt=a=b", None, None),), Family.TEXT_EMBEDDING) == {"prompt": "a=b"}
    for text, words in (
        ("top_k=many", r"options.top_k is 'many', but must be a whole number from 1 to 1000"),
        ("top_k=²", r"options.top_k is '²', but must be a whole number"),
        ("compute_shaders=1", "options.compute_shaders is '1', but must be True or False"),
        ("langage=en", "the option 'langage' is unknown to audio .did you mean 'language'"),
        ("function_to_apply=none", "the option 'function_to_apply' is unknown to audio"),
    ):
        family = Family.AUDIO if "audio" in words else Family.VISION
        with pytest.raises(BadInput, match=words):
            read_options((read(text, None, None),), family)
    with pytest.raises(BadInput, match="--option is top_k 2 times"):
        read_options((("top_k", 1), ("top_k", 2)), Family.VISION)


def test_every_option_can_be_given_on_the_command_line() -> None:
    from webinfer.commands.parameters import read_value

    samples = {"flag": "true", "count": "1", "text": "anything", "texts": "anything", "number": "0.5"}
    for option, _ in list_options():
        text = samples.get(option.kind, option.words[0] if option.words else "word")
        assert option.check(read_value(option, text)) is not None


def test_standard_input_is_one_text_or_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    give("two lines,\nof wörds\n".encode())
    assert read_inputs(("a", "-", "b"), Family.TEXT_EMBEDDING) == ["a", "two lines,\nof wörds", "b"]
    give(b"\x89PNG\r\n")
    assert read_inputs(("-",), Family.VISION) == [b"\x89PNG\r\n"]
    give(b"\xff\xfe")
    with pytest.raises(BadInput, match="standard input is not UTF-8 at byte 0"):
        read_inputs(("-",), Family.TEXT_EMBEDDING)
    with pytest.raises(BadInput, match="at most one standard input"):
        read_inputs(("-", "-"), Family.VISION)


def test_an_input_is_called_by_what_tells_it_from_others() -> None:
    assert name_input("/pictures/7.png", Family.VISION) == "7.png"
    assert name_input("and/or", Family.TEXT_EMBEDDING) == "and/or"
    assert name_input("x" * 100, Family.TEXT_EMBEDDING) == "x" * 37 + "..."
    assert name_input("-", Family.AUDIO) == "standard input"


COMPOSE = ("scale", "--scaler", "compose")
LIST = [sys.executable, "-m", "webinfer", "models", "list"]


@pytest.mark.parametrize(
    ("redirection", "code", "told"),
    [
        (">/dev/full", 1, "webinfer: the output: No space left on device\n"),
        (">&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("| head -n 1 >/dev/null; exit ${PIPESTATUS[0]}", None, ""),
    ],
)
def test_an_output_that_goes_nowhere_is_no_traceback(redirection: str, code: int | None, told: str) -> None:
    shell = ["bash", "-c", f'"$@" {redirection}', "bash", *LIST]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.stderr == told and done.returncode in ((0, 1) if code is None else (code,))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("history", "export", "/proc/no"), "webinfer: /proc/no: No such file or directory"),
        (
            ("scale", "--scaler", "compose", "--program", "a'b"),
            'webinfer: --program is "a\'b", but must be a',
        ),
        (
            ("scale", "--scaler", "compose", "--program", ""),
            "webinfer: --program is '', but must be a command",
        ),
        (("up", "--broker", "localhost"), "webinfer: --broker is 'localhost', but must be a URL that begins"),
        (
            ("up", "--broker", "redis://:pw@localhost:1/0"),
            "webinfer: No Redis answers at redis://:**@localhost:1",
        ),
        (
            ("bench", "acceleration", "--model", "nope"),
            "webinfer: --model is 'nope', on which no such row is measured, but must be one of",
        ),
        (
            ("bench", "backends", "--model", "digits-vit"),
            "webinfer: model_name is 'digits-vit', a model of vision, but must be a model of text_embedding",
        ),
        (
            ("bench", "sharing", "--workflow", "text", "--text-model", "digits-vit"),
            "webinfer: model_name is 'digits-vit', a model of vision, but must be a model of text_embedding",
        ),
        (
            ("bench", "autoscaling", "--recorded", "README.md"),
            "webinfer: --recorded is README.md, which holds 'webinfer runs",
        ),
    ],
)
def test_a_value_that_cannot_be_is_one_sentence(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = run(*words, env=os.environ | {"WEBINFER_HISTORY_PATH": str(tmp_path / "history.duckdb")})
    assert done.returncode == 1
    assert done.stderr.startswith(told) and len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize("words", [("--version",), ("models", "list"), ("history", "status")], ids=" ".join)
def test_a_command_whose_reader_has_gone_ends_well(words: tuple[str, ...], tmp_path: Path) -> None:
    """As in `webinfer history status | head -1`; here nobody ever reads."""
    reading, writing = os.pipe()
    os.close(reading)
    settings = {"WEBINFER_HISTORY_PATH": str(tmp_path / "none.duckdb")}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "webinfer", *words],
            stdout=writing,
            stderr=subprocess.PIPE,
            env=os.environ | settings,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
