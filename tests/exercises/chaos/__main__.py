"""Faults at random under a mixed load: every request answered right once, every part back in its time.

python -m tests.exercises.chaos [--minutes 20] [--seed 1] [--fault NAME ...] [--json FILE] [--keep FOLDER]

Ctrl-C ends it after the recovery that it waits for, and shows what it came to.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.exercises.chaos.exercise import Result, run_chaos
from tests.exercises.chaos.faults import FAULTS


def show(console: Console, result: Result) -> None:
    """Print the table: each kind of fault, how often, and how long recovery took."""
    table = Table("fault", "times", "answers s", "bound", "whole s", "bound", title=f"seed {result.seed}")
    for name, kind in FAULTS.items():
        alone = [
            each for each in result.recoveries if each.fault.startswith(f"{name} (") and "+" not in each.fault
        ]
        n = sum(each.fault.count(f"{name} (") for each in result.recoveries)
        if n:
            longest = [
                f"{max((getattr(each, which) for each in alone), default=0):.1f}"
                for which in ("answers_s", "whole_s")
            ]
            bounds = f"{kind.answers_s:.0f}", f"{kind.whole_s:.0f}"
            table.add_row(name, str(n), longest[0], bounds[0], longest[1], bounds[1])
    console.print(table, "Times: the longest where the fault came alone.")
    counts = ", ".join(f"{n} {outcome}" for outcome, n in sorted(result.outcomes.items()))
    console.print(f"{sum(result.outcomes.values())} requests: {counts}; computed twice: {result.n_twice}")
    console.print(f"requests that compute for ever: {result.guilty}")
    console.print(f"sends refused: {result.refused}")
    for line in (*result.flaws, *(each.problem for each in result.recoveries if each.problem)):
        console.print(f"  {line}", markup=False)


def main(arguments: list[str]) -> int:
    """Exit code 0 where nothing was lost, wrong or given up, and every recovery was in its time."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--producers", type=int, default=3)
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only these; repeatable")
    parser.add_argument("--json", type=Path, help="write the result there")
    parser.add_argument("--keep", type=Path, help="copy the logs there")
    asked = parser.parse_args(arguments)
    stopping = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    console = Console()
    # Short: a browser makes a socket in its folder. Open to the user of root's browsers.
    with tempfile.TemporaryDirectory(prefix="ch-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        result = run_chaos(
            Path(folder),
            asked.seed,
            asked.minutes * 60,
            asked.fault or list(FAULTS),
            lambda state, seconds: console.print(f"{seconds:6.0f} s  {state}", markup=False, highlight=False),
            n_producers=asked.producers,
            keep=asked.keep,
            stopping=stopping,
        )
    show(console, result)
    if asked.json:
        asked.json.write_text(json.dumps(asdict(result), indent=2))
    return 0 if result.is_clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
