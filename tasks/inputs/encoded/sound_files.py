"""An encoded sound -> a plain one (`tasks.inputs.mixing`). Only the formats named here are ever opened."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import soundfile

from browser_runtime.contract.errors import BadInput, InferenceError
from tasks.inputs.encoded.containers import STREAMED, find_sound_data, ogg_ends, skip_tags
from tasks.inputs.encoded.mp3 import SLACK, survey, with_length
from tasks.inputs.encoded.reasons import reason_of
from tasks.inputs.limits import InputLimits
from tasks.inputs.mixing import BLOCK_FRAMES, PlainSound, Sound, as_floats, check_form, clipped, mix
from tasks.inputs.notes import Note

# By how they begin. OGG holds Vorbis or Opus.
SOUND_FORMATS = ("AIFF", "AU", "FLAC", "MP3", "OGG", "WAV")
# What libsndfile decodes to samples as they were written; the others are lossy, and overshoot.
FLOATS = ("FLOAT", "DOUBLE")
# libsndfile's number of frames if a header does not give it.
UNKNOWN_FRAMES = 1 << 62
ALLOWED = "a whole sound in one of " + ", ".join(SOUND_FORMATS)


class _Stream(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A file that is read from its beginning to its end.

    soundfile seeks after each block otherwise, which GSM in WAV cannot and FLAC without a length will not.
    """

    def seekable(self) -> bool:
        return False


class _Bytes(io.BytesIO):
    """A file in memory, where a broken header may ask for a place before the beginning."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:  # which libsndfile's callback can hand to nobody; it sees that nothing moved
            return self.tell()


def read_encoded(data: bytes, limits: InputLimits, field: str, note: Note) -> PlainSound:
    """The sound in `data`, behind any tags. Raises BadInput."""
    whole, data = data, skip_tags(data)
    form = sound_format(data)
    if form is None and len(data) < len(whole) and (filled := survey(data)).n_frames:
        form, data = "MP3", data[filled.start :]  # some programs fill the place behind their tags
    if form is None:
        raise BadInput(field, f"{len(whole)} bytes of no known sound format", ALLOWED)
    _check_whole(data, form, field, note)
    expected = 0
    if form == "MP3":
        found = survey(data)
        expected = found.n_samples - SLACK
        data = data if found.tells_length else with_length(data, found)
    try:
        with _Stream(_Bytes(data)) as sound:
            return _read(sound, expected, limits, field)
    except InferenceError:
        raise
    except Exception as error:  # which errors decoders raise for broken data is nowhere listed
        reason = getattr(error, "error_string", "") or reason_of(error)
        raise BadInput(field, f"a broken {form} sound ({reason.rstrip('.')})", ALLOWED) from error


def sound_format(data: bytes) -> str | None:
    """The format of `SOUND_FORMATS` that begins like `data`; None for any other."""
    head, kind = data[:4], data[8:12]
    if head in (b"RIFF", b"RIFX") and kind == b"WAVE":
        return "WAV"
    if head == b"FORM" and kind in (b"AIFF", b"AIFC"):
        return "AIFF"
    is_mp3 = len(head) == 4 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2
    return "MP3" if is_mp3 else {b"fLaC": "FLAC", b"OggS": "OGG", b".snd": "AU"}.get(head)


def _check_whole(data: bytes, form: str, field: str, note: Note) -> None:
    """Raises BadInput if a header claims more than there is; a stream's, that could not know, is noted."""
    found = find_sound_data(data)
    if (found is not None and not found.is_whole and found.claimed in STREAMED) or (
        form == "OGG" and not ogg_ends(data)
    ):
        note(f"{field} is a stream that does not tell where it ends; all there is was used")
    elif found is not None and not found.is_whole:
        problem = f"cut short: {found.present} bytes of sound, where its header claims {found.claimed}"
        raise BadInput(field, problem, ALLOWED)


def _read(sound: Any, expected: int, limits: InputLimits, field: str) -> PlainSound:
    """Mixes and resamples. Raises BadInput if fewer frames than `expected`, or than claimed, can be read."""
    check_form(sound.samplerate, sound.channels, field)
    if sound.frames < UNKNOWN_FRAMES:
        limits.check_duration(sound.frames / sound.samplerate, field)
        expected = max(expected, sound.frames)
    n_frames = 0

    def blocks() -> Iterator[Sound]:
        nonlocal n_frames
        while len(block := sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
            n_frames += len(block)
            yield as_floats(block, field) if sound.subtype in FLOATS else clipped(block, field)

    mixed = mix(blocks(), sound.samplerate, limits, field)
    if n_frames < expected:
        raise BadInput(field, f"cut short: {n_frames} samples can be read of {expected}", ALLOWED)
    return mixed
