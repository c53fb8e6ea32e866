"""Writes tests/unit/data/digits_llava.json: what transformers makes of chats about pictures, and answers.

The pictures are the built-in model's examples. Run once, in the environment of `training/requirements.txt`:

    PYTHONPATH=. python tests/data/make_llava_answers.py TRAINED     # the folder that training.digits_llava wrote
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import LlavaForConditionalGeneration

from training.digits_llava_folder import FOLDER, chat_about, open_processor

OUT = Path(__file__).parents[1] / "unit/data/digits_llava.json"
SEEN = {"role": "assistant", "content": [{"type": "text", "text": "seven"}]}


def ask(text: str, n_pictures: int = 0) -> dict[str, Any]:
    return chat_about(n_pictures, text)[0]


CHATS: list[tuple[list[str], list[dict[str, Any]]]] = [
    (["7"], [ask("Which digit is this?", 1)]),
    (["4"], [ask("Describe the picture.", 1)]),
    (["3", "9"], [ask("What is their sum?", 2)]),
    (["9", "3"], [ask("Which is larger?", 2)]),
    (["7"], [ask("Which digit is this?", 1), SEEN, ask("Is it prime?")]),
    (["7", "6"], [ask("Which digit is this?", 1), SEEN, ask("Which digits are these?", 1)]),
    ([], [ask("How many pictures are there?")]),
]


@torch.no_grad()
def main(trained: Path) -> None:
    """Writes prompts, ids and greedy answers."""
    processor = open_processor(trained)
    model = LlavaForConditionalGeneration.from_pretrained(trained, attn_implementation="eager").eval()
    rows = []
    for names, chat in CHATS:
        prompt = processor.apply_chat_template(chat, add_generation_prompt=True)
        images = [Image.open(FOLDER / f"examples/{name}.png").convert("RGB") for name in names] or None
        given = processor(images=images, text=prompt, return_tensors="pt")
        given.pop("token_type_ids", None)
        made = model.generate(**given, max_new_tokens=32, do_sample=False, pad_token_id=0)
        n = given["input_ids"].shape[1]
        tokens = made[0, n:].tolist()
        row = {"pictures": names, "messages": chat, "ids": given["input_ids"][0].tolist(), "tokens": tokens}
        rows.append(row | {"text": processor.tokenizer.decode(tokens, skip_special_tokens=True)})
    OUT.write_text(json.dumps(rows, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
