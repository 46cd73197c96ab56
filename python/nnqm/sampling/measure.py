"""The sums of a run: which observables, at which lags."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arguments import Floats, integer, lag_list
from ..errors import InputError, InputTypeError
from ..theories.network import is_bounded
from ..theories.theory import Theory
from .correlators import is_uniform
from .observables import Observables

__all__ = ["Measure"]

# The lists of lags and the smallest lag of each.
_SMALLEST = {"lags": 0, "observable_lags": 0, "increment_lags": 1}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Sums that ``simulate``, ``accumulate`` and ``simulate_functions`` make; None stands for the default.

    All sums but the two-time function are averages over time and need a stationary theory and a uniform grid: where one
    of these is missing, their default is none. Lags are in steps of the grid; they are stored sorted.

    Parameters
    ----------
    observables : Observables, optional
        Default: ``default_observables(theory)``; of given paths those standardised by the theory, or by the mean and
        the standard deviation of the paths (of the first chunk). Runs merge if they have the same.
    lags : iterable of int, optional
        Lags of the two-point functions of all channels; by default 0 and about 24 log-spaced ones up to half the paths.
    observable_lags : iterable of int, optional
        Lags of the correlator matrix of all observables; 1, 2, 3 by default (none for closed paths), () for none.
    increment_lags : iterable of int, optional
        Lags of the squared increments, at least 1; by default 1 to 12 and some up to a quarter of the paths.
    two_time : bool, int or str, default False
        Also sum x(t) x(s) for all pairs of times: of the first channel, or of the channel with this position or name.
        Always done for a theory that is not stationary.

    Raises
    ------
    InputError
        If a lag is too small, or given twice.
    InputTypeError
        If an argument has another type.

    See Also
    --------
    nnqm.results.Correlators : holds the sums, and the lags and observables that were used.

    Examples
    --------
    >>> measure = nnqm.Measure(lags=range(4), observable_lags=())
    >>> measure.lags
    (0, 1, 2, 3)
    >>> nnqm.simulate(nnqm.harmonic_oscillator(), 1000, 16, 0.2, rng=1, measure=measure).increment_lags
    (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
    """

    observables: Observables | None = None
    lags: Iterable[int] | None = None
    observable_lags: Iterable[int] | None = None
    increment_lags: Iterable[int] | None = None
    two_time: bool | int | str = False

    def __post_init__(self) -> None:
        if self.observables is not None and not isinstance(self.observables, Observables):
            raise InputTypeError(
                f"observables must be Observables; got {self.observables!r}; default_observables makes them"
            )
        for name, smallest in _SMALLEST.items():
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, lag_list(name, given, smallest))
        if not isinstance(self.two_time, (bool, str)):
            object.__setattr__(self, "two_time", integer("two_time", self.two_time, 0))


def measure_or_default(measure: Measure | None) -> Measure:
    """The measure given, checked, or the one with all defaults."""
    if measure is not None and not isinstance(measure, Measure):
        raise InputTypeError(f"measure must be a Measure; got {measure!r}; use measure=nnqm.Measure(lags=(0, 1, 2))")
    return Measure() if measure is None else measure


def longest_lag(measure: Measure) -> int:
    """Largest lag that is asked for by number, 0 if there is none."""
    return max((lag for name in _SMALLEST for lag in getattr(measure, name) or ()), default=0)


def resolve(
    measure: Measure, observables: Observables, times: Floats, theory: Theory | None, period: float | None = None
) -> dict[str, Any]:
    """Attributes of ``Correlators`` that say what is summed, with the defaults for a grid and a theory filled in.

    ``observables`` are the ones of the measure, or its default. ``period`` is that of given paths.
    """
    if theory is not None and theory.period is not None:
        period = theory.period
    n = len(times)
    given: dict[str, Any] = {name: getattr(measure, name) for name in _SMALLEST}
    two_time = measure.two_time
    if theory is not None:
        _need_fourth_moments(theory)
    if theory is not None and not theory.stationary:
        for name, value in given.items():
            if value:
                raise InputError(
                    f"{name} are averages over time, but the theory is not stationary; leave them out and use two_time"
                )
        given = dict.fromkeys(given, ())
        two_time = True if two_time is False else two_time
    elif period is not None and n > 1:
        if given["observable_lags"]:
            raise InputError(
                "observable_lags serve levels, which need exponential decay, but the paths close after "
                f"{period:g}; leave them out, or take the levels from open paths"
            )
        of_turn = _default_lags(n) if given["lags"] is None else given["lags"]
        # With a lag goes the one that completes the turn.
        both = tuple(sorted({lag for k in of_turn for lag in (k, (n - k) % n)}))
        given |= {"lags": both, "observable_lags": ()}
    if not is_uniform(times):
        given = {name: () if value is None else value for name, value in given.items()}
        if n > 1 and any(given.values()):
            raise InputError(
                "lag averages need uniform times; leave the lags out and use two_time, or give n_times and dt"
            )
    default = {
        "lags": _default_lags,
        "observable_lags": lambda n: range(1, min(4, n)),
        "increment_lags": _default_increment_lags,
    }
    chosen = {
        name: lag_list(name, default[name](n) if value is None else value, _SMALLEST[name], n)
        for name, value in given.items()
    }
    column = None if two_time is False else observables.index(0 if two_time is True else two_time)
    return {"observables": observables, **chosen, "two_time": column}


def _default_lags(n_times: int) -> tuple[int, ...]:
    """Lag 0 and about 24 log-spaced lags up to half the paths."""
    if n_times < 2:
        return (0,)
    spaced = np.geomspace(1, max(1, n_times // 2), 24).round().astype(int)
    return (0, *(int(k) for k in np.unique(spaced)))


def _default_increment_lags(n_times: int) -> tuple[int, ...]:
    """Every lag to 12, which the extrapolation in dt uses, and some longer ones up to a quarter of the paths."""
    if n_times < 2:
        return ()
    spaced = np.geomspace(1, max(1, n_times // 4), 12).round().astype(int)
    return tuple(int(k) for k in np.unique([*range(1, min(13, n_times)), *spaced]))


def _need_fourth_moments(theory: Theory) -> None:
    """Refuse processes of random weights without errors of their two-point function; networks check their own."""
    if theory.network is None or not any(is_bounded(a) for a in theory.network.activations):
        for source in theory.sources:
            source.need_moment(4, "the error of the two-point function")
