"""Lengths that a sound file's header claims, and what is there: libsndfile does not compare them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

# Written by who could not go back to fill in the length: ffmpeg, arecord, sox, libsndfile.
STREAMED = frozenset((0xFFFF_FFFF, 0x8000_0000, 0x7FFF_F000, 0x7FFF_FFFF))
_OGG_LAST_PAGE = 4  # a flag of its header
_ID3_FOOTER = 0x10  # likewise


@dataclass(frozen=True, slots=True)
class SoundData:
    """The part of a file that holds samples, in bytes."""

    claimed: int
    present: int

    @property
    def is_whole(self) -> bool:
        """True if all that the header claims is there."""
        return self.present >= self.claimed


def skip_tags(data: bytes) -> bytes:
    """What follows the ID3 tags before a sound, of which there may be several (ID3v2.4, 3.1).

    libsndfile skips one, opens what follows in any of its formats, and forgets as much of the sound's end.
    """
    at = 0
    while data[at : at + 3] == b"ID3" and at + 10 <= len(data):
        size = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(data[at + 6 : at + 10])))
        at += 10 + size + 10 * bool(data[at + 5] & _ID3_FOOTER)
    return data[at:]


def find_sound_data(data: bytes) -> SoundData | None:
    """The samples of a WAV, AIFF or AU; None if there are none, or for another format."""
    if data[:4] == b".snd" and len(data) >= 12:
        start, claimed = struct.unpack_from(">II", data, 4)
        return SoundData(claimed, max(len(data) - start, 0))
    order = {b"RIFF": "<", b"RIFX": ">", b"FORM": ">"}.get(data[:4])
    return None if order is None else _find_chunk(data, order)


def _find_chunk(data: bytes, order: str) -> SoundData | None:
    """The chunk of samples among the chunks that follow a RIFF or FORM header."""
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack_from(order + "I", data, at + 4)[0]
        at += 8
        if name in (b"data", b"SSND"):
            return SoundData(size, len(data) - at)
        at += size + size % 2
    return None


def ogg_ends(data: bytes) -> bool:
    """True if the last page of an OGG is there and whole."""
    at = data.rfind(b"OggS")
    if at < 0 or at + 27 > len(data):
        return False
    lengths = data[at + 27 : at + 27 + data[at + 26]]
    whole = at + 27 + data[at + 26] + sum(lengths) <= len(data)
    return whole and bool(data[at + 5] & _OGG_LAST_PAGE)
