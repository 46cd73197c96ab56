"""Programs in an interpreter of their own."""

import os
import subprocess
import sys


def python(code, *, timeout=60, **environment):
    """A program in an interpreter of its own, finished."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **environment},
    )


def answer(code, **options):
    """What a program prints that must succeed."""
    done = python(code, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
