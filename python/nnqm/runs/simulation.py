"""The fused route from a theory to block sums: paths are sampled, mapped and summed tile by tile, and never stored."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats, Rng, choice, integer, positive, random_key
from ..errors import InputError, InputTypeError
from ..progress import Progress, ProgressBar
from ..sampling.correlators import Correlators, same_draws
from ..sampling.measure import Measure, measure_or_default, resolve
from ..sampling.observables import default_observables
from ..sampling.run_settings import (
    TILE,
    RunSettings,
    WorkSettings,
    build_facts,
    check_scale,
    choose_blocks,
    empty_sums,
    need_known,
    time_grid,
)
from ..sampling.stable_training import need_stable_training
from ..theories.network import use_table
from ..theories.networks import RandomNetwork
from ..theories.theory import Theory
from .checkpoints import Checkpoint, keeping
from .slices import in_process, paths_wanted

if TYPE_CHECKING:
    from .engines import Engine

__all__ = ["Interrupted", "extend", "simulate"]


class Work:
    """How a run is advanced, which does not change its bits; its workers are there inside a with statement."""

    def __init__(self, name: str, settings: WorkSettings, checkpoint: Checkpoint | None) -> None:
        self.n_threads = integer("n_threads", settings.get("n_threads", 0), 0, 4096)
        self._bar = ProgressBar(name, "paths/s", settings.get("progress"))
        self.progress: Progress
        self.checkpoint = checkpoint
        self._executor = settings.get("executor")
        self._engine: Engine | None = None
        if self._executor is not None:
            from .crew import need_workers

            need_workers(self._executor)

    def __enter__(self) -> Work:
        if self._executor is not None:
            # Executors take time to import, and few runs need them.
            from .engines import Engine

            self._engine = Engine(self._executor, self.n_threads)
        self.progress = self._bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(*error)
        if self._engine is not None:
            self._engine.stop()

    def slices(self, run: Correlators, sums: dict[str, NDArray[Any]]) -> Generator[None, None, None]:
        """The slices that bring the sums of the blocks held to run.n_paths."""
        return in_process(run, sums, self.n_threads) if self._engine is None else self._engine.advance(run, sums)


class Interrupted(KeyboardInterrupt):
    """Work stopped by Ctrl-C; ``partial`` holds what was completed, or None if nothing was.

    For a run ``extend(stopped.partial, n_paths)`` goes on from there and gives the bits of a run that was never
    stopped.
    """

    def __init__(self, partial: Any, held: str = "what was completed") -> None:
        super().__init__(f"interrupted; the partial result holds {held}")
        self.partial = partial


def simulate(
    theory: Theory,
    n_paths: int,
    n_times: int | None = None,
    dt: float | None = None,
    *,
    times: ArrayLike | None = None,
    rng: Rng = None,
    measure: Measure | None = None,
    **settings: Unpack[RunSettings],
) -> Correlators:
    """Sample a theory and add up what its physics follows from; paths are never stored.

    The same key gives the same bits for any number of threads and however the run was cut into calls.

    Parameters
    ----------
    theory : Theory
        Seed processes and a network.
    n_paths : int
        Independent paths, each started from the stationary density.
    n_times, dt : int, float
        A uniform grid 0, dt, 2 dt, ...; dt in units of time. Paths that close after a period take all of it, so that
        dt may be left out; where the input is the reflected time, the grid is centred on 0.
    times : array_like, optional
        A strictly increasing grid instead, shape (n_times,); only two_time is defined on one that is not uniform.
    rng : int, SeedSequence, Generator or None
        By NumPy's conventions; None draws fresh entropy. The key is recorded.
    measure : Measure, optional
        Observables and lags of the sums; all defaults if there is none.
    **settings : RunSettings
        precision : {"float32", "float64"}, of paths and networks, float32 by default; sums are float64 either way.

        compiled : bool. A fixed network of one input is a function of one variable. By default it is evaluated by a
        table of polynomials wherever that differs from the network by less than 1e-7 (float32) or 1e-13 (float64) of
        its outputs, for which it is verified first: the cost no longer depends on width and depth. False evaluates
        every layer; True raises where there is no table. The result's ``compiled`` tells which it was: the bits of
        paths depend on it.

        n_threads : int; 0, the default, uses as many as the OpenMP environment offers.

        n_blocks : int, independent blocks for the errors; 128 by default, or the number of tiles of 64 paths if that
        is smaller.

        blocks : range. Compute only these blocks of the run; ``merge`` puts the parts of several workers together.

        until : (function, float). Stop once ``function(run).error`` (largest entry) is at most the number; tested
        whenever the number of paths has doubled, so that the outcome does not depend on speed. ``n_paths`` is the
        limit.

        progress : callable, called with (paths done, paths wanted) about five times a second. By default a bar appears
        after one second in terminals and notebooks, and vanishes at the end; True shows it at once, and writes lines
        into logs; False shows nothing.

        executor : concurrent.futures.Executor, or a function that makes one. Its workers do the work in tasks of about
        a second: processes or threads of the standard library, ``client.get_executor()`` of Dask, ``MPIPoolExecutor``
        of mpi4py. The bits are the same. A task whose worker is lost is done again; a function makes a new executor if
        one breaks; otherwise this process does the rest, with a ``RuntimeWarning``.

        checkpoint : path-like. A file that keeps the sums, written at most every minute, when a signal stops the run,
        and at the end, as ``save`` writes it. The same call goes on from it after a crash and gives the bits of a run
        that was never stopped; a larger ``n_paths`` extends it, and None for ``rng`` takes its key. One process at a
        time can write it. SIGTERM, SIGHUP and SIGXCPU wait for the end of the slice (0.2 s) and the writing, and then
        take their course: without a handler of the program they end the process. A file that cannot be written
        gives a RuntimeWarning, and the run goes on.

    Returns
    -------
    Correlators

    Raises
    ------
    InputError, InputTypeError
        Before any work starts if an argument is not valid; afterwards if a path is not finite, or if a worker has
        another version or instruction set.
    Interrupted
        On Ctrl-C, with the completed part in its ``partial``.
    """
    need_known(simulate, settings, RunSettings, Measure)
    until = settings.get("until")
    if not (until is None or (isinstance(until, tuple) and len(until) == 2 and callable(until[0]))):
        raise InputTypeError(f"until must be a pair (function of a run, wanted error); got {until!r}")
    wanted = 0.0 if until is None else positive("until[1]", until[1])
    if not isinstance(theory, Theory):
        raise InputTypeError(f"theory must be a Theory; got {theory!r}; load_theory_file and builtin_theory make one")
    grid = time_grid(n_times, dt, times, theory)
    with keeping(settings.get("checkpoint")) as kept, Work("simulate", settings, kept) as work:
        found = None if kept is None else kept.load()
        key = found.keys[0] if found is not None and rng is None else random_key(rng)
        run, held = planned(theory, n_paths, grid, key, measure, settings)
        limit, target = run.n_paths, run.n_paths
        if until is not None:
            target = min(limit, run.n_blocks * max(TILE, theory.group) * 2)
        if kept is not None and found is not None:
            run = kept.going_on(found, run, held)
            while target < run.n_paths:
                target = min(limit, 2 * target)
        else:
            run = replace(run, sums=empty_sums(run, len(held)))
        while True:
            run = _advance(replace(run, n_paths=target), limit, work)
            if until is None or target == limit or float(np.max(until[0](run).error)) <= wanted:
                break
            target = min(limit, 2 * target)
        if kept is not None:
            kept.write(run)
    return run


def planned(
    theory: Theory, n_paths: int, grid: Floats, key: int, measure: Measure | None, settings: RunSettings
) -> tuple[Correlators, range]:
    """A run before it has sums, and the blocks of it that are asked for."""
    precision, blocks = settings.get("precision", "float32"), settings.get("blocks")
    asked = measure_or_default(measure)
    paths = integer("n_paths", n_paths, 1, 2**53 // len(grid))
    if paths % theory.group:
        raise InputError(
            f"n_paths must be a multiple of the {theory.group} paths that share their weights; got {paths}; "
            f"use {-(-paths // theory.group) * theory.group}"
        )
    need_moments(theory)
    unit = max(TILE, theory.group)
    choice("precision", precision, ("float32", "float64"))
    tabulated = use_table(theory.network, precision, settings.get("compiled"))
    total = choose_blocks(settings.get("n_blocks"), -(-paths // unit), f"tiles of {unit} paths")
    held = range(total) if blocks is None else blocks
    if not isinstance(held, range):
        raise InputTypeError(f"blocks must be a range such as range(0, 64); got {held!r}")
    if held.step != 1 or not 0 <= held.start < held.stop <= total:
        raise InputError(f"blocks must be a range within 0..{total}; got {held}")
    # The first networks are trained before any path is summed, so that a wrong rate is found at once.
    need_stable_training(theory.network, key, precision, range(min(paths, unit)))
    chosen = default_observables(theory) if asked.observables is None else asked.observables
    if max(chosen.columns) >= len(theory.channels):
        raise InputError(
            f"observables measure channel {max(chosen.columns)}, but the theory has {len(theory.channels)}; "
            "make them with default_observables(theory)"
        )
    run = Correlators(
        theory=theory,
        times=grid,
        n_paths=paths,
        n_blocks=total,
        first_block=held.start,
        keys=(key,),
        precision=precision,
        hbar=theory.hbar,
        mass=theory.mass,
        group=theory.group,
        compiled=tabulated,
        **resolve(asked, chosen, grid, theory),
        **build_facts(),
    )
    check_scale(run)
    return run, held


def extend(
    run: Correlators,
    n_paths: int,
    **settings: Unpack[WorkSettings],
) -> Correlators:
    """Continue a run to more paths, or finish one that was interrupted.

    The result has the bits of one run of ``n_paths`` with the same number of blocks.

    Parameters
    ----------
    run : Correlators
        From ``simulate`` (one seed).
    n_paths : int
        Paths wanted in total, at least ``run.n_paths``.
    **settings : WorkSettings
        n_threads, progress, executor, checkpoint as for ``simulate``; if the file of the checkpoint holds more paths of
        the run, it goes on from them.

    Returns
    -------
    Correlators

    Raises
    ------
    InputError
        If the run cannot be continued: merged seeds, paths from elsewhere, another instruction set or version of
        the random-number map; if the checkpoint is of another run, or another process writes it.
    Interrupted
        On Ctrl-C, with the completed part in its ``partial``.
    """
    need_known(extend, settings, WorkSettings)
    if run.theory is None or len(run.keys) != 1:
        raise InputError("only a run of one seed can be extended; merge it with a run of another rng instead")
    if not same_draws(run):
        raise InputError(
            f"the run was made with version {run.random_map_version} of the random-number map, this nnqm has "
            f"{_core.random_map_version}; merge it with a run of another rng instead"
        )
    if run.level != build_facts()["level"]:
        raise InputError(
            f"the run was made at instruction-set level {run.level}, this process uses {build_facts()['level']}; "
            f"set NNQM_LEVEL={run.level} for the same bits"
        )
    paths = integer("n_paths", n_paths, max(1, run.n_paths), 2**53 // run.n_times)
    if paths % run.group:
        raise InputError(f"n_paths must be a multiple of the {run.group} paths that share their weights; got {paths}")
    if run.compiled and not use_table(run.theory.network, run.precision, None):
        raise InputError("the run was made with a table of its network, and this nnqm has none for it; make a new run")
    with keeping(settings.get("checkpoint")) as kept, Work("extend", settings, kept) as work:
        found = None if kept is None else kept.load()
        run = replace(run, n_paths=paths)
        if kept is not None and found is not None:
            found = kept.going_on(found, run)
            if found.block_paths.sum() > run.block_paths.sum():
                run = replace(found, n_paths=paths)
        run = _advance(run, paths, work)
        if kept is not None:
            kept.write(run)
    return run


def need_moments(theory: Theory) -> None:
    """Raise if random weights lack moments of the two-point function or of its error."""
    if isinstance(theory.network, RandomNetwork):
        theory.network.need_moment(2, "the two-point function")
        theory.network.need_moment(4, "the error of the two-point function")


def _advance(run: Correlators, limit: int, work: Work) -> Correlators:
    """Bring every block held to run.n_paths; of ``limit`` paths progress is told."""
    # The sums of a new run are not shared yet.
    sums = {name: array.copy() for name, array in run.sums.items()} if run.sums["paths"].any() else run.sums
    before = int(sums["paths"].sum())
    index = run.first_block + np.arange(len(sums["paths"]))
    wanted = int(paths_wanted(replace(run, n_paths=limit), index).sum())
    kept = work.checkpoint
    slices = work.slices(run, sums)
    try:
        with nullcontext() if kept is None else kept.slices():
            for _ in slices:
                _check_finite(run, sums)
                work.progress(int(sums["paths"].sum()), wanted)
                if kept is not None:
                    kept.after_slice(replace(run, sums=sums))
    except KeyboardInterrupt:
        if kept is not None and kept.hurried:
            raise
        held = int(sums["paths"].sum())
        partial = replace(run, sums=sums) if held or before else None
        if kept is not None and partial is not None:
            kept.write(partial)
        raise Interrupted(partial, f"{held} paths") from None
    finally:
        slices.close()
    return replace(run, sums=sums)


def _check_finite(run: Correlators, sums: dict[str, NDArray[Any]]) -> None:
    bad = sums["first_bad"][sums["first_bad"] >= 0]
    if bad.size:
        network = None if run.theory is None else run.theory.network
        need_stable_training(network, run.keys[0], run.precision, range(int(bad.min()), int(bad.min()) + 1))
        linear = run.theory is None or run.theory.network is None
        what, smaller = ("the process", "sigma") if linear else ("the network", "weights")
        raise InputError(
            f"{what} overflows: path {bad.min()} has a value that is not finite in {run.precision}; "
            f"use precision='float64' or smaller {smaller}"
        )
