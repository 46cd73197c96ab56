"""Checkpoints of runs: the bits of undisturbed runs after stops, settings of other runs, signals, and locks."""

import os
import signal
import subprocess
import sys
import threading
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import nnqm
from nnqm import _signals as signals
from nnqm.errors import InputError
from nnqm.runs import checkpoints, slices
from nnqm.runs.checkpoints import Checkpoint
from nnqm.runs.locks import Lock

MEASURE = nnqm.Measure(lags=(0, 1, 3), observables=nnqm.default_observables(nnqm.harmonic_oscillator(), order=2))
FILE = "run.nc"

posix = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def tiles(monkeypatch):
    """Slices of one tile, so that a run is cut in as many places as there are."""
    monkeypatch.setattr(slices, "SLICE", 1e-9)


def simulate(n_paths=1000, **others):
    settings = {"n_times": 6, "dt": 0.2, "rng": 3, "measure": MEASURE, "n_blocks": 4, "n_threads": 1} | others
    return nnqm.simulate(settings.pop("theory", nnqm.harmonic_oscillator()), n_paths, **settings)


class Stop:
    """Progress that does something at its n-th call."""

    def __init__(self, n, action):
        self.n, self.action = n, action

    def __call__(self, done, wanted):
        assert 0 < done <= wanted
        self.n -= 1
        if self.n == 0:
            self.action()


def ctrl_c():
    raise KeyboardInterrupt


def stopped(n, work=simulate, **settings):
    """The part of a run that Ctrl-C stopped at its n-th slice, the complete run if it was faster."""
    try:
        return work(progress=Stop(n, ctrl_c), **settings)
    except nnqm.Interrupted as stop:
        return stop.partial


# ---- bits


@pytest.mark.slow
def test_runs_cut_shuffled_merged_saved_and_loaded_are_one_run(tiles):
    rng = np.random.default_rng(16)
    shared = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.RandomNetwork((1, 3, 1), "tanh", group=4))
    for trial in range(100):
        theory = shared if trial % 4 == 0 else nnqm.harmonic_oscillator()
        n_blocks, first, n_paths = int(rng.integers(1, 7)), *(4 * np.sort(rng.integers(100, 180, 2))).tolist()
        settings = {
            "theory": theory,
            "rng": trial,
            "n_blocks": n_blocks,
            "precision": str(rng.choice(["float32", "float64"])),
            "measure": nnqm.Measure(lags=(0, 2)) if theory is shared else MEASURE,
        }
        n_cuts = int(rng.integers(0, n_blocks))
        cuts = [0, *sorted(rng.choice(np.arange(1, n_blocks), n_cuts, replace=False).tolist()), n_blocks]
        parts = []
        for begin, end in pairwise(cuts):
            part = stopped(int(rng.integers(1, 6)), n_paths=first, blocks=range(begin, end), **settings)
            part = through_file(part) if rng.random() < 0.02 else part
            for wanted in (first, n_paths):
                part = stopped(
                    int(rng.integers(1, 6)), lambda part=part, n=wanted, **o: nnqm.extend(part, n, n_threads=1, **o)
                )
            parts.append(part)
        # Parts that are not complete are completed apart or together.
        if rng.random() < 0.5:
            parts = [nnqm.extend(part, n_paths, n_threads=1) for part in parts]
        rng.shuffle(parts)
        merged = nnqm.merge(parts)
        merged = through_file(merged) if rng.random() < 0.06 else merged
        assert nnqm.extend(merged, n_paths, n_threads=1) == simulate(n_paths, **settings), trial


def through_file(run):
    nnqm.save(run, "between.nc")
    return nnqm.load("between.nc")


