"""Which files are sound files."""

from pathlib import Path

SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf"}


def sound_files(paths: list[Path]) -> list[Path]:
    """The files among the paths, and the sound files in the folders among them, in order of name."""
    files = []
    for path in paths:
        if path.is_dir():
            files += sorted(inside for inside in path.iterdir() if inside.suffix.lower() in SUFFIXES)
        else:
            files.append(path)
    return files
