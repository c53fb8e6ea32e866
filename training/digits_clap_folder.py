"""digits-clap on disk: its tokenizer, its two graphs in transformers.js' layout, and its manifest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import soundfile
import torch
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import RobertaProcessing
from tokenizers.trainers import BpeTrainer
from torch import Tensor, nn
from transformers import ClapModel

from training.digit_sounds import EXTRACTOR, DigitSound, compute_features
from training.graphs import TextTower, write_graph
from training.manifests import BUILTIN, write_json, write_manifest
from training.sound_phrases import every_phrase

FOLDER = BUILTIN / "digits-clap"
RATE_HZ = EXTRACTOR.sampling_rate
# Tokens of a phrase, its start and end among them; RoBERTa's own models take 512.
CONTEXT = 48
# Each byte, and the words of our phrases.
VOCABULARY = 480
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
SOURCE = "Trained by training/digits_clap.py on digits spoken by espeak-ng and dialled (ITU-T Q.23)"


class PhraseTokenizer:
    """A tokenizer made as RoBERTa's is: pieces of bytes."""

    def __init__(self) -> None:
        self.file = Tokenizer(BPE())
        self.file.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.file.decoder = decoders.ByteLevel()
        trainer = BpeTrainer(
            vocab_size=VOCABULARY,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=[AddedToken(token, special=True) for token in SPECIAL],
            show_progress=False,
        )
        self.file.train_from_iterator(every_phrase(), trainer)
        self.start, self.pad, self.end = (self.file.token_to_id(token) for token in SPECIAL[:3])
        self.size = self.file.get_vocab_size()
        self.file.post_processor = RobertaProcessing(
            (SPECIAL[2], self.end), (SPECIAL[0], self.start), add_prefix_space=False
        )

    def encode(self, phrases: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids and mask, padded to the longest: int64 [n, tokens] each."""
        rows = [encoding.ids[:CONTEXT] for encoding in self.file.encode_batch(list(phrases))]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [self.pad] * (longest - len(row)) for row in rows])
        return ids, (ids != self.pad).long()


class SoundTower(nn.Module):
    """The embedding of sounds as a graph: what `get_audio_features` gives before it makes its length 1."""

    def __init__(self, model: ClapModel) -> None:
        super().__init__()
        self.tower, self.projection = model.audio_model, model.audio_projection

    def forward(self, input_features: Tensor) -> Tensor:
        """[n, 64] of features [n, 1, frames, mels]."""
        return self.projection(self.tower(input_features=input_features).pooler_output)


def write(model: ClapModel, tokenizer: PhraseTokenizer, examples: dict[str, DigitSound]) -> None:
    """The model's folder in transformers.js' layout."""
    scale = float(model.logit_scale_a.detach().exp())
    config = {"architectures": ["ClapModel"], **model.config.to_dict(), "logit_scale": scale}
    write_json(FOLDER / "config.json", config)
    write_json(FOLDER / "preprocessor_config.json", EXTRACTOR.to_dict())
    tokenizer.file.save(str(FOLDER / "tokenizer.json"))
    names = ("bos_token", "pad_token", "eos_token", "unk_token", "mask_token")
    write_json(
        FOLDER / "tokenizer_config.json",
        {
            "tokenizer_class": "RobertaTokenizer",
            "model_max_length": CONTEXT,
            **dict(zip(names, SPECIAL, strict=True)),
        },
    )
    _write_graphs(model, tokenizer)
    write_manifest(
        FOLDER,
        family="clap",
        source=SOURCE,
        settings={"logit_scale": scale},
        examples=_write_examples(model, examples),
    )


def _write_graphs(model: ClapModel, tokenizer: PhraseTokenizer) -> None:
    features = torch.zeros(2, 1, EXTRACTOR.nb_max_samples // EXTRACTOR.hop_length + 1, EXTRACTOR.feature_size)
    write_graph(
        SoundTower(model),
        [features],
        FOLDER / "onnx/audio_model.onnx",
        (["input_features"], ["audio_embeds"]),
        {"input_features": {0: "batch_size"}, "audio_embeds": {0: "batch_size"}},
    )
    ids, mask = tokenizer.encode(["the sound of a seven.", "nine"])
    tokens = {0: "batch_size", 1: "sequence_length"}
    write_graph(
        TextTower(model),
        [ids, mask],
        FOLDER / "onnx/text_model.onnx",
        (["input_ids", "attention_mask"], ["text_embeds"]),
        {"input_ids": tokens, "attention_mask": tokens, "text_embeds": {0: "batch_size"}},
    )


def _write_examples(model: ClapModel, examples: dict[str, DigitSound]) -> list[dict[str, object]]:
    """The sounds as 16-bit FLAC files, and what `get_audio_features` gives them as they are read back."""
    rows: list[dict[str, object]] = []
    waves = []
    (FOLDER / "examples").mkdir(parents=True, exist_ok=True)
    for name, sound in examples.items():
        path = f"examples/{name}.flac"
        soundfile.write(FOLDER / path, sound.wave, RATE_HZ, subtype="PCM_16")
        waves.append(soundfile.read(FOLDER / path, dtype="float32")[0])
        rows.append({"input": path, "expected": {"embedding": "examples/embeddings.npy", "row": len(rows)}})
    with torch.no_grad():
        embeddings = model.get_audio_features(input_features=compute_features(waves)).numpy()
    np.save(FOLDER / "examples/embeddings.npy", embeddings)
    return rows
