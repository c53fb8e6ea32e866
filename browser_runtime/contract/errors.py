"""Every error webinfer raises.

InferenceError
├── BadRequest            the caller's fault; never retried
│   ├── UnknownModel
│   ├── BadInput
│   └── TooLarge
├── Unsupported           this browser cannot; another queue might
├── BackendFault          a backend crashed on the model or cannot open it; another backend might
├── ModelFault            the model cannot be opened or run; carries onnxruntime's sentence
├── Busy                  no session was free for too long; retry
│   └── QueueFull         the queue or its Redis is full; refused where it is sent
├── DeadlineExceeded      the request's own deadline_s passed; says what happened to it then
├── NoWorker              no worker serves any queue it could go to; retry once one does
├── SessionLost           retry on a fresh session
│   ├── BrowserDied
│   ├── PageSilent
│   ├── DeviceLost
│   ├── BridgeClosed
│   └── PageCutOff
├── OutOfMemory           does not fit this device
├── BadOutput             NaN, Inf, or a failed golden check
├── ClaimExpired          large inputs or results waited too long
├── GivenUp               ended its worker on every delivery; no retry
├── PageFault             a defect in the page code; carries the JavaScript stack
├── BadSetting            a WEBINFER_* variable that cannot be
│   └── UnknownSetting    no such variable; did you mean ...
└── SetupError            something on this machine is missing; names the remedy
    └── NotReady          something is there and cannot be used; names the remedy

A class's docstring is the sentence a user reads, with its positional arguments in braces. Arguments are
positional and plain, so an error survives the result store and the page border unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self, TypedDict


@dataclass(frozen=True, slots=True)
class FailedAt:
    """The place where a request failed; empty what was not reached."""

    session: str
    browser_build: str
    backend: str = ""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An attempt at a request that failed, and what was done about it: an entry of the reply's `attempts`."""

    model: str
    session: str
    backend: str
    """Empty where it failed before the model was loaded on any."""
    error: str
    """The error's code."""
    message: str
    step: str
    """The answer to it: a `policies.recovery.RecoveryStep`."""
    reason: str

    def to_plain(self) -> dict[str, str]:
        """Plain values, for the reply, which names its model already."""
        plain = asdict(self)
        del plain["model"]
        return plain


class PlainError(TypedDict):
    """An error as plain values."""

    code: str
    args: list[Any]
    message: str
    """Its sentence, for readers."""


class InferenceError(Exception):
    """{0}"""

    at: FailedAt | None = None
    """The place where it happened, as long as the error stays in its process."""
    attempts: tuple[FailedAttempt, ...] = ()
    """The attempts that failed, this one last, as long as the error stays in its process."""

    reroute: ClassVar[bool] = False
    """True: another browser may succeed where this one cannot."""

    @classmethod
    def code(cls) -> str:
        """The error's name on every border: page, result store, metrics."""
        return cls.__name__

    def copy(self) -> Self:
        """The same for one more caller: an exception raised in two places mixes their tracebacks."""
        copy = type(self)(*self.args)
        copy.at, copy.attempts = self.at, self.attempts
        return copy

    def to_plain(self) -> PlainError:
        """Plain values, as a reply and a page have them; `from_plain` is the inverse."""
        return {"code": self.code(), "args": list(self.args), "message": str(self)}

    def __str__(self) -> str:
        sentence = type(self).__doc__ or "{0}"
        missing = max(sentence.count("{") - len(self.args), 0)
        return sentence.format(*self.args, *["?"] * missing)


class BadRequest(InferenceError):
    """The request is refused: {0}"""


class UnknownModel(BadRequest):
    """model_name {0} is not known: {1}"""


class BadInput(BadRequest):
    """{0} is {1}, but must be {2}."""


class TooLarge(BadRequest):
    """{0} holds {1} bytes, more than the {2} bytes allowed."""


class Unsupported(InferenceError):
    """{0} is not supported here: {1}"""

    reroute = True


class BackendFault(InferenceError):
    """The backend {0} failed on the model {1}: {2}"""

    reroute = True


class ModelFault(InferenceError):
    """The model {0} cannot be used: {1}"""


class Busy(InferenceError):
    """No browser session was free within {0} s; try again later or add sessions."""

    def __str__(self) -> str:
        return " ".join((super().__str__(), *map(str, self.args[1:])))  # why there is none, where it is known


class QueueFull(Busy):
    """The queue {0} takes no more requests: {1}; try again later or add workers."""

    __str__ = InferenceError.__str__


class NoWorker(InferenceError):
    """No worker serves {0}; start one with `webinfer up` or `celery -A webinfer worker -Q {1}`."""


class DeadlineExceeded(InferenceError):
    """The request's deadline of {0} s passed while {1}."""


class SessionLost(InferenceError):
    """The browser session {0} was lost: {1}"""


class BrowserDied(SessionLost):
    """The browser of session {0} died: {1}"""


class PageSilent(SessionLost):
    """The page of session {0} fell silent: {1}"""


class DeviceLost(SessionLost):
    """The compute device of session {0} was lost: {1}"""


class BridgeClosed(SessionLost):
    """The connection to the page of session {0} closed: {1}"""


class PageCutOff(SessionLost):
    """The page of session {0} can load nothing any more: {1}"""


class OutOfMemory(InferenceError):
    """The model does not fit this device: {0}"""

    reroute = True


class BadOutput(InferenceError):
    """The model's output cannot be trusted: {0}"""

    reroute = True


class ClaimExpired(InferenceError):
    """An array of {0} bytes has passed its time to live in Redis and is gone; send the request again."""


class GivenUp(InferenceError):
    """The task was given up after {0} deliveries, each of which ended its worker."""


class PageFault(InferenceError):
    """The page code failed, which is a defect of webinfer: {0}
    {1}"""


class BadSetting(InferenceError):
    """{0} is {1}, but must be {2}."""


class UnknownSetting(BadSetting):
    """There is no setting {0}; {1}"""


class SetupError(InferenceError):
    """{0} is missing on this machine; {1}"""


class NotReady(SetupError):
    """{0}; {1}"""


def _tree(root: type[InferenceError]) -> dict[str, type[InferenceError]]:
    found = {root.code(): root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE: dict[str, type[InferenceError]] = _tree(InferenceError)


def from_plain(plain: Mapping[str, Any]) -> InferenceError:
    """Read an error of the page, whose `stack` a PageFault keeps; an unknown code is a PageFault."""
    code, args, stack = str(plain.get("code")), list(map(str, plain.get("args") or ())), plain.get("stack")
    kind = BY_CODE.get(code)
    if kind is None or kind is PageFault:
        return PageFault(args[0] if args else code, str(stack or ""))
    return kind(*args)
