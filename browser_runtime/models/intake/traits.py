"""A model's family and the files it must hold, by its row in the table of families."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.families import FAMILIES
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.models.configuration.sentence_modules import list_files
from browser_runtime.models.files.graphs import graph_paths

TOKENIZER = "tokenizer.json"
TOKENIZER_ADVICE = "transformers writes it: AutoTokenizer.from_pretrained(...).save_pretrained(...)"


def choose_files(
    name: str,
    family: FamilySpec,
    precision: Precision,
    paths: list[str],
    listing: object = None,
    others: Collection[Precision] = (),
) -> list[str]:
    """The files among `paths` that `family` needs in `precision`, without the weights of its graphs.

    `listing`: the contents of the row's `files.listing`, if the model has it. `others`: precisions that it
    can be had in otherwise. Raises BadRequest naming what
    is missing, BadInput for a precision that the model does not come in.
    """
    require_files(name, family, paths)
    graphs = graph_paths(family, precision, paths)
    if graphs is None:
        there = [str(other) for other in Precision if other in others or graph_paths(family, other, paths)]
        allowed = (
            f"one of {', '.join(there)}" if there else "another model: it holds no ONNX graphs for its family"
        )
        raise BadInput("precision", f"{str(precision)!r}, which model {name!r} does not have", allowed)
    return [*(path for path in wanted_files(family, listing) if path in paths), *graphs]


def require_files(name: str, family: FamilySpec, paths: Collection[str]) -> None:
    """Returns if `paths` hold the files that no page can do without. Raises BadRequest naming the others."""
    missing = family.files.find_missing(paths)
    if not missing:
        return
    advice = f"; {TOKENIZER_ADVICE}" if TOKENIZER in missing else ""
    raise BadRequest(f"model {name!r} has no {', '.join(missing)}, which {family} needs{advice}")


def wanted_files(family: FamilySpec, listing: object = None) -> list[str]:
    """The files besides graphs and their weights that `family` reads, if a model has them."""
    return [*family.files.known, *(list_files(listing or {}) if family.files.listing else ())]


def complete_files(folder: Path, family: FamilySpec, paths: Collection[str]) -> list[str]:
    """Writes the files that may be empty and that a model came without; returns their paths."""
    made = [path for path in family.files.may_be_empty if path not in paths]
    for path in made:
        (folder / path).write_text("{}\n", encoding="utf-8")
    return made


def infer_family(name: str, config: Mapping[str, object], pipeline: str | None = None) -> FamilySpec:
    """The row by model type, architecture, or the Hub's pipeline tag. Raises BadInput asking for one."""
    found = config.get("architectures")
    architectures = [str(entry) for entry in found] if isinstance(found, list) else []
    model_type = config.get("model_type")
    for row in FAMILIES.values():
        if model_type in row.recognition.model_types:
            return row
    # The longest ending: GPT2LMHeadModel is no encoder, though its name ends as one's does.
    signs = [
        (len(ending), row)
        for row in FAMILIES.values()
        for ending in row.recognition.architectures
        if any(entry.endswith(ending) for entry in architectures)
        and all(key in config for key in row.recognition.keys)
        and not any(key in config for key in row.recognition.barred)
    ]
    if signs:
        return max(signs, key=lambda sign: sign[0])[1]
    for row in FAMILIES.values():
        if pipeline in row.recognition.pipelines and not any(key in config for key in row.recognition.barred):
            return row
    if isinstance(model_type, str) and architectures:
        problem = f"of the type {model_type!r} ({', '.join(architectures)}), which is not served"
        raise BadInput(f"model {name!r}"[:200], problem[:300], f"one that is: {_known_types()}")
    raise BadInput(
        f"the family of model {name!r}",
        f"not clear from its config.json (model_type {model_type!r}, {architectures})",
        f"given as one of {', '.join(FAMILIES)}",
    )


def _known_types() -> str:
    """What each row is recognised by: model types, and the ends of architectures' names."""
    known = (
        (row.name, [*row.recognition.model_types, *(f"...{end}" for end in row.recognition.architectures)])
        for row in FAMILIES.values()
    )
    return "; ".join(f"{name} ({', '.join(signs)})" for name, signs in known)
