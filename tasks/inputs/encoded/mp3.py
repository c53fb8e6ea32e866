"""The length of an MP3, by its frames' headers (ISO 11172-3, 2.4.1.3).

Only a first frame made for it (Xing, Info, VBRI) gives the length. Without one the decoder guesses it from
the first frames and, where later ones are larger, stops in the middle: so such a frame is put before them.
"""

from __future__ import annotations

from dataclasses import dataclass

_KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
# By the version's bits: 2.5, reserved, 2, 1.
_RATES = ((11025, 12000, 8000), (), (22050, 24000, 16000), (44100, 48000, 32000))
_VERSION_1, _LAYER_3, _MONO = 3, 1, 3
# How far junk before the first frame may reach.
_SEARCHED = 1 << 16
_TELLS_LENGTH = (b"Xing", b"Info", b"VBRI")
_HAS_FRAMES = 1  # a flag of Xing's

# Samples that a decoder leaves out: the frame that gives the length, its own delay, the filling at the end.
SLACK = 5 * 1152


@dataclass(frozen=True, slots=True)
class Survey:
    """The contents of the headers."""

    start: int
    """The offset of the first frame."""
    n_frames: int
    n_samples: int
    tells_length: bool


def survey(data: bytes) -> Survey:
    """The frames of `data`, up to the first place where none follows."""
    at = start = _first_frame(data)
    n_frames = n_samples = 0
    while (frame := _frame(data, at)) is not None:
        at, n_frames, n_samples = at + frame[0], n_frames + 1, n_samples + frame[1]
    tells_length = any(mark in data[start : start + 200] for mark in _TELLS_LENGTH)
    return Survey(start, n_frames, n_samples, tells_length)


def with_length(data: bytes, found: Survey) -> bytes:
    """The frames of `data` behind one that tells how many they are."""
    if not found.n_frames:
        return data
    head = bytearray(data[found.start : found.start + 4])
    is_version_1, is_mono = head[1] >> 3 & 3 == _VERSION_1, head[3] >> 6 == _MONO
    head[1] |= 1  # without a checksum
    head[2] = (9 if is_version_1 else 8) << 4 | head[
        2
    ] & 0x0C  # 128 or 64 kbit/s: large enough for what follows
    size, _ = _frame(bytes(head), 0) or (0, 0)
    side = (17 if is_mono else 32) if is_version_1 else (9 if is_mono else 17)
    tag = b"Xing" + _HAS_FRAMES.to_bytes(4, "big") + found.n_frames.to_bytes(4, "big")
    return (bytes(head) + bytes(side) + tag).ljust(size, b"\0") + data[found.start :]


def _first_frame(data: bytes) -> int:
    """The offset of the first frame with another behind it; 0 if there is none."""
    for at in range(min(_SEARCHED, len(data))):
        frame = _frame(data, at)
        if frame is not None and _frame(data, at + frame[0]) is not None:
            return at
    return 0


def _frame(data: bytes, at: int) -> tuple[int, int] | None:
    """Bytes and samples of the frame whose header is at `at`; None if there is none."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, data[at + 1] >> 1 & 3
    bitrate, rate = data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if version == 1 or layer != _LAYER_3 or bitrate in (0, 15) or rate == 3:
        return None
    n_samples = 1152 if version == _VERSION_1 else 576
    kbps = (_KBPS_1 if version == _VERSION_1 else _KBPS_2)[bitrate]
    padding = data[at + 2] >> 1 & 1
    return n_samples // 8 * kbps * 1000 // _RATES[version][rate] + padding, n_samples
