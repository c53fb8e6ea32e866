"""Pulling from the Hub: pinned, only what is needed, resumed, verified, one process at a time."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from huggingface_hub import close_session

from browser_runtime.contract.errors import (
    BadInput,
    BadRequest,
    BadSetting,
    InferenceError,
    SetupError,
    TooLarge,
    UnknownModel,
)
from browser_runtime.contract.families import TEXT_EMBEDDING, VISION
from browser_runtime.contract.setup import remedies
from browser_runtime.contract.vocabulary import Family, Precision
from browser_runtime.families.processor import PROCESSORS
from browser_runtime.models.hub import downloading
from browser_runtime.models.hub.downloading import Progress
from browser_runtime.models.hub.settings import HubSettings
from browser_runtime.models.manifest import MANIFEST, write_manifest
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from browser_runtime.simulation import reference
from tests.conftest import PROXIED
from tests.stand_ins.hub import Fault, Hub, describe_sibling, list_files
from tests.stand_ins.sentence_models import write_dense
from tests.stand_ins.tiny_models import (
    move_weights,
    write_classifier,
    write_json,
    write_modules,
    write_text_repository,
)
from webinfer.commands.models import command

NAME = "tiny/bert"
GRAPH = "onnx/model.onnx"


def changed(settings: HubSettings, **changes: object) -> HubSettings:
    return settings.model_copy(update=changes)


def test_a_pull_takes_what_the_family_needs_and_pins_the_commit(store: ModelStore, hub: Hub) -> None:
    model = store.ensure(NAME)
    commit = hub.commit(NAME)
    assert (model.name, model.family, model.revision) == (NAME, TEXT_EMBEDDING, commit)
    assert [module["type"] for module in model.settings["modules"]] == ["pooling", "normalize"]
    assert model.settings["max_tokens"] == 16
    assert (model.license, model.precisions) == ("mit", (Precision.FP32,))
    assert model.source == f"{hub.address}/{NAME}"
    assert sorted(list_files(model.folder)) == sorted([*model.files, MANIFEST])
    assert not {"pytorch_model.bin", "README.md", "onnx/model_fp16.onnx"} & set(model.files)
    assert all(f"/resolve/{commit}/" in entry.path for entry in hub.requests if "/resolve/" in entry.path)


def test_a_pull_takes_the_modules_files_whatever_their_folders_are_called(
    store: ModelStore, hub: Hub
) -> None:
    """The listing names safetensors that nobody needs, too."""
    folder = write_text_repository(hub.root / "tiny/dense" / "main")
    write_json(hub.root / "tiny/dense" / "card.json", {})
    pooling = {"word_embedding_dimension": 8, "pooling_mode": "cls"}
    dense = {"in_features": 8, "out_features": 3}
    write_modules(folder, ("", "Transformer", None), ("pool", "Pooling", pooling), ("head", "Dense", dense))
    write_dense(folder / "head", 8, 3)
    write_dense(folder / "2_Dense", 8, 3)
    (folder / "1_Pooling" / "config.json").unlink()
    model = store.ensure("tiny/dense")
    assert {path for path in model.files if "/" in path} == {
        GRAPH,
        "pool/config.json",
        "head/config.json",
        "head/model.safetensors",
    }
    (output,) = reference(model, Family.TEXT_EMBEDDING, ["a man"])
    assert output["embedding"].shape == (3,)


def test_a_second_ensure_asks_the_hub_nothing(store: ModelStore, hub: Hub) -> None:
    store.ensure(NAME)
    n_requests = len(hub.requests)
    assert store.ensure(NAME).name == NAME
    assert ModelStore(store.root, store._hub).ensure(NAME).name == NAME
    assert len(hub.requests) == n_requests


def test_nothing_half_written_stays_and_nothing_is_visible_before_the_end(
    store: ModelStore, hub: Hub
) -> None:
    seen: list[bool] = []
    store.pull(NAME, progress=lambda _: seen.append(store.find(NAME) is None))
    assert seen and all(seen)
    assert list((store.root / ".partial").iterdir()) == []


def test_progress_goes_up_to_the_whole(store: ModelStore) -> None:
    told: list[Progress] = []
    model = store.ensure(NAME, progress=told.append)
    done = [progress.done_bytes for progress in told]
    assert done == sorted(done)
    assert done[-1] == told[-1].total_bytes == model.stored_bytes


def test_another_precision_comes_from_the_same_commit(store: ModelStore, hub: Hub) -> None:
    first = store.ensure(NAME)
    (hub.root / NAME / "main").rename(hub.root / NAME / "old")
    write_text_repository(hub.root / NAME / "main", precisions=("", "_fp16", "_q4"))
    second = store.ensure(NAME, Precision.FP16)
    assert second.revision == first.revision
    assert second.precisions == (Precision.FP32, Precision.FP16)
    assert len(hub.downloads("tokenizer.json")) == 1
    assert store.verify(NAME).whole


def test_a_precision_that_is_not_there_is_named(store: ModelStore) -> None:
    with pytest.raises(BadInput, match="precision is 'q4', which model 'tiny/bert' does not have"):
        store.ensure(NAME, Precision.Q4)


def test_a_cut_connection_is_resumed_where_it_broke(store: ModelStore, hub: Hub) -> None:
    hub.faults[GRAPH] = Fault(times=2, cut_after_bytes=5000)
    assert store.ensure(NAME).precisions
    ranges = [entry.range for entry in hub.downloads(GRAPH) if entry.path.startswith("lfs/")]
    assert ranges == [None, "bytes=5000-", "bytes=10000-"]


def test_a_pull_that_was_given_up_is_resumed_by_the_next(store: ModelStore, hub: Hub) -> None:
    store._hub = changed(store._hub, n_attempts=1)
    hub.faults[GRAPH] = Fault(times=1, cut_after_bytes=5000)

    def give_up(progress: Progress) -> None:
        if progress.path == GRAPH:
            hub.faults[GRAPH] = Fault(times=99, status=503)

    with pytest.raises(SetupError, match=r"onnx/model\.onnx"):
        store.pull(NAME, progress=give_up)
    assert store.find(NAME) is None
    hub.faults.clear()
    before = len(hub.requests)
    assert store.ensure(NAME).name == NAME
    fetched = [(entry.path, entry.range) for entry in hub.requests[before:] if entry.path.startswith("lfs/")]
    assert fetched == [(f"lfs/{NAME}/{hub.commit(NAME)}/{GRAPH}", "bytes=5000-")]


def test_a_server_that_ignores_ranges_is_read_from_the_start(store: ModelStore, hub: Hub) -> None:
    cut = hub.faults[GRAPH] = Fault(times=1, cut_after_bytes=5000)

    def ignore_ranges(_: Progress) -> None:
        if cut.times == 0:
            hub.faults[GRAPH] = Fault(times=1, ignore_range=True)

    store.ensure(NAME, progress=ignore_ranges)
    ranges = [entry.range for entry in hub.downloads(GRAPH) if entry.path.startswith("lfs/")]
    assert ranges == [None, "bytes=5000-"]
    assert store.verify(NAME).whole


@pytest.mark.parametrize("path", [GRAPH, "config.json"])
def test_a_corrupt_file_is_refused_and_fetched_anew_next_time(store: ModelStore, hub: Hub, path: str) -> None:
    hub.faults[path] = Fault(times=1, corrupt=True)
    with pytest.raises(BadRequest, match=f"{path} came corrupt"):
        store.ensure(NAME)
    assert store.find(NAME) is None
    assert store.ensure(NAME).name == NAME


def test_a_hub_that_stays_broken_is_given_up(store: ModelStore, hub: Hub) -> None:
    hub.faults[GRAPH] = Fault(times=99, status=503)
    with pytest.raises(SetupError, match=r"onnx/model.onnx is missing .*failed.*503"):
        store.ensure(NAME)
    assert hub.faults[GRAPH].times == 99 - store._hub.n_attempts


def test_an_unreachable_hub_is_one_sentence_with_the_remedy(tmp_path: Path, settings: HubSettings) -> None:
    store = ModelStore(tmp_path / "models", changed(settings, endpoint="http://127.0.0.1:9"))
    with pytest.raises(
        SetupError, match=r"'tiny/bert' is missing on this machine; the Hub at .* did not answer"
    ):
        store.ensure(NAME)


def test_offline_asks_nothing_and_says_how_to_go_on(store: ModelStore, hub: Hub) -> None:
    offline = ModelStore(store.root, changed(store._hub, offline=True))
    with pytest.raises(SetupError, match="HF_HUB_OFFLINE forbids fetching it"):
        offline.ensure(NAME)
    assert hub.requests == []
    store.ensure(NAME)
    assert offline.ensure(NAME).name == NAME


def test_the_deadline_ends_a_pull_that_crawls(
    store: ModelStore, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    late_s = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + late_s[0])
    monkeypatch.setattr(downloading, "time", clock)

    def crawl(progress: Progress) -> None:
        if progress.path == GRAPH:
            late_s[0] = store._hub.timeout_s

    with pytest.raises(SetupError, match="reached its deadline; run it again and it goes on"):
        store.ensure(NAME, progress=crawl)
    assert store.find(NAME) is None
    late_s[0] = 0.0
    assert store.ensure(NAME).name == NAME


def test_another_revision_takes_the_place_of_the_first(store: ModelStore, hub: Hub) -> None:
    first = store.ensure(NAME)
    write_text_repository(hub.root / NAME / "v2", precisions=("", "_q4"))
    (hub.root / NAME / "v2" / "sentence_bert_config.json").write_text('{"max_seq_length": 8}')
    second = store.pull(NAME, revision=hub.commit(NAME, "v2"))
    assert second.revision == hub.commit(NAME, "v2") != first.revision
    assert store.ensure(NAME).settings["max_tokens"] == 8
    assert list((store.root / ".partial").iterdir()) == []


def test_what_a_given_up_pull_left_does_not_stay(store: ModelStore, hub: Hub) -> None:
    store._hub = changed(store._hub, n_attempts=1)
    hub.faults["onnx/model_fp16.onnx"] = Fault(times=1, cut_after_bytes=100)

    def give_up(progress: Progress) -> None:
        if progress.path.endswith("_fp16.onnx"):
            hub.faults[progress.path] = Fault(times=9, status=500)

    with pytest.raises(SetupError):
        store.pull(NAME, Precision.FP16, progress=give_up)
    model = store.ensure(NAME)
    assert sorted(list_files(model.folder)) == sorted([*model.files, MANIFEST])
    (hub.root / NAME / "main" / "tokenizer_config.json").write_text("{}")
    assert store.ensure(NAME, Precision.FP32).revision == model.revision


def test_an_unknown_repository_and_revision_are_named(store: ModelStore) -> None:
    with pytest.raises(UnknownModel, match="has no repository tiny/bart"):
        store.ensure("tiny/bart")
    with pytest.raises(UnknownModel, match="tiny/bert has no revision v9"):
        store.pull(NAME, revision="v9")


def test_a_gated_repository_asks_for_a_token_and_takes_it(store: ModelStore, hub: Hub) -> None:
    hub.gated.add(NAME)
    with pytest.raises(SetupError, match="gated: accept its terms and set HF_TOKEN"):
        store.ensure(NAME)
    told = HubSettings(endpoint=hub.address, token="secret-token", retry_wait_s=0)  # type: ignore[arg-type]
    assert "secret-token" not in repr(told)
    assert ModelStore(store.root, told).ensure(NAME).name == NAME
    assert all(entry.authorization == "Bearer secret-token" for entry in hub.downloads("tokenizer.json"))


def test_a_model_over_the_limit_is_refused_before_a_byte(store: ModelStore, hub: Hub) -> None:
    store._hub = changed(store._hub, max_model_bytes=10_000)
    with pytest.raises(TooLarge, match=r"model 'tiny/bert' holds \d+ bytes, more than the 10000"):
        store.ensure(NAME)
    assert hub.downloads(GRAPH) == []


def test_the_family_is_told_by_the_config_or_by_the_caller(store: ModelStore, hub: Hub) -> None:
    write_classifier(hub.root / "tiny" / "vit" / "main")
    assert store.ensure("tiny/vit").family is VISION
    write_classifier(hub.root / "tiny" / "odd" / "main")
    write_json(hub.root / "tiny/odd/main/config.json", {"model_type": "odd", "num_channels": 3})
    with pytest.raises(BadInput, match=r"family of model 'tiny/odd' is not clear .* must be given as one of"):
        store.ensure("tiny/odd")
    assert store.pull("tiny/odd", family=VISION).family is VISION


@pytest.mark.parametrize(
    ("builtin", "graphs", "scale"),
    [
        ("digits-clip", {"onnx/vision_model.onnx", "onnx/text_model.onnx"}, 100.0),
        ("digits-clap", {"onnx/audio_model.onnx", "onnx/text_model.onnx"}, 1 / 0.07),
    ],
)
def test_two_towers_come_from_transformers_js_layout_and_a_scale_that_is_untold_is_warned_of(
    store: ModelStore, hub: Hub, builtin: str, graphs: set[str], scale: float
) -> None:
    """Beside graphs of the whole model, as Xenova's repositories hold them."""
    folder = hub.root / "tiny" / builtin / "main"
    shutil.copytree(BUILTIN_FOLDER / builtin, folder, ignore=shutil.ignore_patterns(MANIFEST, "examples"))
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {key: config[key] for key in config if key != "logit_scale"})
    (folder / "onnx/model.onnx").write_bytes(b"never fetched")
    model = store.pull(f"tiny/{builtin}")
    assert {path for path in model.files if path.endswith(".onnx")} == graphs
    told = PROCESSORS.take(model).describe()
    assert told["logit_scale"] == pytest.approx(scale)
    assert [warning.split(":")[0] for warning in told["warnings"]] == ["config.json tells no logit_scale"]


