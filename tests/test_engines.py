"""Runs on the workers of an executor have the bits of one process, whatever happens to the workers."""

import dataclasses
import multiprocessing.pool
import os
import signal
import struct
import sys
import threading
import warnings
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import nnqm
from interpreter import run
from nnqm import fields
from nnqm.cli import main
from nnqm.errors import InputError, InputTypeError
from nnqm.learning import SpectralWeights
from nnqm.runs import crew, engines, slices

OSCILLATOR = nnqm.OrnsteinUhlenbeck(1.0)


def well(x):
    return x**2 / 2 + x**4


# Every kind of source, a network, drawn weights and shared ones.
THEORIES = {
    "oscillator": lambda: nnqm.builtin_theory("oscillator"),
    "deep network": lambda: nnqm.builtin_theory("deep-tanh"),
    "three inputs": lambda: nnqm.builtin_theory("three-inputs"),
    "drawn weights": lambda: nnqm.Theory(OSCILLATOR, nnqm.RandomNetwork((1, 6, 1), "relu", group=4)),
    "weights of many paths": lambda: nnqm.Theory(OSCILLATOR, nnqm.RandomNetwork((1, 6, 1), "tanh", group=128)),
    "potential": lambda: nnqm.Theory(nnqm.GroundStateProcess(nnqm.Hamiltonian(well))),
    "thermal oscillator": lambda: nnqm.Theory(nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=3.2)),
    "thermal potential": lambda: nnqm.Theory(nnqm.ThermalProcess(nnqm.Hamiltonian([0, 0, 0.5, 0, 1]), beta=3.2)),
    "chain": lambda: nnqm.Theory(nnqm.MarkovChain([-1.0, 1.0], [[0.6, 0.4], [0.4, 0.6]], 0.2)),
    "network in time": lambda: nnqm.CosineNetwork(nnqm.Density("gaussian"), 4).theory(),
    "expansion": lambda: nnqm.Theory(nnqm.KarhunenLoeveProcess(nnqm.karhunen_loeve(np.minimum, (0.0, 3.2), 5))),
    "cos-net": lambda: nnqm.Theory(fields.CosNet(2, 1.0, 4, 0.0, fields.Regulator("gaussian", 3.0))),
    "positive net": lambda: nnqm.Theory(fields.ReflectionPositiveNet(2, 1.0, 4, 3.0)),
    "box": lambda: nnqm.Theory(fields.PeriodicBox(1.0, 3)),
}


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="module")
def threads():
    with ThreadPoolExecutor(3) as pool:
        yield pool


def simulated(theory, precision="float32", **settings):
    """1,280 paths, the last tile of which is cut short."""
    return nnqm.simulate(theory, 1280 if theory.group > 64 else 1216, 16, 0.2, rng=3, precision=precision, **settings)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kind", THEORIES)
def test_bits_are_the_ones_of_one_process(kind, precision, processes, threads):
    theory = THEORIES[kind]()
    alone = simulated(theory, precision)
    for pool in (processes, threads):
        assert simulated(theory, precision, executor=pool) == alone


class Unruly(Executor):
    """Threads that repeat calls, give results late and out of order, lose some and fail in others."""

    def __init__(self, seed):
        self.random, self.pool, self.lock = np.random.default_rng(seed), ThreadPoolExecutor(4), threading.Lock()
        self.failed = 0

    def submit(self, function, /, *arguments):
        with self.lock:
            kind = self.random.integers(5)
        future = Future()

        def work():
            result = function(*arguments)
            if kind == 0:
                result = function(*arguments)
            if kind == 1:
                threading.Event().wait(0.02)
            # No call fails more often than it is tried.
            if kind in (2, 3) and self.failed % 3 < 2:
                self.failed += 1
                future.set_exception(OSError("a node is gone") if kind == 2 else MemoryError())
            else:
                self.failed += kind in (2, 3)
                future.set_result(result)

        self.pool.submit(work)
        return future


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_late_lost_and_repeated_tasks_change_nothing(seed, monkeypatch):
    monkeypatch.setattr(engines, "TASK", 1e-3)
    monkeypatch.setattr(crew, "_TRIES", 50)
    theory = nnqm.builtin_theory("oscillator")
    pool = Unruly(seed)
    assert nnqm.simulate(theory, 64 * 160, 16, 0.2, rng=1, n_blocks=7, executor=pool) == nnqm.simulate(
        theory, 64 * 160, 16, 0.2, rng=1, n_blocks=7
    )
    assert pool.failed


