"""Networks of the field at several points of space, and the parts of networks that see a single point."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, floats, integer
from ..errors import InputError, InputTypeError
from ..quantum.measures import TwoPointFunction
from ..statistics.matrices import product
from ..theories.networks import Network
from ..theories.theory import Theory
from .periodic_box import PeriodicBox

__all__ = ["convolution", "momentum_projection", "pointwise", "single_point"]

# Largest memory of the weights of a network that is made for all sites, in bytes.
_MOST_BYTES = 2**30


def _need_memory(widths: Sequence[int], what: str, remedy: str) -> None:
    """Raise InputError if the dense weights of a network of these widths take too much memory."""
    needed = 8 * sum(a * b for a, b in pairwise(widths))
    if needed > _MOST_BYTES:
        raise InputError(
            f"{what} would have widths {'-'.join(map(str, widths))}, whose weights take {needed / 2**30:.3g} GiB; at "
            f"most {_MOST_BYTES / 2**30:.3g} GiB are allowed",
            remedy,
        )


def pointwise(network: Network, n_sites: int) -> Network:
    """The same function of the field at every point of space, as one network of all points.

    Parameters
    ----------
    network : Network
        One input, J outputs, fixed weights.
    n_sites : int
        Number S of points, at least 1.

    Returns
    -------
    Network
        S inputs, S J outputs: output ``s * J + j`` is output j of the network at point s. Its layers are
        block-diagonal and stored as dense matrices: the memory and the time grow as the square of S.

    Raises
    ------
    InputError, InputTypeError
        If the network has several inputs or no fixed weights, or the weights would take more than 1 GiB.

    Examples
    --------
    >>> import nnqm
    >>> net = nnqm.Network([[[1.0], [2.0]], [[0.5, -0.5]]])
    >>> pointwise(net, 3).widths
    (3, 6, 3)
    """
    if not isinstance(network, Network):
        raise InputTypeError(f"network must be a Network with fixed weights; got {network!r}")
    if network.n_inputs != 1:
        raise InputError(
            f"network must take 1 input, the field at a point; got {network.n_inputs} inputs; "
            "use convolution for functions of several points"
        )
    n = integer("n_sites", n_sites, 1)
    _need_memory([n * w for w in network.widths], f"{n} copies of the network", "use fewer points or a narrower one")
    same = np.eye(n)
    weights = [np.kron(same, w) for w in network.weights]
    return Network(weights, [np.tile(b, n) for b in network.biases], network.activations)


def convolution(
    box: PeriodicBox,
    kernels: Sequence[ArrayLike],
    biases: Sequence[ArrayLike] | None = None,
    activation: str | Sequence[str] = "tanh",
) -> Network:
    r"""A convolutional network of the sites of a periodic box: every layer commutes with translations of the box.

    .. math:: h^{(l+1)}_j(x) = a_l\Bigl(b^{(l)}_j + \sum_{i, r} K^{(l)}_{ji}(r)\, h^{(l)}_i(x + r)\Bigr)

    Parameters
    ----------
    box : PeriodicBox
    kernels : sequence of array_like
        One kernel per layer, shape (outputs, inputs, n_1, n_2, ...) with one length per axis of space, at most the
        number of sites. The first layer has one input, the field. The entry at ``n_i // 2`` along each axis belongs to
        r = 0, in units of the lattice spacing.
    biases : sequence of array_like, optional
        One vector per layer, shape (outputs,); zero by default.
    activation : str or sequence of str, default "tanh"
        As for ``Network``.

    Returns
    -------
    Network
        S inputs, S J outputs for S sites and J outputs of the last kernel: output ``s * J + j`` is output j at site s.

    Raises
    ------
    InputError, InputTypeError
        If a kernel has another number of axes, is longer than the box or does not match the layer before, or the dense
        weights would take more than 1 GiB.

    Examples
    --------
    >>> from nnqm.fields import PeriodicBox
    >>> box = PeriodicBox(mass=1.0, sites=6)
    >>> convolution(box, [[[[0.5, 1.0, 0.5]], [[-1.0, 0.0, 1.0]]], [[[1.0], [0.3]]]]).widths
    (6, 12, 6)
    """
    _need_box(box)
    sites = np.array(box.sites)
    arrays = [floats(f"kernels[{i}]", k) for i, k in enumerate(kernels)]
    if not arrays:
        raise InputError("kernels must have at least one layer; got none")
    channels = 1
    for i, kernel in enumerate(arrays):
        if kernel.ndim != 2 + len(sites) or kernel.size == 0:
            raise InputError(
                f"kernels[{i}] must have shape (outputs, inputs{', length' * len(sites)}), with one length per axis of "
                f"the box; got shape {kernel.shape}"
            )
        if kernel.shape[1] != channels:
            before = "the field is one input" if i == 0 else f"layer {i - 1} has {channels} outputs"
            raise InputError(f"kernels[{i}] takes {kernel.shape[1]} inputs, but {before}")
        if np.any(np.array(kernel.shape[2:]) > sites):
            raise InputError(
                f"kernels[{i}] must be at most as long as the box; got lengths {kernel.shape[2:]} for {box.sites} sites"
            )
        channels = kernel.shape[0]
    n = box.n_inputs
    widths = [n, *(n * k.shape[0] for k in arrays)]
    _need_memory(widths, f"a convolution at {n} sites", "use fewer sites or fewer outputs per layer")
    if biases is None:
        vectors = [np.zeros(k.shape[0]) for k in arrays]
    else:
        vectors = [floats(f"biases[{i}]", b, 1) for i, b in enumerate(biases)]
    weights = [_translated(box, kernel) for kernel in arrays]
    return Network(weights, [np.tile(b, n) for b in vectors], activation)


def _translated(box: PeriodicBox, kernel: Floats) -> Floats:
    """The matrix of a kernel at all sites, shape (S outputs, S inputs), the site varying most slowly."""
    n, (outputs, inputs), extents = box.n_inputs, kernel.shape[:2], kernel.shape[2:]
    matrix = np.zeros((n, outputs, n, inputs))
    at = np.stack(np.unravel_index(np.arange(n), box.sites))
    for place in np.ndindex(extents):
        shift = np.array(place) - np.array(extents) // 2
        neighbour = np.ravel_multi_index(tuple(at + shift[:, None]), box.sites, mode="wrap")
        matrix[np.arange(n), :, neighbour, :] += kernel[(slice(None), slice(None), *place)]
    return matrix.reshape(n * outputs, n * inputs)


def _need_box(box: object) -> None:
    if not isinstance(box, PeriodicBox):
        raise InputTypeError(f"box must be a PeriodicBox; got {box!r}")


def momentum_rows(box: PeriodicBox, momenta: ArrayLike) -> Floats:
    """Momenta as rows, shape (Q, d - 1), checked to be momenta of the box; in two dimensions also from (Q,)."""
    wanted = floats("momenta", momenta)
    space = len(box.sites)
    if wanted.ndim == 1 and space == 1:
        wanted = wanted[:, None]
    if wanted.ndim != 2 or wanted.shape[1] != space or not len(wanted):
        raise InputError(f"momenta must have shape (Q, {space}); got shape {wanted.shape}")
    turns = wanted * box.spacing * np.array(box.sites) / (2 * np.pi)
    wrong = np.abs(turns - np.round(turns)).max(axis=1) > 1e-6
    if wrong.any():
        i = int(np.argmax(wrong))
        raise InputError(
            f"momenta must be momenta of the box, multiples of 2 pi/(sites * spacing) along each axis; "
            f"momenta[{i}]={wanted[i].tolist()}",
            "take rows of box.momenta",
        )
    return wanted


def momentum_modes(box: PeriodicBox, momenta: ArrayLike | None = None) -> NDArray[np.int64]:
    """Numbers of the real modes of given momenta, among the columns of ``box.modes``.

    A cosine and a sine, in this order, belong to q and -q, unless these are the same momentum of the lattice.
    All modes if ``momenta`` is None.
    """
    if momenta is None:
        return np.arange(box.n_inputs)
    sites = np.array(box.sites)
    whole = np.round(momentum_rows(box, momenta) * box.spacing * sites / (2 * np.pi)).astype(np.int64)
    found: list[int] = []
    for k in whole:
        # Momentum number n of an axis is column n of it: the modes are in the order of these numbers.
        both = {int(np.ravel_multi_index(tuple(sign * k % sites), box.sites)) for sign in (1, -1)}
        # The cosine is the mode whose momentum is not below the opposite one.
        new = sorted(both, key=lambda c: tuple(box.momenta[c]), reverse=True)
        if set(new) & set(found):
            raise InputError(
                f"momenta must be distinct, and q and -q count as one; got "
                f"{(2 * np.pi * k / (box.spacing * sites)).tolist()} twice"
            )
        found += new
    return np.array(found)


def momentum_projection(box: PeriodicBox, network: Network | None = None, momenta: ArrayLike | None = None) -> Network:
    r"""A network with a linear layer on top that projects its outputs at the sites on modes of chosen momenta.

    .. math:: O_{j,q} = a^{(d-1)/2} \sum_x e_q(x)\, f_j(x)

    with the orthonormal real modes e_q of ``PeriodicBox.modes`` and the lattice spacing a: the two-point function of
    :math:`O_{j,q}` is the Fourier transform :math:`a^{d-1} \sum_r e^{-iqr} \langle f_j(t, r) f_j(0, 0)\rangle`, which
    is :math:`e^{-\omega_q t}/2\omega_q` for the field itself.

    Parameters
    ----------
    box : PeriodicBox
    network : Network, optional
        S inputs and S J outputs, output ``s * J + j`` at site s, as of ``pointwise`` and ``convolution``; the field
        itself by default.
    momenta : array_like, optional
        Momenta of the box, shape (Q, d - 1), or (Q,) in two dimensions; q and -q are equivalent, and a cosine and a
        sine are taken for both. All modes by default.

    Returns
    -------
    Network
        S inputs and J M outputs, M the number of modes: output ``j * M + m`` is function j projected on mode m.

    Raises
    ------
    InputError, InputTypeError
        If the network does not take the sites of the box, its number of outputs is not a multiple of their number, a
        momentum is not one of the box or is given twice, or the weights would take more than 1 GiB.

    Examples
    --------
    >>> from nnqm.fields import PeriodicBox
    >>> box = PeriodicBox(mass=1.0, sites=6)
    >>> momentum_projection(box, momenta=[0.0, np.pi / 3]).widths
    (6, 3)
    """
    _need_box(box)
    n = box.n_inputs
    if network is not None:
        need_sites(network, n)
    modes = momentum_modes(box, momenta)
    functions = 1 if network is None else network.n_outputs // n
    inner = () if network is None else network.widths[1:]
    _need_memory([n, *inner, functions * len(modes)], "the projected network", "use fewer sites or fewer momenta")
    rows = box.modes[:, modes].T * np.sqrt(box.spacing ** len(box.sites))
    # (functions, modes) from (sites, functions).
    project = np.einsum("ms,ij->imsj", rows, np.eye(functions)).reshape(functions * len(modes), n * functions)
    if network is None:
        return Network([project], activation=["identity"])
    weights, kept, names = list(network.weights), list(network.biases), list(network.activations)
    if names[-1] == "identity":
        weights[-1], kept[-1] = product(project, weights[-1]), product(project, kept[-1][:, None])[:, 0]
    else:
        weights.append(project)
        kept.append(np.zeros(len(project)))
        names.append("identity")
    return Network(weights, kept, names)


def need_sites(network: object, n_sites: int) -> None:
    """Raise an error unless a network with fixed weights takes the sites and has as many outputs at each of them."""
    if not isinstance(network, Network):
        raise InputTypeError(f"network must be a Network with fixed weights; got {network!r}")
    if network.n_inputs != n_sites:
        raise InputError(
            f"network takes {network.n_inputs} inputs, but there are {n_sites} sites; "
            "use pointwise or convolution to make a network of all sites"
        )
    if network.n_outputs % n_sites:
        raise InputError(
            f"network must have the same number of outputs at each of {n_sites} sites; got {network.n_outputs} outputs"
        )


def single_point(network: Network, output: int) -> tuple[int, Network] | None:
    """The input on which an output depends, and the output as a network of this input alone.

    Parameters
    ----------
    network : Network
    output : int
        Position of the output.

    Returns
    -------
    (int, Network) or None
        None if the output depends on several inputs, or on none. Neurons that do not reach the output are left out, so
        that equal functions at several points give equal networks.

    Examples
    --------
    >>> import nnqm
    >>> net = nnqm.Network([[[1.0], [2.0]], [[0.5, -0.5]]])
    >>> column, part = single_point(pointwise(net, 3), 2)
    >>> column, part == net
    (2, True)
    """
    integer("output", output, 0, network.n_outputs - 1)
    rows = np.array([output])
    weights: list[Floats] = []
    biases: list[Floats] = []
    for matrix, bias in zip(reversed(network.weights), reversed(network.biases), strict=True):
        reached = np.flatnonzero((matrix[rows] != 0).any(axis=0))
        if reached.size == 0:
            return None
        weights.append(matrix[np.ix_(rows, reached)])
        biases.append(bias[rows])
        rows = reached
    if rows.size != 1:
        return None
    return int(rows[0]), Network(weights[::-1], biases[::-1], network.activations)


def two_point_at_a_point(theory: Theory, channel: str) -> TwoPointFunction | None:
    """The exact two-point function of a channel that depends on one input, where its source knows it.

    Parameters
    ----------
    theory : Theory
    channel : str
        Name of a channel.

    Returns
    -------
    TwoPointFunction or None
        None if the channel depends on several inputs, weights are random, or the source offers none.

    Raises
    ------
    InputError
        If the source has two-point functions of its inputs, but not of this network.
    """
    column, part = theory.channels.index(channel), None
    if theory.network is not None and column >= theory.n_inputs:
        found = single_point(theory.network, column - theory.n_inputs) if isinstance(theory.network, Network) else None
        if found is None:
            return None
        column, part = found
    for source in theory.sources:
        if column < source.n_inputs:
            return source.two_point_of(column, part, theory.hbar, theory.mass)
        column -= source.n_inputs
    return None


def same_function(network: Network, n_sites: int, function: int) -> Network | None:
    """The network of one input that is output ``function`` at every site; None if there is none."""
    per_site = network.n_outputs // n_sites
    first: Network | None = None
    for site in range(n_sites):
        found = single_point(network, site * per_site + function)
        if found is None or found[0] != site or (first is not None and found[1] != first):
            return None
        first = found[1]
    return first
