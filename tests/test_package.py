"""The package as a whole: what it imports, in which order, in which processes and threads, and its examples."""

import doctest
import importlib
import os
import re
import threading
import tomllib
import types
from pathlib import Path

import numpy as np
import pytest

import house
import nnqm
from interpreter import HANGS, answer, python

SOURCE = Path(nnqm.__file__).parent
HEAVY = ("scipy", "xarray", "h5netcdf", "h5py", "pandas", "typer", "rich", "click", "matplotlib")


def test_the_version_is_that_of_the_project_file():
    root = Path(__file__).parent.parent
    assert tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"] == nnqm.__version__
    assert f"\nversion: {nnqm.__version__}\n" in (root / "CITATION.cff").read_text()
    assert f'\n  version: "{nnqm.__version__}"\n' in (root / "conda" / "recipe.yaml").read_text()
    assert (SOURCE / "py.typed").exists()


def test_the_recipe_needs_what_the_project_file_needs():
    root = Path(__file__).parent.parent
    wanted = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    run = (root / "conda" / "recipe.yaml").read_text().partition("\n  run:\n")[2].partition("\n  run_constraints:")[0]
    assert sorted(run.replace(" >=", ">=").replace("    - ", "").split()) == sorted(["python", *wanted])


def test_public_names_exist():
    assert sorted(nnqm.__all__) == list(nnqm.__all__)
    for name in nnqm.__all__:
        assert hasattr(nnqm, name), name


# ---- imports


@pytest.mark.slow
def test_the_import_loads_numpy_and_nothing_else():
    code = f"import nnqm, sys; print([m for m in {HEAVY!r} if m in sys.modules], 'numpy' in sys.modules)"
    assert answer(code) == "[] True"


@pytest.mark.slow
def test_the_import_takes_little_beside_that_of_numpy():
    # Time of the processor, and the least of several, because the machine may do other things. Installed packages have
    # their byte code; an environment that forbids to write it would compare with compiling.
    code = """
import time
start = time.process_time()
import numpy
middle = time.process_time()
import nnqm
print(middle - start, time.process_time() - middle)
"""
    answer(code, PYTHONDONTWRITEBYTECODE="")
    times = [answer(code, PYTHONDONTWRITEBYTECODE="").split() for _ in range(7)]
    of_numpy, ours = (min(float(t) for t in column) for column in zip(*times, strict=True))
    assert ours < 1.5 * of_numpy


BLOCKED = """
import importlib.abc, sys

class Forbid(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in ("numpy", "nnqm"):
            raise ImportError(f"{name} is forbidden")
        return None

# After the hooks of an editable installation, which are no dependency.
import nnqm
sys.meta_path.insert(0, Forbid())
try:
    import scipy
except ImportError:
    pass
else:
    raise AssertionError("nothing is forbidden")
import numpy as np

theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 2.0]), nnqm.Network.random((2, 4, 1), rng=1))
both = nnqm.Measure(two_time=True)
run = nnqm.simulate(theory, 4000, 16, 0.2, rng=1, measure=both)
run = nnqm.extend(run, 5000)
own = nnqm.accumulate(nnqm.sample_paths(theory, 200, 16, 0.2, rng=1, channels=theory.channels), 0.2, theory=theory)
long = nnqm.accumulate(nnqm.sample_paths(nnqm.harmonic_oscillator(), 1, 30000, 0.2, rng=1)[0, :, 0], 0.2)
for r in (run, own, long, nnqm.merge([run, nnqm.simulate(theory, 500, 16, 0.2, rng=2, measure=both)])):
    print(r.mean(), r.moments(), r.kurtosis(), r.two_point(), r.connected(), r.two_point().covariance)
print(run.two_time_function()[0, 1])
for name in ("spectrum", "commutator", "momentum_squared", "uncertainty", "roughness_exponent", "effective_energy"):
    getattr(nnqm, name)(run)
print("done", [m for m in ("scipy", "xarray") if m in sys.modules])
"""


@pytest.mark.slow
def test_the_physics_works_with_numpy_alone():
    assert answer(BLOCKED).endswith("done []")


@pytest.mark.slow
@pytest.mark.parametrize("module", ["__init__", *house.modules()])
def test_the_examples_in_docstrings_are_right(module):
    name = "nnqm" if module == "__init__" else f"nnqm.{module}"
    loaded = importlib.import_module(name)
    result = doctest.testmod(loaded, extraglobs={"nnqm": nnqm, "np": np})
    assert result.failed == 0


