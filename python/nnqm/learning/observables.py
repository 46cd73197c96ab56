"""Exact observables of a theory that can be differentiated in its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats, integer
from ..errors import InputError, InputTypeError
from ..representation import short_repr

__all__ = ["Commutator", "Gaps", "Moments", "MomentumSquared", "NPoint", "Observable", "SpectralWeights", "TwoPoint"]

# Largest number of states of one input, and highest moment.
_MOST_STATES, _MOST_MOMENT = 200, 12


def _channel(channel: Any) -> int | str:
    if isinstance(channel, str):
        return channel
    return integer("channel", channel, 0)


def _frozen(array: Floats) -> Floats:
    array = array.copy()
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class _OnTimes:
    """An observable at given times; equal if its times and settings are."""

    times: Floats

    def _key(self) -> tuple[Any, ...]:
        rest = tuple(value for name, value in vars(self).items() if name != "times")
        return type(self), self.times.shape, self.times.tobytes(), rest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _OnTimes) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    @property
    def size(self) -> int:
        """Number of values: one per row of times."""
        return len(self.times)


@short_repr
@dataclass(frozen=True, eq=False)
class TwoPoint(_OnTimes):
    r"""The Euclidean two-point function of a channel.

    .. math:: G(t) = \langle x(0) x(t)\rangle = \sum_n c_n^2 e^{-\epsilon_n |t|/\hbar},
              \qquad c_n = \langle 0|x|n\rangle

    (Mehler's formula for Ornstein-Uhlenbeck inputs, the Kallen-Lehmann sum for Hamiltonians.)

    Parameters
    ----------
    times : array_like
        Lags t, shape (T,), unit time; their sign does not matter.
    connected : bool, default True
        Whether the square of the mean, :math:`c_0^2`, is subtracted.
    channel : int or str, default 0
        Position among the outputs, or the name of any channel.

    Raises
    ------
    InputError, InputTypeError
        If the times are not a list of finite numbers, or a setting is of the wrong type.

    Examples
    --------
    >>> from nnqm.learning.observables import TwoPoint
    >>> TwoPoint([0.0, 0.5, 1.0]).size
    3
    """

    connected: bool = True
    channel: int | str = 0

    def __init__(self, times: ArrayLike, connected: bool = True, channel: int | str = 0) -> None:
        lags = np.abs(floats("times", times, 1))
        if not lags.size:
            raise InputError("times must have at least one entry; got none")
        if not isinstance(connected, bool | np.bool_):
            raise InputTypeError(f"connected must be True or False; got {connected!r}")
        object.__setattr__(self, "times", _frozen(lags))
        object.__setattr__(self, "connected", bool(connected))
        object.__setattr__(self, "channel", _channel(channel))

    @property
    def label(self) -> str:
        """Name in tables and figures."""
        return "connected two-point function" if self.connected else "two-point function"


@short_repr
@dataclass(frozen=True, eq=False)
class NPoint(_OnTimes):
    r"""Euclidean n-point functions of a channel at given times.

    .. math:: \langle x(t_1) \cdots x(t_n)\rangle = E\, f P_{t_2 - t_1} f \cdots P_{t_n - t_{n-1}} f

    for ordered times, with P_t the transition operator of the inputs.

    Parameters
    ----------
    times : array_like
        One row per value, shape (K, n), unit time, in any order.
    channel : int or str, default 0
        Position among the outputs, or the name of any channel.

    Raises
    ------
    InputError, InputTypeError
        If the times are not a matrix of finite numbers, or the channel is of the wrong type.

    Examples
    --------
    >>> from nnqm.learning.observables import NPoint
    >>> NPoint([[0.0, 0.1, 0.3, 0.4]]).size
    1
    """

    channel: int | str = 0

    def __init__(self, times: ArrayLike, channel: int | str = 0) -> None:
        rows = floats("times", times, 2)
        if not rows.size:
            raise InputError(f"times must have at least one row and one column; got shape {rows.shape}")
        object.__setattr__(self, "times", _frozen(rows))
        object.__setattr__(self, "channel", _channel(channel))

    @property
    def label(self) -> str:
        """Name in tables and figures."""
        return f"{self.times.shape[1]}-point functions"


@short_repr
@dataclass(frozen=True)
class SpectralWeights:
    r"""Spectral weights of a channel: squared matrix elements between the vacuum and excited states.

    .. math:: |\langle 0|x|n\rangle|^2 = c_n^2, \qquad c_\alpha = E_z[f(s z)\, h_\alpha(z)]

    The second form is for Ornstein-Uhlenbeck inputs, with :math:`h_n = He_n/\sqrt{n!}` and spreads
    :math:`s_i = \sigma_i/\sqrt{2\omega_i}`.

    Parameters
    ----------
    states : int or array_like
        For one input the number n of excited states, 1 to 200: the weights belong to the states 1 to n. For any number
        D of inputs the numbers of the states, shape (K, D), not negative.
    channel : int or str, default 0
        Position among the outputs, or the name of any channel.

    Raises
    ------
    InputError, InputTypeError
        If a number is out of range, or an argument is of the wrong type.

    Examples
    --------
    >>> from nnqm.learning.observables import SpectralWeights
    >>> SpectralWeights([[1, 0], [0, 1], [1, 1]]).size
    3
    """

    states: int | tuple[tuple[int, ...], ...]
    channel: int | str = 0

    def __init__(self, states: int | ArrayLike, channel: int | str = 0) -> None:
        if isinstance(states, int | np.integer):
            chosen: Any = integer("states", states, 1, _MOST_STATES)
        else:
            table = floats("states", states, 2)
            if not table.size or (table != np.round(table)).any() or table.min() < 0 or table.max() > _MOST_STATES:
                raise InputError(
                    f"states must be a number of states or a matrix (K, D) of integers from 0 to {_MOST_STATES}; got "
                    f"{states!r}"
                )
            chosen = tuple(tuple(int(n) for n in row) for row in table)
        object.__setattr__(self, "states", chosen)
        object.__setattr__(self, "channel", _channel(channel))

    @property
    def size(self) -> int:
        """Number of values: one per state."""
        return self.states if isinstance(self.states, int) else len(self.states)

    @property
    def highest(self) -> int:
        """Largest number of a state of one input."""
        return self.states if isinstance(self.states, int) else max(max(row) for row in self.states)

    @property
    def label(self) -> str:
        """Name in tables and figures."""
        return "spectral weights"


@short_repr
@dataclass(frozen=True)
class Moments:
    r"""Mean and central moments of a channel at one time.

    .. math:: \mu_1 = E x, \qquad \mu_k = E (x - E x)^k, \quad k \ge 2

    Parameters
    ----------
    orders : sequence of int
        Orders k, 1 to 12.
    channel : int or str, default 0
        Position among the outputs, or the name of any channel.

    Raises
    ------
    InputError, InputTypeError
        If an order is out of range, or an argument is of the wrong type.

    Examples
    --------
    >>> from nnqm.learning.observables import Moments
    >>> Moments([1, 2, 4]).label
    'moments 1, 2, 4'
    """

    orders: tuple[int, ...]
    channel: int | str = 0

    def __init__(self, orders: Sequence[int], channel: int | str = 0) -> None:
        listed = [orders] if isinstance(orders, int | np.integer) else list(orders)
        chosen = tuple(integer(f"orders[{i}]", k, 1, _MOST_MOMENT) for i, k in enumerate(listed))
        if not chosen:
            raise InputError("orders must have at least one entry; got none")
        object.__setattr__(self, "orders", chosen)
        object.__setattr__(self, "channel", _channel(channel))

    @property
    def size(self) -> int:
        """Number of values: one per order."""
        return len(self.orders)

    @property
    def label(self) -> str:
        """Name in tables and figures."""
        return f"moment{'s' if self.size > 1 else ''} {', '.join(map(str, self.orders))}"


@short_repr
@dataclass(frozen=True)
class Commutator:
    r"""The vacuum expectation of the commutator, C = <[x, p]>/(i hbar).

    .. math:: C(0) = \frac{m}{\hbar} \sum_i \sigma_i^2\, E (\partial_i f)^2
              = \frac{2m}{\hbar^2} \sum_n \epsilon_n c_n^2

    The first form is for Ornstein-Uhlenbeck inputs.

    Parameters
    ----------
    channel : int or str, default 0
        Position among the outputs, or the name of any channel.

    Raises
    ------
    InputError, InputTypeError
        If the channel is negative or of the wrong type.

    Examples
    --------
    >>> from nnqm.learning.observables import Commutator
    >>> Commutator().size
    1
    """

    channel: int | str = 0
    size: int = field(default=1, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "channel", _channel(self.channel))

    @property
    def label(self) -> str:
        """Name in tables and figures."""
        return "commutator"


@short_repr
@dataclass(frozen=True)
class MomentumSquared:
    r"""The vacuum expectation of the squared momentum, p = i m dx/dt.

    .. math:: \langle p^2\rangle = m^2 E (L f)^2 = \frac{m^2}{\hbar^2} \sum_n \epsilon_n^2 c_n^2

    with L the generator of the inputs. It is infinite for networks with kinks (relu).

    Parameters
    ----------
    channel : int or str, default 0
        Position among the outputs, or the name of any channel.

    Raises
    ------
    InputError, InputTypeError
        If the channel is negative or of the wrong type.

    Examples
    --------
    >>> from nnqm.learning.observables import MomentumSquared
    >>> MomentumSquared().label
    '<p^2>'
    """

    channel: int | str = 0
    size: int = field(default=1, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "channel", _channel(self.channel))

    @property
    def label(self) -> str:
        """Name in tables and figures."""
        return "<p^2>"


@short_repr
@dataclass(frozen=True)
class Gaps:
    r"""The lowest gaps of a theory, :math:`\epsilon_n = E_n - E_0`, energy units, ascending.

    Gaps of several inputs are sums of gaps of each. A level of several states has several entries, and its derivative
    is that of the states in the order of the inputs; the derivative of a gap along parameters that split a level does
    not exist.

    Parameters
    ----------
    n : int
        Number of gaps, 1 to 200.

    Raises
    ------
    InputError, InputTypeError
        If the number is out of range.

    Examples
    --------
    >>> from nnqm.learning.observables import Gaps
    >>> Gaps(5).label
    'gaps 1 to 5'
    """

    n: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", integer("n", self.n, 1, _MOST_STATES))

    @property
    def size(self) -> int:
        """Number of values n."""
        return self.n

    @property
    def label(self) -> str:
        """Name in tables and figures."""
        return f"gaps 1 to {self.n}"


Observable: TypeAlias = TwoPoint | NPoint | SpectralWeights | Moments | Commutator | MomentumSquared | Gaps
