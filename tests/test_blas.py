"""Levels, chains and tables have the same bits whatever kernels and threads NumPy's BLAS uses."""

import pytest

from interpreter import answer

PROGRAM = """
import hashlib
import numpy as np
import nnqm

def digest(*arrays):
    held = b"".join(np.ascontiguousarray(a, dtype=np.float64).tobytes() for a in arrays)
    return hashlib.sha256(held).hexdigest()[:16]

smooth = nnqm.Hamiltonian([0, 0.1, -1.0, 0, 0.5])
stepped = nnqm.Hamiltonian(lambda x: x**2 / 2 + 2 * (np.abs(x - 0.3) < 0.1))
for h in (smooth, stepped):
    theory = nnqm.Theory(nnqm.GroundStateProcess(h))
    run = nnqm.simulate(theory, 6400, 32, 0.3, rng=1)
    found = nnqm.spectrum(run, 3)
    levels = [v for level in found.levels if level.gap is not None for v in (level.gap.value, level.gap.error)]
    paths = nnqm.sample_paths(theory, 256, 32, 0.3, rng=1)
    print(digest(h.energies(5)), digest(paths), digest(levels))
kernel = nnqm.karhunen_loeve(lambda s, t: np.exp(-np.abs(s - t)), (0, 2), 6)
print(digest(kernel.eigenvalues), digest(nnqm.reflection_positivity(paths).value.value))
# The product whose bits depend on the BLAS shows that the settings have an effect.
a = np.random.default_rng(0).standard_normal((300, 300))
print(digest(a @ a))
"""


@pytest.mark.slow
def test_bits_do_not_depend_on_the_blas():
    settings = [("Haswell", "1"), ("Haswell", "2"), ("Nehalem", "1"), ("SkylakeX", "2")]
    found = [answer(PROGRAM, OPENBLAS_CORETYPE=kind, OPENBLAS_NUM_THREADS=n).split("\n") for kind, n in settings]
    for lines in found[1:]:
        assert lines[:3] == found[0][:3]
