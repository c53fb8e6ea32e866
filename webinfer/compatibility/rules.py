"""A configuration file's rules as a table and a sentence."""

from __future__ import annotations

from collections.abc import Mapping

from browser_runtime.models.configuration.fields import ANYTHING, Rule
from webinfer.compatibility.markdown import code, paragraph, table


def describe_rules(file: str, rules: Mapping[str, Rule]) -> str:
    """The keys of `file` with their allowed values, and the keys without effect."""
    shown = [(f"`{key}`", rule.allowed) for key, rule in rules.items() if rule is not ANYTHING]
    inert = [key for key, rule in rules.items() if rule is ANYTHING]
    keys = table((f"key of {file}", "supported values"), shown)
    return f"{keys}\n\n{paragraph(f'Accepted, without effect: {code(inert)}.')}" if inert else keys
