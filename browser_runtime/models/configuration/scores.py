"""From logits to scores, as transformers' image-classification pipeline does it.

Source: transformers 5.24, pipelines/image_classification.py, `postprocess`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from browser_runtime.contract.errors import BadInput

PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")
# As many labels as transformers' pipeline gives.
TOP_K = 5


@dataclass(frozen=True, slots=True)
class ScorePlan:
    """The function that makes scores of a classifier's logits, and the names of its labels."""

    function: str
    """softmax, sigmoid or none; default: a sigmoid for one logit alone, else softmax."""
    names: dict[int, str]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """The plan in config.json. Raises BadInput for an unknown problem type or broken labels."""
        names = _read_names(config.get("id2label"))
        return cls(
            _choose_function(config.get("problem_type"), len(names) or config.get("num_labels")), names
        )

    def choose(self, options: Mapping[str, Any]) -> dict[str, object]:
        """The number of labels, and the function that makes scores of logits."""
        return {
            "top_k": options.get("top_k", TOP_K),
            "function": options.get("function_to_apply", self.function),
        }

    def name(self, index: int) -> str:
        """The label's name; transformers' `LABEL_<index>` if config.json has none."""
        return self.names.get(index, f"LABEL_{index}")


def _choose_function(problem: Any, n_labels: Any) -> str:
    if problem is not None and problem not in PROBLEM_TYPES:
        raise BadInput("problem_type of config.json", repr(problem), f"one of {', '.join(PROBLEM_TYPES)}")
    if problem == "regression":
        return "none"
    if problem == "multi_label_classification" or n_labels == 1:
        return "sigmoid"
    return "default" if problem is None and n_labels is None else "softmax"


def _read_names(names: Any) -> dict[int, str]:
    if names is None:
        return {}
    if not isinstance(names, dict) or not all(str(index).isdecimal() for index in names):
        raise BadInput("id2label of config.json", repr(names)[:100], "an object with a name for each number")
    return {int(index): str(name) for index, name in names.items()}
