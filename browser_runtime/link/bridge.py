"""The data connection: one loopback WebSocket server a pool, one connection a lane.

A stranger on this machine cannot join: the port is ephemeral, Host and Origin must be the page's own, and
the first frame must hold a one-time 256-bit token that only the page was given.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket as sockets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from browser_runtime.background import TaskSet
from browser_runtime.contract.errors import BadRequest, BridgeClosed, InferenceError, PageSilent, SessionLost
from browser_runtime.contract.pieces import TokenListener
from browser_runtime.link import frames
from browser_runtime.link.protocol import (
    Answer,
    Beat,
    Generated,
    Hello,
    LaneProtocol,
    PageEvent,
    Stray,
    read_hello,
    refusal,
    welcome,
)
from browser_runtime.link.silence import Silence, resetting
from browser_runtime.link.visitor import Visitor

log = structlog.get_logger(__name__)

HELLO_TIMEOUT_S = 10.0
# A hello has some 250; what is longer is refused before it is read.
MAX_HELLO_BYTES = 4096


@dataclass(eq=False)
class LaneConnection:
    """The worker's end of one lane: calls go out, their answers come back."""

    session: str
    number: int
    token: str
    on_event: Callable[[PageEvent], None]
    on_lost: Callable[[SessionLost], None]
    boot: str = ""
    """Changes when the page was loaded anew, and with it all its models forgotten."""
    protocol: LaneProtocol = field(default_factory=lambda: LaneProtocol(time.monotonic))
    joined: asyncio.Event = field(default_factory=asyncio.Event)
    is_restarting: bool = False
    """True: it left to start anew, and is expected back."""
    _socket: ServerConnection | None = None
    _waiting: dict[int, asyncio.Future[frames.Fields]] = field(default_factory=dict)
    _listeners: dict[int, TokenListener] = field(default_factory=dict)
    _tasks: TaskSet = field(default_factory=TaskSet)

    @property
    def is_idle(self) -> bool:
        """True if it is connected and no call waits for its answer."""
        return self.joined.is_set() and not self._waiting

    async def call(
        self,
        kind: str,
        deadline_s: float | None,
        on_tokens: TokenListener | None = None,
        silence: Silence | None = None,
        /,
        **values: object,
    ) -> frames.Fields:
        """The answer's value; `on_tokens` is called with what the call generates before.

        Raises the page's error, PageSilent past the deadline or after too long a silence, BridgeClosed.
        """
        if self._socket is None:
            raise BridgeClosed(self.session, f"lane {self.number} is not connected")
        number, frame = self.protocol.call(kind, values, deadline_s)
        answer: asyncio.Future[frames.Fields] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        quiet = asyncio.timeout(None if silence is None else silence.first_s)
        if on_tokens is not None:
            self._listeners[number] = on_tokens if silence is None else resetting(quiet, silence, on_tokens)
        try:
            async with asyncio.timeout(deadline_s), quiet:
                await self._socket.send(frame)  # which waits where nobody reads
                return await answer
        except TimeoutError as error:
            self._give_up(number)
            what = "no token" if quiet.expired() else f"no answer to {kind} within {deadline_s or 0:.1f} s"
            raise PageSilent(self.session, what) from error
        except ConnectionClosed as error:
            raise BridgeClosed(self.session, f"while sending {kind}: {error}") from error
        except asyncio.CancelledError:
            self._give_up(number)
            raise
        finally:
            self._waiting.pop(number, None)
            self._listeners.pop(number, None)
            if answer.done() and not answer.cancelled():
                answer.exception()  # lost while sending: the caller sees the error that sending raised

    async def _stop_item(self, number: int, item: int) -> None:
        """End one item of a call; its others go on."""
        if self._socket is not None:
            with suppress(ConnectionClosed):
                await self._socket.send(self.protocol.stop(number, item))

    def _give_up(self, number: int) -> None:
        """Tell the page to stop a call, without waiting until it reads that."""
        self._tasks.spawn(self._cancel(number))

    async def _cancel(self, number: int) -> None:
        if self._socket is not None:
            try:
                await self._socket.send(self.protocol.cancel(number))
            except ConnectionClosed:
                log.debug("cancel not sent", session=self.session)

    def attach(self, socket: ServerConnection, hello: Hello) -> None:
        """Take over a connection that proved itself.

        It may come before the close of the one that it replaces is seen: what went out there has no answer.
        """
        if self._socket is not None:
            self._drop(f"lane {self.number} connected anew")
        self.boot, self._socket, self.is_restarting = hello.boot, socket, False
        self.protocol.heard_at_s = time.monotonic()
        self.joined.set()

    def receive(self, frame: bytes) -> None:
        """Act on one frame from the lane."""
        match self.protocol.receive(frame):
            case Answer(number, value, error, is_last):
                if is_last:
                    self._socket, self.is_restarting = None, True
                    self.joined.clear()
                self._settle(number, value, error)
            case Beat():  # noted by the protocol, as every frame is
                pass
            case Generated(number, item, tokens, made_ms):
                listener = self._listeners.get(number)
                if listener is not None and listener(item, tokens, made_ms):
                    self._tasks.spawn(self._stop_item(number, item))
            case PageEvent() as event:
                self.on_event(event)
            case Stray(why):
                log.debug("stray frame dropped", session=self.session, lane=self.number, reason=why)

    def _settle(self, number: int, value: frames.Fields | None, error: InferenceError | None) -> None:
        future = self._waiting.get(number)
        if future is None or future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value or {})

    def detach(self, socket: ServerConnection) -> None:
        """The connection closed; one that has been replaced by then is no loss."""
        if self._socket not in (None, socket):
            return
        self._drop(f"lane {self.number} left")

    def _drop(self, why: str) -> None:
        lost = BridgeClosed(self.session, why)
        self.lose(lost)
        self.on_lost(lost)

    def lose(self, error: SessionLost) -> None:
        """Fail every call that waits: the connection, or all of the session, is gone."""
        self._socket = None
        self.joined.clear()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)


