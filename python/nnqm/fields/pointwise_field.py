"""Exact answers for functions of the field at every point of space: by distance, by momentum, and by level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats
from ..errors import InputError, InputTypeError
from ..representation import short_repr
from ..theories.networks import Network
from .energies import ParticleLevels, mode_of, particle_levels
from .field import Field
from .hermite_series import HermiteSeries
from .networks import momentum_rows
from .periodic_box import PeriodicBox

__all__ = ["PointwiseField"]


@short_repr
@dataclass(frozen=True, init=False, eq=False)
class PointwiseField:
    r"""Exact two-point function of x(t, r) = f(phi(t, r)), the same function of the field at every point of space.

    .. math:: \langle x(t, r)\, x(0, 0) \rangle = \sum_n c_n^2\, E\,\rho(t, r)^n, \qquad
              c_n = E[f(s z)\, He_n(z)]/\sqrt{n!}

    (Mehler's formula.) s^2 is the variance of the field and rho its normalised two-point function, in a box the
    propagator. For a ``ReflectionPositiveNet`` the field is Gaussian for fixed momenta, with the same variance for all
    momenta, and the average over momenta follows from the moments of one neuron. A ``CosNet`` of finite width is not
    Gaussian for fixed momenta: only its propagator is known here.

    In the limit of a lattice spacing to zero the variance of the field diverges (as a logarithm in two dimensions), so
    that a fixed function f of the bare field becomes another function of z: it flows. A function of a smeared or
    normalised field does not.

    Parameters
    ----------
    field : Field
    network : Network, optional
        f, one input and one output; the field itself by default.

    Attributes
    ----------
    field, network
    series : HermiteSeries
        The weights c_n^2 with their error, mean and moments of x.

    Raises
    ------
    InputError, InputTypeError
        If the network has several inputs or outputs or is too steep for the coefficients.

    Examples
    --------
    >>> import nnqm
    >>> from nnqm.fields import PeriodicBox
    >>> box = PeriodicBox(mass=1.0, sites=8)
    >>> cube = PointwiseField(box, nnqm.Network([[[1.0]], [[1.0]]]))
    >>> cube.connected([0.0, 1.0], [[0.0], [2.0]]).shape
    (2,)
    """

    field: Field
    network: Network | None
    series: HermiteSeries

    def __init__(self, field: Field, network: Network | None = None) -> None:
        if not isinstance(field, Field):
            raise InputTypeError(f"field must be a field of nnqm.fields; got {field!r}")
        if network is not None and not isinstance(network, Network):
            raise InputTypeError(f"network must be a Network with fixed weights, or None; got {network!r}")
        if network is not None and (network.n_inputs, network.n_outputs) != (1, 1):
            raise InputError(
                f"network must take 1 input, the field at a point, and give 1 output; got {network.n_inputs} and "
                f"{network.n_outputs}; single_point takes one output out of a network of all points"
            )
        object.__setattr__(self, "field", field)
        object.__setattr__(self, "network", network)
        object.__setattr__(self, "series", HermiteSeries.of(network, float(field.variance[0])))

    def connected(self, times: ArrayLike, displacements: ArrayLike) -> Floats:
        """Connected two-point function.

        Parameters
        ----------
        times : array_like
            t, unit time.
        displacements : array_like
            r, the last axis has one component per direction of space; its other axes broadcast with the times. In a
            box, displacements between sites.

        Returns
        -------
        ndarray
            The common shape, unit [x]^2. ``error`` has its error.

        Raises
        ------
        InputError
            For a network of a field that is not Gaussian for fixed parameters.
        """
        if self.network is None:
            return self.field.propagator(times, displacements)
        return self.field.series_average(self.series, times, displacements)[0]

    def two_point(self, times: ArrayLike, displacements: ArrayLike) -> Floats:
        """Two-point function, the square of the mean included; see ``connected``.

        Parameters
        ----------
        times, displacements : array_like
            As for ``connected``.

        Returns
        -------
        ndarray
            The common shape, unit [x]^2.
        """
        return np.asarray(self.connected(times, displacements) + self.series.mean**2)

    def error(self, times: ArrayLike, displacements: ArrayLike) -> Floats:
        """Largest error of ``connected``: of the coefficients, and of the average over random parameters.

        Zero for the field itself; ``fields.propagator`` has the error of its propagator.

        Parameters
        ----------
        times, displacements : array_like
            As for ``connected``.

        Returns
        -------
        ndarray
            The common shape, unit [x]^2.
        """
        if self.network is None:
            return np.zeros_like(self.field.propagator(times, displacements))
        errors = self.field.series_average(self.series, times, displacements)[1]
        return np.asarray(errors + self.series.error * self.series.moments[0])

    def by_momentum(self, times: ArrayLike, momenta: ArrayLike | None = None) -> Floats:
        r"""Fourier transform of the connected function, :math:`a^{d-1} \sum_r e^{-iqr} G(t, r)`, in a box.

        Parameters
        ----------
        times : array_like
            Shape (T,), unit time.
        momenta : array_like, optional
            Momenta of the box, shape (Q, d - 1), or (Q,) in two dimensions; the momenta of all modes by default.

        Returns
        -------
        ndarray
            Shape (Q, T).

        Raises
        ------
        InputError
            If the field is no box, or a momentum is not one of the box.
        """
        box = self._box("by_momentum")
        t = floats("times", times, 1)
        displacements = box.positions - box.positions[0]
        space = self.connected(t[:, None], displacements).reshape(len(t), *box.sites)
        axes = tuple(range(1, space.ndim))
        transformed = np.fft.fftn(space, axes=axes).real.reshape(len(t), -1).T * box.spacing ** len(box.sites)
        if momenta is None:
            return np.asarray(transformed)
        return np.asarray(transformed[[mode_of(box, row) for row in momentum_rows(box, momenta)]])

    def levels(self, momentum: ArrayLike, below: float) -> tuple[ParticleLevels, Floats]:
        r"""Levels and Kallen-Lehmann weights of x at a total momentum, up to an energy, by number of particles.

        .. math:: a^{d-1} \sum_r e^{-iqr} G(t, r) = \sum_n \sum_E w_n(E)\, e^{-E t}

        Parameters
        ----------
        momentum : array_like
            q, shape (d - 1,), or a number in two dimensions; a momentum of the box.
        below : float
            Largest energy listed, unit of the mass.

        Returns
        -------
        levels : ParticleLevels
            Numbers of particles, energies and multiplicities, shape (K,).
        weights : ndarray
            w_n(E), not negative, shape (K,).

        Raises
        ------
        InputError
            If the field is no box, q is no momentum of it, or there are more than two million sets of momenta.
        """
        found = particle_levels(self._box("levels"), momentum, below)
        # Weights of higher numbers of particles than the series has are below its error.
        known = np.zeros(int(found.n_particles.max(initial=0)) + 1)
        held = self.series.weights[: len(known)]
        known[: len(held)] = held
        return found, known[found.n_particles] * found.phase_space

    def _box(self, what: str) -> PeriodicBox:
        if not isinstance(self.field, PeriodicBox):
            raise InputError(f"{what} needs a PeriodicBox, whose momenta are discrete; got {self.field!r}")
        return self.field