@pytest.mark.slow
def test_runs_are_extended_cut_and_continued_on_workers(threads, monkeypatch):
    monkeypatch.setattr(engines, "TASK", 1e-3)
    theory = nnqm.builtin_theory("deep-tanh")
    grid = {"n_times": 16, "dt": 0.2, "rng": 1, "n_blocks": 60}
    whole = nnqm.simulate(theory, 12_000, **grid)
    assert nnqm.extend(nnqm.simulate(theory, 5_000, **grid), 12_000, executor=threads) == whole
    halves = (range(25), range(25, 60))
    parts = [nnqm.simulate(theory, 12_000, blocks=half, executor=threads, **grid) for half in halves]
    assert nnqm.merge(parts) == whole
    told = []

    def stop(done, wanted):
        told.append((done, wanted))
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(nnqm.Interrupted) as stopped:
        nnqm.simulate(theory, 12_000, executor=threads, progress=stop, **grid)
    held = stopped.value.partial
    assert told[-1][0] <= held.block_paths.sum() < 12_000
    assert nnqm.extend(held, 12_000, executor=threads) == whole


class Tripwire(np.ndarray):
    """An array that sends Ctrl-C when it is written to."""

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_does_not_split_the_sums_of_a_block():
    run = simulated(nnqm.builtin_theory("oscillator"))
    empty = {name: (array * 0 - (name == "first_bad")).view(Tripwire) for name, array in run.sums.items()}
    blocks = engines._Blocks(run, empty)
    piece = blocks.next_piece("run", 10, 1)
    found = {name: array[piece.first : piece.last] for name, array in run.sums.items()}
    with pytest.raises(KeyboardInterrupt):
        blocks.take(piece, found)
    assert all(np.array_equal(empty[name][piece.first : piece.last], found[name]) for name in found)
    # 1,216 paths are whole tiles; some of them less are not, and their blocks begin again.
    part = {name: array.copy() for name, array in run.sums.items()}
    part["paths"][3] = 40
    split = {name: array.view(Tripwire) for name, array in part.items()}
    with pytest.raises(KeyboardInterrupt):
        slices.units_left(run, split)
    assert not any(array[3].any() for name, array in part.items() if name != "first_bad")


def test_until_does_not_depend_on_workers(threads):
    theory = nnqm.builtin_theory("oscillator")
    until = (lambda run: run.mean(), 0.02)
    alone = nnqm.simulate(theory, 100_000, 16, 0.2, rng=1, n_blocks=16, until=until)
    assert alone.n_paths < 100_000
    assert nnqm.simulate(theory, 100_000, 16, 0.2, rng=1, n_blocks=16, until=until, executor=threads) == alone


def test_a_path_that_is_not_finite_is_named(threads):
    theory = nnqm.Theory(OSCILLATOR, nnqm.Network([[[1e39]], [[1e-39]]], activation="identity"))
    with pytest.raises(InputError, match=r"overflows: path \d+ has a value that is not finite"):
        nnqm.simulate(theory, 1280, 16, 0.2, rng=1, executor=threads)


# ---- workers that are lost


def killing(pool):
    """A progress function that kills a worker at the second report."""
    seen = []

    def tell(done, wanted):
        seen.append(done)
        if len(seen) == 2:
            os.kill(next(iter(pool()._processes)), signal.SIGKILL)

    return tell


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_a_killed_worker_loses_its_tasks_only(monkeypatch):
    monkeypatch.setattr(engines, "TASK", 1e-2)
    theory = nnqm.builtin_theory("deep-tanh")
    alone = nnqm.simulate(theory, 64_000, 16, 0.2, rng=1)
    made = []

    def make():
        made.append(crew.local_workers(2))
        return made[-1]

    found = nnqm.simulate(theory, 64_000, 16, 0.2, rng=1, executor=make, progress=killing(lambda: made[0]))
    assert len(made) == 2
    assert found == alone
    with crew.local_workers(2) as pool, pytest.warns(RuntimeWarning, match="this process does the rest"):
        assert nnqm.simulate(theory, 64_000, 16, 0.2, rng=1, executor=pool, progress=killing(lambda: pool)) == alone


