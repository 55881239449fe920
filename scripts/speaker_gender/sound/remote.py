"""Recordings at URLs, such as s3://bucket/x.wav: fsspec copies each to a temporary file while it is read.

libsndfile and FFmpeg then read a file as any other, with the same checks. fsspec is imported only for a URL. A protocol
may need a package of its own, such as s3fs.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speaker_gender.caching import stream_digest


def is_url(path: Path | str) -> bool:
    """Whether a recording lies at a URL."""
    return isinstance(path, str) and "://" in path


def located(folder: Path, path: str) -> Path | str:
    """Return where a recording of a corpus lies: its URL, or its path, which a relative one in the table continues."""
    return path if is_url(path) else folder / path


@contextmanager
def local_copy(url: str) -> Iterator[Path]:
    """Have a recording as a local file for as long as the block takes.

    Yields of the file, which nothing holds open: Windows lets nobody else read one that is. Raises OSError where it
    cannot be fetched, or the package for its protocol is missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "recording"
        with _opened(url) as source, open(copy, "wb") as file:
            shutil.copyfileobj(source, file)
        yield copy


def url_digest(url: str) -> str:
    """Digest a recording's content at a URL: the same digits as caching.file_digest of a copy.

    Raises OSError as `local_copy` does.
    """
    with _opened(url) as source:
        return stream_digest(source)


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