def test_a_graph_of_another_kind_is_refused(store: ModelStore, hub: Hub) -> None:
    write_classifier(hub.root / "tiny" / "vit" / "main")
    for path in ("tokenizer.json", "config.json"):
        target = hub.root / "tiny" / "vit" / "main" / path
        target.write_bytes((hub.root / NAME / "main" / path).read_bytes())
    with pytest.raises(BadRequest, match="gives logits, but last_hidden_state or token_embeddings is needed"):
        store.pull("tiny/vit")


def test_a_repository_without_onnx_says_so(store: ModelStore, hub: Hub) -> None:
    (hub.root / NAME / "main" / "onnx" / "model.onnx").unlink()
    (hub.root / NAME / "main" / "onnx" / "model_fp16.onnx").unlink()
    with pytest.raises(BadInput, match="holds no ONNX graphs for its family"):
        store.ensure(NAME)


PULL = """
import sys
from pathlib import Path
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from browser_runtime.simulation import reference
print(ModelStore(Path(sys.argv[1])).ensure("tiny/bert").revision)
"""


def test_processes_that_ask_at_once_fetch_once(store: ModelStore, hub: Hub) -> None:
    environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-c", PULL, str(store.root)]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    revisions = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert revisions == {hub.commit(NAME)}
    assert len([entry for entry in hub.downloads(GRAPH) if entry.path.startswith("lfs/")]) == 1


