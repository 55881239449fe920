"""Which files of those that were named are sound files."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = frozenset(
    ".3g2 .3ga .3gp .aac .ac3 .aif .aifc .aiff .amr .ape .asf .au .avi .awb .bwf .caf .dsf .dts .eac3 .f4v .flac .flv "
    ".m2ts .m4a .m4b .m4v .mka .mkv .mov .mp2 .mp3 .mp4 .mpc .mpeg .mpg .mpga .mts .nist .oga .ogg .ogv .oma .opus "
    ".qcp .ra .rf64 .rm .snd .sph .spx .tak .tta .vob .voc .w64 .wav .wave .weba .webm .wma .wmv .wv".split()
)
OWN = (".gender.csv", ".gender.rttm", ".gender.textgrid")  # timelines that this project has written


def sound_files(paths: list[Path]) -> tuple[list[Path], list[Path], list[OSError]]:
    """The sound files among the paths and in the folders among them, however deep, and the other files there.

    A file that was named is a sound file, whatever its suffix; a name with *, ? or [] that is no file's is a pattern,
    as Windows' shells leave it. Links to folders are followed, each folder once. Hidden files and folders in a folder
    are left out, and so are timelines of this project and the ._* files that macOS leaves on other systems' disks.
    `paths`: files and folders.

    Returns
    -------
    sounds, others : list of Path
        In the order of the paths, and within a folder in order of name.
    unreadable : list of OSError
        Of folders that cannot be read, each with its name.
    """
    sounds: list[Path] = []
    others: list[Path] = []
    unreadable: list[OSError] = []
    for path in paths:
        for named in [path] if os.path.lexists(path) else sorted(map(Path, glob.glob(str(path)))) or [path]:
            for file in _files_in(named, unreadable) if os.path.isdir(named) else [named]:
                is_sound = file == named or file.suffix.lower() in SUFFIXES
                if is_sound or not file.name.lower().endswith(OWN):
                    (sounds if is_sound else others).append(file)
    return sounds, others, unreadable


def _files_in(folder: Path, unreadable: list[OSError]) -> Iterator[Path]:
    seen = {os.path.realpath(folder)}
    for place, folders, names in os.walk(folder, onerror=unreadable.append, followlinks=True):
        real = {name: os.path.realpath(os.path.join(place, name)) for name in sorted(folders) if name[0] != "."}
        folders[:] = [name for name in real if real[name] not in seen]
        seen.update(real.values())
        yield from (Path(place) / name for name in sorted(names) if name[0] != ".")
