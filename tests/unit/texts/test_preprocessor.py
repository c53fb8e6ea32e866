"""Texts to tokens: cut, padded and refused as the model needs it, while the worker's loop goes on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Family
from browser_runtime.families.processor import OpenProcessors
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from browser_runtime.pool.dispatch.preparing import prepare
from browser_runtime.pool.dispatch.requests import PendingRequest
from browser_runtime.pool.dispatch.views import waiting_of
from browser_runtime.texts import tokenizer as tokenizer_module
from browser_runtime.texts.tokenizer import TextTokenizer
from browser_runtime.texts.tokens import Tokens
from tests.stand_ins.tiny_models import write_bert

BERT = BUILTIN_FOLDER / "sentences-bert"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    folder = tmp_path_factory.mktemp("texts")
    store = ModelStore(folder / "models")
    for name in ("one", "two"):
        import_model(write_bert(folder / name), name, store=store)
    return store


@pytest.fixture
def model(store: ModelStore) -> StoredModel:
    return store.ensure("one")


def request(*texts: object) -> Request:
    return Request(Family.TEXT_EMBEDDING, "one", {"texts": list(texts)}, single=False)


async def test_a_request_s_texts_become_tokens_and_what_is_no_text_is_refused_alone(
    model: StoredModel,
) -> None:
    prepared = await prepare(request("a man eats", 3, "half \ud83d", "man " * 50), model)
    short, number, half, long = prepared.request.inputs["texts"]
    assert short.ids.tolist() == [2, 4, 5, 6, 3]
    assert (short.ids.dtype, short.segments, short.truncated) == (np.int32, None, False)
    assert (len(long), long.truncated, long.ids[-1]) == (16, True, 3)
    assert number.args == ("texts[1]", "of type int", "a text")
    assert isinstance(half, BadInput)
    assert (
        str(half)
        == "texts[2] is holding half of a character (U+D83D at character 5), but must be Unicode text."
    )


async def test_the_pool_batches_by_tokens_not_by_characters(model: StoredModel) -> None:
    """A long word is one token, seven short ones are seven: they would not go together."""
    prepared = await prepare(request("supercalifragi", "a a a a a a .", 3), model)
    loop = asyncio.get_running_loop()
    pending = PendingRequest(
        prepared.request, model, 0.0, None, loop.create_future(), prepared.lengths, round(prepared.work)
    )
    waiting = waiting_of(1, pending)
    assert (waiting.lengths, pending.work) == ((3.0, 9.0, 1.0), 12)
    assert waiting.size_bytes == 4 * (3 + 9)


async def test_an_empty_text_has_the_special_tokens_alone(model: StoredModel) -> None:
    prepared = await prepare(request("", " "), model)
    assert [tokens.ids.tolist() for tokens in prepared.request.inputs["texts"]] == [[2, 3], [2, 3]]


async def test_a_text_without_a_token_is_refused_alone(tmp_path: Path) -> None:
    """A tokenizer that adds no special tokens makes none of an empty text."""
    folder = write_bert(tmp_path / "bare")
    settings = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(settings | {"post_processor": None}))
    bare = import_model(folder, "one", store=ModelStore(tmp_path / "models"))
    word, nothing = (await prepare(request("man", ""), bare)).request.inputs["texts"]
    assert len(word) == 1
    assert nothing.args[:2] == ("texts[1]", "a text of which the model's tokenizer makes no token")


async def test_a_request_without_texts_stays_as_it_is(model: StoredModel) -> None:
    empty = request()
    assert (await prepare(empty, model)).request is empty


async def test_the_loop_goes_on_while_a_long_text_is_tokenised() -> None:
    """So many ideographs take half a second: with the interpreter held, the loop would turn once or twice."""
    model = ModelStore().ensure("sentences-bert")
    working = asyncio.create_task(prepare(request("中" * 300_000), model))
    turns = 0
    while not working.done():
        await asyncio.sleep(0.001)
        turns += 1
    (tokens,) = (await working).request.inputs["texts"]
    assert (len(tokens), tokens.truncated) == (128, True)
    assert turns > 20


def test_many_texts_are_encoded_in_groups_and_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_module, "MAX_CHARACTERS_AT_ONCE", 10)
    texts = ["one", "a text beyond the limit by itself", "", "two", "three", "four"]
    tokenizer = TextTokenizer(BERT)
    together = [tokens.ids.tolist() for tokens in tokenizer.encode(texts, "texts")]
    assert together == [tokenizer.encode([text], "texts")[0].ids.tolist() for text in texts]


def test_the_padding_token_is_the_tokenizer_s_or_the_model_s(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "bert", pad_token_id=7)
    (folder / "tokenizer_config.json").unlink()
    assert TextTokenizer(folder).pad_id == 7
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": {"content": "[UNK]"}}))
    assert TextTokenizer(folder).pad_id == 1
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[SEP]"}))
    assert TextTokenizer(folder).pad_id == 3


def test_a_tokenizer_that_cannot_be_opened_is_refused_by_name(tmp_path: Path, store: ModelStore) -> None:
    folder = write_bert(tmp_path / "bert")
    (folder / "tokenizer.json").rename(tmp_path / "away.json")
    with pytest.raises(BadRequest, match=r"no tokenizer\.json, .*save_pretrained"):
        import_model(folder, "three", store=store)
    (folder / "tokenizer.json").write_text('{"model": {"type": "Divination"}}')
    with pytest.raises(BadRequest, match=r"tokenizer\.json cannot be opened by tokenizers: "):
        import_model(folder, "three", store=store)
    assert store.find("three") is None


def test_a_processor_is_opened_once_and_the_least_recently_used_is_closed(store: ModelStore) -> None:
    one, two = store.ensure("one"), store.ensure("two")
    open_now = OpenProcessors(limit=1)
    assert open_now.find(one) is None
    first = open_now.take(one)
    assert open_now.take(one) is open_now.find(one) is first
    open_now.take(two)
    assert open_now.find(one) is None


def test_the_page_is_told_what_it_cannot_know(model: StoredModel) -> None:
    told = OpenProcessors().take(model).settings
    assert [module["type"] for module in told["modules"]] == ["pooling", "normalize"]
    assert (told["max_tokens"], told["pad_id"]) == (16, 0)
    assert told["details"]["pooling"] == "mean"
    assert told["details"]["warnings"] == []
    assert told["sample"]["ids"].dtype == np.int32
    assert isinstance(Tokens(**told["sample"]), Tokens)


async def test_a_text_that_a_tokenizer_cannot_take_fails_alone(tmp_path: Path) -> None:
    """A vocabulary without [UNK]: the library refuses a whole batch for one word."""
    model = import_model(write_bert(tmp_path / "plain"), "one", store=ModelStore(tmp_path / "models"))
    path = model.folder / "tokenizer.json"
    plain = json.loads(path.read_text())
    unknown = plain["model"]["unk_token"]
    plain["model"]["vocab"]["[GONE]"] = plain["model"]["vocab"].pop(unknown)
    plain["added_tokens"] = [each for each in plain["added_tokens"] if each["content"] != unknown]
    path.write_text(json.dumps(plain))
    prepared = await prepare(request("a man eats", "\U0001f590", "a man"), model)
    first, odd, last = prepared.request.inputs["texts"]
    assert (first.ids.tolist(), last.ids.tolist()) == ([2, 4, 5, 6, 3], [2, 4, 5, 3])
    assert odd.args[0] == "texts[1]"
    assert "has no tokens for" in str(odd)