@pytest.mark.slow
def test_every_example_in_the_sources_is_executed():
    # Of a nested function, or of an object that replaces its docstring, doctest would find none.
    finder = doctest.DocTestFinder()
    for module in house.modules():
        text = (house.SOURCE / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
        written = len(re.findall(r"^ *>>> ", text, re.MULTILINE))
        found = sum(len(t.examples) for t in finder.find(importlib.import_module(f"nnqm.{module}")))
        assert found == written, module


def test_a_wrong_example_is_found():
    # Negative control of the two tests above.
    module = types.ModuleType("wrong", "Text.\n\n>>> 1 + 1\n3\n")
    assert doctest.testmod(module, report=False, verbose=False).failed == 1


# ---- processes, threads, instruction sets


FORK = """
import os, sys, warnings
import numpy as np
import nnqm
warnings.simplefilter("ignore")
theory = nnqm.builtin_theory("deep-tanh")
def run():
    return nnqm.simulate(theory, 3000, 8, 0.1, rng=1, n_threads=4)
whole = run()
child = os.fork()
if child == 0:
    try:
        same = run() == whole
    except BaseException:
        same = False
    os._exit(0 if same else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert run() == whole
print("same bits")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_runs_with_the_same_bits():
    # A hanging child would run into the timeout.
    assert answer(FORK) == "same bits"


@pytest.mark.slow
def test_python_threads_run_side_by_side():
    theory = nnqm.builtin_theory("three-inputs")
    expected = nnqm.simulate(theory, 20_000, 32, 0.1, rng=1, n_threads=1)
    together = threading.Barrier(3)
    results = [None] * 3

    def work(i):
        together.wait()
        results[i] = nnqm.simulate(theory, 20_000, 32, 0.1, rng=1, n_threads=1 if i else 2)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=HANGS)
    assert all(result == expected for result in results)


LEVEL = """
import sys
import numpy as np
import nnqm
theory, parts = nnqm.builtin_theory("three-inputs"), []
for precision in ("float32", "float64"):
    paths = nnqm.sample_paths(theory, 500, 20, 0.1, rng=1, precision=precision, channels=theory.channels)
    parts.append(paths.astype(np.float64).ravel())
run = nnqm.simulate(theory, 5000, 20, 0.1, rng=1, precision="float64")
assert run.level == nnqm.build_info()["level"]
np.save(sys.argv[1], np.concatenate([*parts, run.two_point().value]))
print(nnqm.build_info()["level"])
"""


def at_level(level, tmp_path):
    written = tmp_path / f"{level}.npy"
    assert answer(LEVEL, written, NNQM_LEVEL=level) == level
    numbers = np.load(written)
    return numbers[:40_000], numbers[40_000:80_000], numbers[80_000:]


@pytest.mark.slow
def test_instruction_sets_agree_to_a_few_units_in_the_last_place(tmp_path):
    levels = nnqm.build_info()["levels"]
    single, double, two_point = at_level(levels[-1], tmp_path)
    assert np.unique(double).size > 30_000
    for level in levels[:-1]:
        other = at_level(level, tmp_path)
        np.testing.assert_allclose(other[0], single, rtol=0, atol=16 * np.finfo(np.float32).eps)
        np.testing.assert_allclose(other[1], double, rtol=0, atol=32 * np.finfo(np.float64).eps)
        np.testing.assert_allclose(other[2], two_point, rtol=1e-12)


@pytest.mark.slow
def test_an_unknown_instruction_set_is_refused():
    done = python("import nnqm", NNQM_LEVEL="v9")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert re.search(r"ValueError: NNQM_LEVEL=v9 is not among the levels of this processor: \w+", last)


@pytest.mark.slow
def test_an_explicit_number_of_threads_wins_over_the_environment():
    code = (
        "import nnqm\n"
        "from nnqm import _core\n"
        "worked = []\n"
        "theory = nnqm.harmonic_oscillator()\n"
        "measure = _core.Measure(channels=[0], shift=[0.0], scale=[1.0], orders=[1], neurons=[], centres=[],\n"
        "    products=[], lags=[], observable_lags=[], increment_lags=[], group=1, moments=True, two_time=-1)\n"
        "import numpy as np\n"
        "for n in (0, 3):\n"
        "    sums = {'moments': np.zeros((8, 1, 4)), 'paths': np.zeros(8, np.int64), 'first_bad': np.full(8, -1)}\n"
        "    times = np.arange(4.0)\n"
        "    worked.append(_core.advance(theory=theory._compiled(times), measure=measure, key=1, times=times,\n"
        "        n_paths=512, n_blocks=8, precision='float32', n_threads=n, blocks=(0, 8), rounds=(0, 1),\n"
        "        first_block=0, sums=sums))\n"
        "    assert sums['paths'].sum() == 512\n"
        "print(*worked, nnqm.build_info()['max_threads'])\n"
    )
    if nnqm.build_info()["openmp"]:
        assert answer(code, OMP_NUM_THREADS="1") == "1 3 1"
        assert answer(code, OMP_NUM_THREADS="2") == "2 3 2"
    else:
        assert answer(code) == "1 1 1"
