"""Stress of one process: threads, forks, signals, full and read-only disks, folders and streams that are gone.

Sixteen Python threads work at once, children are forked and spawned after the core has used its threads, Ctrl-C and
SIGTERM come at random moments, and files are written where no file can be. Results must have the bits of undisturbed
work, files must be whole or absent, errors must be InputError, and nothing may hang. ``--toy``: a few of each.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import nnqm
from nnqm.errors import InputError

# Seconds after which something counts as hanging; a busy machine may be slow.
HANGS = 120

N_PATHS, LONG_RUN, N_TIMES, DT = 6400, 160_000, 64, 0.1
THEORY = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 1.7]), nnqm.Network.random((2, 16, 1), rng=1))
TARGET = nnqm.learning.TwoPoint([0.0, 0.5, 1.0])


def digest(*arrays: Any) -> str:
    held = hashlib.sha256()
    for array in arrays:
        held.update(np.ascontiguousarray(array).tobytes())
    return held.hexdigest()[:16]


def of_run(run: nnqm.results.Correlators) -> str:
    return digest(*(run.sums[name] for name in sorted(run.sums)))


def simulated(n_paths: int = N_PATHS) -> nnqm.results.Correlators:
    return nnqm.simulate(THEORY, n_paths, N_TIMES, DT, rng=7)


def paths() -> np.ndarray:
    return nnqm.sample_paths(THEORY, 512, N_TIMES, DT, rng=7)


def fitted() -> str:
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network.random((1, 4, 1), rng=1))
    target = nnqm.Target(TARGET, [1.0, 0.6, 0.35], errors=[0.01] * 3)
    found = nnqm.fit(theory, target, rng=1)
    return digest(*found.theory.network.weights)


def hidden() -> str:
    found = nnqm.hidden_spectrum(paths(), dt=DT, n_levels=1)
    return digest(*(level.gap.value for level in found.levels if level.gap is not None))


JOBS: dict[str, Callable[[], str]] = {
    "simulate": lambda: of_run(simulated()),
    "sample_paths": lambda: digest(paths()),
    "accumulate": lambda: of_run(nnqm.accumulate(paths(), DT)),
    "analyse": lambda: str(nnqm.analyse(simulated(), positivity=False)),
    "reflection_positivity": lambda: digest(nnqm.reflection_positivity(paths(), dt=DT).value.value),
    "fit": fitted,
    "hidden_spectrum": hidden,
}


def threads(rounds: int, names: list[str]) -> tuple[int, list[str]]:
    """Faults of 16 threads that do all jobs at once, each in another order."""
    alone = {name: JOBS[name]() for name in names}

    def work(i: int) -> list[str]:
        order = [names[(i + k) % len(names)] for k in range(len(names))] * rounds
        return [f"{name} differs in thread {i}" for name in order if JOBS[name]() != alone[name]]

    with ThreadPoolExecutor(16) as pool:
        faults = [fault for found in pool.map(work, range(16)) for fault in found]
    return 16 * rounds * len(names), faults


# ---- children


def in_child(work: Callable[[], str]) -> str:
    """The answer of a forked child, or why there is none."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            text = work()
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode()[:4000])
        os._exit(0)
    os.close(writing)
    ready, _, _ = select.select([reading], [], [], HANGS)
    if not ready:
        os.kill(child, signal.SIGKILL)
    answer = os.read(reading, 8000).decode() if ready else "hangs"
    os.close(reading)
    os.waitpid(child, 0)
    return answer


def forks(n: int) -> tuple[int, list[str]]:
    """Children forked after the core has used its threads, also while other Python threads compute."""
    expected, faults = JOBS["simulate"](), []
    for _ in range(n):
        found = in_child(JOBS["simulate"])
        faults += [] if found == expected else [f"a forked child gives {found}"]
    stop = False
    # All modules are imported first. Python keeps the lock of an import that another thread has begun at the fork.
    JOBS["analyse"]()
    JOBS["reflection_positivity"]()

    def busy() -> None:
        while not stop:
            JOBS["analyse"]()

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(busy) for _ in range(4)]
        for _ in range(n):
            for name in ("simulate", "reflection_positivity"):
                found = in_child(JOBS[name])
                faults += [] if len(found) == 16 else [f"{name} forked beside threads: {found}"]
        stop = True
        for one in working:
            one.result(HANGS)
    return 3 * n, faults


def pools(kinds: list[str]) -> tuple[int, list[str]]:
    """Pools of processes by each start method."""
    expected, faults = JOBS["simulate"](), []
    for kind in kinds:
        with multiprocessing.get_context(kind).Pool(2) as pool:
            found = pool.map_async(job, ["simulate"] * 4).get(HANGS)
        faults += [f"a worker by {kind} gives {f}" for f in found if f != expected]
    return 4 * len(kinds), faults


