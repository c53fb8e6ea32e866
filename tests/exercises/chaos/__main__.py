"""Faults at random under a mixed load: every request answered right once, every part back in its time.

python -m tests.exercises.chaos [--minutes 20] [--seed 1] [--fault NAME ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.exercises.chaos.exercise import Result, run_chaos
from tests.exercises.chaos.faults import FAULTS


def show(console: Console, result: Result) -> None:
    """Print the table: each kind of fault, how often, and how long recovery took."""
    table = Table("fault", "times", "median s", "longest s", "bound s", title=f"seed {result.seed}")
    for name, (_, bound_s) in FAULTS.items():
        times = sorted(each.recovered_s for each in result.recoveries if each.fault == name)
        if times:
            median, longest = times[len(times) // 2], times[-1]
            table.add_row(name, str(len(times)), f"{median:.1f}", f"{longest:.1f}", f"{bound_s:.0f}")
    console.print(table)
    counts = ", ".join(f"{n} {outcome}" for outcome, n in sorted(result.outcomes.items()))
    console.print(f"{sum(result.outcomes.values())} requests: {counts}; sends refused: {result.refused}")
    for line in (*result.told, *(each.problem for each in result.recoveries if each.problem)):
        console.print(f"  {line}", markup=False)


def main(arguments: list[str]) -> int:
    """Exit code 0 where nothing was lost, wrong or given up, and every recovery was in its time."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--producers", type=int, default=3)
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only these; repeatable")
    parser.add_argument("--json", type=Path, help="write the result there")
    asked = parser.parse_args(arguments)
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # Short: a browser makes a socket in its folder. Open to the user of root's browsers.
    with tempfile.TemporaryDirectory(prefix="ch-", dir="/tmp") as folder, Progress(*columns) as bars:
        Path(folder).chmod(0o711)
        bar = bars.add_task("starting", total=asked.minutes * 60)

        def tell(state: str, seconds: float) -> None:
            bars.update(bar, description=state, completed=seconds)

        result = run_chaos(
            Path(folder),
            random.Random(asked.seed),
            asked.minutes * 60,
            asked.fault or list(FAULTS),
            tell,
            seed=asked.seed,
            n_producers=asked.producers,
        )
    show(console, result)
    if asked.json:
        asked.json.write_text(json.dumps(asdict(result), indent=2))
    return 0 if result.is_clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
