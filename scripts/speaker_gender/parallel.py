"""Where per-recording work is done: on this machine's processors, or on a Dask cluster through joblib's backend.

`joblib.Parallel` is the one way in which such work is called, and `parallel` makes it. `CLUSTER=tcp://host:8786` in the
environment names a Dask scheduler. Its workers need this project and its packages, and read and write the same paths.
Dask is imported only then. scripts/beyond_one_machine.md says how a cluster is started.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imported late, because one file is classified without it
    from joblib import Parallel

IN_FLIGHT = 10_000  # batches that a scheduler holds at most: enough for workers that come later
LARGEST_BATCH = 512  # recordings; smaller ones would keep the scheduler busier than a thousand workers
BATCHES_A_WORKER = 4  # at least, so that workers end at about the same time


class ClusterError(OSError):
    """A cluster that cannot be used any more; the message is one line that says what to do."""


def cluster_address() -> str | None:
    """Return the address of the Dask scheduler that does the work; None where this machine does it."""
    return os.environ.get("CLUSTER") or None


def parallel(n_jobs: int | None = None, **options: Any) -> "Parallel":
    """Make the joblib.Parallel that per-recording work is called with.

    Parameters
    ----------
    n_jobs : int, optional
        Processes on this machine; by default one per core. On a cluster all its workers are used.
    **options
        Of joblib.Parallel. Not 'generator_unordered': joblib may end that without a word when a worker raises an error.

    Returns
    -------
    joblib.Parallel

    Raises
    ------
    ClusterError
        Where CLUSTER is set and there is no such scheduler, or Dask is missing here.
    """
    from joblib import Parallel

    address = cluster_address()
    if address is None:
        return Parallel(n_jobs=n_jobs or os.cpu_count() or 1, **options)
    from speaker_gender.cluster import backend_for  # here, because few ask for a cluster

    return Parallel(n_jobs=-1, backend=backend_for(address), pre_dispatch=IN_FLIGHT, **options)


def n_workers(n_items: int, *, each: int) -> int:
    """Choose how many processes of this machine work on recordings; 1 where others would only have started by then.

    Parameters
    ----------
    n_items : int
        Recordings in all.
    each : int
        Recordings that take about as long as a process takes to start and to import what it needs.

    Returns
    -------
    int
        At most one per core.
    """
    return max(1, min(os.cpu_count() or 1, n_items // each))


def batch_size(n_items: int, *, local: int) -> int:
    """Choose how many recordings a worker takes at a time.

    Parameters
    ----------
    n_items : int
        Recordings in all.
    local : int
        The size on this machine; on a cluster it is at least that.

    Returns
    -------
    int
    """
    address = cluster_address()
    if address is None:
        return local
    from speaker_gender.cluster import n_threads

    return max(local, min(LARGEST_BATCH, n_items // (BATCHES_A_WORKER * max(n_threads(address), 1))))
