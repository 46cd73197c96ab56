"""Checks of arguments. Messages name the argument, the value got, the requirement and a remedy."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._memory import need_memory
from .errors import InputError, InputTypeError

Floats = NDArray[np.float64]
# A string, because numpy.random takes a while to load.
Rng: TypeAlias = "int | np.random.SeedSequence | np.random.Generator | None"


# Smallest constant of a theory: powers and products of such constants are in the range of float64.
_SMALLEST_SCALE = 1e-50

# Number of entries from which on a copy is worth the look at the memory of the machine.
_LARGE = 2**24

# Usual names of other fields and programs, and the names here that they may mean.
_USUAL = {
    "ou": ("ornstein-uhlenbeck",),
    "oscillator": ("ornstein-uhlenbeck",),
    "harmonic-oscillator": ("ornstein-uhlenbeck",),
    "hamiltonian": ("ground-state",),
    "potential": ("ground-state",),
    "kkl": ("karhunen-loeve",),
    "rbf": ("squared-exponential",),
    "brownian": ("wiener",),
    "normal": ("gaussian",),
    "linear": ("identity",),
    "theta": ("omega",),
    "w": ("omega",),
    "frequency": ("omega",),
    "temperature": ("beta",),
    "layers": ("widths",),
    "m": ("mass",),
    "n-paths": ("paths", "--paths"),
}

# Device types of DLPack with memory that the CPU can read: CPU, pinned for CUDA or ROCm, and managed by CUDA.
_READABLE = (1, 3, 11, 13)


def array_of(name: str, value: Any) -> NDArray[Any]:
    """Real numbers as an array; memory that NumPy can read is not copied."""
    mask = getattr(value, "mask", None) if isinstance(value, np.ndarray) else None
    if mask is not None and np.any(mask):
        raise InputError(f"{name} must have no masked entries; fill or remove them")
    try:
        # The array protocol comes first: for lazily negated tensors PyTorch raises an error there, but DLPack is wrong.
        if hasattr(value, "__array__") or not hasattr(value, "__dlpack__"):
            array = np.asarray(value)
        else:
            device = value.__dlpack_device__()
            if device[0] not in _READABLE:
                raise InputTypeError(f"its memory is on DLPack device {tuple(device)}")
            array = np.from_dlpack(value)
    except (TypeError, ValueError, AttributeError, RuntimeError, BufferError) as error:
        got = f"{type(value).__name__} that NumPy cannot read: {str(error).rstrip('.')}"
        raise InputTypeError(f"{name} must be real numbers; got {got}; give float32 or float64 on the CPU") from None
    if array.dtype.kind not in "fiubO":
        remedy = "take the real part or a component, or convert to float64"
        raise InputTypeError(f"{name} must be real numbers; got dtype {array.dtype}; {remedy}")
    return array


def floats(name: str, value: ArrayLike, ndim: int | None = None) -> Floats:
    """A float64 copy of ``value``, finite, with ``ndim`` axes."""
    given = array_of(name, value)
    if given.size > _LARGE:
        need_memory(8.0 * given.size, f"{name} in float64", "give less at once", f"shape {given.shape}")
    try:
        # A number that float64 does not have becomes infinite or NaN, and is refused below.
        with np.errstate(invalid="ignore", over="ignore"):
            array = np.array(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"{name} must be real numbers; {error}") from None
    except OverflowError:
        raise InputError(f"{name} must be double-precision numbers; got a larger one") from None
    if ndim is not None and array.ndim != ndim:
        raise InputError(f"{name} must have {ndim} axes; got {array.ndim} (shape {array.shape})")
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        where = "" if array.ndim == 0 else f"[{', '.join(map(str, bad[0]))}]"
        raise InputError(f"{name} must be finite; {name}{where}={array[tuple(bad[0])]}")
    return array


def positive(name: str, value: Any) -> float:
    """A finite, positive float."""
    number = float(floats(name, value, 0))
    if number <= 0:
        raise InputError(f"{name} must be positive; got {name}={number:g}")
    return number


def scale(name: str, value: Any) -> float:
    """A positive float whose powers and products with others are in the range of float64."""
    number = positive(name, value)
    if not _SMALLEST_SCALE <= number <= 1 / _SMALLEST_SCALE:
        raise InputError(
            f"{name} must be from {_SMALLEST_SCALE:g} to {1 / _SMALLEST_SCALE:g}; got {name}={number:g}; "
            "use other units"
        )
    return number


def positives(name: str, value: ArrayLike) -> tuple[float, ...]:
    """Finite, positive floats from a number or a sequence."""
    array = np.atleast_1d(floats(name, value))
    if array.ndim != 1 or array.size == 0:
        raise InputError(f"{name} must be a number or a one-dimensional sequence; got shape {array.shape}")
    for i, number in enumerate(array):
        if number <= 0:
            raise InputError(f"{name} must be positive; got {name}[{i}]={number:g}")
    return tuple(float(x) for x in array)


def integer(name: str, value: Any, minimum: int, maximum: int = 2**62) -> int:
    """An integer between ``minimum`` and ``maximum``."""
    try:
        number = operator.index(value)
    except TypeError:
        raise InputTypeError(f"{name} must be an integer; got {value!r}") from None
    if number < minimum:
        raise InputError(f"{name} must be at least {minimum}; got {number}")
    if number > maximum:
        raise InputError(f"{name} must be at most {maximum}; got {number}")
    return number


def choice(name: str, value: Any, options: Iterable[str]) -> str:
    """One of ``options``; the message suggests the nearest one."""
    known = sorted(options)
    if isinstance(value, str) and value in known:
        return value
    hint = nearest_hint(str(value), known, cutoff=0.4)
    raise InputError(f"{name} {value!r} is unknown; choose from {', '.join(known)}{hint}")


def nearest_hint(name: str, known: Iterable[str], *, cutoff: float = 0.5) -> str:
    """Hint to the nearest known name, for a message; empty if none is near."""
    listed = list(known)
    usual = _USUAL.get(name.strip().lower().replace("_", "-"), ())
    near = next((other for other in usual if other in listed), None)
    if near is None:
        lowered = {other.lower(): other for other in reversed(listed)}
        found = difflib.get_close_matches(name[:100].lower(), lowered, n=1, cutoff=cutoff)
        near = lowered[found[0]] if found else None
    return f"; did you mean {near!r}?" if near is not None else ""


def lag_list(name: str, value: Iterable[int], minimum: int, n_times: int | None = None) -> tuple[int, ...]:
    """Sorted, distinct lags in steps, below ``n_times`` if it is given."""
    if not isinstance(value, Iterable):
        raise InputTypeError(f"{name} must be a sequence of integers; got {value!r}")
    lags = tuple(integer(f"{name}[{i}]", v, minimum) for i, v in enumerate(value))
    for lag in lags:
        if n_times is not None and lag >= n_times:
            raise InputError(
                f"{name} must be below n_times; got lag {lag} with n_times={n_times}; use smaller lags or longer paths"
            )
    if len(set(lags)) != len(lags):
        raise InputError(f"{name} must be distinct; got {list(lags)}")
    return tuple(sorted(lags))


def random_key(rng: Rng) -> int:
    """64-bit key from NumPy's conventions for random-number arguments."""
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(0, 2**64, dtype=np.uint64))
    if isinstance(rng, np.random.SeedSequence):
        sequence = rng
    elif rng is None:
        sequence = np.random.SeedSequence()
    else:
        sequence = np.random.SeedSequence(integer("rng", rng, 0, 2**128))
    return int(sequence.generate_state(1, np.uint64)[0])


def generator_of(rng: Rng) -> np.random.Generator:
    """Generator from NumPy's conventions for random-number arguments."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise InputTypeError(
            f"rng must be an integer that is not negative, a SeedSequence, a Generator or None; got {rng!r}"
        ) from None


def key_of(rng: Rng, key: int | None) -> int:
    """The key of paths, given as it is or made of an rng."""
    if key is not None and rng is not None:
        raise InputError("give either rng or key, not both")
    return random_key(rng) if key is None else integer("key", key, 0, 2**64 - 1)
