"""One way to keep the result of a slow step: compute and save it, or load it and say so.

A cached file carries the key of what it was made from (content, parameters, versions), and a digest of itself. It is
used only while both are as they were. `RECOMPUTE=1` in the environment recomputes everything; with a time in seconds
since 1970 instead of 1, which run_notebooks.py puts there, all that is older, so that a run computes nothing twice.

Every file is written beside its final name and then renamed: whenever a program is killed, and however many write at
once, a reader finds a whole file or none, an older one or a newer one. What a killed program leaves ends in .partial
and is removed a day later. Nothing is promised about a power cut (no fsync, which would make many small files slow):
what it may leave, an empty or torn file under its final name, does not have the digest that was noted for it.
"""

import errno
import hashlib
import io
import json
import math
import os
import secrets
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from speaker_gender.config import WORKSPACE

ABANDONED = 24 * 3_600  # seconds after which nobody is still writing a file
BLOCK = 1 << 20  # bytes that are read at a time


def recompute(path: Path) -> bool:
    """Whether what is kept in a file that is there is to be computed again all the same."""
    wanted = os.environ.get("RECOMPUTE", "")
    return wanted == "1" or (wanted.isdecimal() and path.stat().st_mtime < int(wanted))


@contextmanager
def replacing(path: Path):
    """Yields a temporary path beside `path`; renames it to `path` if the block ends well, removes it if not.

    An OSError in the block, such as that of a full disk, is raised with the name of `path`.
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
def _naming(path: Path):
    try:
        yield
    except _NamedError:
        raise
    except OSError as error:
        raise _NamedError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from None


class _NamedError(OSError):
    """Already says which file it is of, which another file that is written at the same time must not change."""


def remove_abandoned(folder: Path) -> None:
    """Removes the .partial files that killed programs have left in a folder. Younger ones may be in use."""
    for partial in folder.glob("?*.partial"):
        try:
            if partial.is_file() and time.time() - partial.stat().st_mtime > ABANDONED:
                partial.unlink()
        except FileNotFoundError:  # it was in use, or another run has removed it
            pass


def write_atomically(path: Path, content: bytes | memoryview | str) -> None:
    """Writes the whole of `content` or leaves what was there. Text is written as UTF-8."""
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def append(path: Path, text: str) -> None:
    """Adds to a file, in one piece, so that the lines of programs that add at once do not mix. Raises OSError."""
    with _naming(path), open(path, "ab") as file:
        file.write(text.encode())


def write_json(path: Path, value) -> None:
    write_atomically(path, json_text(value))


def json_text(value) -> str:
    """JSON knows no nan: a score that is undefined is written as null."""
    return json.dumps(_without_nan(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _without_nan(value):
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def digest(*values) -> str:
    """16 hexadecimal digits that stand for some JSON-serialisable values."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """16 hexadecimal digits that stand for a file's content. Raises OSError where it cannot be read."""
    with open(path, "rb", buffering=0) as file:
        return _digest_of(file)


def content_digest(content: bytes | memoryview) -> str:
    """The same digits for a content that is in memory."""
    return hashlib.sha256(content).hexdigest()[:16]


def _digest_of(file: BinaryIO) -> str:
    content = hashlib.sha256()
    while block := file.read(BLOCK):
        content.update(block)
    return content.hexdigest()[:16]


def shown(path: Path) -> str:
    """A path as a reader of a notebook wants it: relative to the project where it lies inside."""
    return str(path.relative_to(WORKSPACE)) if path.is_relative_to(WORKSPACE) else path.name


def cached_json(path: Path, key: dict, compute: Callable[[], dict]) -> dict:
    """The dict that `compute` returns, kept in `path` together with `key`.

    A file with another key, or one that is not as it was written, is computed anew. Says where a cached value came
    from.
    """
    key = json.loads(json.dumps(key))
    remove_abandoned(path.parent)
    if path.exists() and not recompute(path):
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            result = saved["result"]
            if saved.get("digest") not in (None, digest(result)):  # files from before digests were kept have none
                raise ValueError
            if saved["key"] == key:
                print(f"From the cache: {shown(path)}")
                return result
        except (ValueError, KeyError, TypeError, AttributeError):
            print(f"{shown(path)} is not as it was written: computed again")
    result = json.loads(json.dumps(_without_nan(compute())))
    write_json(path, {"key": key, "digest": digest(result), "result": result})
    return result


def cached_array(path: Path, key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The array that `compute` returns, kept in `path` (.npy), with its key and its digest in a file beside it."""
    key_path = path.with_suffix(".key")
    remove_abandoned(path.parent)
    if path.exists() and key_path.exists() and not recompute(path):
        saved_key, _, of_content = key_path.read_text(encoding="utf-8", errors="replace").rpartition(" ")
        if saved_key == key:
            with path.open("rb") as file:
                if _digest_of(file) == of_content:
                    print(f"From the cache: {shown(path)}")
                    file.seek(0)
                    return np.load(file, allow_pickle=False)
            print(f"{shown(path)} is not as it was written: computed again")
    array, file = compute(), io.BytesIO()
    np.save(file, array, allow_pickle=False)
    write_atomically(path, file.getbuffer())
    write_atomically(key_path, f"{key} {content_digest(file.getbuffer())}")
    return array
