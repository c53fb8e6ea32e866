"""The configuration of what is done to a model's images or sounds, in either of its two places.

Source: transformers 5.24, image_processing_base.py and feature_extraction_utils.py: what is nested in the
file of a processor, where version 5 writes it, goes before the file of its own.
"""

from __future__ import annotations

from pathlib import Path

from browser_runtime.contract.errors import BadRequest
from browser_runtime.models.configuration.fields import Fields
from browser_runtime.models.files.json_files import read_object

FILE, PROCESSOR_FILE = "preprocessor_config.json", "processor_config.json"
# The keys under which they are nested; the last is a newer name of the second.
IMAGES = ("image_processor",)
SOUNDS = ("feature_extractor", "audio_processor")


def read_preprocessor(folder: Path, keys: tuple[str, ...]) -> Fields:
    """The keys of preprocessor_config.json, or of the first of `keys` in processor_config.json.

    Raises BadRequest if there is neither, or if one is broken; BadInput for what is no object.
    """
    processor = read_object(folder / PROCESSOR_FILE)
    for key in keys:
        if processor.get(key) is not None:
            return Fields(f"{key} of {PROCESSOR_FILE}", processor[key])
    if not (folder / FILE).is_file():
        raise BadRequest(f"the model has no {FILE}, and no {keys[0]} in a {PROCESSOR_FILE}")
    return Fields(FILE, read_object(folder / FILE))


def as_fields(preprocessor: object) -> Fields:
    """The fields that `read_preprocessor` gave, or those of the object in a preprocessor_config.json."""
    return preprocessor if isinstance(preprocessor, Fields) else Fields(FILE, preprocessor)