def dies_once(mark, answer):
    """The first worker that comes here sends a part of a result, and is killed."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return answer
    frame = sys._getframe()
    while "result_queue" not in frame.f_locals:
        frame = frame.f_back
    # The length of a message, and less than the message.
    os.write(frame.f_locals["result_queue"]._writer.fileno(), struct.pack("!i", 1000) + b"part")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_a_worker_is_killed_while_it_sends_a_result(monkeypatch, tmp_path):
    monkeypatch.setattr(crew, "_STUCK", 0.2)
    made = []

    def make():
        made.append(crew.local_workers(2))
        return made[-1]

    calls = [(str(tmp_path / "made"), i) for i in range(6)]
    assert sorted(crew.Crew(make).as_completed(dies_once, calls)) == [(i, i) for i in range(6)]
    assert len(made) == 2
    calls = [(str(tmp_path / "given"), i) for i in range(6)]
    with crew.local_workers(2) as pool, pytest.warns(RuntimeWarning, match="killed.*this process does the rest"):
        assert sorted(crew.Crew(pool).as_completed(dies_once, calls)) == [(i, i) for i in range(6)]


class Losing(ProcessPoolExecutor):
    """A pool whose worker dies, and that loses the call which is made meanwhile."""

    def submit(self, function, /, *arguments):
        super().submit(os._exit, 1)
        return Future()


@pytest.mark.slow
def test_a_call_that_a_breaking_pool_loses_is_made_again(monkeypatch):
    monkeypatch.setattr(crew, "_STUCK", 0.2)
    pools = iter([Losing(1, mp_context=multiprocessing.get_context("spawn")), ThreadPoolExecutor(1)])
    assert list(crew.Crew(lambda: next(pools)).as_completed(abs, [(-3,)])) == [(0, 3)]
    with (
        Losing(1, mp_context=multiprocessing.get_context("spawn")) as pool,
        pytest.warns(RuntimeWarning, match="the rest"),
    ):
        assert list(crew.Crew(pool).as_completed(abs, [(-3,)])) == [(0, 3)]


class Broken(Executor):
    """An executor that breaks after some calls."""

    num_workers = 1

    def __init__(self, calls=0):
        self.calls = calls

    def submit(self, function, /, *arguments):
        if self.calls <= 0:
            raise BrokenExecutor("all nodes are gone")
        self.calls -= 1
        future = Future()
        future.set_result(function(*arguments))
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        pass


@pytest.mark.parametrize("calls", [0, 1, 5])
def test_this_process_does_the_rest(calls):
    theory = nnqm.builtin_theory("oscillator")
    alone = simulated(theory)
    with pytest.warns(RuntimeWarning, match="lost its workers .BrokenExecutor: all nodes are gone"):
        assert simulated(theory, executor=Broken(calls)) == alone


def test_executors_are_made_again_while_they_give_results():
    theory = nnqm.builtin_theory("oscillator")
    alone = simulated(theory)
    made = []

    def make():
        made.append(Broken(2))
        return made[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert simulated(theory, executor=make) == alone
    assert len(made) > 2
    with pytest.warns(RuntimeWarning, match="lost its workers"):
        assert simulated(theory, executor=lambda: Broken(0)) == alone


def test_a_task_that_always_fails_is_done_here(monkeypatch):
    class Failing(ThreadPoolExecutor):
        def submit(self, function, /, *arguments):
            return super().submit(lambda: 1 / 0)

    with Failing(1) as pool, pytest.warns(RuntimeWarning, match="a task failed 3 times, ZeroDivisionError"):
        assert simulated(nnqm.builtin_theory("oscillator"), executor=pool) == simulated(
            nnqm.builtin_theory("oscillator")
        )


# ---- workers that cannot give the same bits


class Other(Executor):
    """A worker that has other facts than this process."""

    def __init__(self, **facts):
        self.facts = facts

    def submit(self, function, piece, facts, *others):
        future = Future()
        refusal = function(piece, {**facts, "version": "another"}, *others)
        future.set_result(dataclasses.replace(refusal, **{"version": facts["version"], **self.facts}))
        return future


def test_workers_of_another_version_are_refused():
    theory = nnqm.builtin_theory("oscillator")
    with pytest.raises(InputError, match=r"has nnqm .* install the same version for the same bits"):
        simulated(theory, executor=Other(version="9.9"))
    with pytest.raises(InputError, match=r"version .* of the random-number map"):
        simulated(theory, executor=Other(map_version=99))
    with pytest.raises(InputError, match="the bits would differ; set NNQM_LEVEL="):
        simulated(theory, executor=Other(level="another"))


LEVEL = """
import os, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import nnqm