def job(name: str) -> str:
    return JOBS[name]()


# ---- signals


def save_often(folder: str) -> str:
    run = simulated(640)
    for _ in range(200):
        nnqm.save(run, Path(folder) / "run.nc")
    return "saved"


LONG: dict[str, Callable[[str], str]] = {
    "simulate": lambda _: of_run(simulated(LONG_RUN)),
    "accumulate": lambda _: of_run(nnqm.accumulate((paths() for _ in range(200)), DT)),
    "analyse": lambda _: "".join(str(nnqm.analyse(simulated(), positivity=False))[:1] for _ in range(20)),
    "hidden_spectrum": lambda _: "".join(hidden()[:1] for _ in range(20)),
    "save": save_often,
}


def serve(folder: str) -> None:
    """Do the jobs whose names come in, say how each ended, and wait for the Ctrl-C that each gets."""
    # A shell lets programs in the background ignore Ctrl-C, and their children too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for line in sys.stdin:
        name, interrupted, answer = line.strip(), False, ""
        try:
            print("go", flush=True)
            answer = LONG[name](folder)
        except KeyboardInterrupt as stopped:
            interrupted = True
            answer = "stopped"
            partial = getattr(stopped, "partial", None)
            if name == "simulate" and partial is not None:
                answer = of_run(nnqm.extend(partial, LONG_RUN))
        try:
            while not interrupted:
                time.sleep(0.01)
        except KeyboardInterrupt:
            pass
        print(answer, flush=True)


class Server:
    """An interpreter of its own that does long jobs."""

    def __init__(self, folder: str) -> None:
        command = [sys.executable, __file__, "--serve", folder]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, name: str) -> bool:
        assert self.process.stdin is not None
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        return self.line() == "go"

    def line(self) -> str:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], HANGS)
        return self.process.stdout.readline().strip() if ready else "hangs"

    def end(self) -> int:
        self.process.kill()
        return self.process.wait(HANGS)


def whole(folder: str) -> bool:
    """Whether the saved run is there with its bits, or not there at all."""
    file = Path(folder) / "run.nc"
    return not file.exists() or of_run(nnqm.load(file)) == of_run(simulated(640))


def interrupts(n: int, names: list[str]) -> tuple[int, list[str]]:
    """Ctrl-C at random moments: work stops, what is left can go on, and the interpreter lives."""
    generator, faults = np.random.default_rng(3), []
    expected = of_run(simulated(LONG_RUN)) if "simulate" in names else ""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        try:
            for _ in range(n):
                for name in names:
                    if not server.start(name):
                        return n * len(names), [*faults, f"{name}: the interpreter is gone"]
                    time.sleep(generator.uniform(0, 0.3))
                    server.process.send_signal(signal.SIGINT)
                    answer = server.line()
                    if answer in ("", "hangs") or (name == "simulate" and answer not in (expected, "stopped")):
                        faults.append(f"{name}: {answer or 'the interpreter ended'}")
                    if name == "save" and (not whole(folder) or len(os.listdir(folder)) > 1):
                        faults.append(f"save: {os.listdir(folder)}, whole: {whole(folder)}")
        finally:
            server.end()
    return n * len(names), faults


def terminations(n: int, names: list[str]) -> tuple[int, list[str]]:
    """SIGTERM at random moments: the process ends by the signal, and files are whole or absent."""
    generator, faults = np.random.default_rng(4), []
    for _ in range(n):
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                server = Server(folder)
                try:
                    if not server.start(name):
                        faults.append(f"{name}: no start")
                    time.sleep(generator.uniform(0, 0.3))
                    server.process.terminate()
                    code = server.process.wait(HANGS)
                    faults += [] if code == -signal.SIGTERM else [f"{name}: exit code {code}"]
                except subprocess.TimeoutExpired:
                    faults.append(f"{name}: hangs")
                finally:
                    server.end()
                faults += [] if whole(folder) else [f"{name}: half a file"]
    return n * len(names), faults


# ---- disks, folders and streams


def refused(write: Callable[[], Any]) -> str:
    try:
        write()
    except InputError:
        return "refused"
    return "written"


def within(size: int, write: Callable[[], Any]) -> str:
    """Whether a child that may write files of some bytes only is refused."""

    def work() -> str:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return refused(write)

    return in_child(work)


