"""Check that object files of two instruction-set levels share no weak symbol.

The linker keeps one copy of a weak symbol, so that code compiled for AVX-512 could run on every processor.
"""

import subprocess
import sys
from pathlib import Path

levels: dict[str, set[str]] = {}
for path in sorted(Path(sys.argv[1]).glob("CMakeFiles/nnqm_*.dir/**/*.o")):
    weak = levels.setdefault(next(p for p in path.parts if p.startswith("nnqm_")), set())
    for line in subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout.splitlines():
        *_, kind, name = line.split()
        # The compiler's own: references to the exception personality, and Clang's call of std::terminate.
        if kind in "WVuw" and not name.startswith("DW.ref.") and name != "__clang_call_terminate":
            weak.add(name)
names = sorted(levels)
print(f"weak symbols of {len(names)} levels: {[len(levels[n]) for n in names]}")
if len(names) < 2:
    sys.exit("object files of two levels at least are needed")
shared = {n for a in names for b in names if a < b for n in levels[a] & levels[b]}
if shared:
    sys.exit("weak symbols shared by two levels: " + ", ".join(sorted(shared)))