class Bridge:
    """The WebSocket server of one pool."""

    def __init__(self, page_origin: str, beat_interval_s: float = 1.0) -> None:
        self._origin = page_origin
        self._beat_ms = beat_interval_s * 1000
        self._expected: dict[str, LaneConnection] = {}
        self._server: Server | None = None
        self.address = ""
        """`ws://127.0.0.1:<port>` once open."""
        self._unproved: dict[Visitor, None] = {}

    def _meet(self, *args: Any, **kwargs: Any) -> ServerConnection:
        return Visitor(self._unproved, *args, **kwargs)

    async def open(self, listening: sockets.socket | None = None) -> None:
        """Listen with `listening`; without it on loopback, on a port the system picks."""
        self._server = await serve(
            self._converse,
            sock=listening or sockets.create_server(("127.0.0.1", 0)),
            origins=[self._origin],  # type: ignore[list-item]
            process_request=self._check_host,
            max_size=MAX_HELLO_BYTES,  # until it is admitted
            create_connection=cast(type[ServerConnection], self._meet),
            max_queue=16,
            write_limit=1 << 22,
            compression=None,
            ping_interval=None,  # the session decides who is silent, by what its page answers
            server_header=None,
        )
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.address = f"ws://127.0.0.1:{port}"

    async def close(self) -> None:
        """Stop listening and close every connection."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def expect(
        self,
        session: str,
        number: int,
        on_event: Callable[[PageEvent], None],
        on_lost: Callable[[SessionLost], None],
    ) -> LaneConnection:
        """A lane that may join with its `token`, once."""
        lane = LaneConnection(session, number, secrets.token_urlsafe(32), on_event, on_lost)
        self._expected[lane.token] = lane
        return lane

    def forget(self, session: str) -> None:
        """Admit no lane of `session` any more."""
        self._expected = {t: lane for t, lane in self._expected.items() if lane.session != session}

    def _check_host(self, connection: ServerConnection, request: HttpRequest) -> Response | None:
        """Refuse what is not addressed to this very port: no DNS rebinding."""
        if request.headers.get("Host") != self.address.removeprefix("ws://"):
            return connection.respond(HTTPStatus.FORBIDDEN, "wrong host\n")
        return None

    async def _converse(self, socket: ServerConnection) -> None:
        lane = await self._admit(socket)
        if lane is None:
            return
        try:
            async for frame in socket:
                lane.receive(frame if isinstance(frame, bytes) else frame.encode())
        except ConnectionClosed as error:
            log.debug("lane closed", session=lane.session, error=str(error))
        except frames.FrameError as error:
            log.warning("invalid frame", session=lane.session, error=str(error))
        finally:
            lane.detach(socket)

    async def _admit(self, socket: ServerConnection) -> LaneConnection | None:
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                first = await socket.recv(decode=False)
            hello = read_hello(first)
            lane = self._redeem(hello)
        except (TimeoutError, ConnectionClosed):
            return None
        except BadRequest as error:
            log.warning("connection refused", error=str(error))
            await socket.send(refusal(str(error)))
            return None
        self._unproved.pop(cast(Visitor, socket), None)
        socket.protocol.max_message_size = frames.MAX_FRAME_BYTES
        await socket.send(welcome(lane.number, self._beat_ms, self._reissue(lane)))
        lane.attach(socket, hello)
        return lane

    def _redeem(self, hello: Hello) -> LaneConnection:
        """The lane that the token belongs to; the token is spent. Compared in constant time."""
        for token in list(self._expected):
            if hmac.compare_digest(token.encode(), hello.token.encode()):
                lane = self._expected.pop(token)
                if (lane.session, lane.number) != (hello.session, hello.lane):
                    raise BadRequest("the token belongs to another lane")
                return lane
        raise BadRequest("the token is unknown or was used before")

    def _reissue(self, lane: LaneConnection) -> str:
        lane.token = secrets.token_urlsafe(32)
        self._expected[lane.token] = lane
        return lane.token
