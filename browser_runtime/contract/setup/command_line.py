"""Passwords that were given as arguments: starred, since every user of a machine can read command lines."""

from __future__ import annotations

import ctypes
import re
from contextlib import suppress
from pathlib import Path

# In a URL, and of Flower's logins.
SECRETS = re.compile(rb"(?<=://)([^/@:\0]*:)[^/@\0]+(?=@)|(?<=basic[-_]auth[=\0])()[^\0]+")
# The places of these fields, counted from 1, in proc(5)'s `stat`.
ARG_START, ARG_END = 48, 49


def hide_passwords() -> None:
    """Overwrite the passwords in this process's command line; where the system has none to read, nothing."""
    with suppress(OSError, ValueError, IndexError):
        # The second field, a name in brackets, may hold spaces.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = (int(fields[place - 3]) for place in (ARG_START, ARG_END))
        words = ctypes.string_at(start, end - start)
        starred = star_passwords(words)
        if starred != words:
            ctypes.memmove(start, starred, len(starred))


def star_passwords(words: bytes) -> bytes:
    """Words, each ended by a zero byte, in their length, with stars for passwords."""
    return SECRETS.sub(lambda found: _star(found.group(), found.group(1) or b""), words)


def _star(whole: bytes, user: bytes) -> bytes:
    return user + b"*" * (len(whole) - len(user))
