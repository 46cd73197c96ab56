"""Results of many seeds: kept in a file, so that a bench is stopped and continued, and computed by worker processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from nnqm.runs.crew import Crew, local_workers


def rows(
    name: str, folder: Path | None, seeds: int, work: Callable[[int], dict[str, Any]], workers: int
) -> list[dict[str, Any]]:
    """Results of seeds 0 .. seeds - 1, read from a file as far as they are there, else computed.

    ``work`` can be pickled if there are workers.
    """
    file = None if folder is None else folder / f"{name.replace(' ', '-')}.jsonl"
    done = [json.loads(line) for line in file.read_text().splitlines()] if file is not None and file.exists() else []
    first = len(done)
    missing = [(seed,) for seed in range(first, seeds)]

    def pool() -> Executor:
        return local_workers(workers)

    ended = enumerate(map(work, range(first, seeds))) if workers < 2 else Crew(pool).as_completed(work, missing)
    early: dict[int, dict[str, Any]] = {}
    expected = 0
    for i, result in ended:
        early[i] = result
        # The file has seeds in their order.
        while expected in early:
            done.append(early.pop(expected))
            expected += 1
            if file is not None:
                with file.open("a") as out:
                    out.write(json.dumps(done[-1]) + "\n")
    return done[:seeds]
