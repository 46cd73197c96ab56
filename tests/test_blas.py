"""NumPy's BLAS: levels, chains and tables do not depend on it, and an analysis uses one of its threads."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import nnqm
from interpreter import answer
from nnqm.statistics.blas import one_blas_thread

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


# ---- one thread of the BLAS while an analysis runs


def threads():
    """Numbers of threads of the loaded BLAS libraries."""
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture
def two_threads():
    with threadpool_limits(2, "blas"):
        if threads() != {2}:
            pytest.skip("the BLAS of NumPy cannot be told to use two threads")
        yield


def exponential(s, t):
    return np.exp(-np.abs(s - t))


def chunks(spy):
    for paths in np.split(nnqm.sample_paths(nnqm.harmonic_oscillator(), 256, 64, 0.2, rng=1), 2):
        spy()
        yield paths


def theory_run():
    return nnqm.simulate(nnqm.harmonic_oscillator(), 1280, 16, 0.2, rng=1)


# Each calls the spy at least once on the way.
ANALYSES = {
    "analyse": lambda spy: nnqm.analyse(theory_run(), positivity=False, progress=lambda *_: spy()),
    "check": lambda spy: nnqm.check(lambda s, t: (spy(), exponential(s, t))[1], (0, 1), n_paths=1000, rng=1),
    "hidden_spectrum": lambda spy: nnqm.hidden_spectrum(chunks(spy), dt=0.2, n_levels=1),
    "karhunen_loeve": lambda spy: nnqm.karhunen_loeve(lambda s, t: (spy(), exponential(s, t))[1], (0, 1), 4),
    "n_point": lambda spy: nnqm.n_point(nnqm.harmonic_oscillator(), [0.0], functions=[lambda x: (spy(), x[..., 0])[1]]),
    "positivity_certificate": lambda spy: nnqm.positivity_certificate(lambda t: (spy(), np.exp(-np.abs(t)))[1], 8, 0.2),
    "reflection_positivity": lambda spy: nnqm.reflection_positivity(
        nnqm.sample_paths(nnqm.harmonic_oscillator(), 256, 16, 0.2, rng=1),
        functionals=lambda x: (spy(), x[:, 0])[1],
    ),
}


@pytest.mark.parametrize("name", ANALYSES)
def test_analysis_runs_on_one_thread_of_the_blas(name, two_threads):
    seen = set()
    ANALYSES[name](lambda: seen.update(threads()))
    assert seen == {1}
    assert threads() == {2}


@pytest.mark.parametrize(
    "name", ["spectrum", "gevp", "effective_energy", "fit", "scan", "kallen_lehmann", "clustering"]
)
def test_analysis_is_decorated(name):
    # Their way has no place for a spy.
    assert getattr(nnqm, name).__wrapped__.__module__ == getattr(nnqm, name).__module__


def test_errors_restore_the_threads(two_threads):
    def fails(s, t):
        raise RuntimeError("no kernel")

    with pytest.raises(RuntimeError, match="no kernel"):
        nnqm.karhunen_loeve(fails, (0, 1), 4)
    assert threads() == {2}


def test_threads_are_restored_by_the_last_of_several_analyses(two_threads):
    inside, leave = threading.Event(), threading.Event()

    @one_blas_thread
    def other():
        inside.set()
        assert leave.wait(60)

    with ThreadPoolExecutor(1) as pool:
        with one_blas_thread:
            future = pool.submit(other)
            assert inside.wait(60)
            with one_blas_thread:
                assert threads() == {1}
        # The first has ended, the other one has not.
        assert threads() == {1}
        leave.set()
        future.result(60)
    assert threads() == {2}


FORKED = """
import os, threading
from threadpoolctl import threadpool_info, threadpool_limits
import numpy as np
from nnqm.statistics.blas import one_blas_thread

def threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

threadpool_limits(2, "blas")
inside, leave = threading.Event(), threading.Event()

def other():
    with one_blas_thread:
        inside.set()
        leave.wait(60)

thread = threading.Thread(target=other)
thread.start()
inside.wait(60)
child = os.fork()
if child == 0:
    # The other thread does not live in the child.
    before = threads()
    with one_blas_thread:
        within = threads()
    os._exit(0 if (before, within) == ({2}, {1}) else 1)
_, status = os.waitpid(child, 0)
leave.set()
thread.join()
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_its_own_count(two_threads):
    assert answer(FORKED) == "0"