def forget():
    os.environ.pop("NNQM_LEVEL", None)

if __name__ == "__main__":
    theory = nnqm.builtin_theory("deep-tanh")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=forget) as pool:
        found = nnqm.simulate(theory, 640, 8, 0.2, rng=1, executor=pool)
        level = pool.submit(nnqm.build_info).result()["level"]
    print(found == nnqm.simulate(theory, 640, 8, 0.2, rng=1), level)
"""


@pytest.mark.slow
def test_workers_take_the_level_of_the_run(tmp_path):
    level = nnqm.build_info()["levels"][0]
    program = tmp_path / "level.py"
    program.write_text(LEVEL)
    done = run([sys.executable, program], NNQM_LEVEL=level)
    assert done.stdout.split() == ["True", level], done.stderr


# ---- bad input


class Local(nnqm.OrnsteinUhlenbeck):
    """A process that other processes cannot import."""

    def __reduce__(self):
        raise TypeError("it stays here")


def test_bad_executors_are_refused_before_work_starts(processes):
    theory = nnqm.builtin_theory("oscillator")
    for bad in (4, "processes", ProcessPoolExecutor, multiprocessing.pool.Pool):
        with pytest.raises(InputTypeError, match=r"executor must be a concurrent\.futures\.Executor"):
            simulated(theory, executor=bad)
    with pytest.raises(InputTypeError, match="it made 3"):
        simulated(theory, executor=lambda: 3)

    class Client:
        def get_executor(self):
            raise AssertionError

    with pytest.raises(InputTypeError, match=r"use its get_executor\(\)"):
        simulated(theory, executor=Client())


@pytest.mark.slow
def test_a_theory_that_cannot_travel_is_named(processes, threads):
    theory = nnqm.Theory(Local(1.0))
    with pytest.raises(InputError, match="cannot be sent to the workers of this executor: it stays here; define"):
        simulated(theory, executor=processes)
    found, alone = simulated(theory, executor=threads), simulated(theory)
    assert all(np.array_equal(found.sums[name], alone.sums[name]) for name in alone.sums)
    theory = nnqm.Theory(nnqm.GroundStateProcess(nnqm.Hamiltonian(lambda x: well(x))))
    with pytest.raises(InputError, match="potential must be a named function of a module"):
        simulated(theory, executor=processes)
    assert simulated(theory, executor=threads) == simulated(theory)


# ---- fits and scans


def build(scale):
    return nnqm.Theory(OSCILLATOR, nnqm.Network([[[scale]], [[1.0]]], activation="sin"))


@pytest.mark.slow
def test_scans_are_the_same_on_workers(processes, threads):
    settings = {"n_levels": 2, "rng": 1, "n_paths": 400, "positivity": False}
    told = []
    alone = nnqm.scan({"scale": [0.5, 1.0, 2.0]}, build, **settings)
    for pool in (processes, threads):
        found = nnqm.scan(
            {"scale": [0.5, 1.0, 2.0]}, build, executor=pool, progress=lambda *count: told.append(count), **settings
        )
        assert found.identical(alone)
    assert told == [(1, 3), (2, 3), (3, 3)] * 2
    with pytest.raises(InputError, match="a task cannot be sent to the workers"):
        nnqm.scan({"scale": [0.5]}, lambda scale: build(scale), executor=processes, **settings)


@pytest.mark.slow
def test_fits_are_the_same_on_workers(processes, threads):
    start = nnqm.Theory(OSCILLATOR, nnqm.Network.random((1, 3, 1), rng=1, bias_std=0.5))
    target = nnqm.Target(SpectralWeights(3), [0.5, 0.2, 0.1], tolerance=1e-12)
    for settings in ({"method": "least-squares", "restarts": 3}, {"method": "adam", "restarts": 2, "steps": 20}):
        alone = nnqm.fit(start, target, rng=1, **settings)
        for pool in (processes, threads):
            found = nnqm.fit(start, target, rng=1, executor=pool, **settings)
            assert str(found) == str(alone)
            assert found.starts == alone.starts
            assert np.array_equal(found.parameters, alone.parameters)
            assert found.trajectory.steps == alone.trajectory.steps


# ---- clusters

CLUSTERS = """
import os, signal
import nnqm