def test_waiting_for_another_process_ends_at_the_deadline(store: ModelStore) -> None:
    from browser_runtime.models.files.locking import hold_lock

    store._hub = changed(store._hub, timeout_s=0.15)
    lock = store.root / ".locks" / "tiny--bert.lock"
    with (
        hold_lock(lock, "it", time.monotonic() + 5),
        pytest.raises(SetupError, match="another process was still fetching it"),
    ):
        store.ensure(NAME)


def test_hugging_face_variables_are_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("WEBINFER_HUB_TIMEOUT_S", "7")
    settings = HubSettings()
    assert (settings.endpoint, settings.offline, settings.timeout_s) == ("http://mirror.example", True, 7)


@pytest.mark.parametrize("token", ["hf_schlüssel", "hf_one\nhf_two", "hf one", "hf_\u202eone"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(
        BadSetting, match="HF_TOKEN is a secret that is not shown, but must be one word"
    ) as refused:
        HubSettings()
    assert "hf" not in str(refused.value)


def test_a_token_from_a_file_has_a_line_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret\r\n")
    token = HubSettings().token
    assert token is not None and token.get_secret_value() == "hf_secret"


@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ("socks5://127.0.0.1:9", f"SOCKS needs `{re.escape(remedies.SOCKS)}`"),
        ("http://[::1", "Invalid port"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, settings: HubSettings, monkeypatch: pytest.MonkeyPatch, proxy: str, problem: str
) -> None:
    if proxy.startswith("socks") and importlib.util.find_spec("socksio"):
        pytest.skip("the remedy is installed")
    for name in PROXIED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("all_proxy", proxy)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    close_session()  # its client knows the proxies of the time it was made
    store = ModelStore(tmp_path / "models", changed(settings, endpoint="http://hub.example"))
    with pytest.raises(SetupError, match=f"names for http://hub.example cannot be used .{problem}"):
        store.ensure(NAME)
    close_session()


def test_the_stand_in_serves_huggingface_hub_itself(hub: Hub, tmp_path: Path) -> None:
    from huggingface_hub import hf_hub_download

    for path in ("config.json", GRAPH):
        told = {"endpoint": hub.address, "local_dir": tmp_path / "got", "token": False}
        got = Path(hf_hub_download(NAME, path, **told))
        assert got.read_bytes() == (hub.root / NAME / "main" / path).read_bytes()


def list_outside(tmp_path: Path, store: ModelStore) -> list[str]:
    """Every file that is not the store's, nor the Hub's own."""
    return [
        path
        for path in list_files(tmp_path)
        if not (tmp_path / path).is_relative_to(store.root) and not path.startswith("hub/")
    ]


def serve_listing(hub: Hub, **card: object) -> None:
    """Makes the Hub tell other things of the repository than what it holds."""
    write_json(hub.root / NAME / "card.json", card)


def list_honestly(hub: Hub) -> list[dict[str, object]]:
    folder = hub.root / NAME / "main"
    return [describe_sibling(folder, path, blobs=True) for path in list_files(folder)]


@pytest.mark.parametrize(
    "path",
    ["onnx/model.onnx_data/../../../../evil", "/tmp/webinfer-evil", "../evil", "onnx/../../evil", "..\\evil",
     "onnx/model.onnx_data/\0", "", "a//b"],
)  # fmt: skip
async def test_a_hostile_listing_writes_nothing_outside(
    store: ModelStore, hub: Hub, tmp_path: Path, path: str
) -> None:
    evil = {"rfilename": path, "size": 4, "blobId": "0" * 40}
    serve_listing(hub, siblings=[*list_honestly(hub), evil])
    with pytest.raises(BadRequest, match=r"files is refused: the path .* leaves the model's folder"):
        store.pull(NAME)
    with pytest.raises(BadRequest, match="is refused"):
        await store.provide(NAME)  # what a worker does upon a request for it
    assert list_outside(tmp_path, store) == []
    assert hub.downloads("/") == [] and store.find(NAME) is None


@pytest.mark.parametrize("commit", ["../../evil", "x/../../../evil", "abc", "", "0" * 39, 7, None, ["a"]])
def test_a_commit_that_is_none_is_refused(
    store: ModelStore, hub: Hub, tmp_path: Path, commit: object
) -> None:
    serve_listing(hub, sha=commit)
    with pytest.raises(BadRequest, match=r"the Hub names (no commit for|.*, no commit, for) tiny/bert"):
        store.pull(NAME)
    assert list_outside(tmp_path, store) == []


@pytest.mark.parametrize("size", [-1, 1.5, "12", True])
def test_a_size_that_is_none_is_refused(store: ModelStore, hub: Hub, size: object) -> None:
    serve_listing(hub, siblings=[{"rfilename": "config.json", "size": size, "blobId": "0" * 40}])
    with pytest.raises(BadRequest, match=r"is refused: config\.json has size"):
        store.pull(NAME)


@pytest.mark.parametrize("siblings", [7, [7], [{}], [{"rfilename": 7}], {"rfilename": "x"}])
def test_a_listing_that_is_none_is_one_sentence(store: ModelStore, hub: Hub, siblings: object) -> None:
    serve_listing(hub, siblings=siblings, tags=[3], pipeline_tag=["x"])
    with pytest.raises(BadRequest):
        store.pull(NAME)


def test_odd_names_that_nobody_needs_are_passed_over(store: ModelStore, hub: Hub) -> None:
    odd = {"rfilename": "what?: a file", "size": 4, "blobId": "0" * 40}
    serve_listing(hub, siblings=[*list_honestly(hub), odd], pipeline_tag="feature-extraction")
    assert store.ensure(NAME).precisions == (Precision.FP32,)


@pytest.mark.parametrize("location", ["weights.bin", "parts/layer 0.bin", "model.onnx_data"])
def test_weights_come_from_where_the_graph_says(store: ModelStore, hub: Hub, location: str) -> None:
    folder = hub.root / NAME / "main"
    move_weights(folder / GRAPH, location)
    told: list[Progress] = []
    model = store.ensure(NAME, progress=told.append)
    assert model.weights == {GRAPH: (f"onnx/{location}",)}
    assert sorted(list_files(model.folder)) == sorted([*model.files, MANIFEST])
    assert told[-1].done_bytes == told[-1].total_bytes == model.stored_bytes
    (folder / "onnx" / location).unlink()
    with pytest.raises(BadRequest, match=f"tiny/bert lacks onnx/{location}, the weights of model"):
        ModelStore(store.root.with_name("other"), store._hub).ensure(NAME)


@pytest.mark.parametrize(
    "location", ["../../../evil", "/etc/passwd", "a/../../../evil", "*/_ORT_MEM_ADDR_/*"]
)
def test_a_hostile_graph_reads_and_writes_nothing_outside(
    store: ModelStore, hub: Hub, tmp_path: Path, location: str
) -> None:
    move_weights(hub.root / NAME / "main" / GRAPH, location, write=False)
    with pytest.raises(BadRequest, match="reads weights outside its folder"):
        store.ensure(NAME)
    assert list_outside(tmp_path, store) == []


def test_precisions_may_share_their_weights(store: ModelStore, hub: Hub) -> None:
    folder = hub.root / NAME / "main"
    move_weights(folder / GRAPH, "shared.bin")
    (folder / "onnx" / "model_fp16.onnx").write_bytes((folder / GRAPH).read_bytes())
    store.ensure(NAME)
    model = store.ensure(NAME, Precision.FP16)
    assert model.weights == {GRAPH: ("onnx/shared.bin",), "onnx/model_fp16.onnx": ("onnx/shared.bin",)}
    assert len([entry for entry in hub.downloads("shared.bin") if "/lfs/" not in entry.path]) == 1
    assert store.verify(NAME).whole


def test_a_mirror_that_changes_its_mind_changes_nothing_that_is_here(store: ModelStore, hub: Hub) -> None:
    first = store.ensure(NAME)
    folder = hub.root / NAME / "main"
    siblings = [describe_sibling(folder, path, blobs=True) for path in list_files(folder)]
    (folder / "modules.json").write_text((folder / "modules.json").read_text() + " " * 500)
    changed_one = describe_sibling(folder, "modules.json", blobs=True)
    others = [sibling for sibling in siblings if sibling["rfilename"] != "modules.json"]
    serve_listing(hub, sha=first.revision, siblings=[*others, changed_one])
    with suppress(InferenceError):
        store.ensure(NAME, Precision.FP16)
    assert store.verify(NAME).whole


@pytest.mark.parametrize("path", ["../../../outside", "/etc"])
def test_modules_in_other_folders_are_not_read(
    store: ModelStore, hub: Hub, tmp_path: Path, path: str
) -> None:
    write_json(tmp_path / "outside" / "config.json", {"secret": 1})
    folder = hub.root / NAME / "main"
    modules = json.loads((folder / "modules.json").read_text())
    write_json(folder / "modules.json", [modules[0], modules[1] | {"path": path}])
    with pytest.raises(BadRequest) as caught:
        store.pull(NAME)
    assert "secret" not in str(caught.value)


def test_a_hostile_licence_is_none(store: ModelStore, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_listing(hub, tags=["license:[/red]\x1b[31m[link=http://evil]x"], pipeline_tag="feature-extraction")
    model = store.pull(NAME)
    assert model.license == "unknown"
    write_manifest(replace(model, license="[/red]"))  # as a version before this one may have left it
    monkeypatch.setenv("WEBINFER_MODELS_DIR", str(store.root))
    done = CliRunner().invoke(command, ["list"])
    assert done.exit_code == 0 and "[/red]" in done.output


def test_a_precision_counts_what_it_loads(store: ModelStore, hub: Hub) -> None:
    move_weights(hub.root / NAME / "main" / GRAPH, "fp32.bin")
    store.ensure(NAME)
    model = store.ensure(NAME, Precision.FP16)
    sizes = {path: file.size_bytes for path, file in model.files.items()}
    assert model.loaded_bytes(Precision.FP32) == sizes[GRAPH] + sizes["onnx/fp32.bin"]
    assert model.loaded_bytes(Precision.FP16) == sizes["onnx/model_fp16.onnx"]
    assert model.stored_bytes == sum(sizes.values())
    with pytest.raises(BadInput, match="precision is 'q4'"):
        model.loaded_bytes(Precision.Q4)


def test_the_manifest_names_the_repository(store: ModelStore) -> None:
    model = store.ensure(NAME)
    plain = json.loads((model.folder / MANIFEST).read_text())
    assert plain["hub"] == {"repository": NAME, "revision": "main"}


def test_a_mirror_on_this_machine_is_reached_past_a_proxy(
    store: ModelStore, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    for name, value in PROXIED.items():
        monkeypatch.setenv(name, value)
    close_session()  # its client knows the proxies of the time it was made
    assert store.ensure(NAME).revision == hub.commit(NAME)
    close_session()
