"""Text generation in NumPy: a prompt's tokens in, token after token out, until it ends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from browser_runtime.contract.errors import BadInput, BadOutput
from browser_runtime.low_bits.forward import Cache, Decoder
from browser_runtime.low_bits.sampler import Sampler, Sampling


@dataclass
class Generation:
    """One text on its way; iterate over it for its tokens."""

    decoder: Decoder
    cache: Cache
    prompt: Sequence[int]
    max_new_tokens: int
    stop_tokens: Collection[int] = ()
    """Tokens that end it; the one that did is given too."""
    sampling: Sampling = field(default_factory=Sampling)
    is_cancelled: Callable[[], bool] = lambda: False
    """Asked before each token."""
    finish: str = ""
    """Why it ended: "stop", "length" or "cancelled"; empty while it has not."""
    tokens: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        n_tokens, shape = len(self.prompt), self.decoder.shape
        if not 0 < n_tokens <= shape.max_positions:
            raise BadInput("the prompt", f"{n_tokens} tokens", f"1 to {shape.max_positions} for this model")
        if not all(0 <= token < shape.vocabulary for token in self.prompt):
            raise BadInput(
                "the prompt", "of tokens that the model does not have", f"below {shape.vocabulary}"
            )

    def __iter__(self) -> Iterator[int]:
        """Token after token. Raises BadOutput where logits hold no finite largest number."""
        sampler = Sampler(self.sampling, self.prompt)
        # The last token is told, but needs no place in the cache.
        room = min(self.max_new_tokens, self.decoder.shape.max_positions - len(self.prompt) + 1)
        fresh = list(self.prompt)
        while not self.finish:
            if self.is_cancelled():
                self.finish = "cancelled"
                return
            hidden = self.decoder.hidden(np.array(fresh, np.int32), self.cache)
            logits = self.decoder.logits(hidden[-1:])[0]
            token = sampler.sample(logits)
            if not np.isfinite(logits[token]):
                raise BadOutput("the logits of a token hold no finite largest number")
            fresh = [token]
            self.tokens.append(token)
            if token in self.stop_tokens:
                self.finish = "stop"
            elif len(self.tokens) >= room:
                self.finish = "length"
            yield token