def compare(executor):
    from test_engines import THEORIES, simulated
    for i, (kind, make) in enumerate(THEORIES.items()):
        theory = make()
        precision = ("float32", "float64")[i % 2]
        alone = simulated(theory, precision)
        assert simulated(theory, precision, executor=executor) == alone, (kind, precision)
        print(kind, precision, flush=True)
"""

# Workers import the functions of this module.
FINDS_THIS = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}

DASK = """
if __name__ == "__main__":
    from distributed import Client, LocalCluster
    from nnqm.runs import engines
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        with client.get_executor() as executor:
            compare(executor)
            engines.TASK = 0.02
            seen = []
            def kill(done, wanted):
                seen.append(done)
                if len(seen) == 2:
                    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
            theory = nnqm.builtin_theory("deep-tanh")
            found = nnqm.simulate(theory, 64_000, 16, 0.2, rng=1, executor=executor, progress=kill)
            assert found == nnqm.simulate(theory, 64_000, 16, 0.2, rng=1)
            print("killed")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_dask_gives_the_bits_of_one_process(tmp_path):
    program = tmp_path / "on_dask.py"
    program.write_text(CLUSTERS + DASK)
    done = run([sys.executable, program], **FINDS_THIS)
    assert done.stdout.splitlines()[-1:] == ["killed"], done.stderr
    assert len(done.stdout.splitlines()) == len(THEORIES) + 1


MPI = """
if __name__ == "__main__":
    from mpi4py import MPI
    from mpi4py.futures import MPICommExecutor
    with MPICommExecutor(MPI.COMM_WORLD, root=0) as executor:
        if executor is not None:
            assert executor.num_workers == 2
            compare(executor)
"""


def on_ranks(*command):
    launcher = Path(sys.executable).with_name("mpiexec")
    return run([launcher, "-n", "3", sys.executable, *command], **FINDS_THIS)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the test extra has MPI for Linux")
def test_mpi_gives_the_bits_of_one_process(tmp_path):
    program = tmp_path / "on_mpi.py"
    program.write_text(CLUSTERS + MPI)
    done = on_ranks(program)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(THEORIES)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the test extra has MPI for Linux")
def test_the_command_line_runs_on_ranks(tmp_path):
    command = "from nnqm.cli import main; main()"
    options = ["--paths", "12800", "--times", "16", "--no-figure", "--no-positivity", "-o", tmp_path / "a.nc"]
    done = on_ranks("-c", command, "run", "random-tanh", *options, "--mpi")
    assert done.returncode == 0, done.stderr
    # One rank prints.
    assert done.stdout.count("variance of x") == 1
    alone = nnqm.simulate(nnqm.builtin_theory("random-tanh"), 12_800, 16, 0.2, rng=1)
    found = nnqm.load(tmp_path / "a.nc")
    assert all(np.array_equal(found.sums[name], alone.sums[name]) for name in alone.sums)


BAD_WORKERS = {
    "two kinds": (["--workers", "2", "--mpi"], "exclude each other"),
    "none": (["--workers", "0"], "--workers must be"),
    "one rank": (["--mpi"], "needs at least two ranks"),
    "an address": (["--dask", "nowhere"], "--dask: no scheduler answers at nowhere"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BAD_WORKERS)
def test_bad_workers_of_the_command_line_are_one_line(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments, expected = BAD_WORKERS[case]
    if "--mpi" in arguments:
        pytest.importorskip("mpi4py")
    with pytest.raises(SystemExit) as stopped:
        main(["run", "oscillator", *arguments])
    err = capsys.readouterr().err
    assert stopped.value.code == 2
    assert err.count("\n") == 1
    assert expected in err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_workers_of_the_command_line_give_the_same_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first = ["run", "oscillator", "--paths", "6400", "--times", "16", "--no-figure", "--workers", "2"]
    second = ["extend", "oscillator.nc", "--paths", "12800", "--workers", "1"]
    for n_paths, words in ((6400, first), (12_800, second)):
        with pytest.raises(SystemExit) as stopped:
            main([*words, "--no-positivity"])
        assert stopped.value.code == 0
        alone = nnqm.simulate(nnqm.builtin_theory("oscillator"), n_paths, 16, 0.2, rng=1, n_blocks=100)
        assert nnqm.load("oscillator.nc") == alone
