"""What the gate catches and what it does not: a flag that slows a browser, a worse export, and nothing.

python -m tests.exercises.gate_catches FOLDER [--repeats 20] [--budget 8s] [--catch-budget 40s]

In FOLDER it makes a digits-vit whose weights are rounded to 15 levels, the sets, and the results. What is in
FOLDER already is not measured again: a run that was cut goes on, so it can be made in stretches.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from browser_runtime.models.store import BUILTIN_FOLDER

MODEL, WORSE = "digits-vit", "digits-vit-worse"
LEVELS = 15
# Keeps V8's optimising compiler out.
SLOW_FLAG = "flag=--js-flags=--liftoff-only"
ARM = "browser=edge backend=wasm"


def make_worse(folder: Path) -> None:
    """Copies digits-vit into `folder` with the weights of each tensor rounded to LEVELS levels."""
    shutil.copytree(BUILTIN_FOLDER / MODEL, folder, ignore=shutil.ignore_patterns("webinfer.json"))
    path = folder / "onnx/model.onnx"
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim > 1:
            step = float(np.abs(values).max()) / (LEVELS // 2) or 1.0
            rounded = (np.round(values / step) * step).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    onnx.save(model, path)


def write_set(path: Path, name: str, budget: str, model: str, arm: str) -> Path:
    """A set of one cell beside digits-vit as it is."""
    path.write_text(
        f'name = "{name}"\nfail_above = "5%"\nbudget = "{budget}"\n[[cell]]\nmodel = "{model}"\n'
        f'arm = "{arm}"\nbaseline = "model={MODEL} {ARM}"\n',
        encoding="utf-8",
    )
    return path


def run(*words: str) -> int:
    """webinfer's exit code."""
    return subprocess.run([sys.executable, "-m", "webinfer", *words], check=False).returncode


def gate(set_file: Path, results: Path, *more: str) -> dict[str, Any]:
    """The document of a gate's run, measured now unless it is there."""
    if more or not results.exists():
        code = run("gate", str(set_file), "--json", str(results), "--no-history", *more)
        assert code in (0, 1, 3), code
    found: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    return found


def main() -> int:
    """0 if the flag and the export were caught and no repeat alarmed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--budget", default="8s", help="of each repeat of nothing")
    parser.add_argument("--catch-budget", default="40s", help="of the flag and of the export")
    wanted = parser.parse_args()
    folder: Path = wanted.folder
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["WEBINFER_MODELS_DIR"] = str(folder / "models")
    if not (folder / "worse").exists():
        make_worse(folder / "worse")
        assert run("models", "import", str(folder / "worse"), "--name", WORSE) == 0
    cells = {
        "flag": (wanted.catch_budget, MODEL, f"{ARM} {SLOW_FLAG}"),
        "export": (wanted.catch_budget, WORSE, ARM),
        "nothing": (wanted.budget, MODEL, ARM),
    }
    sets = {name: write_set(folder / f"{name}.toml", name, *cell) for name, cell in cells.items()}
    statuses = {
        name: gate(sets[name], folder / f"{name}.json")["cells"][0]["status"] for name in ("flag", "export")
    }
    repeats = gate(sets["nothing"], folder / "nothing.json", "--repeat", str(wanted.repeats))
    print(f"flag: {statuses['flag']}; export: {statuses['export']}; nothing: {repeats['verdict']}")
    is_silent = not any(one["exit_code"] == 1 for one in repeats["runs"])
    return 0 if statuses == {"flag": "slower", "export": "wrong"} and is_silent else 1


if __name__ == "__main__":
    sys.exit(main())
