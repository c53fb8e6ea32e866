"""The guide's test programme; pytest collects its basic test, and short forms of the others.

python tests/test_resource_pool_integration.py                  every built-in model answers right
python tests/test_resource_pool_integration.py --stress-test    the pool grows and shrinks with its load
python tests/test_resource_pool_integration.py --browser-test   what each browser can do, and how fast
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shlex
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.vocabulary import Browser, Family
from tests.exercises import basic, browsers, picture, stress
from webinfer.tables import output_console

MAX_CONNECTIONS = 8
GUIDE = Path(__file__).parent / "data/resource-pool-guide.md"


# --- the programme


def parse(arguments: list[str]) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description="Try the resource pool on this machine's real browsers.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--stress-test", action="store_true", help="grow and shrink the pool under a load")
    which.add_argument("--browser-test", action="store_true", help="what each browser can do, and how fast")
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="stress test: everything, the pool's own waits included, so many times as fast (default 1)",
    )
    parser.add_argument(
        "--picture",
        type=Path,
        default=Path("stress-test.png"),
        help="stress test: where to write the picture, .png or .svg (default stress-test.png)",
    )
    asked = parser.parse_args(arguments)
    if not asked.speed > 0:
        parser.error(f"--speed is {asked.speed}, but must be above 0")
    if asked.picture.suffix not in (".png", ".svg"):
        parser.error(f"--picture is {asked.picture}, but must end in .png or .svg")
    return asked


def main(arguments: list[str]) -> int:
    """Run what is asked for; the exit code: 0 where every answer was right, else 1."""
    asked = parse(arguments)
    console = output_console()
    try:
        if asked.stress_test:
            return show_stress(console, asked.speed, asked.picture)
        return show_browsers(console) if asked.browser_test else show_basic(console)
    except InferenceError as error:
        print(error, file=sys.stderr)
        return 1


def show_basic(console: Console) -> int:
    """The basic test, printed."""
    done = asyncio.run(basic.run_basic())
    basic.print_basic(console, done)
    return int(bool(done.mismatches))


def show_browsers(console: Console) -> int:
    """The browser test, printed; it fails where an answer is wrong or no browser starts."""
    found = [asyncio.run(browsers.examine(browser)) for browser in Browser]
    browsers.print_findings(console, found)
    wrong = any(speed.mismatch for browser in found for speed in browser.speeds)
    return int(wrong or not any(browser.speeds for browser in found))


def show_stress(console: Console, speed: float, path: Path) -> int:
    """The stress test, printed live; its picture in a file."""
    with Live(console=console, auto_refresh=False) as live:
        done = asyncio.run(
            stress.run_stress(
                lambda so_far: live.update(picture.live_table(so_far), refresh=True),
                speed,
                max_connections=MAX_CONNECTIONS,
            )
        )
    console.line()
    for event in done.events:
        console.print(picture.describe_event(event), highlight=False)
    picture.draw(done, path)
    right = len(done.replies) - len(done.wrong)
    console.print(f"{right} right answers, {len(done.wrong)} wrong, {len(done.failed)} failed requests")
    console.print(f"picture: {path.resolve()}", soft_wrap=True)
    return int(bool(done.wrong or done.failed or not done.replies))


# --- what pytest collects


@pytest.fixture(autouse=True)
def real_browsers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test must never pass on a simulation unseen."""
    monkeypatch.setenv("WEBINFER_SIMULATION", "never")


def test_every_model_answers_right_alone_and_together() -> None:
    done = asyncio.run(basic.run_basic())
    assert len(done.alone) == len(done.together) == 14
    assert done.mismatches == []
    basic.print_basic(Console(quiet=True), done)


@pytest.mark.browser("edge")
def test_the_pool_grows_with_its_load_and_shrinks_again(tmp_path: Path) -> None:
    """The product's own waits, 15 times as fast, so that a test can see both."""
    ramp = ((8, 150.0), (0, 600.0))
    only_edge = dict.fromkeys(map(str, Family), "edge")
    looks = stress.run_stress(
        lambda so_far: None, 15.0, ramp, max_connections=2, browser_preferences=only_edge
    )
    done = asyncio.run(looks)
    assert done.wrong == done.failed == []
    assert max(done.n_sessions) == 2
    assert done.n_sessions[0] == done.n_sessions[-1] == 1
    assert [event["change"] for event in done.events] == [1, -1]
    assert all(event["reasons"] for event in done.events)
    picture.draw(done, tmp_path / "stress.svg")
    assert "<svg" in (tmp_path / "stress.svg").read_text()


@pytest.mark.browser("edge")
def test_a_browser_tells_what_it_can_and_how_fast() -> None:
    found = asyncio.run(browsers.examine(Browser.EDGE, ("digits-vit",)))
    assert found.problem == ""
    can = {speed.backend for speed in found.speeds if not speed.why_not}
    assert "wasm" in can
    assert can == {backend for backend in can if found.capabilities[f"{backend}_supported"]}
    assert all(speed.run_ms > 0 and not speed.mismatch for speed in found.speeds if not speed.why_not)
    browsers.print_findings(Console(quiet=True), [found])


def test_the_programme_takes_the_commands_of_the_guide() -> None:
    commands = re.findall(rf"^python {Path(__file__).name}(.*)$", GUIDE.read_text(), re.MULTILINE)
    asked = [parse(shlex.split(command)) for command in commands]
    assert [(each.stress_test, each.browser_test) for each in asked] == [
        (False, False),
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    "wrong", [["--speed", "0"], ["--picture", "x.doc"], ["--stress-test", "--browser-test"]]
)
def test_what_cannot_be_asked_is_one_sentence(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(wrong)
    assert stop.value.code == 2
    assert wrong[0] in capsys.readouterr().err


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
