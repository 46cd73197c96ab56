"""The options that name workers: processes of this machine, a Dask cluster, or the ranks of an MPI job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from .._arguments import integer
from ..runs.crew import local_workers
from .printing import BadInput, input_errors

__all__: list[str] = []

Workers = Annotated[
    int | None,
    typer.Option(help="Worker processes; they do not change the results. [default: none]", show_default=False),
]
Dask = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Scheduler of a Dask cluster that does the work.", show_default=False),
]
Mpi = Annotated[bool, typer.Option("--mpi", help="The ranks of an MPI job do the work: mpiexec -n N nnqm ... --mpi.")]


def executor_of(
    context: typer.Context, workers: int | None, dask: str | None, mpi: bool
) -> Executor | Callable[[], Executor] | None:
    """The workers of a command, until it ends; a rank that is a worker ends here."""
    if sum((workers is not None, dask is not None, mpi)) > 1:
        raise BadInput("--workers, --dask and --mpi exclude each other; give one of them")
    if workers is not None:
        with input_errors():
            number = integer("--workers", workers, 1, 4096)
        return lambda: local_workers(number)
    if dask is not None:
        executor: Executor = context.with_resource(_dask_executor(dask))
        return executor
    if mpi:
        found: Executor | None = context.with_resource(_ranks())
        if found is None:
            raise typer.Exit(0)
        return found
    return None


@contextmanager
def _dask_executor(address: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError:
        raise BadInput("--dask needs Dask: pip install distributed") from None
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise BadInput(
            f"--dask: no scheduler answers at {address} ({error}); give its address, tcp://HOST:8786"
        ) from None
    with client, client.get_executor() as executor:
        yield executor


@contextmanager
def _ranks() -> Iterator[Any]:
    """The other ranks of an MPI job as workers of rank 0; None on them, after the work."""
    try:
        from mpi4py import MPI
        from mpi4py.futures import MPICommExecutor
    except (ImportError, RuntimeError) as error:
        raise BadInput(f"--mpi needs mpi4py and an MPI library ({error}): pip install mpi4py mpich") from None
    if MPI.COMM_WORLD.Get_size() < 2:
        raise BadInput("--mpi needs at least two ranks; rank 0 collects the sums: mpiexec -n 4 nnqm run THEORY --mpi")
    with MPICommExecutor(MPI.COMM_WORLD, root=0) as executor:
        yield executor
