"""Removing a model: gone with all its files, never from under a worker that has it loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from browser_runtime.contract.errors import BadInput, UnknownModel
from browser_runtime.models.files.locking import hold_lock, lock_path
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.manifest import MANIFEST
from browser_runtime.models.reports import Removal
from browser_runtime.models.store import ModelStore
from tests.stand_ins.hub import list_files
from tests.stand_ins.tiny_models import write_classifier
from webinfer.commands.models import command


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A store with the models `tiny` and `org/tiny`."""
    store = ModelStore(tmp_path / "models")
    for name in ("tiny", "org/tiny"):
        import_model(write_classifier(tmp_path / "source"), name, store=store)
    return store


@pytest.mark.parametrize("name", ["tiny", "org/tiny"])
def test_a_removed_model_is_gone_with_all_its_files(store: ModelStore, name: str) -> None:
    model = store.ensure(name)
    part = store.root / ".partial" / f"{name.replace('/', '--')}@{'0' * 40}" / "config.json"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"12345")
    n_files, held = len(model.files) + 2, model.stored_bytes + (model.folder / MANIFEST).stat().st_size + 5
    assert store.remove(name) == Removal(name, n_files, held)
    assert not model.folder.exists() and store.find(name) is None
    assert list((store.root / ".partial").iterdir()) == []
    assert (store.root / "org").exists() == (name == "tiny")
    with pytest.raises(UnknownModel, match="is not on this machine"):
        store.remove(name)


@pytest.mark.parametrize("text", ["", "{", json.dumps({"name": "other"})])
def test_a_damaged_model_can_be_removed(store: ModelStore, text: str) -> None:
    (store.root / "tiny" / MANIFEST).write_text(text)
    assert store.remove("tiny").n_files > 1
    assert store.find("tiny") is None


def test_what_is_no_model_stays(store: ModelStore, tmp_path: Path) -> None:
    (store.root / "notes").mkdir()
    (store.root / "notes" / "mine.txt").write_text("mine")
    for name, error, words in [
        ("digits-vit", BadInput, "a built-in model"),
        ("notes", UnknownModel, "is not on this machine"),
        ("tinny", UnknownModel, "did you mean tiny"),
        ("org", UnknownModel, "is not on this machine"),
        ("../tiny", BadInput, "a name or org/name"),
        (".locks", BadInput, "a name or org/name"),
    ]:
        with pytest.raises(error, match=words):
            store.remove(name)
    assert (store.root / "notes" / "mine.txt").exists()
    assert store.verify("tiny").whole and store.verify("org/tiny").whole


USE = """
import asyncio, sys
from pathlib import Path
from browser_runtime.models.store import ModelStore

async def main():
    store = ModelStore(Path(sys.argv[1]))
    await store.provide("tiny")
    print("in use", flush=True)
    sys.stdin.readline()
    store.in_use.release_unused({"tiny"}, min_hold_s=0)
    print("still in use", flush=True)
    sys.stdin.readline()
    store.in_use.release_unused(set(), min_hold_s=0)
    print("given back", flush=True)
    sys.stdin.readline()

asyncio.run(main())
"""


def test_a_model_in_use_stays_until_it_is_given_back(store: ModelStore) -> None:
    command = [sys.executable, "-c", USE, str(store.root)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as user:  # type: ignore[call-overload]

        def hear(words: str) -> None:
            assert user.stdout.readline().strip() == words

        def go_on() -> None:
            user.stdin.write("\n")
            user.stdin.flush()

        hear("in use")
        for words in ("still in use", "given back"):
            told = (
                f"'tiny', in use by process {user.pid}, but must be a model that no running worker has loaded"
            )
            with pytest.raises(BadInput, match=told):
                store.remove("tiny")
            go_on()
            hear(words)
        assert store.remove("tiny").name == "tiny"
        go_on()


async def test_a_request_right_before_the_removal_keeps_the_model(store: ModelStore) -> None:
    await store.provide("tiny")
    store.in_use.release_unused(set())  # asked for a moment ago, and loaded nowhere yet
    with pytest.raises(BadInput, match=f"in use by process {os.getpid()}"):
        ModelStore(store.root).remove("tiny")
    store.in_use.release_unused(set(), min_hold_s=0)
    ModelStore(store.root).remove("tiny")
    with pytest.raises(UnknownModel):
        await store.provide("tiny")


async def test_names_that_are_no_models_hold_nothing(store: ModelStore) -> None:
    for number in range(3):
        with pytest.raises(UnknownModel):
            await store.provide(f"nothing-{number}")
    await store.provide("digits-vit")
    assert not list((store.root / ".locks").glob("*.use"))


def test_a_model_that_is_being_fetched_stays(store: ModelStore) -> None:
    with (
        hold_lock(lock_path(store.root, "tiny"), "it", time.monotonic() + 5),
        pytest.raises(
            BadInput, match=f"name is 'tiny', which process {os.getpid()} is fetching, importing or"
        ),
    ):
        store.remove("tiny")
    assert store.verify("tiny").whole


def test_the_command_says_what_it_freed(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBINFER_MODELS_DIR", str(store.root))
    done = CliRunner().invoke(command, ["remove", "tiny", "org/tiny"])
    assert done.exit_code == 0, done.output
    assert [line.split(",")[0] for line in done.output.splitlines()] == [
        "tiny removed: 4 files",
        "org/tiny removed: 4 files",
    ]
    assert not [path for path in list_files(store.root) if not path.startswith(".locks")]
