"""One way to keep the result of a slow step: compute and save it, or load it and say so.

A cached file carries the key of what it was made from (content, parameters, versions) and a digest of itself. It is
used only while both still match. `RECOMPUTE=1` in the environment recomputes everything. A time in seconds since 1970
instead of 1, which run_notebooks.py sets, recomputes what is older, so that one run computes nothing twice.

Every file is written beside its final name and then renamed. However many programs write at once, and whenever one is
killed, a reader finds a whole file or none, an older one or a newer one. What a killed program leaves ends in .partial
and is removed a day later. Nothing is promised about a power cut: there is no fsync, which would make many small files
slow. An empty or torn file that a power cut leaves under a final name does not match its digest.
"""

import errno
import hashlib
import io
import json
import math
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from speaker_gender.config import WORKSPACE, settings

ABANDONED = 24 * 3_600  # seconds after which no program is still writing a file
BLOCK = 1 << 20  # bytes that are read at a time
LONGEST_LINE = 4_096  # bytes of key and digest
CLOCKS = 60  # seconds that the clocks of machines may differ by; a file from later than that is of a wrong clock


def recompute(path: Path) -> bool:
    """Whether a cached file is to be computed again: any for RECOMPUTE=1, else an older one than RECOMPUTE."""
    wanted = settings().recompute
    if not wanted.isdecimal() or not path.exists():
        return False
    return wanted == "1" or not int(wanted) <= path.stat().st_mtime <= time.time() + CLOCKS


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name and rename it if the block ends well.

    `path`: where the file is to be; its folder is made. Yields a temporary path beside `path`, removed if the block
    fails. Raises OSError for one in the block, such as that of a full disk; it names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(6)}.partial")  # no two programs' names are the same
    try:
        with _naming(path):
            yield partial
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except _NamedError:
        raise
    except OSError as error:
        raise _NamedError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from None


class _NamedError(OSError):
    """Names its file already; the context of another file that is written at the same time must not change it."""


def remove_abandoned(folder: Path) -> None:
    """Remove the .partial files that killed programs have left in a folder; younger ones may be in use."""
    for partial in folder.glob("?*.partial"):
        try:
            if partial.is_file() and time.time() - partial.stat().st_mtime > ABANDONED:
                partial.unlink()
        except FileNotFoundError:  # it was in use, or another run has removed it
            pass


def write_atomically(path: Path, content: bytes | memoryview | str) -> None:
    """Write the whole content to a file, or leave the file as it was.

    `content`: text is written as UTF-8. Raises OSError where it cannot be written; it names `path`.
    """
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, atomically; see `json_text`."""
    write_atomically(path, json_text(value))


def json_text(value: object) -> str:
    """Format a value as indented JSON; nan, which JSON does not have, becomes null."""
    return json.dumps(_without_nan(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def digest(*values: object) -> str:
    """Digest JSON-serialisable values to 16 hexadecimal digits.

    Parameters
    ----------
    *values : object
        What JSON does not have, such as a path, counts as its text.

    Examples
    --------
    >>> digest("59/5_59_22.wav", 480)
    '74be791e2dcf3ba3'
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Digest a file's content to 16 hexadecimal digits. Raises OSError where it cannot be read."""
    with open(path, "rb", buffering=0) as file:
        return stream_digest(file)


def content_digest(content: bytes | memoryview) -> str:
    """Digest a content in memory: the same digits as `file_digest` of a file with this content."""
    return hashlib.sha256(content).hexdigest()[:16]


def stream_digest(file: BinaryIO) -> str:
    """Digest what an open file still holds: the same digits as `file_digest` of a file with this content."""
    content = hashlib.sha256()
    while block := file.read(BLOCK):
        content.update(block)
    return content.hexdigest()[:16]


def shown(path: Path) -> str:
    """Shorten a path for a reader: relative to the workspace where it lies inside, else the file's name."""
    return str(path.relative_to(WORKSPACE)) if path.is_relative_to(WORKSPACE) else path.name


def cached_json(path: Path, key: dict, compute: Callable[[], dict]) -> dict:
    """Load a dict from a cached file, and say so in one line, or compute and save it.

    `path`: a JSON file that holds key, digest and result. `key`: all that determines the result. A file with another
    key, or with a digest that does not match, is computed anew. `compute`: called without arguments where there is no
    usable file. Returns the result as JSON gives it back: str keys, lists for tuples, None for nan.
    """
    remove_abandoned(path.parent)
    if not recompute(path):
        try:
            if (result := read_kept_json(path, key)) is not None:
                print(f"From the cache: {shown(path)}")
                return result
        except ValueError as error:
            print(f"{shown(path)}: {error}; computed again")
    return write_kept_json(path, key, compute())


def write_kept_json(path: Path, key: dict, result: dict) -> dict:
    """Write a result with its key and a digest of itself; returns it as JSON gives it back."""
    result = json.loads(json.dumps(_without_nan(result)))
    write_json(path, {"key": key, "digest": digest(result), "result": result})
    return result


def read_kept_json(path: Path, key: dict) -> dict | None:
    """Read what `write_kept_json` wrote under this key; None where there is nothing. Raises ValueError for damage."""
    if not path.exists():
        return None
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        intact, of_key = saved["digest"] == digest(saved["result"]), saved["key"] == json.loads(json.dumps(key))
    except (ValueError, KeyError, TypeError, RecursionError):
        intact, of_key = False, False
    if not intact:
        raise ValueError("checksum mismatch")
    return saved["result"] if of_key else None


def forget_oldest(folder: Path, pattern: str, *, keep: int) -> None:
    """Remove all but the newest cached files of a kind, each of which is of another set of recordings."""
    files = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
    for path in files[:-keep]:
        path.unlink(missing_ok=True)


def write_kept(path: Path, key: str, content: bytes | memoryview) -> None:
    """Write bytes after a line with their key and their digest, atomically."""
    with replacing(path) as partial, open(partial, "wb") as file:
        file.write(f"{key} {content_digest(content)}\n".encode())
        file.write(content)


@contextmanager
def reading_kept(path: Path, key: str) -> Iterator[BinaryIO | None]:
    """Open what `write_kept` wrote under this key, at the beginning of its content; None where nothing is usable."""
    if not path.exists():
        yield None
        return
    with open(path, "rb") as file:
        saved_key, _, of_content = file.readline(LONGEST_LINE).decode(errors="replace").rstrip("\n").rpartition(" ")
        start = file.tell()
        if saved_key != key:
            yield None
        elif stream_digest(file) != of_content:
            print(f"{shown(path)}: checksum mismatch; computed again")
            yield None
        else:
            file.seek(start)
            yield file


def cached_array(path: Path, key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Load an array from a cached file, and say so in one line, or compute and save it.

    `path`: a file of `write_kept` whose content is that of an .npy file. `key`: all that determines the array, see
    `digest`. `compute`: called without arguments where there is no usable file.
    """
    remove_abandoned(path.parent)
    with reading_kept(path, key) as file:
        if file and not recompute(path):
            print(f"From the cache: {shown(path)}")
            return np.load(file, allow_pickle=False)
    array, buffer = compute(), io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_kept(path, key, buffer.getbuffer())
    return array
