"""Check an installed wheel in an environment with its dependencies and nothing else: python tests/check_wheel.py.

The core must have threads, its OpenMP library must come from the wheel where the wheel contains one, and the oscillator
must have its levels. The exit code is 1 after a fault.
"""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import nnqm


def openmp_of_the_wheel(package):
    """OpenMP libraries inside the wheel, by the folders of auditwheel, delocate and delvewheel."""
    folders = [package / ".dylibs", package.with_name("nnqm.libs")]
    return [p for folder in folders if folder.is_dir() for p in folder.iterdir() if re.search("omp", p.name)]


def faults():
    package = Path(nnqm.__file__).parent
    if not package.is_relative_to(Path(sys.prefix).resolve()):
        yield f"nnqm was imported from {package}, not from the environment {sys.prefix}"
    info = nnqm.build_info()
    if not info["openmp"]:
        yield "the core was built without OpenMP"
    maps = Path("/proc/self/maps")
    if openmp_of_the_wheel(package) and maps.exists():
        nnqm.sample_paths(nnqm.harmonic_oscillator(), 64, 16, 0.1, rng=1)
        loaded = {line.split()[-1] for line in maps.read_text().splitlines() if "libgomp" in line}
        if len(loaded) != 1 or "nnqm.libs" not in "".join(loaded):
            yield f"the OpenMP library must be that of the wheel; loaded: {', '.join(sorted(loaded)) or 'none'}"
    run = nnqm.simulate(nnqm.harmonic_oscillator(), 20_000, 64, 0.2, rng=7)
    found = nnqm.spectrum(run, 2)
    for n, level in enumerate(found.levels[:2], start=1):
        if abs(float(level.gap.pull(float(n)))) > 5:
            yield f"gap {n} of the oscillator is {level.gap}"
    command = Path(sysconfig.get_path("scripts")) / "nnqm"
    arguments = ["run", "oscillator", "--paths", "4096", "--seed", "7", "--no-figure"]
    shown = subprocess.run([command, *arguments], text=True, capture_output=True, check=False)
    if shown.returncode or "gap 1" not in shown.stdout:
        yield f"nnqm run oscillator ended with {shown.returncode}: {shown.stderr.strip()}"


if __name__ == "__main__":
    found = list(faults())
    print("\n".join(found) or f"nnqm {nnqm.__version__} works on Python {sys.version.split()[0]}: {nnqm.build_info()}")
    sys.exit(bool(found))
