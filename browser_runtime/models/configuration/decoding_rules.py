"""Keys of generation_config.json: those that decoding a sound follows, those with one value, and the rest.

Source: transformers 5.24, generation/configuration_utils.py, models/whisper/generation_whisper.py.
"""

from __future__ import annotations

from typing import Any

from browser_runtime.models.configuration.fields import ANYTHING, FLAG, Rule, is_whole, only

TASKS = ("transcribe", "translate")
MOST = 1 << 24


def _is_id(value: Any) -> bool:
    return is_whole(value, MOST, 0)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_id, value.values()))


def _is_forced(value: Any) -> bool:
    """Pairs of a place and a token; the places from 1 on without a gap, if they begin with 1."""
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        return False
    places = [place for place, _ in value]
    tokens = [token for _, token in value if token is not None]
    in_order = places[:1] != [1] or places == list(range(1, len(places) + 1))
    return in_order and all(is_whole(place, MOST) for place in places) and all(map(_is_id, tokens))


ID = Rule("the number of a token", _is_id)
IDS = Rule(
    "numbers of tokens",
    lambda value: isinstance(value, list) and all(is_whole(token, MOST, -1) for token in value),
)
FORCED = Rule("pairs of a place, from 1 on without a gap, and a token", _is_forced)
LENGTH = Rule("a whole number from 1", lambda value: is_whole(value, MOST))
GREEDY = "decoding is greedy here"

# generation_config.json's keys that are done, and the values that are.
DONE = {
    "decoder_start_token_id": ID,
    "eos_token_id": Rule(
        "the number of a token, or a list of them", lambda v: ID.accepts(v) or IDS.accepts(v)
    ),
    "forced_decoder_ids": FORCED,
    "suppress_tokens": IDS,
    "begin_suppress_tokens": IDS,
    "lang_to_id": Rule("a number by language token", _is_table),
    "task_to_id": Rule("a number by task", _is_table),
    "language": Rule("a language of lang_to_id, as a code, a name or a token", lambda v: isinstance(v, str)),
    "task": Rule("transcribe or translate", lambda value: value in TASKS),
    "is_multilingual": FLAG,
    "no_timestamps_token_id": ID,
    "max_initial_timestamp_index": Rule("a whole number from 0", _is_id),
    "max_length": LENGTH,
    "max_new_tokens": LENGTH,
}
# Keys of another way of decoding: their neutral values only.
NEUTRAL = {
    "return_timestamps": only(False, why="a request asks for timestamps"),
    "return_token_timestamps": only(False, why="times of words are not done here"),
    "do_sample": only(False, why=GREEDY),
    "num_beams": only(1, why=GREEDY),
    "num_beam_groups": only(1, why=GREEDY),
    "num_return_sequences": only(1, why=GREEDY),
    "diversity_penalty": only(0, why=GREEDY),
    "penalty_alpha": only(0, why=GREEDY),
    "repetition_penalty": only(1, why="logits are not changed here"),
    "encoder_repetition_penalty": only(1, why="logits are not changed here"),
    "no_repeat_ngram_size": only(0, why="logits are not changed here"),
    "encoder_no_repeat_ngram_size": only(0, why="logits are not changed here"),
    "guidance_scale": only(1, why="logits are not changed here"),
    "min_length": only(0, why="a transcript ends where the model ends it"),
    "min_new_tokens": only(0, why="a transcript ends where the model ends it"),
    "condition_on_prev_tokens": only(False, why="each window is decoded alone here"),
}
# What transformers keeps there, and what changes nothing about a greedy transcript without timestamps.
INERT = dict.fromkeys(
    (
        *("bos_token_id", "pad_token_id", "transformers_version", "_from_model_config", "_commit_hash"),
        *("use_cache", "cache_implementation", "alignment_heads"),
        *("prev_sot_token_id", "median_filter_width", "output_attentions", "output_hidden_states"),
        *("output_scores", "output_logits", "return_dict_in_generate", "renormalize_logits"),
        *("remove_invalid_values", "temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff"),
        *("eta_cutoff", "length_penalty", "early_stopping", "low_memory", "disable_compile", "is_assistant"),
        *("num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"),
        *("prompt_lookup_num_tokens", "max_matching_ngram_size", "prompt_condition_type", "token_healing"),
    ),
    ANYTHING,
)
RULES = DONE | NEUTRAL | INERT
