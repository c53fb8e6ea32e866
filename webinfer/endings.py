"""The end of a command: one sentence on standard error and an exit code; a traceback only for defects."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import click

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.setup.extras import explain

# A full disk, a quota, a failing device: no defects of webinfer.
CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
STOPPED, FAILED = 130, 1


def end_with(error: BaseException) -> int:
    """Print the sentence for `error`; returns the exit code. Raises `error` again if it is a defect."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    sentence = _sentence(error)
    if sentence is None:
        raise error
    if isinstance(error, OSError):
        drop_output()
    click.echo(_without_controls(sentence), err=True)
    if isinstance(error, click.ClickException):
        return error.exit_code
    return STOPPED if isinstance(error, (click.Abort, KeyboardInterrupt)) else FAILED


def _without_controls(sentence: str) -> str:
    """`sentence` without control characters, which a quoted text may hold."""
    allowed = (letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in sentence)
    return "".join(allowed)


def _sentence(error: BaseException) -> str | None:
    """The sentence for an error; None for a defect."""
    match error:
        case click.ClickException():
            return _usage(error)
        case click.Abort() | KeyboardInterrupt():
            return "stopped"
        case InferenceError():
            return f"webinfer: {error}"
        case OSError() if error.filename is not None or error.errno in CANNOT_WRITE:
            return f"webinfer: {error.filename or 'the output'}: {error.strerror}"
        case ModuleNotFoundError():
            missing = explain(error)
            return f"webinfer: {missing}" if missing else None
    return None


def _usage(error: click.ClickException) -> str:
    """The sentence for a wrong command line, with a hint to its help."""
    sentence = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    if context is None:
        return f"webinfer: {sentence}"
    return f"{context.command_path}: {sentence} ({context.command_path} -h shows how)"


def open_missing_streams() -> None:
    """Open /dev/null for standard streams that the shell has closed (`>&-`)."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - as long as the process lives


def drop_output() -> None:
    """Discard unwritten output, which would fail again when the interpreter ends."""
    if sys.__stdout__ is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