def full_disk(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Name, expected and found outcome of writing a run beyond the space that is left."""
    run, file = simulated(640), folder / "run.nc"
    nnqm.save(run, file)
    size = file.stat().st_size
    for k in (0, 1, 4096, size // 2, size - 1):
        yield f"save with room for {k} bytes", "refused", within(k, lambda: nnqm.save(run, file))
    yield "the old file", "True", str(of_run(nnqm.load(file)) == of_run(run))
    yield "files beside it", "[]", str([p.name for p in folder.iterdir() if p != file])
    if Path("/dev/full").exists():
        yield "save to /dev/full", "refused", in_child(lambda: refused(lambda: nnqm.save(run, "/dev/full")))


def full_disk_for_figures(folder: Path) -> Iterator[tuple[str, str, str]]:
    """The same for figures."""
    from nnqm.plot import save_overview

    run = simulated(640)
    report = nnqm.analyse(run, positivity=False)
    for ending in ("png", "pdf", "svg"):
        file = folder / f"figure.{ending}"
        save_overview(run, report, file)
        before = file.read_bytes()
        yield f"figure as {ending}", "refused", within(4096, lambda f=file: save_overview(run, report, f))
        yield f"the old figure as {ending}", "True", str(file.read_bytes() == before)
    yield "files beside them", "3", str(len(os.listdir(folder)))


def folders(folder: Path) -> Iterator[tuple[str, str, str]]:
    """The same for folders that are read-only, gone, or left."""
    run = simulated(640)

    def read_only() -> str:
        place = folder / "locked"
        place.mkdir()
        place.chmod(0o555)
        folder.chmod(0o755)
        if os.geteuid() == 0:  # root may write everywhere
            os.seteuid(65534)
        answer = refused(lambda: nnqm.save(run, place / "run.nc"))
        return f"{answer} {os.listdir(place)}"

    def gone() -> str:
        place = folder / "gone"
        place.mkdir()
        os.chdir(place)
        place.rmdir()
        again = of_run(simulated(640)) == of_run(run) and str(nnqm.analyse(run, positivity=False)) != ""
        nnqm.save(run, folder / "absolute.nc")
        return f"{again} {refused(lambda: nnqm.save(run, 'relative.nc'))}"

    def left() -> str:
        os.chdir(folder)
        nnqm.save(run, "relative.nc")
        held = nnqm.load("relative.nc")
        os.chdir("/")
        return str(of_run(held) == of_run(run) and of_run(nnqm.load(folder / "relative.nc")) == of_run(run))

    yield "save in a read-only folder", "refused []", in_child(read_only)
    yield "a working folder that is gone", "True refused", in_child(gone)
    yield "a relative path after chdir", "True", in_child(left)


def streams(folder: Path) -> Iterator[tuple[str, str, str]]:
    """The command line without streams, or with streams that cannot be written."""
    for name, redirection in (("closed", ">&- 2>&-"), ("full", ">/dev/full 2>/dev/full")):
        file = folder / f"{name}.nc"
        options = f"--paths 6400 --times 32 --dt 0.1 --seed 1 -o {file}"
        program = "import sys; from nnqm.cli import main; sys.argv[0] = 'nnqm'; main()"
        command = f'exec {sys.executable} -c "{program}" run oscillator {options} {redirection} <&-'
        done = subprocess.run(["sh", "-c", command], timeout=HANGS, check=False)
        held = "a whole file" if file.exists() and nnqm.load(file).block_paths.sum() == 6400 else "no file"
        yield f"nnqm run with {name} streams ends with {done.returncode}", "a whole file", held


def places(kinds: list[Callable[[Path], Iterator[tuple[str, str, str]]]]) -> tuple[int, list[str]]:
    cases, faults = 0, []
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            for name, expected, found in kind(Path(folder)):
                cases += 1
                faults += [] if found == expected else [f"{name}: {found}, not {expected}"]
    return cases, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--serve", metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return 0
    toy, jobs, long = arguments.toy, list(JOBS), list(LONG)
    checks: list[tuple[str, Callable[[], tuple[int, list[str]]]]] = [
        ("16 threads", lambda: threads(1, jobs[:3]) if toy else threads(3, jobs)),
        ("forked children", lambda: forks(1 if toy else 10)),
        ("pools of processes", lambda: pools(["fork"] if toy else ["fork", "spawn", "forkserver"])),
        ("Ctrl-C", lambda: interrupts(1, ["simulate", "save"]) if toy else interrupts(6, long)),
        ("SIGTERM", lambda: terminations(1, ["save"]) if toy else terminations(6, long)),
        ("full disk", lambda: places([full_disk] if toy else [full_disk, full_disk_for_figures])),
        ("folders", lambda: places([folders])),
        ("streams", lambda: (0, []) if toy else places([streams])),
    ]
    print(f"nnqm {nnqm.__version__}, {nnqm.build_info()['level']}, {os.cpu_count()} cores")
    print("check                   cases  faults  seconds")
    faulty = False
    for name, check in checks:
        start = time.perf_counter()
        cases, faults = check()
        print(f"{name:22s}  {cases:5d}  {len(faults):6d}  {time.perf_counter() - start:7.1f}", flush=True)
        for fault in faults[:5]:
            print(f"    {fault}", flush=True)
        faulty = faulty or bool(faults)
    return int(faulty)


if __name__ == "__main__":
    sys.exit(main())
