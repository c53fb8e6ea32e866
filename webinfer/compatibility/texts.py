"""Text embeddings: the modules of sentence-transformers, and tokenizers."""

from __future__ import annotations

from browser_runtime.models.configuration import embeddings, sentence_modules
from browser_runtime.models.configuration.fields import ANYTHING
from browser_runtime.texts import tokenizer_config
from webinfer.compatibility.markdown import code, paragraph, section, table
from webinfer.compatibility.rules import describe_rules

NOTES = {
    "Transformer": "the graph; its files lie beside modules.json",
    "LayerNorm": "with its weights",
    "Normalize": "gives length 1",
    "Dropout": "does nothing outside training",
}


def describe_texts() -> str:
    """The section as Markdown."""
    return section(
        "Text embedding: sentence-transformers' files and the tokenizer's",
        paragraph(
            """modules.json names the steps after the graph, in this order: a Transformer, its Pooling, and
            any of the others. A model without it is mean-pooled and normalised, and its replies say that this
            was assumed."""
        ),
        table(("module", "supported"), map(_row, sentence_modules.READERS)),
        describe_rules(embeddings.TRANSFORMER_FILES[0], embeddings.TRANSFORMER_RULES),
        describe_rules(embeddings.CONFIG_FILE, embeddings.CONFIG_RULES),
        paragraph(
            f"""Every tokenizer.json that Python's `tokenizers` can open is supported, since that library
            reads it: WordPiece, BPE, Unigram and WordLevel with their normalisers. These keys of
            tokenizer_config.json are applied too: {code(tokenizer_config.OBEYED)}. These are accepted,
            since they change no token id: {code(sorted(tokenizer_config.WITHOUT_EFFECT))}. Other keys are
            named in a warning of each reply."""
        ),
    )


def _row(name: str) -> tuple[str, str]:
    rules, _ = sentence_modules.READERS[name]
    keys = [f"`{key}`: {rule.allowed}" for key, rule in rules.items() if rule is not ANYTHING]
    return f"`{name}`", "; ".join([NOTES[name], *keys] if name in NOTES else keys)
