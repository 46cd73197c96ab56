"""Settings and provenance of a run, as plain data and as the command that gives its bits again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .. import _core
from .._arguments import random_key
from ..errors import InputError
from ..files.theory_file import load_theory_file
from ..runs.checkpoints import differences
from ..runs.simulation import planned
from ..sampling.correlators import Correlators
from ..sampling.run_settings import RunSettings, time_grid
from ..statistics.plain import plain
from ..theories.builtin import BUILTIN_THEORIES
from ..theories.theory import Theory

__all__: list[str] = []

# Seeds among which that of a key is looked for: the small numbers that people choose.
_SEEDS = 1000


def settings_of(run: Correlators) -> dict[str, Any]:
    """What a run was made of and with, as plain data. Keys of random numbers are texts: they have up to 64 bits.

    Examples
    --------
    >>> settings_of(nnqm.simulate(nnqm.harmonic_oscillator(), 256, 4, 0.2, rng=1))["keys"]
    ['7434755675892716031']
    """
    found: dict[str, Any] = plain(
        {
            "theory": None if run.theory is None else summary(run.theory),
            "channels": run.channels,
            "hbar": run.hbar,
            "mass": run.mass,
            "n_paths": int(run.block_paths.sum()),
            "n_paths_wanted": run.n_paths,
            "n_times": run.n_times,
            "first_time": run.times[0],
            "dt": run.dt if run.uniform else None,
            "period": run.period,
            "precision": run.precision,
            "n_blocks": len(run.block_paths),
            "n_blocks_wanted": run.n_blocks,
            "first_block": run.first_block,
            "group": run.group,
            "compiled": run.compiled,
            "keys": [str(key) for key in run.keys],
            "replicas": [name for name, _ in run.replicas],
            "version": run.version,
            "instruction_set": run.level,
            "random_map_version": run.random_map_version,
        }
    )
    return found


def summary(theory: Theory) -> str:
    """A theory on one line.

    Examples
    --------
    >>> summary(nnqm.builtin_theory("deep-tanh"))
    'OrnsteinUhlenbeck(omega=(1.0,), sigma=(1.0,)) -> Network(1-4-3-1, tanh)'
    """
    sources = " + ".join(repr(source) for source in theory.sources)
    return sources if theory.network is None else f"{sources} -> {theory.network!r}"


def builtin_name(theory: Theory | None) -> str | None:
    """The name of a built-in theory that is this one."""
    if theory is None:
        return None
    return next((name for name, make in BUILTIN_THEORIES.items() if make() == theory), None)


def seed_of(key: int) -> int | None:
    """The seed of a key, if it is a small number."""
    return next((seed for seed in range(_SEEDS) if random_key(seed) == key), None)


def command_of(run: Correlators) -> str | None:
    """The command that gives the bits of a run again; None if no command does.

    One does for a built-in theory, a small seed and the default sums. The instruction set is named where this machine
    would choose another one.
    """
    name = builtin_name(run.theory)
    seed = seed_of(run.keys[0]) if len(run.keys) == 1 else None
    if name is None or run.theory is None or seed is None or run.n_times < 2:
        return None
    defaults = load_theory_file(name).run
    dt = float(run.times[1] - run.times[0])
    settings: RunSettings = {"precision": run.precision, "n_blocks": run.n_blocks}
    options = {"--paths": str(run.n_paths), "--times": str(run.n_times), "--dt": repr(dt), "--seed": str(seed)}
    if run.precision != defaults["precision"]:
        options["--precision"] = run.precision
    if len(run.block_paths) < run.n_blocks:
        end = run.first_block + len(run.block_paths)
        settings["blocks"] = range(run.first_block, end)
        options["--blocks"] = f"{run.first_block}:{end}"
    try:
        grid = time_grid(run.n_times, dt, None, run.theory)
        asked, held = planned(run.theory, run.n_paths, grid, run.keys[0], None, settings)
        if differences(run, replace(asked, level=run.level), held):
            return None
        usual, _ = planned(run.theory, run.n_paths, grid, run.keys[0], None, {"precision": run.precision})
    except InputError:
        return None
    if usual.n_blocks != run.n_blocks:
        options["--n-blocks"] = str(run.n_blocks)
    level = "" if run.level == _core.build_info()["level"] else f"NNQM_LEVEL={run.level} "
    return f"{level}nnqm run {name} " + " ".join(f"{option} {value}" for option, value in options.items())
