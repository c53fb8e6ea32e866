"""Pictures and sounds: formats and arrays; how much of each."""

from __future__ import annotations

from tasks.inputs import images, mixing, samples, sounds
from tasks.inputs.encoded import picture_files, sound_files
from tasks.inputs.limits import InputLimits
from webinfer.compatibility.markdown import code, paragraph, section, table


def describe_inputs() -> str:
    """The section."""
    limits = InputLimits()
    low, high = mixing.RATES
    return section(
        "Inputs: pictures and sounds",
        table(
            ("", "pictures", "sounds"),
            [
                ("files and bytes", code(picture_files.PICTURE_FORMATS), code(sound_files.SOUND_FORMATS)),
                ("arrays", images.ALLOWED_ARRAY, sounds.ALLOWED_SHAPE),
                ("their numbers", samples.ALLOWED_SAMPLES, mixing.ALLOWED_SAMPLES),
                (
                    "sizes",
                    f"sides up to {images.MAX_SIDE}",
                    f"{low} to {high} hertz, up to {mixing.MAX_CHANNELS} channels",
                ),
            ],
        ),
        paragraph(
            """Formats are told by their first bytes, never by a name. A file of another format, or a broken
            one, is refused with one sentence. Limits by default, each a setting's:"""
        ),
        table(
            ("of a request", "at most"),
            [
                ("items", str(limits.max_items)),
                ("a text's characters", str(limits.max_text_characters)),
                ("all texts together", f"{limits.max_text_bytes >> 20} MB as UTF-8"),
                ("an encoded picture or sound", f"{limits.max_file_bytes >> 20} MB"),
                ("all pictures or sounds, decoded", f"{limits.max_input_bytes >> 20} MB"),
                ("a sound", f"{limits.max_sound_s:g} s"),
            ],
        ),
    )
