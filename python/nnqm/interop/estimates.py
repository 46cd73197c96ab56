"""Estimates to and from the objects of gvar, pyerrors and uncertainties."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats
from .._memory import need_memory
from ..errors import InputError
from ..learning.frameworks import imported
from ..spectra.correlator_input import entries_of, read_values
from ..statistics.estimate import Estimate
from .packing import Estimates, Systematic, components, packed, unpacked
from .resampling import equal_jackknife

__all__ = ["from_gvar", "from_pyerrors", "from_uncertainties", "to_gvar", "to_pyerrors", "to_uncertainties"]

# Name of systematic components in packages that have names for them.
_SYSTEMATIC = "systematic"


def to_gvar(estimates: Estimates, *, systematic: Systematic = "refuse") -> Any:
    """Estimates as objects of gvar that keep their covariance.

    Parameters
    ----------
    estimates : Estimate, or sequence or mapping of Estimate
        Estimates of the same blocks. Estimates of one run belong in one call: results of two calls are independent.
    systematic : {"refuse", "component", "leave out"}
        Treatment of systematic errors. A component is a further GVar that is added, independent for each entry: its
        correlations are unknown.

    Returns
    -------
    GVar or ndarray of GVar, or list or dict of these
        Shape S for each estimate. Errors are statistical, unless a component is added.

    Raises
    ------
    ImportError
        If gvar is not installed.
    InputError, InputTypeError
        If estimates come from different blocks, are not finite or have systematic errors.

    Notes
    -----
    The covariance of K entries from B blocks is noisy for K above B/10 and has no inverse for K >= B. A fit then needs
    a cut on its eigenvalues (``svdcut`` of lsqfit), or fewer entries.

    Examples
    --------
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 8192, 16, 0.2, rng=1)
    >>> mean, correlator = to_gvar([run.mean(), run.connected()])
    >>> correlator.shape
    (9,)
    """
    gvar = imported("gvar", "pip install gvar")
    vector, spread = packed(estimates)
    own = components(vector, systematic)
    objects = _objects(gvar.gvar(vector.value, _covariance(vector)))
    extra = np.flatnonzero(own)
    if extra.size:
        objects[extra] += gvar.gvar(np.zeros(extra.size), own[extra])
    return spread(objects)


def from_gvar(values: Any) -> Any:
    """Estimates of objects of gvar, with their covariance.

    Parameters
    ----------
    values : GVar, array_like of GVar, or mapping of these
        A ``BufferDict`` is a mapping.

    Returns
    -------
    Estimate, or dict of Estimate
        It has the shape of the values. Its statistical covariance is that of gvar. The blocks are artificial (256
        or more small displacements along the eigenvectors of the covariance): functions of the estimates are propagated
        to first order, and ``consistency`` takes the covariance as known. Estimates of one call are correlated as the
        values are; those of different calls must not be combined.

    Raises
    ------
    InputError, InputTypeError
        If there are other objects among the values, or the covariance has negative eigenvalues.

    Examples
    --------
    >>> import gvar
    >>> found = from_gvar(gvar.gvar([1.0, 2.0], [[0.01, 0.005], [0.005, 0.01]]))
    >>> print(found[1] - found[0])
    1.00(10)
    """
    entries, rebuild = unpacked(values, "gvar")
    return rebuild(_read(entries))


def to_pyerrors(estimates: Estimates, name: str, *, systematic: Systematic = "refuse") -> Any:
    """Estimates as observables of pyerrors: one ensemble whose configurations are the blocks.

    Parameters
    ----------
    estimates : Estimate, or sequence or mapping of Estimate
        Estimates of the same blocks.
    name : str
        Name of the ensemble: the same for all estimates of one run, whose correlation is kept then even between calls,
        and another one for each independent run.
    systematic : {"refuse", "component", "leave out"}
        Treatment of systematic errors. A component is a ``cov_Obs`` with a name of its own for each entry ("NAME
        systematic" and a number that counts the entries of the call): its correlations are unknown. ``from_pyerrors``
        knows it by this name.

    Returns
    -------
    Obs or ndarray of Obs, or list or dict of these
        Shape S for each estimate, analysed with ``gamma_method(S=0)``. ``pyerrors.Obs.S_dict[name]`` is set to 0, so
        that ``gamma_method()`` of functions of them does the same.

    Raises
    ------
    ImportError
        If pyerrors is not installed.
    InputError, InputTypeError
        If estimates come from different blocks, are not finite or have systematic errors, or the name is empty.

    Notes
    -----
    The blocks are independent: autocorrelation was taken into account by their length. ``gamma_method(S=0)`` gives the
    error of nnqm. With S=2, the default of pyerrors for other ensembles, an error has the noise of an autocorrelation
    time that is estimated from the blocks. Functions are propagated to first order.

    Examples
    --------
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 8192, 16, 0.2, rng=1)
    >>> obs = to_pyerrors(run.kurtosis(), "oscillator")  # doctest: +SKIP
    """
    pyerrors = imported("pyerrors", "pip install pyerrors")
    if not isinstance(name, str) or not name or "|" in name:
        raise InputError(f"name must be a text without '|', the name of the ensemble; got {name!r}")
    vector, spread = packed(estimates)
    own = components(vector, systematic)
    n = vector.n_blocks
    need_memory(8.0 * n * n, "the matrix by which pyerrors reads jackknife samples", "use fewer blocks")
    jackknife = np.concatenate([vector.value[None], equal_jackknife(vector)])
    objects = _objects([pyerrors.import_jackknife(column, name) for column in jackknife.T])
    for i in np.flatnonzero(own):
        objects[i] = objects[i] + pyerrors.cov_Obs(0.0, own[i] ** 2, f"{name} {_SYSTEMATIC} {i}")
    pyerrors.Obs.S_dict[name] = 0.0
    for observable in objects:
        observable.gamma_method(S=0)
    return spread(objects)


def from_pyerrors(values: Any) -> Any:
    """Estimates of observables of pyerrors, with their covariance.

    Parameters
    ----------
    values : Obs, array_like of Obs, mapping of these, or Corr
        The times of a ``Corr`` without a value are left out. Observables that were analysed keep their errors. Others
        are analysed in a copy with the defaults of pyerrors.

    Returns
    -------
    Estimate, or dict of Estimate
        It has the shape of the values. The covariance is that of ``pyerrors.covariance``: errors contain the
        autocorrelation, correlations are those of the configurations. Components named "... systematic ..." (see
        ``to_pyerrors``) become systematic errors, all others are statistical. The blocks are artificial, as in
        ``from_gvar``.

    Raises
    ------
    InputError, InputTypeError
        If there are other objects among the values, or complex or matrix-valued ones.

    Examples
    --------
    >>> from_pyerrors(corr)  # doctest: +SKIP
    """
    if type(values).__module__.split(".")[0] == "pyerrors" and hasattr(values, "content"):
        values = entries_of(values.content, "values")
    entries, rebuild = unpacked(values, "pyerrors")
    if not any(_SYSTEMATIC in name.split() for entry in entries for name in getattr(entry, "covobs", ())):
        return rebuild(_read(entries))
    return rebuild(_apart(entries))


def _apart(entries: list[Any]) -> Estimate:
    """Observables of pyerrors as an estimate (K,), with the components that are systematic apart from the others."""
    pyerrors = imported("pyerrors", "pip install pyerrors")
    systematic, errors, rest = np.zeros(len(entries)), np.zeros(len(entries)), []
    for i, entry in enumerate(entries):
        analysed = entry if hasattr(entry, "e_dvalue") else copy.deepcopy(entry)
        if analysed is not entry:
            analysed.gamma_method()
        variance, remainder = analysed.dvalue**2, entry
        for name, component in entry.covobs.items():
            if _SYSTEMATIC in name.split():
                own = float((component.grad.T @ component.cov @ component.grad).item())
                variance -= own
                systematic[i] += np.sqrt(own)
                parts = np.ravel(pyerrors.cov_Obs([0.0] * len(component.cov), component.cov, name))
                for derivative, part in zip(np.ravel(component.grad), parts, strict=True):
                    remainder = remainder - float(derivative) * part
        remainder.gamma_method(S=0)
        rest.append(remainder)
        errors[i] = np.sqrt(max(variance, 0.0))
    # The correlation is that of the configurations, and the errors are those of the user's own analysis.
    found = _read(rest)
    scale = np.divide(errors, found.error, out=np.ones(len(errors)), where=found.error > 0)
    return Estimate(found.value, found.value + scale * (found.replicas - found.value), found.weights, systematic)


def to_uncertainties(estimates: Estimates, *, systematic: Systematic = "refuse") -> Any:
    """Estimates as objects of uncertainties that keep their covariance.

    Parameters
    ----------
    estimates : Estimate, or sequence or mapping of Estimate
        Estimates of the same blocks. Estimates of one run belong in one call: results of two calls are independent.
    systematic : {"refuse", "component", "leave out"}
        Treatment of systematic errors. A component is a variable with the tag "systematic" (see
        ``error_components``), independent for each entry: its correlations are unknown.

    Returns
    -------
    UFloat or ndarray of UFloat, or list or dict of these
        Shape S for each estimate. Errors are statistical, unless a component is added.

    Raises
    ------
    ImportError
        If uncertainties is not installed.
    InputError, InputTypeError
        If estimates come from different blocks, are not finite or have systematic errors.

    Examples
    --------
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 8192, 16, 0.2, rng=1)
    >>> print(f"{to_uncertainties(run.kurtosis()):.1uS}")
    0.00(2)
    """
    uncertainties = imported("uncertainties", "pip install uncertainties")
    vector, spread = packed(estimates)
    own = components(vector, systematic)
    objects = _objects(uncertainties.correlated_values(vector.value, _covariance(vector)))
    for i in np.flatnonzero(own):
        objects[i] = objects[i] + uncertainties.ufloat(0.0, own[i], _SYSTEMATIC)
    return spread(objects)


def from_uncertainties(values: Any) -> Any:
    """Estimates of objects of uncertainties, with their covariance.

    Parameters
    ----------
    values : UFloat, array_like of UFloat, or mapping of these

    Returns
    -------
    Estimate, or dict of Estimate
        It has the shape of the values. Variables with the tag "systematic" become systematic errors, all others are
        statistical. The blocks are artificial, as in ``from_gvar``.

    Raises
    ------
    InputError, InputTypeError
        If there are other objects among the values.

    Examples
    --------
    >>> from uncertainties import ufloat
    >>> x = ufloat(2.0, 0.1)
    >>> print(from_uncertainties([x, x - ufloat(1.0, 0.05, "systematic")]))
    [2.00(10), 1.00(10)(5)]
    """
    entries, rebuild = unpacked(values, "uncertainties")
    systematic = np.zeros(len(entries))
    for i, entry in enumerate(entries):
        for variable, derivative in entry.derivatives.items():
            if variable.tag == _SYSTEMATIC:
                systematic[i] += abs(derivative) * variable.std_dev
                entries[i] = entries[i] - derivative * (variable - variable.nominal_value)
    return rebuild(_read(entries).with_systematic(systematic))


def _objects(values: Any) -> NDArray[Any]:
    """Objects as an array (K,), whatever they say of their own length."""
    array = np.empty(len(values), dtype=object)
    array[:] = list(values)
    return array


def _covariance(vector: Estimate) -> Floats:
    deviations = vector.deviations()
    return np.asarray(deviations.T @ deviations)


def _read(entries: list[Any]) -> Estimate:
    """Objects as an estimate (K,)."""
    found = read_values(entries, None, None, name="values")
    values, unit = found.values, found.unit
    return Estimate(values.value * unit, values.replicas * unit, values.weights)
