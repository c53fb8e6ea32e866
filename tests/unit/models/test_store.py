"""The store: where it looks, what it refuses, and that damage never gets past it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.errors import BadInput, BadRequest, InferenceError, UnknownModel
from browser_runtime.contract.families import FAMILIES
from browser_runtime.contract.vocabulary import Family, Precision, check_model_name
from browser_runtime.models.files import integrity
from browser_runtime.models.hub.catalogue import read_catalogue
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.manifest import MANIFEST, StoredModel
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from tests.stand_ins.tiny_models import write_classifier

GRAPH = "onnx/model.onnx"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A store with one model, `tiny`."""
    store = ModelStore(tmp_path / "models")
    import_model(write_classifier(tmp_path / "source"), "tiny", store=store)
    return store


def test_the_built_in_models_are_whole_and_come_first(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    built_in = [entry for entry in store.listing() if entry.where == "built-in"]
    assert {folder.parent.name for folder in BUILTIN_FOLDER.glob(f"*/{MANIFEST}")} == {
        e.name for e in built_in
    }
    for entry in built_in:
        usual = store.find(entry.name).family.precision
        assert store.ensure(entry.name, usual).folder.is_relative_to(BUILTIN_FOLDER)
        assert store.verify(entry.name).whole


def test_an_unknown_name_gets_near_matches_and_the_remedy(store: ModelStore) -> None:
    with pytest.raises(UnknownModel, match=r"'tinny' is not known: did you mean tiny.*models list"):
        store.ensure("tinny")
    with pytest.raises(UnknownModel, match="did you mean bert-base-uncased"):
        store.ensure("bert-base-uncase")
    assert store.find("tinny") is None


@pytest.mark.parametrize(
    "name", ["../tiny", "a/../tiny", "/tiny", ".locks", "a/b/c", "", "tiny/", "a\0b", None, 3]
)
def test_what_is_no_name_is_refused(store: ModelStore, name: str) -> None:
    for ask in (store.find, store.ensure, store.verify, lambda name: store.resolve_file(name, MANIFEST)):
        with pytest.raises(BadInput, match=r"model_name is .* but must be a name or org/name"):
            ask(name)


@given(st.text(max_size=40))
def test_a_name_that_passes_stays_inside_any_folder(text: str) -> None:
    try:
        name = check_model_name(text)
    except BadInput:
        return
    assert (Path("/store") / name).resolve().is_relative_to("/store")
    assert not any(part.startswith(".") for part in Path(name).parts)


def test_files_of_the_manifest_are_served_and_nothing_else(store: ModelStore) -> None:
    model = store.ensure("tiny")
    assert store.resolve_file("tiny", GRAPH) == (model.folder / GRAPH).resolve()
    (model.folder / "secret.txt").write_text("not in the manifest")
    for path in (
        "secret.txt",
        MANIFEST,
        "../tiny/config.json",
        "/etc/passwd",
        "",
        ".",
        "onnx",
        "onnx/../config.json",
    ):
        with pytest.raises(BadInput, match="must be a file of model 'tiny'"):
            store.resolve_file("tiny", path)
    with pytest.raises(UnknownModel):
        store.resolve_file("nobody", "config.json")


def test_a_link_out_of_the_model_is_not_followed(store: ModelStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    target = store.ensure("tiny").folder / "config.json"
    secret.write_bytes(target.read_bytes())
    target.unlink()
    target.symlink_to(secret)
    with pytest.raises(BadInput, match="must be a file of model"):
        store.resolve_file("tiny", "config.json")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def extend(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def corrupt(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


DAMAGES = [
    (Path.unlink, "is missing"),
    (truncate, "is truncated: "),
    (extend, "is oversized: "),
    (corrupt, "is corrupt: its SHA-256"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_damage_is_one_sentence_that_names_the_file(
    store: ModelStore, damage: Callable[[Path], None], words: str
) -> None:
    model = store.ensure("tiny")
    damage(model.folder / GRAPH)
    for fresh in (store, ModelStore(store.root)):
        with pytest.raises(
            BadRequest,
            match=f"model 'tiny' is damaged: {GRAPH} {words}.*; run `webinfer models remove tiny` and",
        ):
            fresh.ensure("tiny")
    problems = [check.problem for check in store.verify("tiny").files if check.path == GRAPH]
    assert words in problems[0]
    assert not store.verify("tiny").whole


def test_what_is_sent_to_a_page_has_at_least_its_size(store: ModelStore) -> None:
    truncate(store.ensure("tiny").folder / GRAPH)
    with pytest.raises(BadRequest, match="is truncated"):
        store.resolve_file("tiny", GRAPH)
    assert "is truncated" in next(entry.problem for entry in store.listing() if entry.name == "tiny")


def test_hashes_are_taken_once_while_nothing_changes(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    whole = integrity.hash_file
    monkeypatch.setattr(integrity, "hash_file", lambda path: hashed.append(path) or whole(path))
    model = store.ensure("tiny")
    assert len(hashed) == len(model.files)
    store.ensure("tiny")
    assert len(hashed) == len(model.files)
    (model.folder / GRAPH).touch()
    store.ensure("tiny")
    assert len(hashed) == 2 * len(model.files)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"family": "mind_reading"}, "family is 'mind_reading'"),
        ({"files": {"../x": {"sha256": "0" * 64, "size_bytes": 1}}}, "leaves the model's folder"),
        ({"files": {"x": {"sha256": "short", "size_bytes": 1}}}, "no SHA-256 with a size"),
        ({"files": {"x": {"sha256": "0" * 64, "size_bytes": -1}}}, "no SHA-256 with a size"),
        ({"name": "other"}, "names 'other'"),
        ({"files": None}, "cannot be used"),
    ],
)
def test_a_broken_manifest_is_one_sentence(store: ModelStore, change: dict[str, object], words: str) -> None:
    path = store.ensure("tiny").folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadRequest, match=words):
        store.ensure("tiny")
    assert words in next(entry.problem for entry in store.listing() if entry.where == "local")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "tiny"}'])
def test_a_manifest_that_is_none_is_one_sentence(store: ModelStore, text: str) -> None:
    (store.ensure("tiny").folder / MANIFEST).write_text(text)
    with pytest.raises(BadRequest, match="the manifest of model 'tiny' cannot be used"):
        store.find("tiny")


def test_a_precision_the_model_lacks_is_named(store: ModelStore) -> None:
    with pytest.raises(BadInput, match="precision is 'q4', but must be what model 'tiny' comes in: fp32"):
        store.ensure("tiny", Precision.Q4)


def test_the_listing_tells_what_is_here_and_what_could_be(store: ModelStore) -> None:
    entries = {entry.name: entry for entry in store.listing()}
    assert list(entries) == sorted(entries)
    tiny = entries["tiny"]
    assert (tiny.where, tiny.family, tiny.precisions, tiny.problem) == ("local", "vision", ("fp32",), "")
    assert tiny.size_bytes == store.ensure("tiny").stored_bytes
    assert entries["bert-base-uncased"].where == "hub"
    assert set(read_catalogue()) <= set(entries)


def test_the_catalogue_has_one_model_a_served_family_and_true_pins() -> None:
    catalogue = read_catalogue()
    assert {entry.family for entry in catalogue.values()} == set(FAMILIES.values())
    for name in ("bert-base-uncased", "vit-base", "whisper-tiny", "all-minilm-l6-v2"):
        assert "/" in catalogue[name].repository
    for entry in catalogue.values():
        assert len(entry.revision) == 40 or entry.revision in ("main", "default")
        assert entry.license


def test_pulling_what_is_here_gives_it(store: ModelStore) -> None:
    assert store.pull("tiny") == store.find("tiny")


def test_verifying_what_is_not_here_says_so(store: ModelStore) -> None:
    with pytest.raises(UnknownModel, match="it is not on this machine"):
        store.verify("whisper-tiny")


def test_an_unknown_model_is_an_error_of_ours(store: ModelStore) -> None:
    with pytest.raises(InferenceError):
        store.ensure("tinny")


async def test_coroutines_share_one_thread_and_are_not_cancelled_together(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on, ensured = asyncio.Event(), threading.Event(), []
    loop, ensure = asyncio.get_running_loop(), store.ensure

    def ensure_slowly(name: str, precision: Precision) -> StoredModel:
        ensured.append(name)
        loop.call_soon_threadsafe(entered.set)
        assert go_on.wait(60)
        return ensure(name, precision)

    monkeypatch.setattr(store, "ensure", ensure_slowly)
    waiting = [asyncio.create_task(store.provide("tiny")) for _ in range(3)]
    await entered.wait()
    waiting[0].cancel()
    go_on.set()
    models = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(models[0], asyncio.CancelledError)
    assert models[1] == models[2] == store.find("tiny")
    assert ensured == ["tiny"]
    assert await store.provide("tiny") == models[1]
    assert ensured == ["tiny"]


async def test_coroutines_get_the_stores_errors(store: ModelStore) -> None:
    with pytest.raises(UnknownModel):
        await store.provide("tinny")
    await store.provide("tiny")
    truncate(store.root / "tiny" / GRAPH)
    with pytest.raises(BadRequest, match="is truncated"):
        await store.provide("tiny")


def test_a_model_of_another_family_is_refused(store: ModelStore) -> None:
    model = store.ensure("tiny")
    model.require_family(Family.VISION)
    words = "model_name is 'tiny', a model of vision, but must be a model of text_embedding"
    with pytest.raises(BadInput, match=words):
        model.require_family(Family.TEXT_EMBEDDING)


def test_importing_the_store_loads_nothing_heavy() -> None:
    heavy = ("huggingface_hub", "onnx", "onnxruntime", "tokenizers", "safetensors", "numpy", "httpx2")
    told = f"import sys, browser_runtime.models.store; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
