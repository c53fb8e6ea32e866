"""Images and texts in one space, as `page/families/clip.js` does it."""

from __future__ import annotations

from browser_runtime.simulation.comparing import Comparer, first_vector
from browser_runtime.simulation.feeds import Array, pad_rows
from browser_runtime.simulation.vision import prepare_pixels, require_image

OUTPUTS = ("image_embeds", "pooler_output")


class ImageComparer(Comparer):
    """The two graphs of a CLIP with their processor."""

    def prepare_array(self, array: Array, field: str) -> Array:
        """The pixels: [channels, height, width]. Raises BadInput for what is no image."""
        return prepare_pixels(require_image(array, field), self.processor.pixels)

    def embed_array(self, features: Array) -> Array:
        """The image's vector."""
        graph = self.graphs["vision_model"]
        pixels = graph.inputs.get("pixel_values")
        feeds = {"pixel_values": pad_rows(features[None], pixels.size(0) if pixels else None)}
        return first_vector(graph, feeds, OUTPUTS)


RUNNER = ImageComparer
