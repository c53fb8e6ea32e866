"""Images of hand-written digits: scikit-learn's 8x8 originals, and random variations of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn import functional

SIDE = 32
TEST_SHARE = 0.2
SPLIT_SEED = 2
INK_MAXIMUM = 16.0  # load_digits counts the inked pixels of 4x4 blocks


@dataclass(frozen=True)
class Digits:
    """Ink in 0..1, float32 [n, 1, 8, 8], and labels, int64 [n]."""

    ink: Tensor
    labels: Tensor

    def pick(self, rows: Tensor) -> Digits:
        """The same for some rows only."""
        return Digits(self.ink[rows], self.labels[rows])


def load_split() -> tuple[Digits, Digits]:
    """The training and the held-out digits, always the same: 1437 and 360, classes in equal shares."""
    bunch = load_digits()
    parts = train_test_split(
        bunch.images, bunch.target, test_size=TEST_SHARE, random_state=SPLIT_SEED, stratify=bunch.target
    )
    train, test, train_labels, test_labels = (torch.from_numpy(np.asarray(part)) for part in parts)
    return _as_digits(train, train_labels), _as_digits(test, test_labels)


def _as_digits(images: Tensor, labels: Tensor) -> Digits:
    return Digits((images.float() / INK_MAXIMUM)[:, None], labels.long())


def draw_plain(ink: Tensor, side: int = SIDE) -> Tensor:
    """The originals merely enlarged: ink [n, 1, side, side]."""
    return functional.interpolate(ink, size=(side, side), mode="bilinear", align_corners=False)


def draw_varied(ink: Tensor, generator: torch.Generator) -> Tensor:
    """Training pictures in -1..1, [n, 3, 32, 32]: moved, turned, thinned, tinted, inverted and noisy."""
    moved = _move(ink, generator)
    return _colour(_restroke(moved, generator), generator)


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(n, 1, 1, 1, generator=generator) * (high - low) + low


def _move(ink: Tensor, generator: torch.Generator) -> Tensor:
    """Each digit enlarged to 64 pixels, scaled, turned, slanted and shifted on a 32-pixel sheet."""
    n = len(ink)
    boldness = _uniform(n, 0, 1, generator)  # 0 leaves the original as it is: those are asked for too
    angle, slant = (boldness * _uniform(n, -0.2, 0.2, generator) for _ in range(2))
    wide, high = (
        1 + boldness * _uniform(n, low, top, generator) for low, top in ((-0.08, 0.9), (-0.1, 0.15))
    )
    right, down = (boldness * _uniform(n, -0.25, 0.25, generator) for _ in range(2))
    cos, sin = torch.cos(angle) * wide, torch.sin(angle) * wide
    first = torch.cat([cos * high, slant - sin, right * wide], dim=3)
    second = torch.cat([sin * high, cos, down * wide], dim=3)
    grid = functional.affine_grid(torch.cat([first, second], dim=2)[:, 0], [n, 1, SIDE, SIDE], False)
    large = functional.interpolate(ink, size=(64, 64), mode="bicubic", align_corners=False).clamp(0, 1)
    return functional.grid_sample(large, grid, align_corners=False)


def _restroke(ink: Tensor, generator: torch.Generator) -> Tensor:
    """Two in five digits with hard edges, as a pen or a mouse draws, thinner or thicker than written."""
    n = len(ink)
    edge, hardness = _uniform(n, 0.4, 0.75, generator), _uniform(n, 6, 25, generator)
    hard = torch.sigmoid((ink - edge) * hardness)
    return torch.where(_uniform(n, 0, 1, generator) < 0.4, hard, ink)


def _colour(ink: Tensor, generator: torch.Generator) -> Tensor:
    """Ink and paper of two random shades and slight tints, either of them the lighter; then some noise."""
    n = len(ink)
    contrast = _uniform(n, 0.45, 1.0, generator)
    dark = _uniform(n, 0, 1, generator) * (1 - contrast)
    tint = (torch.rand(2, n, 3, 1, 1, generator=generator) - 0.5) * 0.25
    paper, pen = (dark + tint[0]).clamp(0, 1), (dark + contrast + tint[1]).clamp(0, 1)
    mixed = paper + (pen - paper) * ink
    swapped = torch.where(_uniform(n, 0, 1, generator) < 0.5, 1 - mixed, mixed)
    noise = torch.randn(swapped.shape, generator=generator) * _uniform(n, 0, 0.06, generator)
    return (swapped + noise).clamp(0, 1) * 2 - 1
