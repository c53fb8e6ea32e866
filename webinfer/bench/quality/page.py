"""Logits and answers of a model as a page computes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.vocabulary import Backend, Family, Precision
from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.quantising.divergence import Divergence, DivergenceMeter
from browser_runtime.models.store import StoredModel
from browser_runtime.pool import Pool
from browser_runtime.session.loading import key_of
from webinfer.bench.quality.original import Original, Tell
from webinfer.bench.quality.texts import Question

# A piece of a text on a software GPU.
SCORE_LIMIT_S = 600.0
ANSWER_TOKENS = 40
PROMPTS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class PageModel:
    """A stored model in one precision and one cache, in the first lane of a pool."""

    pool: Pool
    model: StoredModel
    precision: Precision
    backend: Backend
    kv_cache: str = "16"

    def request(self, prompts: list[Any], **options: Any) -> Request:
        """A request for these prompts, greedy."""
        chosen = {"temperature": 0, "kv_cache": self.kv_cache, **options}
        return Request(
            Family.TEXT_GENERATION,
            self.model.name,
            {"prompts": prompts},
            backends=(self.backend,),
            precision=self.precision,
            options=chosen,
            single=False,
        )

    async def open(self) -> Reply:
        """Loads the model; what a reply tells of it."""
        return await self.pool.run(self.request(["1"], max_new_tokens=1))

    async def score(self, original: Original, what: str, tell: Tell) -> Divergence:
        """The divergence from the original over all of its text."""
        key = str(key_of(self.model, self.request([]), self.backend))
        connection = self.pool.sessions[0].lanes[0].connection
        meter, done = DivergenceMeter(), 0
        for index, part in original.pieces():
            tell(what, done, original.n_tokens)
            tokens = np.ascontiguousarray(original.windows[index][part], np.int32)
            call = {"key": key, "tokens": tokens, "start": part.start}
            answer = await connection.call("score", SCORE_LIMIT_S, **call)
            original.add(meter, index, part, cast(FloatArray, answer["logits"]))
            done += len(tokens)
        return meter.result()

    async def answer(self, questions: list[Question], what: str, tell: Tell) -> dict[str, float]:
        """The part of right answers by kind of question."""
        right: dict[str, list[bool]] = {}
        for start in range(0, len(questions), PROMPTS_AT_ONCE):
            tell(what, start, len(questions))
            some = questions[start : start + PROMPTS_AT_ONCE]
            chats = [[{"role": "user", "content": question.text}] for question in some]
            reply = await self.pool.run(self.request(chats, max_new_tokens=ANSWER_TOKENS))
            for question, output in zip(some, reply.output, strict=True):
                right.setdefault(question.kind, []).append(output["text"].strip() == question.answer)
        return {kind: sum(answers) / len(answers) for kind, answers in right.items()}
