"""Programs in an interpreter of their own."""

import os
import subprocess
import sys

# Seconds after which a program counts as hanging: a guard, and no measure of speed, so that a busy machine may be slow.
HANGS = 900


def run(command, **environment):
    """A finished program; its output is text."""
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=False,
        env={**os.environ, **environment},
    )


def python(code, *arguments, **environment):
    """A program in an interpreter of its own, finished."""
    return run([sys.executable, "-c", code, *arguments], **environment)


def answer(code, *arguments, **environment):
    """What a program prints that must succeed."""
    done = python(code, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