@pytest.mark.slow
@pytest.mark.parametrize(("stops", "interval"), [((5, 3), 60.0), ((16,), 60.0), ((1,), 0.0)])
def test_the_same_call_goes_on_to_the_bits_of_one(stops, interval, tiles, monkeypatch):
    monkeypatch.setattr(checkpoints, "_INTERVAL", interval)
    held = 0
    for n in stops:
        partial = stopped(n, checkpoint=FILE)
        assert nnqm.load(FILE) == partial
        assert held < partial.block_paths.sum() == held + 64 * n - (24 if n == 16 else 0)
        held = int(partial.block_paths.sum())
    monkeypatch.setattr(checkpoints, "_INTERVAL", 60.0)
    whole = simulate()
    assert simulate(checkpoint=FILE) == whole == nnqm.load(FILE)
    longer = simulate(1500)
    assert simulate(1500, checkpoint=FILE) == longer == nnqm.load(FILE)
    assert os.listdir() == [FILE]


@pytest.mark.slow
def test_a_finished_checkpoint_returns_at_once(monkeypatch):
    run = simulate(checkpoint=FILE)
    nnqm.save(run, "saved.nc")
    assert Path(FILE).read_bytes() == Path("saved.nc").read_bytes()
    before = os.stat(FILE).st_mtime_ns
    monkeypatch.setattr(slices, "_core", None)
    assert simulate(checkpoint=FILE) == run
    # The key is that of the file.
    assert simulate(rng=None, checkpoint=FILE) == run
    assert os.stat(FILE).st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.parametrize("n", [8, 20])
def test_a_run_until_an_error_goes_on_to_the_same_outcome(n, tiles):
    until = (lambda run: run.mean(), 0.017)
    whole = simulate(20_000, until=until)
    assert 512 < whole.n_paths < 20_000
    partial = stopped(n, n_paths=20_000, until=until, checkpoint=FILE)
    assert partial.block_paths.sum() < whole.n_paths
    assert simulate(20_000, until=until, checkpoint=FILE) == whole == nnqm.load(FILE)
    assert simulate(20_000, until=until, checkpoint=FILE) == whole


@pytest.mark.slow
def test_an_extension_keeps_its_sums(tiles):
    short, long = simulate(), simulate(2000)
    partial = stopped(4, lambda **o: nnqm.extend(short, 2000, checkpoint=FILE, **o))
    assert short.block_paths.sum() < partial.block_paths.sum() < 2000
    assert nnqm.load(FILE) == partial
    done = []
    assert nnqm.extend(short, 2000, checkpoint=FILE, progress=lambda held, wanted: done.append(held)) == long
    assert min(done) > partial.block_paths.sum()
    # A file with fewer paths than the run is overtaken.
    nnqm.save(short, FILE)
    assert nnqm.extend(long, 2000, checkpoint=FILE) == long == nnqm.load(FILE)


@pytest.mark.slow
def test_the_file_is_written_once_in_an_interval(tiles, monkeypatch):
    written, now = [], [0.0]
    kept = checkpoints.write_run

    def write(run, name):
        written.append(int(run.block_paths.sum()) // 64)
        kept(run, name)

    monkeypatch.setattr(checkpoints, "write_run", write)
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])

    def tell(done, wanted):
        now[0] += 25.0

    run = simulate(64 * 16, n_blocks=4, progress=tell, checkpoint=FILE)
    assert written == [3, 6, 9, 12, 15, 16]
    assert nnqm.load(FILE) == run


# ---- other runs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dt": 0.1}, "dt is 0.2 in the file and 0.1 here"),
        ({"n_times": 7}, "n_times is 6 in the file and 7 here"),
        ({"rng": 4}, r"the key of rng is \d+ in the file and \d+ here"),
        ({"precision": "float64"}, "precision is 'float32' in the file and 'float64' here"),
        ({"theory": nnqm.harmonic_oscillator(2.0)}, "theory.source.omega is 1.0 in the file and 2.0 here"),
        ({"theory": nnqm.builtin_theory("deep-tanh")}, "compiled is False in the file and True here"),
        ({"measure": nnqm.Measure(lags=(0, 1))}, r"measure.lags is \[0, 1, 3\] in the file and \[0, 1\] here"),
        ({"n_blocks": 5}, "n_blocks is 4 in the file and 5 here"),
        ({"blocks": range(2)}, r"blocks is range\(0, 4\) in the file and range\(0, 2\) here"),
        ({"n_paths": 900}, "of a run of 1000 paths; got n_paths=900; ask for 1000 or more"),
    ],
)
def test_another_run_is_named_by_its_settings(changed, message):
    simulate(checkpoint=FILE)
    before = Path(FILE).read_bytes()
    with pytest.raises(InputError, match=f"checkpoint run.nc is .*{message}"):
        simulate(**changed, checkpoint=FILE)
    assert Path(FILE).read_bytes() == before
    assert os.listdir() == [FILE]


