r"""Covariance kernels K(s, t) = <x(s) x(t)>: standard kernels, and networks in time of finite and infinite width.

A network in time is x(t) = f(t; theta) with random parameters theta. Its two-point function is a kernel. With many
independent neurons the network becomes a Gaussian process, whose non-Gaussian corrections fall as 1/width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats, integer, positive, scale
from ..errors import InputError
from ..quantum.oscillator import thermal_covariance
from ..representation import short_repr
from ..theories.densities import Density
from ..theories.mode_sums import PAIRINGS, four_times
from ..theories.networks import Network, RandomNetwork
from ..theories.sources import Times
from ..theories.theory import Theory
from .gaussian_averages import average
from .neuron_products import plane_product, relu_plane_product

__all__ = ["CosineNetwork", "Kernel", "TimeNetwork", "network_kernel"]

# Standard deviation of uniform phases.
_PHASES = np.pi / np.sqrt(3)
# Matern kernels in closed form: polynomials in z before exp(-z), highest power first.
_POLYNOMIALS = {0.5: (1.0,), 1.5: (1.0, 1.0), 2.5: (1 / 3, 1.0, 1.0)}


@short_repr
@dataclass(frozen=True)
class Kernel:
    r"""A covariance kernel by name, K(s, t) for times of any shapes that broadcast.

    Kernels come from the constructors below (``Kernel.matern(1.5)``), which raise an ``InputError`` if a parameter is
    not positive. Equal kernels compare equal; they can be pickled.

    Attributes
    ----------
    name : str
    parameters : tuple of (str, float)
    stationary : bool
        Whether K depends on t - s only.

    Examples
    --------
    >>> kernel = Kernel.ornstein_uhlenbeck(omega=1.0)
    >>> kernel([0.0], [0.0, 1.0]).round(6)
    array([0.5    , 0.18394])
    """

    name: str
    parameters: tuple[tuple[str, float], ...] = ()

    @property
    def stationary(self) -> bool:
        """Whether K depends on t - s only."""
        return self.name not in ("wiener", "brownian-bridge")

    def __call__(self, s: ArrayLike, t: ArrayLike) -> Floats:
        """K(s, t), the shape that s and t broadcast to, unit [x]^2.

        Parameters
        ----------
        s, t : array_like
            Times that broadcast, unit time.

        Returns
        -------
        ndarray
            The shape to which s and t broadcast, unit [x]^2.

        Raises
        ------
        InputError
            If a time lies outside the domain of a Wiener process or Brownian bridge.
        """
        s, t = floats("s", s), floats("t", t)
        if not self.stationary:
            for name, times in (("s", s), ("t", t)):
                _inside(name, times, dict(self.parameters).get("duration", np.inf), self.name)
        return np.asarray(_FUNCTIONS[self.name](s, t, **dict(self.parameters)))

    @classmethod
    def wiener(cls, sigma: float = 1.0) -> Kernel:
        """Wiener process from x(0) = 0: sigma^2 min(s, t), times >= 0.

        Parameters
        ----------
        sigma : float, default 1
            Noise strength, positive, unit [x]/sqrt(time).

        Returns
        -------
        Kernel
        """
        return cls("wiener", (("sigma", scale("sigma", sigma)),))

    @classmethod
    def brownian_bridge(cls, duration: float, sigma: float = 1.0) -> Kernel:
        """Brownian bridge, x(0) = x(duration) = 0: sigma^2 (min(s, t) - s t/duration).

        Parameters
        ----------
        duration : float
            Length of the interval, positive, unit time.
        sigma : float, default 1
            Noise strength, positive, unit [x]/sqrt(time).

        Returns
        -------
        Kernel
        """
        return cls("brownian-bridge", (("duration", scale("duration", duration)), ("sigma", scale("sigma", sigma))))

    @classmethod
    def ornstein_uhlenbeck(cls, omega: float, sigma: float = 1.0, *, beta: float | None = None) -> Kernel:
        r"""Ornstein-Uhlenbeck process, sigma^2/(2 omega) exp(-omega \|t - s\|), or its thermal form of period beta.

        .. math:: K = \frac{\sigma^2}{2\omega} \frac{\cosh(\omega(\beta/2 - d))}{\sinh(\omega\beta/2)}, \qquad
                  d = |t - s| \bmod \beta

        which is the position correlator of the harmonic oscillator at temperature hbar/(k beta).

        Parameters
        ----------
        omega : float
            Relaxation rate, positive, unit 1/time.
        sigma : float, default 1
            Noise strength, positive, unit [x]/sqrt(time).
        beta : float, optional
            Period, positive, unit time.

        Returns
        -------
        Kernel
        """
        fixed = (("omega", scale("omega", omega)), ("sigma", scale("sigma", sigma)))
        if beta is None:
            return cls("ornstein-uhlenbeck", fixed)
        return cls("thermal-ornstein-uhlenbeck", (*fixed, ("beta", scale("beta", beta))))

    @classmethod
    def squared_exponential(cls, length: float = 1.0, variance: float = 1.0) -> Kernel:
        """Variance exp(-d^2/(2 length^2)) (Rasmussen and Williams, Gaussian Processes (2006), eq. 4.9).

        Parameters
        ----------
        length : float, default 1
            Correlation time, positive.
        variance : float, default 1
            K(t, t), positive, unit [x]^2.

        Returns
        -------
        Kernel
        """
        return cls._scaled("squared-exponential", length, variance)

    @classmethod
    def matern(cls, nu: float, length: float = 1.0, variance: float = 1.0) -> Kernel:
        r"""Matern kernel of any smoothness nu > 0 (Rasmussen and Williams, eq. 4.14); nu = 1/2 is Ornstein-Uhlenbeck.

        .. math:: K = v \frac{2^{1-\nu}}{\Gamma(\nu)} z^\nu K_\nu(z), \qquad z = \sqrt{2\nu}\, d/\ell

        Paths have k mean-square derivatives for k < nu.

        Parameters
        ----------
        nu : float
            Smoothness, positive.
        length : float, default 1
            Correlation time, positive.
        variance : float, default 1
            K(t, t), positive, unit [x]^2.

        Returns
        -------
        Kernel
        """
        return cls._scaled("matern", length, variance, nu=scale("nu", nu))

    @classmethod
    def rational_quadratic(cls, alpha: float = 1.0, length: float = 1.0, variance: float = 1.0) -> Kernel:
        """Variance (1 + d^2/(2 alpha length^2))^(-alpha) (Rasmussen and Williams, eq. 4.19).

        Parameters
        ----------
        alpha : float, default 1
            Exponent, positive.
        length : float, default 1
            Correlation time, positive.
        variance : float, default 1
            K(t, t), positive, unit [x]^2.

        Returns
        -------
        Kernel
        """
        return cls._scaled("rational-quadratic", length, variance, alpha=scale("alpha", alpha))

    @classmethod
    def root_exponential(cls, length: float = 1.0, variance: float = 1.0) -> Kernel:
        r"""Variance exp(-sqrt(\|d\|/length)), reflection positive but rougher than Brownian motion.

        Parameters
        ----------
        length : float, default 1
            Correlation time, positive.
        variance : float, default 1
            K(t, t), positive, unit [x]^2.

        Returns
        -------
        Kernel
        """
        return cls._scaled("root-exponential", length, variance)

    @classmethod
    def _scaled(cls, name: str, length: float, variance: float, **others: float) -> Kernel:
        scales = {"length": scale("length", length), "variance": scale("variance", variance)}
        return cls(name, tuple((others | scales).items()))


def _inside(name: str, times: Floats, end: float, process: str) -> None:
    outside = np.argwhere((times < 0) | (times > end * (1 + 1e-12)))
    if len(outside):
        value = times[tuple(outside[0])]
        raise InputError(f"{name} must lie in [0, {end:g}] for the kernel {process}; got {value:g}; shift the times")


def _thermal(s: Floats, t: Floats, omega: float, sigma: float, beta: float) -> Floats:
    return np.asarray(thermal_covariance(np.abs(t - s) % beta, omega, sigma, beta))


def _matern(s: Floats, t: Floats, nu: float, length: float, variance: float) -> Floats:
    if nu in _POLYNOMIALS:
        z = np.sqrt(2 * nu) * np.abs(t - s) / length
        return np.asarray(variance * np.polyval(_POLYNOMIALS[nu], z) * np.exp(-z))
    # The spectral density is Student's t with 2 nu degrees of freedom.
    density = Density("student-t", nu=2 * nu)
    return variance * density.characteristic((t - s) / (length * density.scale))


_FUNCTIONS: dict[str, Callable[..., Floats]] = {
    "wiener": lambda s, t, sigma: sigma**2 * np.minimum(s, t),
    "brownian-bridge": lambda s, t, duration, sigma: (
        sigma**2 * np.minimum(s, t) * (duration - np.maximum(s, t)) / duration
    ),
    "ornstein-uhlenbeck": lambda s, t, omega, sigma: sigma**2 / (2 * omega) * np.exp(-omega * np.abs(t - s)),
    "thermal-ornstein-uhlenbeck": _thermal,
    "squared-exponential": lambda s, t, length, variance: variance * np.exp(-(((t - s) / length) ** 2) / 2),
    "matern": _matern,
    "rational-quadratic": lambda s, t, alpha, length, variance: (
        variance * (1 + ((t - s) / length) ** 2 / (2 * alpha)) ** -alpha
    ),
    "root-exponential": lambda s, t, length, variance: variance * np.exp(-np.sqrt(np.abs(t - s) / length)),
}


@short_repr
@dataclass(frozen=True)
class CosineNetwork:
    r"""Random Fourier features: cosines of time with random momenta and uniform phases, a stationary process.

    .. math:: x(t) = \sqrt{2v/N} \sum_{i=1}^N a_i \cos(k_i t + b_i)

    with k_i from the momentum density (times ``scale``), b_i uniform on [0, 2 pi) and a_i from the amplitude density.
    Its two-point function is v times the characteristic function of the momenta at every width (Bochner; Rahimi and
    Recht, NIPS 2007; Halverson, arXiv:2112.04527): Gaussian momenta give the squared exponential, Cauchy momenta the
    Ornstein-Uhlenbeck kernel with omega = scale, Student's t with nu degrees of freedom the Matern kernel of nu/2, the
    Laplace density the rational quadratic kernel with alpha = 1. At finite width the network and these processes have
    only the two-point function in common.

    Parameters
    ----------
    momenta : Density
        Density of k/scale, in its standard form (variance 1 if the variance exists).
    width : int
        Number of neurons N.
    scale : float, default 1
        Unit 1/time.
    variance : float, default 1
        v, unit [x]^2.
    amplitudes : Density, optional
        Density of a_i, with a finite variance; by default random signs (Rademacher), which do not change the process.

    Raises
    ------
    InputError
        If a number is not positive, or the amplitudes have no variance.

    Examples
    --------
    >>> network = CosineNetwork(Density("cauchy"), width=100)
    >>> float(network(0.0, 1.0).round(6))
    0.367879
    >>> float(network.connected_four_point([0.0, 0.0, 0.0, 0.0]))
    -0.015
    """

    momenta: Density
    width: int
    scale: float = 1.0
    variance: float = 1.0
    amplitudes: Density = field(default_factory=lambda: Density("rademacher"))

    def __post_init__(self) -> None:
        integer("width", self.width, 1)
        positive("scale", self.scale)
        positive("variance", self.variance)
        self.amplitudes.need_moment(2, "a two-point function of a network with random weights")

    def __call__(self, s: ArrayLike, t: ArrayLike) -> Floats:
        """K(s, t), exact at every width, the shape that s and t broadcast to.

        Parameters
        ----------
        s, t : array_like
            Times that broadcast, unit time.

        Returns
        -------
        ndarray
            The shape to which s and t broadcast, unit [x]^2.
        """
        return self.variance * self.momenta.characteristic(self.scale * (floats("t", t) - floats("s", s)))

    def connected_four_point(self, times: ArrayLike) -> Floats:
        r"""Connected four-point function, exactly proportional to 1/width, at times (..., 4).

        .. math:: \frac{v^2}{N} \sum_{(ij)(kl)} \left[\tfrac{3 + \kappa}{2} \chi(t_i + t_j - t_k - t_l)
                  - \chi(t_i - t_j)\chi(t_k - t_l)\right]

        with the sum over the three pairings, the characteristic function chi of the momenta and the excess kurtosis
        kappa of the amplitudes. Cumulants of independent neurons add; the average over phases leaves the terms with
        equal numbers of plus and minus signs.

        Parameters
        ----------
        times : array_like
            Shape (..., 4), unit time.

        Returns
        -------
        ndarray
            Shape (...), unit [x]^4.

        Raises
        ------
        InputError
            If the amplitudes have no fourth moment.
        """
        self.amplitudes.need_moment(4, "a four-point function of a network with random weights")
        t, chi = four_times(times) * self.scale, self.momenta.characteristic
        total = np.zeros(t.shape[:-1])
        for i, j, k, n in PAIRINGS:
            a, b, c, d = (t[..., m] for m in (i, j, k, n))
            total += (3 + self.amplitudes.kurtosis) / 2 * chi(a + b - c - d) - chi(a - b) * chi(c - d)
        return np.asarray(self.variance**2 / self.width * total)

    def theory(self) -> Theory:
        """The network as a theory, to be sampled: random weights on ``Times``.

        Returns
        -------
        Theory
            Its only source is ``Times``.
        """
        network = RandomNetwork(
            (1, self.width, 1),
            "cos",
            weights=[self.momenta, self.amplitudes],
            weight_std=[self.scale, np.sqrt(2 * self.variance)],
            # Phases uniform on (-pi, pi).
            biases="uniform",
            bias_std=[_PHASES, 0.0],
        )
        return Theory(Times(), network)


@short_repr
@dataclass(frozen=True)
class TimeNetwork:
    r"""Multi-layer perceptrons of t with random weights, a network ensemble in time.

    .. math:: h^{(1)} = w t + b, \quad h^{(l+1)} = W^{(l)} a(h^{(l)}) + b^{(l)}, \quad x = h^{(L+1)}

    with Gaussian weights of standard deviation weight_std/sqrt(fan-in) and biases of bias_std, as ``RandomNetwork``
    draws them on ``Times``. A call returns the two-point function: for one hidden layer it is exact at every width; for
    more it is the limit of infinite width (Lee et al., ICLR 2018, arXiv:1711.00165):

    .. math:: K^{(l+1)}(s, t) = \sigma_b^2 + \sigma_w^2\, E[a(u) a(v)], \qquad
              (u, v) \sim N(0, K^{(l)}), \qquad K^{(1)} = \sigma_b^2 + \sigma_w^2 s t

    The average has a closed form for erf (Williams, Neural Comput. 10, 1203 (1998)), relu (Cho and Saul, NIPS 2009),
    sin, cos and identity. For other activations it is a sum over Hermite polynomials, to 1e-11 of the largest value.

    Parameters
    ----------
    activation : str, default "tanh"
        Activation of the hidden layers, see ``Network``.
    depth : int, default 1
        Number of hidden layers L.
    weight_std, bias_std : float, default 1 and 0
    width : int, optional
        Number of neurons of a hidden layer; required for four-point functions and for ``theory``.
    output_weights : Density, optional
        Density of the weights of the last layer, with a finite variance; Gaussian by default.

    Raises
    ------
    InputError
        If an activation is unknown, a number out of range, or the output weights have no variance.

    Examples
    --------
    >>> float(TimeNetwork("erf")(1.0, 1.0).round(6))
    0.464559
    """

    activation: str = "tanh"
    depth: int = 1
    weight_std: float = 1.0
    bias_std: float = 0.0
    width: int | None = None
    output_weights: Density = field(default_factory=lambda: Density("gaussian"))

    def __post_init__(self) -> None:
        self._activate(np.zeros(1))
        integer("depth", self.depth, 1)
        positive("weight_std", self.weight_std)
        if float(floats("bias_std", self.bias_std, 0)) < 0:
            raise InputError(f"bias_std must not be negative; got {self.bias_std}")
        if self.width is not None:
            integer("width", self.width, 1)
        self.output_weights.need_moment(2, "a two-point function of a network with random weights")

    def __call__(self, s: ArrayLike, t: ArrayLike) -> Floats:
        """K(s, t), the shape that s and t broadcast to, unit [x]^2.

        Parameters
        ----------
        s, t : array_like
            Times that broadcast, unit time.

        Returns
        -------
        ndarray
            The shape to which s and t broadcast, unit [x]^2.

        Raises
        ------
        InputError
            If the average does not converge. For large weights or times neurons saturate, and the activation is nearly
            discontinuous.
        """
        s, t = floats("s", s), floats("t", t)
        w, b = self.weight_std**2, self.bias_std**2
        first, second, both = w * s * s + b, w * t * t + b, w * s * t + b
        for _ in range(self.depth):
            both = b + w * self._average(first, second, both)
            first, second = b + w * self._average(first, first, first), b + w * self._average(second, second, second)
        return both

    def connected_four_point(self, times: ArrayLike) -> Floats:
        r"""Connected four-point function of one hidden layer, exactly proportional to 1/width, at times (..., 4).

        .. math:: \frac{\sigma_w^4}{N} \Big[(3 + \kappa) E[a_1 a_2 a_3 a_4]
                  - \sum_{(ij)(kl)} E[a_i a_j] E[a_k a_l]\Big], \qquad a_i = a(w t_i + b)

        with the excess kurtosis kappa of the output weights. Cumulants of independent neurons add (Halverson, Maiti and
        Stoner, arXiv:2008.08601). The average over w and b has a closed form for sin, cos and identity; for relu it is
        an integral over an angle, and for other activations it is computed by the trapezoid rule.

        Parameters
        ----------
        times : array_like
            Shape (..., 4), unit time.

        Returns
        -------
        ndarray
            Shape (...), unit [x]^4.

        Raises
        ------
        InputError
            If there is more than one hidden layer, the width is None, the output weights have no fourth moment, or the
            average does not converge.
        """
        if self.depth > 1:
            raise InputError(
                f"four-point functions are for one hidden layer; got depth={self.depth}; sample the network"
            )
        if self.width is None:
            raise InputError("width must be given for four-point functions: at infinite width they vanish")
        self.output_weights.need_moment(4, "a four-point function of a network with random weights")
        t = four_times(times)
        total = (3 + self.output_weights.kurtosis) * self._fourfold(t)
        w, b = self.weight_std**2, self.bias_std**2
        for i, j, k, n in PAIRINGS:
            pairs = []
            for p, q in ((i, j), (k, n)):
                s, r = t[..., p], t[..., q]
                pairs.append(self._average(w * s * s + b, w * r * r + b, w * s * r + b))
            total = total - pairs[0] * pairs[1]
        return np.asarray(self.weight_std**4 / self.width * total)

    def theory(self) -> Theory:
        """The network as a theory, to be sampled: random weights on ``Times``.

        Returns
        -------
        Theory
            Its only source is ``Times``.

        Raises
        ------
        InputError
            If the width is None.
        """
        if self.width is None:
            raise InputError("width must be given to sample the network; at infinite width give the kernel itself")
        network = RandomNetwork(
            (1, *[self.width] * self.depth, 1),
            self.activation,
            weights=[*["gaussian"] * self.depth, self.output_weights],
            weight_std=self.weight_std,
            bias_std=self.bias_std,
        )
        return Theory(Times(), network)

    def _activate(self, z: Floats) -> Floats:
        return Network([[[1.0]]], activation=[self.activation])(z[..., None])[..., 0]

    def _average(self, first: Floats, second: Floats, both: Floats) -> Floats:
        return average(self.activation, first, second, both)

    def _fourfold(self, t: Floats) -> Floats:
        """E[a_1 a_2 a_3 a_4] for times (..., 4)."""
        shape, t = t.shape[:-1], t.reshape(-1, 4)
        if self.activation == "relu":
            return relu_plane_product(self._directions(t)).reshape(shape)
        if self.activation == "identity":
            w, b = self.weight_std**2, self.bias_std**2
            c = w * t[:, :, None] * t[:, None, :] + b
            return np.asarray(sum(c[:, i, j] * c[:, k, n] for i, j, k, n in PAIRINGS)).reshape(shape)
        if self.activation in ("sin", "cos"):
            total = np.zeros(len(t))
            for signs in product((1, -1), repeat=4):
                variance = (self.weight_std * (t @ signs)) ** 2 + (self.bias_std * sum(signs)) ** 2
                total += np.exp(-variance / 2) * (np.prod(signs) if self.activation == "sin" else 1)
            return np.asarray(total / 16).reshape(shape)

        return plane_product(self.activation, self._directions(t)).reshape(shape)

    def _directions(self, t: Floats) -> Floats:
        return np.stack([self.weight_std * t, np.full_like(t, self.bias_std)], axis=-1)


def network_kernel(theory: Theory) -> CosineNetwork | TimeNetwork | None:
    """The exact kernel of a theory that is a network in time with one hidden layer; None for other theories."""
    network = theory.network
    if not isinstance(network, RandomNetwork) or theory.sources != (Times(),) or network.shared is not None:
        return None
    if network.is_trained or len(network.widths) != 3 or network.n_outputs != 1 or network.activations[1] != "identity":
        return None
    (first, last), (w1, w2), (b1, b2) = network.weights, network.weight_std, network.bias_std
    if min(w1, w2) == 0 or not last.moment_exists(2):
        return None
    if network.activations[0] == "cos" and network.biases[0].name == "uniform" and (b1, b2) == (_PHASES, 0.0):
        return CosineNetwork(first, network.widths[1], w1, w2**2 / 2, last)
    if (
        w1 == w2
        and b1 == b2
        and first.name == "gaussian"
        and (b1 == 0 or {d.name for d in network.biases} == {"gaussian"})
    ):
        return TimeNetwork(network.activations[0], 1, w1, b1, network.widths[1], last)
    return None
