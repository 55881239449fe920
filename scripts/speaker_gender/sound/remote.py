"""Recordings at URLs, such as s3://bucket/x.wav: fsspec copies each to a temporary file while it is read.

libsndfile and FFmpeg then read a file as any other, with the same checks. fsspec is imported only for a URL. A protocol
may need a package of its own, such as s3fs.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

BLOCK = 1 << 20  # bytes that are fetched at a time


def is_url(path: Path | str) -> bool:
    """Whether a recording lies at a URL."""
    return isinstance(path, str) and "://" in path


def located(folder: Path, path: str) -> Path | str:
    """Return where a recording of a corpus lies: its URL, or its path, which a relative one in the table continues."""
    return path if is_url(path) else folder / path


@contextmanager
def local_copy(path: Path | str) -> Iterator[Path | str]:
    """Have a recording as a local file for as long as the block takes.

    Parameters
    ----------
    path : Path or str
        A path, which is yielded as it is, or a URL.

    Yields
    ------
    Path or str
        Of the file; a URL's is removed after the block.

    Raises
    ------
    OSError
        Where it cannot be fetched, or the package for its protocol is missing.
    """
    if not is_url(path):
        yield path
        return
    name = PurePosixPath(str(path).partition("://")[2]).name
    with tempfile.NamedTemporaryFile(suffix=f"_{name[-100:]}") as file:
        with _opened(str(path)) as source:
            shutil.copyfileobj(source, file, BLOCK)
        file.flush()
        yield Path(file.name)


def url_digest(url: str) -> str:
    """Digest a recording's content at a URL: the same digits as caching.file_digest of a copy.

    Parameters
    ----------
    url : str

    Returns
    -------
    str

    Raises
    ------
    OSError
        As `local_copy` does.
    """
    content = hashlib.sha256()
    with _opened(url) as source:
        while block := source.read(BLOCK):
            content.update(block)
    return content.hexdigest()[:16]


@contextmanager
def _opened(url: str):
    import fsspec  # here, because few corpora lie at URLs

    try:
        with fsspec.open(url, "rb") as source:
            yield source
    except OSError:
        raise
    except Exception as error:  # each protocol has errors of its own
        raise OSError(str(error).splitlines()[0] if str(error) else type(error).__name__) from None
