"""Saving and loading of runs as NetCDF files, bit for bit."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from .._arguments import integer
from ..errors import InputError
from ..sampling.correlators import Correlators
from ..sampling.observables import Observables
from ..theories.theory import Theory
from .writing import check_writable, replacing

__all__ = ["load", "save"]

_FORMAT = 1


def save(run: Correlators, path: str | os.PathLike[str]) -> Path:
    """Save a run as a NetCDF file.

    An existing file is replaced only after the new file is complete. ``load`` returns the same run bit for bit; other
    programs can read the file with ``xarray.open_dataset``.

    Parameters
    ----------
    run : Correlators
    path : path-like
        Name of the file, usually with the suffix .nc.

    Returns
    -------
    Path
        The path of the file.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    import xarray

    target = check_writable(path)
    feature, linear = list(run.observables.labels), list(run.observables.labels[: 1 + len(run.channels)])
    axes = {
        "lags": ("block", "lag", "part", "linear_a", "linear_b"),
        "observable_lags": ("block", "observable_lag", "part", "observable_a", "observable_b"),
        "increments": ("block", "channel", "increment_lag", "power"),
        "moments": ("block", "channel", "moment"),
        "time_sums": ("block", "time"),
        "two_time": ("block", "time_pair"),
        "paths": ("block",),
        "first_bad": ("block",),
    }
    coords: dict[str, Any] = {
        "time": run.times,
        "lag": list(run.lags),
        "observable_lag": list(run.observable_lags),
        "increment_lag": list(run.increment_lags),
        "channel": list(run.channels),
        "linear_a": linear,
        "linear_b": linear,
        "observable_a": feature,
        "observable_b": feature,
    }
    used = {axis for name in run.sums for axis in axes[name]} | {"time"}
    dataset = xarray.Dataset(
        {f"sum_{name}": (axes[name], array) for name, array in run.sums.items()},
        coords={k: (k, v) for k, v in coords.items() if k in used},
        attrs={"nnqm_format": _FORMAT, "nnqm": json.dumps(run._metadata())},
    )
    with replacing(target) as name:
        dataset.to_netcdf(name, engine="h5netcdf")
    return target


def load(path: str | os.PathLike[str]) -> Correlators:
    """Load a run from a file written by ``save``.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Correlators
        Equal to the saved run, bit for bit.

    Raises
    ------
    InputError
        If the file does not exist, was not written by ``save``, or has a newer format.
    """
    import xarray

    try:
        dataset = xarray.load_dataset(path, engine="h5netcdf", decode_times=False)
    except FileNotFoundError:
        raise InputError(f"file {path} does not exist; give the path of a saved run") from None
    except OSError as error:
        raise InputError(f"file {path} cannot be read as NetCDF ({error}); give a file written by nnqm.save") from None
    if "nnqm" not in dataset.attrs:
        raise InputError(f"file {path} is not a saved run: the attribute nnqm is missing; use nnqm.save")
    if integer("nnqm_format", int(dataset.attrs["nnqm_format"]), 1) > _FORMAT:
        raise InputError(f"file {path} has a newer format than {_FORMAT}, the newest that can be read; upgrade nnqm")
    data = json.loads(dataset.attrs["nnqm"])
    data["theory"] = None if data["theory"] is None else Theory.from_dict(data["theory"])
    data["observables"] = Observables.from_dict(data["observables"])
    for name in ("keys", "lags", "observable_lags", "increment_lags", "notes"):
        data[name] = tuple(data[name])
    sums = {
        str(name).removeprefix("sum_"): np.ascontiguousarray(variable.values)
        for name, variable in dataset.data_vars.items()
    }
    return Correlators(times=dataset["time"].values, sums=sums, **data)
