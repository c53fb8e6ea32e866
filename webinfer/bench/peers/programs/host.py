"""Runs a program of this folder: the first line is what it starts with, each further one a list of jobs."""

from __future__ import annotations

import importlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def main(name: str) -> None:
    """Lines of JSON in, lines of JSON out. What a program prints goes to standard error."""
    out, sys.stdout = sys.stdout, sys.stderr
    program = importlib.import_module(name)
    program.start(**json.loads(sys.stdin.readline()))
    print(json.dumps("ready"), file=out, flush=True)

    def timed(job: list[str]) -> tuple[float, Any]:
        began = time.perf_counter()
        answer = program.answer(*job)
        return (time.perf_counter() - began) * 1000, answer

    try:
        with ThreadPoolExecutor(getattr(program, "AT_ONCE", 1)) as threads:
            for line in sys.stdin:
                wanted = json.loads(line)
                began = time.perf_counter()
                is_many = wanted["at_once"] > 1
                done = list((threads.map if is_many else map)(timed, wanted["jobs"]))
                seconds = time.perf_counter() - began
                times, answers = zip(*done, strict=True)
                found = {"seconds": seconds, "times_ms": times, "answers": answers}
                print(json.dumps(found), file=out, flush=True)
    finally:
        program.stop()


if __name__ == "__main__":
    main(sys.argv[1])
