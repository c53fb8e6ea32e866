"""The callable models that `get_model` returns."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.messages import Reply, Request
from tasks.arguments import build_request
from tasks.inputs.limits import InputLimits
from tasks.streaming.stream import check_streamable
from webinfer.integration.engine import Engine
from webinfer.integration.results import Result, failure
from webinfer.integration.text_stream import TextStream


class PooledModel:
    """One model with its hardware preferences; each call goes to the session expected to answer first."""

    def __init__(
        self, owner: object, engine: Engine, named: Mapping[str, Any], limits: InputLimits, loaded: Reply
    ) -> None:
        self._owner = owner  # kept alive by its models
        self._engine, self._named, self._limits = engine, named, limits
        self.model_type: str = loaded.model_type
        self.model_name: str = loaded.model_name
        self.precision: str = loaded.precision
        self.loaded = loaded.to_dict()
        """The result of loading it first, without an output: place and times."""

    def __repr__(self) -> str:
        place = f"{self.loaded['browser']} {self.loaded['backend']}"
        return f"<PooledModel {self.model_name} ({self.model_type}), first loaded in {place}>"

    @property
    def browser(self) -> str:
        """The browser in which it was loaded first; each result names its own."""
        return str(self.loaded["browser"])

    @property
    def platform(self) -> str:
        """The backend on which it was loaded first."""
        return str(self.loaded["platform"])

    def __call__(
        self, inputs: Any, *, options: Mapping[str, Any] | None = None, deadline_s: float | None = None
    ) -> Result:
        """The result for `inputs`, in the forms that `infer.delay` takes. Blocks. Raises InferenceError."""
        answer = self._engine.ask(self._request(inputs, options, deadline_s))
        try:
            return answer.result().to_dict()
        except BaseException:
            answer.cancel()
            raise

    async def run(
        self, inputs: Any, *, options: Mapping[str, Any] | None = None, deadline_s: float | None = None
    ) -> Result:
        """The result for `inputs`, without blocking the caller's loop; cancelling it cancels the run."""
        request = await asyncio.to_thread(self._request, inputs, options, deadline_s)
        return (await asyncio.wrap_future(self._engine.ask(request))).to_dict()

    def stream(
        self, inputs: Any, *, options: dict[str, Any] | None = None, deadline_s: float | None = None
    ) -> TextStream:
        """The text of one prompt as it is generated: `async for piece in model.stream(...)`.

        Its `reply` is the result once the pieces have ended. Raises InferenceError, here for bad inputs and
        while it is read.
        """
        request = self._request(inputs, options, deadline_s)
        check_streamable(request)
        return TextStream(request, self._engine)

    def ask(self, inputs: Any) -> Future[Reply]:
        """The future reply, failed if the inputs are refused. Blocks while the inputs are read."""
        try:
            return self._engine.ask(self._request(inputs))
        except InferenceError as error:
            refused: Future[Reply] = Future()
            refused.set_exception(error)
            return refused

    def settle(self, answer: Reply | BaseException) -> Result:
        """The result of a finished `ask`: an InferenceError becomes a failure, other errors are raised."""
        if isinstance(answer, Reply):
            return answer.to_dict()
        if isinstance(answer, InferenceError):
            return failure(self.model_name, self.model_type, self.precision, answer)
        raise answer

    def _request(
        self, inputs: Any, options: Mapping[str, Any] | None = None, deadline_s: float | None = None
    ) -> Request:
        more = {"inputs": inputs, "options": options, "deadline_s": deadline_s}
        return build_request({**self._named, **more}, self._limits)