@pytest.mark.slow
def test_another_level_and_map_are_named():
    run = simulate()
    nnqm.save(replace(run, level="sse9"), FILE)
    with pytest.raises(InputError, match=r"instruction-set level is 'sse9' .*NNQM_LEVEL=sse9"):
        simulate(checkpoint=FILE)
    nnqm.save(replace(run, random_map_version=7), FILE)
    with pytest.raises(InputError, match="version of the random-number map is 7 in the file"):
        simulate(checkpoint=FILE)
    with pytest.raises(InputError, match="the key of rng is"):
        nnqm.extend(simulate(rng=9), 1000, checkpoint=FILE)


@pytest.mark.slow
def test_files_that_cannot_go_on_are_refused():
    nnqm.save(nnqm.merge([simulate(), simulate(rng=4)]), FILE)
    with pytest.raises(InputError, match="several seeds"):
        simulate(checkpoint=FILE)
    Path(FILE).write_bytes(b"CDF nothing")
    with pytest.raises(InputError, match=r"file run.nc cannot be read as NetCDF"):
        simulate(checkpoint=FILE)
    with pytest.raises(InputError, match="folder"):
        simulate(checkpoint=".")
    with pytest.raises(nnqm.errors.InputTypeError, match="path"):
        simulate(checkpoint=3)
    if os.name == "posix":
        with pytest.raises(InputError, match="not a regular file"):
            simulate(checkpoint=os.devnull)
    assert os.listdir() == [FILE]


# ---- failures


def test_a_full_disk_does_not_end_the_run(tiles, monkeypatch):
    def full(run, name):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "_INTERVAL", 0.0)
    monkeypatch.setattr(checkpoints, "write_run", full)
    with pytest.warns(RuntimeWarning, match="no checkpoint: output .* No space left on device"):
        assert simulate(checkpoint=FILE) == simulate()
    assert os.listdir() == []


def test_a_run_that_overflows_leaves_the_file(monkeypatch):
    monkeypatch.setattr(checkpoints, "_INTERVAL", 0.0)
    # The scales are those of float64, in which nothing overflows.
    network = nnqm.Network([[[1e30]], [[1e-25]]], [[0.0], [0.0]], "relu")
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0, 1e10), network)
    with pytest.raises(InputError, match="not finite"):
        simulate(theory=theory, compiled=False, measure=nnqm.Measure(lags=(0, 1)), checkpoint=FILE)
    assert os.listdir() == []


# ---- signals


@pytest.mark.slow
@posix
def test_a_handler_is_called_after_the_sums_are_written(tiles):
    number = signal.SIGTERM
    seen = []
    before = signal.signal(number, lambda *_: seen.append(nnqm.load(FILE).block_paths.sum()))
    try:
        mine = signal.getsignal(number)
        run = simulate(progress=Stop(3, lambda: signal.raise_signal(number)), checkpoint=FILE)
        assert signal.getsignal(number) is mine
    finally:
        signal.signal(number, before)
    # The handler returned, and the run went on.
    assert seen == [3 * 64]
    assert run == simulate()


