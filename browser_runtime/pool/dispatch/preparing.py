"""A request's items as they go to a page: texts become tokens, so that no frame grows with a text."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Family
from browser_runtime.models.manifest import StoredModel
from browser_runtime.session.loading import items_of
from browser_runtime.texts.preprocessor import PREPROCESSORS, TextPreprocessor
from browser_runtime.texts.tokens import Tokens

# About a millisecond; beyond it another thread does it, so that the worker's loop goes on.
MAX_INLINE_CHARACTERS = 500


async def prepare(request: Request, model: StoredModel) -> Request:
    """The request with tokens, or a BadInput that concerns it alone, in each text's place.

    A request without texts, and one of another family, stays as it is. Raises BadRequest where the model's
    tokenizer cannot be used, BadInput for a prompt that the model does not have.
    """
    texts = items_of(request)
    if request.family is not Family.TEXT_EMBEDDING or not texts:
        return request
    preprocessor = PREPROCESSORS.find(model)
    n_characters = sum(len(text) for text in texts if isinstance(text, str))
    if preprocessor is not None and n_characters <= MAX_INLINE_CHARACTERS:
        return _with_tokens(request, preprocessor)
    preprocessor = await asyncio.to_thread(PREPROCESSORS.take, model)
    return await asyncio.to_thread(_with_tokens, request, preprocessor)


def _with_tokens(request: Request, preprocessor: TextPreprocessor) -> Request:
    (name, texts), *_ = request.inputs.items()
    fields = [f"{name}[{index}]" for index in range(len(texts))]
    items: list[Tokens | BadInput] = preprocessor.encode(texts, fields, request.options)
    return replace(request, inputs={name: items})
