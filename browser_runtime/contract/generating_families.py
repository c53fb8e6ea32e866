"""Rows of models that generate text token by token: language models, and those that look at pictures too."""

from __future__ import annotations

from dataclasses import replace

from browser_runtime.contract.family_spec import (
    ONNX_SUFFIXES,
    PREPROCESSING,
    AnswerSpec,
    FamilySpec,
    FileSpec,
    GraphSpec,
    InputSpec,
    Recognition,
    RunLimits,
)
from browser_runtime.contract.option import Kind, Option
from browser_runtime.contract.vocabulary import Backend, Family, Precision

# Packed by `webinfer models quantize`: a folder a number of bits, in it the weights' index and their shards.
LOW_BITS = {
    precision: (str(precision),)
    for precision in (
        Precision.BITS_2,
        Precision.BITS_3,
        Precision.BITS_4,
        Precision.BITS_8,
        Precision.FP16,
        Precision.MIXED,
    )
}

PACKED = GraphSpec("low_bits", (), (), LOW_BITS, "{suffix}/{stem}.json")

# transformers.js' own names; the older one's graph branches on whether it has a cache.
CACHED_TEXT = ("input_ids", "attention_mask", "position_ids", "num_logits_to_keep", "past_key_values.*")
LANGUAGE_GRAPHS = (
    GraphSpec("model", CACHED_TEXT, ("logits",)),
    GraphSpec("decoder_model_merged", (*CACHED_TEXT, "use_cache_branch"), ("logits",)),
)

CACHE_BITS = (16, 8, 4, 3, 2)
CACHES = (*map(str, CACHE_BITS), *(f"k{k}v{v}" for k in CACHE_BITS for v in CACHE_BITS))

GENERATION_OPTIONS = (
    Option(
        "max_new_tokens",
        Kind.COUNT,
        "the most tokens to generate for a prompt; default 256, or as many as the model has room for",
        most=32_768,
    ),
    Option(
        "temperature",
        Kind.NUMBER,
        "how far likelier tokens are preferred: 0 takes the likeliest always; default: the model's own "
        "setting, else 0",
        most=5.0,
        least=0.0,
    ),
    Option(
        "top_k",
        Kind.COUNT,
        "choose among so many likeliest tokens; default: the model's own setting, else all",
        most=1000,
    ),
    Option(
        "top_p",
        Kind.NUMBER,
        "choose among the likeliest tokens that have this probability together; default: the model's own "
        "setting, else 1",
        most=1.0,
        least=0.001,
    ),
    Option(
        "repetition_penalty",
        Kind.NUMBER,
        "divide the scores of tokens that were there before by this; default: the model's own setting, "
        "else 1",
        most=10.0,
        least=0.1,
    ),
    Option(
        "seed",
        Kind.COUNT,
        "the same seed gives the same text; default: one by chance, told in the reply",
        most=2**32 - 1,
        least=0,
    ),
    Option("stop", Kind.TEXTS, "texts before which the generated text ends", most=16),
    Option(
        "kv_cache",
        Kind.WORD,
        "bits of the cache of keys and values, or of both apart, as k3v2; default 16. Not for a model "
        "that runs as an ONNX graph",
        words=CACHES,
        opens=True,
        graphs=("low_bits",),
    ),
)

TEXT_GENERATION = FamilySpec(
    "text_generation",
    (Family.TEXT_GENERATION,),
    InputSpec("prompts", "prompt", is_text=True, may_be_chats=True),
    graphs=(PACKED,),
    files=FileSpec(
        required=("config.json", "tokenizer.json"),
        optional=(
            "tokenizer_config.json",
            "special_tokens_map.json",
            "generation_config.json",
            "chat_template.jinja",
        ),
    ),
    recognition=Recognition(architectures=("ForCausalLM", "LMHeadModel")),
    # Prompts join a running batch of their own; no graph is kept.
    limits=RunLimits(max_batch=8, max_static_graphs=1, warm_up_runs=8, warm_up_ms=1000),
    answer=AnswerSpec(("text",)),
    sizes="prompts up to the model's positions, at most 2,048 tokens with what is generated",
    sample="Once upon a time",
    options=GENERATION_OPTIONS,
    precision=Precision.BITS_4,
    other_layouts=tuple((graph,) for graph in LANGUAGE_GRAPHS),
    backends=(Backend.WASM, Backend.WEBGPU),
    generates=True,
)

CACHED_ROWS = ("inputs_embeds", "attention_mask", "position_ids", "num_logits_to_keep", "past_key_values.*")
# Beside a packed decoder the image tower is an ONNX graph still: in 32 bits, or in what there is.
TOWER_SUFFIXES = dict.fromkeys(LOW_BITS, tuple(suffix for each in ONNX_SUFFIXES.values() for suffix in each))
# An Idefics3's takes tiles, and a mask of their pixels.
IMAGE_TOWER = GraphSpec("vision_encoder", ("pixel_values", "pixel_attention_mask"), ("image_features",))

LLAVA = FamilySpec(
    "llava",
    (Family.MULTIMODAL,),
    InputSpec("images", "image", batch_axes=4, may_hold_texts=True, reader="pictured_prompts"),
    graphs=(
        IMAGE_TOWER,
        GraphSpec("embed_tokens", ("input_ids",), ("inputs_embeds",)),
        GraphSpec("decoder_model_merged", (*CACHED_ROWS, "use_cache_branch"), ("logits",)),
    ),
    files=FileSpec(
        required=("config.json", "preprocessor_config.json", "tokenizer.json"),
        optional=(
            "processor_config.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "generation_config.json",
            "chat_template.jinja",
            "chat_template.json",
        ),
        instead=PREPROCESSING,
    ),
    # Others of their kind are known by these, and refused by name (models/configuration/pictures.py).
    recognition=Recognition(
        model_types=("llava", "idefics3", "smolvlm"),
        architectures=("ForConditionalGeneration",),
        keys=("vision_config",),
        pipelines=("image-text-to-text",),
    ),
    # As language models: prompts join a running batch, and take their pictures' tokens with them.
    limits=RunLimits(max_batch=8, max_static_graphs=1, warm_up_runs=8, warm_up_ms=1000),
    answer=AnswerSpec(("text",)),
    sizes="prompts up to the model's positions, at most 2,048 tokens, those of images and the answer counted",
    sample={"image": {"width": 224, "height": 224}, "text": "What is in this picture?"},
    options=GENERATION_OPTIONS,
    other_layouts=((replace(IMAGE_TOWER, suffixes=TOWER_SUFFIXES), PACKED),),
    backends=(Backend.WASM, Backend.WEBGPU),
    generates=True,
)
"""Images and a prompt or a chat to text. Its way of storing graphs is transformers.js'."""
