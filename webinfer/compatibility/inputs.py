"""Pictures and sounds: formats and arrays; how much of each."""

from __future__ import annotations

from tasks.inputs import images, mixing, samples, sounds
from tasks.inputs.encoded import picture_files, sound_files
from tasks.inputs.limits import InputLimits
from webinfer.compatibility.markdown import code, paragraph, section, table


def describe_inputs() -> str:
    """The section as Markdown."""
    limits = InputLimits()
    low, high = mixing.RATES
    return section(
        "Inputs: images and sounds",
        table(
            ("", "images", "sounds"),
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
            """A format is recognised by the first bytes of a file, never by its name. Files of other formats,
            and damaged ones, are refused in one sentence. Default limits, each of which is a setting:"""
        ),
        table(
            ("of a request", "at most"),
            [
                ("items", str(limits.max_items)),
                ("a text's characters", str(limits.max_text_characters)),
                ("all texts together", f"{limits.max_text_bytes >> 20} MB as UTF-8"),
                ("an encoded image or sound", f"{limits.max_file_bytes >> 20} MB"),
                ("all images or sounds, decoded", f"{limits.max_input_bytes >> 20} MB"),
                ("a sound", f"{limits.max_sound_s:g} s"),
            ],
        ),
    )
