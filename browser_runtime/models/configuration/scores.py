"""From logits to scores, as transformers' image-classification pipeline does it.

Source: transformers 5.24, pipelines/image_classification.py, `postprocess`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from browser_runtime.contract.errors import BadInput

PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")
# As many labels as transformers.PretrainedConfig has where a config.json names none.
UNNAMED_LABELS = 2


@dataclass(frozen=True, slots=True)
class ScorePlan:
    """How a classifier's logits become scores, and how its labels are called."""

    function: str
    """softmax, sigmoid or none."""
    names: dict[int, str]

    @classmethod
    def of(cls, config: dict[str, Any]) -> Self:
        """What config.json says. Raises BadInput for a problem type or labels that are none."""
        names = _read_names(config.get("id2label"))
        n_labels = len(names) or config.get("num_labels", UNNAMED_LABELS)
        return cls(_choose_function(config.get("problem_type"), n_labels), names)


def _choose_function(problem: Any, n_labels: int) -> str:
    if problem is not None and problem not in PROBLEM_TYPES:
        raise BadInput("problem_type of config.json", repr(problem), f"one of {', '.join(PROBLEM_TYPES)}")
    if problem == "regression":
        return "none"
    return "sigmoid" if problem == "multi_label_classification" or n_labels == 1 else "softmax"


def _read_names(names: Any) -> dict[int, str]:
    if names is None:
        return {}
    if not isinstance(names, dict) or not all(str(index).isdecimal() for index in names):
        raise BadInput("id2label of config.json", repr(names)[:100], "an object with a name for each number")
    return {int(index): str(name) for index, name in names.items()}
