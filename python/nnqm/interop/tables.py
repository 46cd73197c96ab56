"""Results as datasets of xarray and tables of pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputTypeError
from ..learning.dynamics import TrainingDynamics
from ..learning.frameworks import imported
from ..properties import Properties
from ..report.table import Report, Row
from ..sampling.correlators import Correlators
from ..spectra.decay_levels import DecayLevels
from ..spectra.levels import Level, Spectrum
from ..statistics.estimate import Estimate

if TYPE_CHECKING:
    import xarray

__all__ = ["to_pandas", "to_xarray"]

# Second dimensions of covariance matrices.
_SECOND = ("other_lag", "dim_0_other")
# A variable: dimensions, values, attributes.
_Variable = tuple[Any, ...]
_KINDS = (
    "Estimate, Report, Spectrum, DecayLevels, Correlators, TrainingDynamics, Properties, a sequence of Row or Level, "
    "and datasets of nnqm.scan"
)


def to_xarray(result: Any) -> xarray.Dataset:
    """A result as a dataset of xarray: values, errors and verdicts side by side.

    Parameters
    ----------
    result : object
        Estimate, Report, Spectrum, DecayLevels, Correlators, TrainingDynamics or Properties, or a sequence of rows or
        of levels. A dataset, as ``nnqm.scan`` makes it, is returned as it is.

    Returns
    -------
    xarray.Dataset
        Errors have names that end in ``_error`` (statistical) and ``_systematic``. A number that does not exist is NaN,
        a verdict that does not exist is an empty text.

        - Estimate of shape S: ``value``, ``error`` and ``systematic`` over dimensions dim_0, ...; ``covariance`` over
          dim_0 and dim_0_other, if it has one axis.
        - Report, rows: over ``quantity``: measured, exact, limit (exact for dt -> 0), pull, verdict, caveat, remarks,
          reason, group.
        - Spectrum, DecayLevels, levels: over ``level``, the position in the result: number, gap, weight, multiplicity,
          verdict, until and at_least as in ``Level``. Of DecayLevels also ``alternating``.
        - Correlators: over ``channel`` and ``lag``, a time: two_point and connected, each with its covariance over
          ``lag`` and ``other_lag``; over ``channel``: mean, variance, kurtosis. Of these there are those whose sums the
          run has.
        - TrainingDynamics: as its ``to_xarray``.
        - Properties: over ``property``: verdict and reason.

    Raises
    ------
    InputTypeError
        If the result is of another kind.

    Examples
    --------
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 8192, 16, 0.2, rng=1)
    >>> table = to_xarray(nnqm.analyse(run))
    >>> table.verdict.sel(quantity="variance of x").item()
    'ok'
    >>> to_xarray(run).connected.sel(lag=0.4, method="nearest", channel="x").round(2).item()
    0.33
    """
    import xarray

    if isinstance(result, xarray.Dataset):
        return result
    if isinstance(result, TrainingDynamics):
        return result.to_xarray()
    variables, coords, attributes = _contents(result)
    return xarray.Dataset(variables, coords=coords, attrs=attributes)


def to_pandas(result: Any) -> Any:
    """A result as a table of pandas: values, errors and verdicts in columns.

    Parameters
    ----------
    result : object
        As for ``to_xarray``, a dataset of ``nnqm.scan`` included.

    Returns
    -------
    pandas.DataFrame
        The columns are the variables of ``to_xarray`` and the index its dimensions, except covariance matrices, which
        have dimensions of their own. A quantity that has no levels is repeated at each level of the index.

    Raises
    ------
    ImportError
        If pandas is not installed.
    InputTypeError
        If the result is of another kind.

    Examples
    --------
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 8192, 16, 0.2, rng=1)
    >>> table = to_pandas(nnqm.analyse(run))
    >>> list(table.columns[:4])
    ['measured', 'measured_error', 'measured_systematic', 'exact']
    >>> to_pandas(nnqm.spectrum(run, 2)).verdict.tolist()
    ['resolved', 'resolved']
    """
    imported("pandas", "pip install pandas")
    dataset = to_xarray(result)
    dataset = dataset.drop_dims([name for name in dataset.dims if name in _SECOND])
    if not dataset.dims:
        dataset = dataset.expand_dims("entry")
    return dataset.to_dataframe()


def _contents(result: Any) -> tuple[dict[str, _Variable], dict[str, Any], dict[str, Any]]:
    """Variables, coordinates and attributes."""
    if isinstance(result, Estimate):
        return _of_estimate(result), {}, {}
    if isinstance(result, Report):
        notes = {"title": result.title, "notes": "\n".join(result.notes)}
        return _of_rows(result.rows), {"quantity": [row.quantity for row in result.rows]}, notes
    if isinstance(result, Spectrum):
        return *_of_levels(result.levels), {"advice": str(result.advice or ""), "note": result.note}
    if isinstance(result, DecayLevels):
        variables, coords = _of_levels([*result.levels, *result.alternating])
        alternating = [False] * len(result.levels) + [True] * len(result.alternating)
        return variables | {"alternating": ("level", alternating)}, coords, {}
    if isinstance(result, Correlators):
        return _of_run(result)
    if isinstance(result, Properties):
        variables = {
            "verdict": ("property", [str(row.verdict) for row in result.rows]),
            "reason": ("property", [row.reason for row in result.rows]),
        }
        return variables, {"property": [row.name for row in result.rows]}, {"title": result.title}
    if isinstance(result, list | tuple) and result and all(isinstance(row, Row) for row in result):
        return _of_rows(result), {"quantity": [row.quantity for row in result]}, {}
    if isinstance(result, list | tuple) and result and all(isinstance(level, Level) for level in result):
        return *_of_levels(result), {}
    raise InputTypeError(f"result must be one of {_KINDS}; got {type(result).__name__}")


def _numbers(dimension: str, name: str, estimates: Sequence[Estimate | None]) -> dict[str, _Variable]:
    """Values and errors of scalars, NaN where there is none."""

    def column(part: str) -> list[float]:
        return [np.nan if e is None else float(getattr(e, part)) for e in estimates]

    return {
        name: (dimension, column("value")),
        f"{name}_error": (dimension, column("error")),
        f"{name}_systematic": (dimension, column("systematic")),
    }


def _of_estimate(estimate: Estimate) -> dict[str, _Variable]:
    dims = tuple(f"dim_{i}" for i in range(estimate.ndim))
    found: dict[str, _Variable] = {
        "value": (dims, estimate.value),
        "error": (dims, estimate.error),
        "systematic": (dims, estimate.systematic),
    }
    if estimate.ndim == 1 and estimate.n_blocks > 1:
        found["covariance"] = (("dim_0", "dim_0_other"), _covariance(estimate))
    return found


def _covariance(estimate: Estimate) -> Any:
    deviations = estimate.deviations()
    return deviations.T @ deviations


def _of_rows(rows: Sequence[Row]) -> dict[str, _Variable]:
    def known(number: float | None) -> float:
        return np.nan if number is None else float(number)

    over = "quantity"
    return {
        **_numbers(over, "measured", [row.estimate for row in rows]),
        "exact": (over, [known(row.exact) for row in rows]),
        "exact_error": (over, [row.exact_error for row in rows]),
        "limit": (over, [known(row.limit) for row in rows]),
        "pull": (over, [known(row.pull) for row in rows]),
        "verdict": (over, [str(row.verdict or "") for row in rows]),
        "caveat": (over, [str(row.caveat or "") for row in rows]),
        "remarks": (over, [", ".join(row.remarks) for row in rows]),
        "reason": (over, [row.reason for row in rows]),
        "group": (over, [str(row.group) for row in rows]),
    }


def _of_levels(levels: Sequence[Level]) -> tuple[dict[str, _Variable], dict[str, Any]]:
    variables = {
        "number": ("level", [level.number for level in levels]),
        **_numbers("level", "gap", [level.gap for level in levels]),
        **_numbers("level", "weight", [level.weight for level in levels]),
        "multiplicity": ("level", [level.multiplicity for level in levels]),
        "verdict": ("level", [str(level.verdict) for level in levels]),
        "until": ("level", [level.until for level in levels]),
        "at_least": ("level", [level.at_least for level in levels]),
    }
    return variables, {"level": np.arange(1, len(levels) + 1)}


def _of_run(run: Correlators) -> tuple[dict[str, _Variable], dict[str, Any], dict[str, Any]]:
    """Functions of the lags, or the moments, of all channels."""
    found: dict[str, _Variable] = {}
    coords: dict[str, Any] = {"channel": list(run.channels)}
    attributes = {"n_paths": run.n_paths, "n_blocks": run.n_blocks, "hbar": run.hbar, "mass": run.mass}
    if "lags" in run.sums:
        coords["lag"] = np.array(run.lags) * run.dt
        kinds = {"two_point": run.two_point}
        # Without groups there is no connected function of random weights.
        if run.group > 1 or run.theory is None or not run.theory.sectors:
            kinds["connected"] = run.connected
        for name, function in kinds.items():
            estimates = [function(channel) for channel in run.channels]
            found[name] = (("channel", "lag"), np.stack([e.value for e in estimates]))
            found[f"{name}_error"] = (("channel", "lag"), np.stack([e.error for e in estimates]))
            matrices = np.stack([_covariance(e) for e in estimates])
            found[f"{name}_covariance"] = (("channel", "lag", "other_lag"), matrices)
        coords["other_lag"] = coords["lag"]
    if "moments" in run.sums:
        moments = {
            "mean": [run.mean(channel) for channel in run.channels],
            "variance": [run.moments(channel)[0] for channel in run.channels],
            "kurtosis": [run.kurtosis(channel) for channel in run.channels],
        }
        for name, scalars in moments.items():
            found[name] = ("channel", [float(e.value) for e in scalars])
            found[f"{name}_error"] = ("channel", [float(e.error) for e in scalars])
    return found, coords, attributes
