"""Which files of those that were named are sound files."""

import os
from pathlib import Path

SUFFIXES = frozenset(
    ".3g2 .3gp .aac .ac3 .aif .aifc .aiff .amr .ape .au .avi .caf .flac .m4a .m4b .m4v .mka .mkv .mov .mp2 .mp3 .mp4 "
    ".mpg .oga .ogg .ogv .opus .snd .spx .w64 .wav .wave .weba .webm .wma .wmv .wv".split()
)


def sound_files(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """The sound files among the paths and in the folders among them, however deep, and the other files there.

    A file that was named is a sound file, whatever its suffix. Hidden files and folders in a folder are left out, and
    so are the ._* files that macOS leaves on other systems' disks.

    Parameters
    ----------
    paths : list of Path
        Files and folders.

    Returns
    -------
    sounds, others : list of Path
        In the order of the paths, and within a folder in order of name.

    Raises
    ------
    OSError
        For a folder that cannot be read.
    """
    sounds: list[Path] = []
    others: list[Path] = []
    for path in paths:
        for file in _files_in(path) if path.is_dir() else [path]:
            is_sound = file == path or file.suffix.lower() in SUFFIXES
            (sounds if is_sound else others).append(file)
    return sounds, others


def _files_in(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise error

    found = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place) / name for name in sorted(names) if not name.startswith(".")]
    return found
