"""One lane's conversation, sans-I/O: calls out, answers in, matched by id; no sockets, an injected clock."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from browser_runtime.contract.errors import (
    BadInput,
    BadRequest,
    InferenceError,
    PageFault,
    TooLarge,
    from_plain,
)
from browser_runtime.contract.messages import PROTOCOL
from browser_runtime.link import frames

# The number of the connection on which the page itself answers that it is alive: it is no lane.
PAGE_LINE = -1


@dataclass(frozen=True, slots=True)
class Hello:
    """A lane's first frame, checked."""

    token: str
    session: str
    lane: int
    boot: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a call: a value, or the error it failed with."""

    id: int
    value: frames.Fields | None
    error: InferenceError | None = None
    is_last: bool = False
    """True: the lane starts anew after it, since its engine has crashed."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign that the lane is alive; while it computes, none may come."""


@dataclass(frozen=True, slots=True)
class PageEvent:
    """An event that the page reports unasked: `device-lost`, `warning`."""

    name: str
    text: str
    backend: str = ""
    """Whose device was lost; empty for other events."""


@dataclass(frozen=True, slots=True)
class Generated:
    """Tokens that a running call has generated for one of its items."""

    id: int
    item: int
    tokens: tuple[int, ...]
    made_ms: float
    """The page's clock when it had them: Unix time in milliseconds."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A frame that belongs to nothing, such as an answer to a call that was given up. It is dropped."""

    why: str


Event = Answer | Beat | PageEvent | Generated | Stray


def read_hello(frame: bytes) -> Hello:
    """The hello in a lane's first frame. Raises BadRequest for anything else."""
    try:
        hello = frames.decode(frame)
    except frames.FrameError as error:
        raise BadRequest(f"the first frame is no hello: {error}") from error
    if hello.get("type") != "hello":
        raise BadRequest("the first frame is no hello")
    if hello.get("protocol") != PROTOCOL:
        raise BadRequest(f"the page speaks protocol {hello.get('protocol')!r}, this worker {PROTOCOL}")
    words, lane = [hello.get(name) for name in ("token", "session", "boot")], hello.get("lane")
    if not all(isinstance(word, str) for word in words) or type(lane) is not int:
        raise BadRequest("the hello lacks a field")
    token, session, boot = map(str, words)
    return Hello(token, session, lane, boot)


def welcome(lane: int, beat_ms: float, next_token: str) -> bytes:
    """The frame that admits a lane; `next_token` serves one reconnect."""
    return frames.encode(
        {"type": "welcome", "protocol": PROTOCOL, "lane": lane, "beat_ms": beat_ms, "next_token": next_token}
    )


def refusal(reason: str) -> bytes:
    """The frame that turns a lane away."""
    return frames.encode({"type": "refused", "reason": reason})


@dataclass
class LaneProtocol:
    """The state of one lane's conversation."""

    clock: Callable[[], float]
    """Monotonic seconds."""
    pending: set[int] = field(default_factory=set)
    """Ids of calls without an answer yet."""
    heard_at_s: float = 0.0
    """Time of the lane's last frame."""
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.heard_at_s = self.clock()

    def call(self, kind: str, values: frames.Fields, deadline_s: float | None) -> tuple[int, bytes]:
        """The id and the frame of a new call. Raises TooLarge, and BadInput for what cannot travel."""
        number = next(self._ids)
        deadline_ms = None if deadline_s is None else deadline_s * 1000
        call = {"type": "call", "id": number, "kind": kind, "deadline_ms": deadline_ms, **values}
        try:
            frame = frames.encode(call)
        except frames.FrameTooLarge as error:
            raise TooLarge("the request", error.size_bytes, error.limit_bytes) from error
        except frames.FrameError as error:
            raise BadInput(
                f"a call to {kind}", f"unable to travel ({error})", "plain values and arrays"
            ) from error
        self.pending.add(number)
        return number, frame

    def cancel(self, number: int) -> bytes:
        """The frame that cancels call `number`; its answer, should it come, is a stray."""
        self.pending.discard(number)
        return frames.encode({"type": "cancel", "id": number})

    def stop(self, number: int, item: int) -> bytes:
        """The frame that ends one item of a running call."""
        return frames.encode({"type": "stop", "id": number, "item": item})

    def receive(self, frame: bytes) -> Event:
        """Read a frame from the lane. Raises frames.FrameError when it is no frame."""
        self.heard_at_s = self.clock()
        header = frames.decode(frame)
        match header.get("type"):
            case "answer":
                return self._answer(header)
            case "beat":
                return Beat()
            case "event":
                name, text, backend = (str(header.get(key, "")) for key in ("event", "text", "backend"))
                return PageEvent(name, text, backend)
            case "tokens":
                return self._generated(header)
            case kind:
                return Stray(f"a frame of type {kind!r}")

    def silent_s(self) -> float:
        """Return the seconds since the lane's last frame."""
        return self.clock() - self.heard_at_s

    def _generated(self, header: frames.Fields) -> Generated | Stray:
        number, item, tokens, made_ms = (header.get(name) for name in ("id", "item", "tokens", "made_ms"))
        if type(number) is not int or number not in self.pending:
            return Stray(f"tokens of call {number!r}, which nobody waits for")
        if type(item) is not int or not isinstance(tokens, list) or not all(type(t) is int for t in tokens):
            return Stray("tokens that are no list of numbers")
        if type(made_ms) not in (int, float):
            return Stray("tokens without their time")
        return Generated(number, item, tuple(tokens), float(made_ms))  # type: ignore[arg-type]  # checked above

    def _answer(self, header: frames.Fields) -> Answer | Stray:
        number = header.get("id")
        if type(number) is not int or number not in self.pending:
            return Stray(f"an answer to call {number!r}, which nobody waits for")
        self.pending.discard(number)
        value = header.get("value")
        if header.get("ok") is True and isinstance(value, dict):
            return Answer(number, value)
        return Answer(number, None, _read_error(header.get("error")), header.get("last") is True)


def _read_error(error: object) -> InferenceError:
    if not isinstance(error, dict):
        return PageFault("the page answered with neither a value nor an error", "")
    return from_plain(error)
