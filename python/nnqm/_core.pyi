from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

tile_paths: int
random_map_version: int

_Layer = tuple[ArrayLike, ArrayLike, str]
_Drawn = tuple[str, float, ArrayLike, str, float, ArrayLike, bool]

def activations() -> list[str]: ...
def build_info() -> dict[str, Any]: ...

class OrnsteinUhlenbeck:
    def __init__(self, omega: ArrayLike, sigma: ArrayLike) -> None: ...

class Chain:
    def __init__(
        self,
        *,
        dt: float,
        values: ArrayLike,
        start_threshold: ArrayLike,
        start_alias: ArrayLike,
        threshold: ArrayLike,
        alias: ArrayLike,
    ) -> None: ...

class PeriodicChain:
    def __init__(
        self,
        *,
        dt: float,
        values: ArrayLike,
        start_threshold: ArrayLike,
        start_alias: ArrayLike,
        step_weights: ArrayLike,
        remaining: ArrayLike,
    ) -> None: ...

class Linear:
    def __init__(
        self, *, mean: ArrayLike, basis: ArrayLike, density: str, nu: float, rows: ArrayLike, independent: bool
    ) -> None: ...

class Quantiles:
    def __init__(self, coefficients: ArrayLike) -> None: ...

class Modes:
    def __init__(self, omega: ArrayLike, matrix: ArrayLike) -> None: ...

class RandomWaves:
    def __init__(
        self,
        *,
        points: ArrayLike,
        neurons: int,
        oscillators: bool,
        radius: Quantiles | None,
        ratio: Quantiles | None,
        mass: float,
        amplitude: float,
        power: float,
        group: int,
    ) -> None: ...

class Times:
    def __init__(self, reflected: bool) -> None: ...

class Network:
    def __init__(self, layers: Sequence[_Layer]) -> None: ...
    def drawn(self, layers: Sequence[_Drawn], group: int, split: bool) -> Network: ...
    def trained(
        self,
        *,
        points: ArrayLike,
        targets: ArrayLike,
        weights: ArrayLike,
        rate: float,
        steps: int,
        last_layer: bool,
        unit_draws: bool,
    ) -> Network: ...
    def tabulated(self, precision: str) -> Network | None: ...
    @property
    def parameters(self) -> int: ...

class Theory:
    def __init__(
        self,
        sources: Sequence[OrnsteinUhlenbeck | Chain | PeriodicChain | Linear | Modes | RandomWaves | Times],
        network: Network,
    ) -> None: ...

class Measure:
    def __init__(
        self,
        *,
        channels: Sequence[int],
        shift: ArrayLike,
        scale: ArrayLike,
        orders: Sequence[int],
        neurons: Sequence[_Layer],
        centres: ArrayLike,
        products: Sequence[tuple[int, int]],
        lags: Sequence[int],
        observable_lags: Sequence[int],
        increment_lags: Sequence[int],
        group: int,
        moments: bool,
        two_time: int,
    ) -> None: ...
    def shapes(self, n_times: int) -> list[tuple[str, list[int]]]: ...

def advance(
    *,
    theory: Theory,
    measure: Measure,
    key: int,
    times: ArrayLike,
    n_paths: int,
    n_blocks: int,
    precision: str,
    n_threads: int,
    blocks: tuple[int, int],
    rounds: tuple[int, int],
    first_block: int,
    sums: dict[str, NDArray[Any]],
) -> int: ...
def sample(
    *,
    theory: Theory,
    key: int,
    times: ArrayLike,
    paths: tuple[int, int],
    n_threads: int,
    out: NDArray[Any],
    futures: int = 1,
) -> None: ...
def apply(
    *, network: Network, key: int, times: ArrayLike, first_path: int, inputs: NDArray[Any], n_threads: int
) -> NDArray[np.floating[Any]]: ...
def differentiate(
    *, network: Network, inputs: NDArray[Any], n_threads: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]: ...
def pullback(
    *,
    network: Network,
    key: int,
    first_path: int,
    inputs: NDArray[Any],
    values: NDArray[Any],
    first: NDArray[Any] | None,
    second: NDArray[Any] | None,
    n_threads: int,
) -> tuple[NDArray[Any], NDArray[Any]]: ...
def draw(
    *, network: Network, key: int, negative: bool, groups: tuple[int, int], precision: str, n_threads: int
) -> NDArray[np.floating[Any]]: ...
def accumulate(
    *,
    channels: NDArray[Any],
    measure: Measure,
    offsets: Sequence[int],
    first_path: int,
    n_threads: int,
    sums: dict[str, NDArray[Any]],
    weights: ArrayLike | None = None,
) -> int: ...
def two_time_functions(
    *, packed: NDArray[np.float64], factors: ArrayLike, offsets: ArrayLike, rows: tuple[int, int]
) -> None: ...
def unpack_matrices(*, packed: ArrayLike, size: int) -> NDArray[np.float64]: ...
def jackknife_variances(*, values: ArrayLike, replicas: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]: ...
def symmetric_eigenstates(
    *, matrices: ArrayLike, vectors: bool, n_threads: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def generalised_eigenstates(
    *, metrics: ArrayLike, matrices: ArrayLike, n_threads: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def products(*, a: ArrayLike, b: ArrayLike, transposed_b: bool, n_threads: int) -> NDArray[np.float64]: ...
