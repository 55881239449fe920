"""One way to keep the result of a slow step: compute and save it, or load it and say so.

A cached file carries the key of what it was made from (corpus, parameters, versions). It is used only while that
key is the same, and it is written beside its final name and then renamed, so that a reader finds a whole file or none.
`RECOMPUTE=1` in the environment recomputes everything.
"""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from config import WORKSPACE


def recompute() -> bool:
    return os.environ.get("RECOMPUTE") == "1"


@contextmanager
def replacing(path: Path):
    """Yields a temporary path beside `path`; renames it to `path` if the block ends well, removes it if not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".", suffix=".partial")
    os.close(handle)
    partial = Path(partial)
    try:
        yield partial
        partial.chmod(0o666 & ~_umask())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes the whole of `content` or leaves what was there. Text is written as UTF-8."""
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, value) -> None:
    """JSON knows no nan: a score that is undefined is written as null."""
    write_atomically(path, json.dumps(_without_nan(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


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


def shown(path: Path) -> str:
    """A path as a reader of a notebook wants it: relative to the project where it lies inside."""
    return str(path.relative_to(WORKSPACE)) if path.is_relative_to(WORKSPACE) else path.name


def cached_json(path: Path, key: dict, compute: Callable[[], dict]) -> dict:
    """The dict that `compute` returns, kept in `path` together with `key`.

    A file with another key, or one that is not JSON, is computed anew. Says where a cached value came from.
    """
    key = json.loads(json.dumps(key))
    if path.exists() and not recompute():
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            if saved["key"] == key:
                print(f"From the cache: {shown(path)}")
                return saved["result"]
        except (ValueError, KeyError, TypeError):
            print(f"{shown(path)} is not a whole JSON file: computed again")
    result = _without_nan(compute())
    write_json(path, {"key": key, "result": result})
    return json.loads(json.dumps(result))


def cached_array(path: Path, key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The array that `compute` returns, kept in `path` (.npy), with its key in a file beside it."""
    key_path = path.with_suffix(".key")
    if path.exists() and key_path.exists() and key_path.read_text() == key and not recompute():
        print(f"From the cache: {shown(path)}")
        return np.load(path, allow_pickle=False)
    array = compute()
    key_path.unlink(missing_ok=True)  # first the key of the old array goes, last the key of the new one comes
    with replacing(path) as partial, partial.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    with replacing(key_path) as partial:
        partial.write_text(key)
    return array
