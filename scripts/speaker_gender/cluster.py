"""A Dask cluster as a backend of joblib; imported only where CLUSTER names one.

A worker that dies loses the batch that it works on, which another one then does again. joblib's backend waits for ever
where the scheduler is lost or a batch has killed too many workers. Here either ends the work with a ClusterError.
"""

import asyncio
import functools
import logging
import sys
from typing import TYPE_CHECKING, Any

from joblib._dask import DaskDistributedBackend

from speaker_gender.parallel import ClusterError

if TYPE_CHECKING:
    import distributed

WAIT_FOR_SCHEDULER = 10  # seconds
WAIT_FOR_WORKERS = 3_600  # seconds; a queue of jobs may take long before it starts the first
POLL = 0.01  # seconds


class ClusterBackend(DaskDistributedBackend):  # type: ignore[misc]  # joblib has no types
    """joblib's backend for Dask, which reports batches that come to nothing instead of waiting for them."""

    async def _collect(self):
        while self._continue:
            async for future, result in self.waiting_futures:
                done, callback = self._results.pop(future), self._callbacks.pop(future)
                if future.status != "finished":
                    result = self._lost(future, result)
                done.set_result(result)
                callback(result)
            await asyncio.sleep(POLL)

    def _lost(self, future, result: Any) -> ClusterError:
        address = self.client.scheduler.address if self.client.scheduler else "of the cluster"
        if future.status == "error" and isinstance(result, tuple):
            result = result[1]
            if type(result).__name__ == "KilledWorker":
                workers = result.allowed_failures + 1
                return ClusterError(f"one batch has killed {workers} workers, for lack of memory? Their logs say more")
            return ClusterError(f"a batch failed on the cluster: {result}")
        return ClusterError(
            f"the scheduler {address} was lost; what is finished is kept, and the same command goes on from there"
        )

    def retrieve_result_callback(self, out):
        """Return a batch's results, or raise what became of it."""
        if isinstance(out, ClusterError):
            raise out
        return super().retrieve_result_callback(out)

    def abort_everything(self, ensure_ready=True):
        """Have the workers drop work whose result is not needed any more."""
        super().abort_everything(ensure_ready)
        pending = list(self._results)
        self._results.clear()
        self._callbacks.clear()
        if self.client.status == "running":
            self.client.cancel(pending, asynchronous=False, force=True)

    def get_nested_backend(self):
        """Return the same backend."""
        return self, -1


@functools.cache
def client_of(address: str) -> "distributed.Client":
    """Connect to a scheduler; a line on the error stream says its workers and the address of its dashboard.

    Parameters
    ----------
    address : str
        Such as tcp://host:8786.

    Returns
    -------
    distributed.Client

    Raises
    ------
    ClusterError
        Where there is no scheduler, or Dask is missing here.
    """
    try:
        import distributed
    except ImportError:
        raise ClusterError("CLUSTER is set, but Dask is missing: pip install -r requirements-cluster.txt") from None
    for name in ("distributed", "distributed.client", "distributed.core"):  # what goes wrong is reported in one line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = distributed.Client(address, set_as_default=False, timeout=WAIT_FOR_SCHEDULER)
    except (OSError, ValueError, TimeoutError) as error:
        raise ClusterError(f"CLUSTER={address}: no Dask scheduler there ({str(error).splitlines()[0]})") from None
    n_workers, n_threads = len(client.nthreads()), sum(client.nthreads().values())
    has = f"{n_workers} workers, {n_threads} threads" if n_workers else "waiting for the first worker"
    print(f"Cluster {address}: {has}; dashboard: {client.dashboard_link}", file=sys.stderr, flush=True)
    return client


def backend_for(address: str) -> ClusterBackend:
    """Make joblib's backend for the cluster of a scheduler; see `client_of`."""
    client = client_of(address)
    if client.status != "running":  # it was lost before
        client_of.cache_clear()
        client = client_of(address)
    return ClusterBackend(client=client, wait_for_workers_timeout=WAIT_FOR_WORKERS, pure=False)


def n_threads(address: str) -> int:
    """Count the threads of all workers that have come by now."""
    return sum(client_of(address).nthreads().values())