@pytest.fixture
def _interruptible():
    """Shells start what runs in the background with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@posix
@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_waits_for_the_end_of_a_slice(tiles):
    after = []

    def press():
        signal.raise_signal(signal.SIGINT)
        after.append(True)

    with pytest.raises(nnqm.Interrupted) as stop:
        simulate(progress=Stop(3, press), checkpoint=FILE)
    assert after == [True]
    assert stop.value.partial == nnqm.load(FILE)
    assert nnqm.load(FILE).block_paths.sum() == 3 * 64


@posix
@pytest.mark.usefixtures("_interruptible")
def test_a_second_ctrl_c_does_not_wait(tiles, monkeypatch):
    monkeypatch.setattr(signals, "_PATIENCE", 0.0)
    after = []

    def press():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        after.append(True)

    with pytest.raises(KeyboardInterrupt) as stop:
        simulate(progress=Stop(3, press), checkpoint=FILE)
    assert not after
    assert not isinstance(stop.value, nnqm.Interrupted)
    assert os.listdir() == []


# JAX, if another test has imported it, warns at every fork.
forks = pytest.mark.filterwarnings("ignore:Exception ignored in.*_at_fork:pytest.PytestUnraisableExceptionWarning")


@pytest.mark.slow
@posix
@forks
def test_a_child_is_ended_at_once(tiles):
    codes = []

    def fork():
        child = os.fork()
        if not child:
            signal.raise_signal(signal.SIGTERM)
            os._exit(0)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    assert simulate(progress=Stop(2, fork), checkpoint=FILE) == simulate()
    assert codes == [-signal.SIGTERM]


@pytest.mark.slow
@posix
def test_ignored_signals_and_other_threads_are_left_alone(tiles):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run = simulate(progress=Stop(2, lambda: signal.raise_signal(signal.SIGHUP)), checkpoint=FILE)
    finally:
        signal.signal(signal.SIGHUP, before)
    done = []
    thread = threading.Thread(target=lambda: done.append(simulate(checkpoint="other.nc")))
    thread.start()
    thread.join()
    assert done == [run]


# ---- locks

HOLDER = """
import sys, time
from nnqm.runs.checkpoints import Checkpoint
from nnqm.runs.locks import Lock
with Checkpoint("run.nc"):
    print("held", flush=True)
    time.sleep(900)
"""


@pytest.mark.slow
def test_a_lock_ends_with_its_process():
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=f"run.nc is written by process {holder.pid} on .*; wait until it ends"):
        simulate(checkpoint=FILE)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert os.listdir() == [".run.nc.lock"]
    # Temporary files of a killed process go, and those of other files stay.
    mine = f".nnqm-{zlib.crc32(FILE.encode()):08x}-"
    Path(mine + "0123456789abcdef.nc").write_text("half")
    Path(".nnqm-0123456789abcdef.nc").write_text("of another")
    simulate(checkpoint=FILE)
    assert sorted(os.listdir()) == [".nnqm-0123456789abcdef.nc", FILE]


@pytest.mark.slow
def test_threads_of_one_process_are_told_too():
    with Checkpoint(FILE), pytest.raises(InputError, match=f"is written by process {os.getpid()} on"):
        simulate(checkpoint=FILE)
    assert simulate(checkpoint=FILE) == simulate()


@pytest.mark.slow
@posix
def test_links_lead_to_one_lock():
    os.symlink(FILE, "link.nc")
    with Checkpoint("link.nc"), pytest.raises(InputError, match="is written by"):
        simulate(checkpoint=FILE)
    assert simulate(checkpoint="link.nc") == nnqm.load(FILE)
    assert os.path.islink("link.nc")


@posix
@forks
def test_a_child_does_not_keep_the_lock():
    begun, begin = os.pipe()
    ended, end = os.pipe()
    lock = Lock(Path(FILE))
    child = os.fork()
    if not child:
        os.close(end)
        os.write(begin, b"1")
        os.read(ended, 1)
        os._exit(0)
    os.read(begun, 1)
    # The end of a process closes its files, and removes none.
    lock.drop()
    assert os.listdir() == [".run.nc.lock"]
    try:
        with Checkpoint(FILE):
            pass
        assert os.listdir() == []
    finally:
        for handle in (begun, begin, ended, end):
            os.close(handle)
        os.waitpid(child, 0)
