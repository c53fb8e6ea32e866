"""A Whisper run over a stretch of its window as if over all of it, at a part of the arithmetic.

Outside the stretch all positions hear the same silence and differ by their position embedding alone.
So a few of them are drawn, and attention to each is weighted by the number it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import WhisperForConditionalGeneration

from training.mels import POSITIONS

N_DRAWN = 32


@dataclass(frozen=True)
class Stretch:
    """Features [n, 80, 2 * positions], silence's value [n], and the position where the stretch begins [n]."""

    mels: Tensor
    silence: Tensor
    first: Tensor

    @property
    def n_positions(self) -> int:
        """The number of the encoder's positions in the stretch."""
        return self.mels.shape[2] // 2


def encode(
    model: WhisperForConditionalGeneration, stretch: Stretch, chance: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Encoder states [n, positions + drawn, d] and the attention bias [n, 1, 1, positions + drawn]."""
    encoder = model.model.encoder
    places, bias = _place(stretch, chance)
    heard = _convolve(encoder, stretch.mels)
    silent = _convolve(encoder, stretch.silence[:, None, None].expand(-1, stretch.mels.shape[1], 8))[:, 2:3]
    n_drawn = places.shape[1] - stretch.n_positions
    states = (
        torch.cat([heard, silent.expand(-1, n_drawn, -1)], dim=1) + encoder.embed_positions.weight[places]
    )
    for layer in encoder.layers:
        states = layer(states, bias, None)[0]
    return encoder.layer_norm(states), bias


def decode(model: WhisperForConditionalGeneration, states: Tensor, bias: Tensor, tokens: Tensor) -> Tensor:
    """Logits [n, length, vocabulary] for the token after each of `tokens` [n, length]."""
    decoder, length = model.model.decoder, tokens.shape[1]
    causal = torch.full((length, length), -1e9).triu(1)[None, None]
    hidden = decoder.embed_tokens(tokens) + decoder.embed_positions.weight[:length]
    for layer in decoder.layers:
        hidden = layer(
            hidden,
            attention_mask=causal,
            encoder_hidden_states=states,
            encoder_attention_mask=bias,
            use_cache=False,
        )[0]
    return model.proj_out(decoder.layer_norm(hidden))


def _convolve(encoder: nn.Module, mels: Tensor) -> Tensor:
    return functional.gelu(encoder.conv2(functional.gelu(encoder.conv1(mels)))).transpose(1, 2)


def _place(stretch: Stretch, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Position numbers [n, positions + drawn] and what attention to each is weighted by, as a logarithm."""
    n, inside = len(stretch.first), stretch.n_positions
    n_outside = POSITIONS - inside
    n_drawn = min(N_DRAWN, n_outside)
    drawn = torch.randint(max(n_outside, 1), (n, n_drawn), generator=chance)
    outside = torch.where(drawn < stretch.first[:, None], drawn, drawn + inside)
    places = torch.cat([stretch.first[:, None] + torch.arange(inside), outside], dim=1)
    bias = torch.zeros(n, 1, 1, inside + n_drawn)
    if n_drawn:
        bias[..., inside:] = torch.log(torch.tensor(n_outside / n_drawn))
    return places, bias
