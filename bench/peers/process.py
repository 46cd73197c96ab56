"""A peer in a process of its own, which takes jobs and gives answers, one JSON object a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

INSTALL = {"numpy": "numpy", "torch": "torch==2.13.0", "jax": "jax"}


def installed(names: str) -> list[str]:
    """The peers of a list with commas, all of them installed; ends the program otherwise."""
    chosen = names.split(",")
    for name in chosen:
        if name not in INSTALL:
            sys.exit(f"peers are {', '.join(INSTALL)}; got {name}")
        if find_spec(name) is None:
            sys.exit(f"peer {name} is missing: pip install {INSTALL[name]}")
    return chosen


class Worker:
    """A worker process that runs ``script name``, with settings of the environment that tune its libraries."""

    def __init__(self, script: Path, name: str, settings: dict[str, str]) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, str(script), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **settings},
        )
        self.ready = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the worker of {self.name} ended; its message is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return self._answer()


def tuned_settings() -> dict[str, str]:
    """Settings of the environment for libraries that run on one thread each, in several threads of Python.

    OpenBLAS is twice as fast on processors that it does not recognise, XLA uses full vectors, no peer starts threads.
    """
    wide = "avx512f" in Path("/proc/cpuinfo").read_text()
    return {
        "OPENBLAS_CORETYPE": "SkylakeX" if wide else "Haswell",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false --xla_cpu_prefer_vector_width=512",
    }
