"""The same work for every recording, in batches: on this machine's processors, or on a Dask cluster.

`CLUSTER=tcp://host:8786` in the environment names a Dask scheduler. Its workers need this project and its packages, and
read and write the same paths. Dask is imported only then. scripts/beyond_one_machine.md says how a cluster is started.
"""

import functools
import itertools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from speaker_gender.config import keep_freed_memory, settings

if TYPE_CHECKING:
    import distributed

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT = 10_000  # batches that a scheduler holds at most
LARGEST_BATCH = 512  # items; smaller ones would keep the scheduler busier than a thousand workers
BATCHES_A_WORKER = 4  # at least, so that workers end at about the same time
EXPECTED_WORKERS = 16  # on a cluster at least, because more may join later
WAIT_FOR_SCHEDULER = 10  # seconds
CLEANING_UP = "ignore:resource_tracker:UserWarning"


class ClusterError(OSError):
    """A cluster that cannot be used any more; the message is one line that says what to do."""


def in_parallel(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    batch: int,
    worth: int = 0,
    n_jobs: int | None = None,
    title: str | None = None,
    unit: str = "recording",
) -> Iterator[Result]:
    """Yield function(item) for each item, in order, computed in batches in several processes.

    Raises ClusterError where the cluster is lost, or a batch kills its workers.

    Parameters
    ----------
    function : callable
        Of a module, or a functools.partial of one. What it raises is raised here.
    batch : int
        Items that a worker takes at a time; on a cluster more.
    worth : int
        So many items take as long as a process takes to start: fewer are done by fewer processes.
    n_jobs : int, optional
        Processes on this machine; by default one for each processor that it may use. A cluster's workers are all used.
    title : str, optional
        Of a progress bar.
    """
    from tqdm.auto import tqdm  # here, because one file is classified without it

    address = settings().cluster
    if address:
        results = _on_cluster(address, function, items, batch)
    else:
        results = _on_this_machine(function, items, batch, n_jobs or n_workers(len(items), worth=worth))
    with tqdm(total=len(items), desc=title, unit=unit, leave=False, disable=title is None) as progress:
        for found in results:
            progress.update(len(found))
            yield from found


def n_workers(n_items: int, *, worth: int = 0) -> int:
    """Choose how many processes of this machine work on items; see `in_parallel`."""
    most = n_items // worth if worth else n_items
    if most < 2:
        return 1
    from joblib import cpu_count  # here, because one file is classified without it

    return min(cpu_count(), most)


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _on_this_machine(
    function: Callable[[Item], Result], items: Sequence[Item], batch: int, n_jobs: int
) -> Iterator[list[Result]]:
    keep_freed_memory()
    if n_jobs < 2 or len(items) <= batch:
        yield from ([function(item)] for item in items)
        return
    import warnings

    from joblib import Parallel, delayed

    known = os.environ.get("PYTHONWARNINGS", "")  # which joblib's process that cleans up behind a stopped program reads
    if CLEANING_UP not in known:
        os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [known, CLEANING_UP]))
    with _ignoring_ctrl_c():  # which workers inherit: their parent ends them
        work = Parallel(n_jobs=n_jobs, return_as="generator")(
            delayed(_work)(function, some, os.getpid()) for some in _batches(items, batch)
        )
    try:
        yield from work
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib's, of work that is dropped where a batch has failed
            work.close()  # type: ignore[attr-defined]  # joblib declares a list, whatever return_as is


@contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(function: Callable[[Item], Result], items: Sequence[Item], parent: int | None = None) -> list[Result]:
    if parent:
        _end_with(parent)
    return [function(item) for item in items]


@functools.cache
def _end_with(parent: int) -> None:
    """Have a worker end soon after its parent, even if that was killed; joblib's would wait for minutes."""
    if not hasattr(os, "getuid") or os.getppid() != parent:  # Windows; a worker's own work
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_cluster(
    address: str, function: Callable[[Item], Result], items: Sequence[Item], batch: int
) -> Iterator[list[Result]]:
    client = _client(address)
    import distributed

    with _connection(address):
        threads = max(sum(client.nthreads().values()), EXPECTED_WORKERS)
    size = max(batch, min(LARGEST_BATCH, len(items) // (BATCHES_A_WORKER * threads)))
    left = _batches(items, size)
    numbers, done = {}, {}  # batch's number: of futures that are not finished; of results that wait for earlier ones
    count, following = itertools.count(), 0
    running = distributed.as_completed(loop=client.loop)

    def submit(n_batches: int) -> None:
        for some in itertools.islice(left, n_batches):
            with _connection(address):
                future = client.submit(_work, function, some, pure=False)
                numbers[future] = next(count)
                running.add(future)

    try:
        submit(IN_FLIGHT)
        for future in running:
            done[numbers.pop(future)] = _result(future, address)
            submit(1)
            while following in done:
                yield done.pop(following)
                following += 1
    finally:
        if client.status == "running":
            with suppress(OSError):  # lost just now
                client.cancel(list(numbers), force=True)


@contextmanager
def _connection(address: str) -> Iterator[None]:
    """Say in one line that the scheduler was lost, at whichever call that shows."""
    from concurrent.futures import CancelledError

    from distributed.client import ClosedClientError

    try:
        yield
    except (OSError, CancelledError, ClosedClientError):
        raise ClusterError(
            f"the scheduler {address} was lost; what is finished is kept, and the same command goes on from there"
        ) from None


def _result(future: Any, address: str) -> Any:
    with _connection(address):
        if future.status == "finished":
            return future.result()
        if future.status != "error":
            raise ConnectionError
        error = future.exception()
    if type(error).__name__ == "KilledWorker":
        n_workers = error.allowed_failures + 1
        raise ClusterError(f"one batch has killed {n_workers} workers, for lack of memory? Their logs say more")
    if isinstance(error, OSError | ValueError):
        raise error
    raise ClusterError(f"a batch failed on the cluster: {str(error).splitlines()[0] or type(error).__name__}")


@functools.lru_cache(maxsize=1)
def _connected(address: str) -> "distributed.Client":
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
    workers = client.nthreads()
    has = f"{len(workers)} workers, {sum(workers.values())} threads" if workers else "waiting for the first worker"
    print(f"Cluster {address}: {has}; dashboard: {client.dashboard_link}", file=sys.stderr, flush=True)
    return client


def _client(address: str) -> "distributed.Client":
    """The connection to a scheduler; a line on the error stream tells its workers and its dashboard's address."""
    client = _connected(address)
    if client.status != "running":  # it was lost before
        _connected.cache_clear()
        client = _connected(address)
    return client
