"""Images cut into tiles, as Idefics3 and SmolVLM see them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from browser_runtime.models.configuration.fields import ANYTHING, FLAG, Fields, Rule
from browser_runtime.models.configuration.sizes import MAX_SIDE, SIDE, Exact, Values

TILED = "for questions about images alone: tiles of max_image_size, and the whole image as one more"
LONGEST = f"{{'longest_edge': 1 to {MAX_SIDE}}}"


@dataclass(frozen=True, slots=True)
class TilePlan:
    """An image as rows of tiles that the graph takes one by one, and behind them all of it as one more.

    Source: transformers 5.24, models/idefics3/image_processing_pil_idefics3.py.
    """

    edge: int
    """Height and width of a tile."""
    longest: int | None
    """The longer side before tiles are cut, the other in proportion; None: images are taken as they are."""
    splits: bool
    """False: only all of the image, as one tile."""

    def first(self, height: int, width: int) -> Exact:
        """The size of an image of these sides before tiles are cut."""
        if self.longest is None:
            return Exact(height, width)
        ratio = width / height
        if width >= height:
            return Exact(max(_even(self.longest / ratio), 1), self.longest)
        return Exact(self.longest, max(_even(self.longest * ratio), 1))

    def whole(self, height: int, width: int) -> Exact:
        """The size that is cut into tiles; a side of 0 for an image that is too thin."""
        if not self.splits:
            return Exact(self.edge, self.edge)
        size = self.first(height, width)
        ratio = size.width / size.height
        if size.width >= size.height:
            width = self._round_up(size.width)
            return Exact(self._round_up(int(width / ratio)), width)
        height = self._round_up(size.height)
        return Exact(height, self._round_up(int(height * ratio)))

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tiles of an image of these sides; 0 of both where it is one tile as a whole."""
        whole = self.whole(height, width)
        rows, columns = whole.height // self.edge, whole.width // self.edge
        return (0, 0) if rows == columns == 1 else (rows, columns)

    def _round_up(self, side: int) -> int:
        return math.ceil(side / self.edge) * self.edge


def _even(side: float) -> int:
    """The side cut to an integer, and one more where that is odd."""
    return int(side) + int(side) % 2


def read_tiles(fields: Fields, values: Values) -> TilePlan:
    """The tiles that `max_image_size`, `size` and `do_image_splitting` ask for. Raises BadInput."""
    if values["resample"] is None:
        raise fields.refusal("resample", "given: tiles are resized")
    longest = _read_longest(fields, "size", values) if values["do_resize"] else None
    edge = _read_longest(fields, "max_image_size", values)
    return TilePlan(edge, longest, bool(values["do_image_splitting"]))


def _read_longest(fields: Fields, key: str, values: Values) -> int:
    sides = values[key] if isinstance(values[key], dict) else {}
    given = {name: side for name, side in sides.items() if side is not None}
    if set(given) != {"longest_edge"} or not SIDE.accepts(given["longest_edge"]):
        raise fields.refusal(key, LONGEST)
    return int(given["longest_edge"])


TILING = {
    "do_image_splitting": (FLAG, True),
    "max_image_size": (Rule(f"{LONGEST}: the sides of a tile", lambda _: True), {"longest_edge": 364}),
    "do_pad": (Rule("true or false: all tiles have one size", FLAG.accepts), True),
    "return_row_col_info": (ANYTHING, None),
}
