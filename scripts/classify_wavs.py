#!/usr/bin/env python3
"""Classify sound files: does a female or a male voice speak, how sure is the model, and who speaks when?

    python scripts/classify_wavs.py FILE_OR_FOLDER… [--json | --csv] [--images DIR] [--model PATH]
                                    [--timeline csv|rttm|textgrid [--timeline-folder DIR]]

Any format that libsndfile or FFmpeg reads, of any length up to twelve hours; folders are searched through. Where
different people speak in a file's channels, as in a telephone call, each channel is classified on its own.
Prints a table, or one JSON object a line, or CSV: file, answer ("female", "male", "mixed", "unsure", "no speech" or
"unreadable"), gender (the likelier label), p_female, p_male, seconds, windows, reason, warning, speaking time. In CSV a
name that a spreadsheet would take for a formula begins with ./ (it is the same file).
--timeline writes who speaks when, as <file>.gender.<form> beside each file or into a folder. --images writes a PNG for
each classified file: what the model saw, and where it looked.
Exit status: 0 when every file was classified, 1 when some were not or something could not be written, 2 for wrong
usage, 130 after Ctrl-C.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[0]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly("Stopped")  # from here on, whatever is imported

import argparse
import contextlib
import csv
import hashlib
import json
import os
from collections import Counter

from speaker_gender.sound.files import sound_files

MANY = 20  # files from which a terminal gets a progress bar
LONGEST_NAME = 200  # bytes of a file name to which our own suffixes are added
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a cell begins with that spreadsheets run
COLUMNS = ("file", "answer", "gender", "p_female", "p_male", "seconds", "windows", "reason", "warning")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, with the sound files among what was named; the others are said to be left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    form.add_argument("--csv", action="store_true", help="comma-separated values instead of a table")
    parser.add_argument("--timeline", choices=["csv", "rttm", "textgrid"], help="write who speaks when, a file each")
    parser.add_argument("--timeline-folder", type=Path, metavar="DIR", help="where to (default: beside each file)")
    parser.add_argument("--model", type=Path, help="a safetensors file with its JSON card (default: the project's own)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="write what the model saw, with Grad-CAM, into DIR")
    options = parser.parse_args(arguments)
    if options.timeline_folder and not options.timeline:
        parser.error("--timeline-folder: name the form, too, such as --timeline csv")
    options.files, others, options.unreadable = sound_files(options.paths)
    for error in options.unreadable:
        print(f"{_shown(error.filename)}: cannot be read ({error.strerror})", file=sys.stderr)
    _name_left_out(others)
    if not options.files:
        named = ", ".join(_shown(path) for path in options.paths)
        parser.exit(2, f"{named}: no sound file there; name a sound file, or a folder that has some\n")
    return options


def _name_left_out(others: list[Path]) -> None:
    """Says of each file in a folder that has no sound file's suffix that it is left out."""
    for other in others:
        print(f"{_shown(other)}: not a sound file, left out", file=sys.stderr)


def _shown(path: Path | str) -> str:
    from speaker_gender.sound.reading import printable  # here, because it takes a tenth of a second to import

    return printable(path)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    # Imported late, so that wrong usage is answered at once.
    from speaker_gender.classifying.classifier import default_model, load_classifier
    from speaker_gender.learning.model_files import ModelError
    from speaker_gender.parallel import ClusterError

    try:
        return int(_classify(options, load_classifier(options.model or default_model())))
    except (ModelError, ClusterError) as error:
        print(error, file=sys.stderr)
        return 1


def _classify(options: argparse.Namespace, classifier) -> bool:
    """Prints the answer for each file and writes what was asked for beside it; True where anything of it failed."""
    from speaker_gender.classifying.classification import classify_recordings

    failed, bar = bool(options.unreadable), _progress(len(options.files))
    names = _file_names(options.files)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if options.csv:
        writer.writerow([*COLUMNS, "female_seconds", "male_seconds"])
    for path, name, answer in zip(options.files, names, classify_recordings(classifier, options.files)):
        with bar.external_write_mode() if bar else contextlib.nullcontext():
            if options.csv:
                writer.writerow(_csv_row(answer))
            else:
                print(json.dumps(_as_json(answer)) if options.json else _table_row(answer))
            sys.stdout.flush()
        failed |= answer.gender is None
        failed |= not _write_extras(options, classifier, path, name, answer)
        if bar:
            bar.update()
    if bar:
        bar.close()
    return failed


def _write_extras(options: argparse.Namespace, classifier, path: Path, name: str, answer) -> bool:
    """Writes what was asked for beside the answer, in a common folder by a name; False where it could not be."""
    from speaker_gender.learning.model_files import ModelError
    from speaker_gender.sound.reading import printable

    target = path
    try:
        if options.timeline and answer.seconds is not None:
            from speaker_gender.classifying.exports import SUFFIXES, write_timeline

            folder = options.timeline_folder
            target = (folder or path.parent) / f"{name if folder else _short(path.name)}{SUFFIXES[options.timeline]}"
            write_timeline(answer, target, form=options.timeline)
        if options.images and answer.gender:
            from speaker_gender.showing.explanation import draw_answer  # here: matplotlib and torch take seconds

            target = options.images / f"{name}.png"
            draw_answer(classifier, answer, target)
    except ModelError as error:
        print(error, file=sys.stderr)
        return False
    except OSError as error:
        print(f"{printable(target)}: cannot be written ({error.strerror or error})", file=sys.stderr)
        return False
    return True


def _progress(n_files: int):
    """A progress bar on the terminal where there are many files; else None."""
    if n_files < MANY or not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    return tqdm(total=n_files, unit="file", leave=False)


def silence_libraries() -> None:
    """Leaves the standard streams to Python: C libraries write lines of their own there.

    Both streams show what their encoding lacks as escapes instead of failing.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        stream.flush()
        own = os.fdopen(os.dup(number), "w", buffering=1, encoding=stream.encoding, errors="backslashreplace")
        setattr(sys, name, own)
        os.dup2(nowhere, number)
    if not sys.warnoptions:
        import warnings

        warnings.simplefilter("ignore")


def _file_names(files: list[Path]) -> list[str]:
    """A name for what is written of each file into a common folder; no two, not even in capitals, are the same.

    Where several files have one name, it has a number before it.
    """
    same = Counter(file.name.casefold() for file in files)
    taken, names = set(same), []
    for number, file in enumerate(files, start=1):
        name = file.name
        while same[file.name.casefold()] > 1 and name.casefold() in taken:
            name, number = f"{number}_{file.name}", number + len(files)
        taken.add(name.casefold())
        names.append(_short(name))
    return names


def _short(name: str) -> str:
    """A file name to which suffixes can be added: file systems take 255 bytes."""
    content = os.fsencode(name)
    if len(content) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(content).hexdigest()[:8]
    return f"{content[: LONGEST_NAME - 9].decode(errors='ignore')}~{digest}"


def _as_json(answer) -> dict:
    found = {name: value for name, value in vars(answer).items() if name != "seen"}
    found["timeline"] = [stretch._asdict() for stretch in answer.timeline]
    return found


def _csv_row(answer) -> list:
    row = [getattr(answer, column) for column in COLUMNS]
    if answer.file.startswith(FORMULA):
        row[0] = os.path.join(os.curdir, answer.file)
    return [*row, answer.speaking_time.get("female"), answer.speaking_time.get("male")]


def _table_row(answer) -> str:
    from speaker_gender.sound.reading import printable

    name = printable(answer.file)
    warning = f"; warning: it {answer.warning}" if answer.warning else ""
    if answer.gender is None:
        return f"{name}: {answer.answer}, {answer.reason}{warning}"
    seconds = f"{answer.seconds:.1f} s, {answer.windows} window{'s' if answer.windows > 1 else ''}"
    if answer.answer == "mixed":
        told = ", ".join(f"{label} {duration:.1f} s" for label, duration in answer.speaking_time.items())
        return f"{name}: mixed ({told}; {seconds}){warning}"
    return f"{name}: {answer.answer} (female {answer.p_female:.1%}, male {answer.p_male:.1%}; {seconds}){warning}"


if __name__ == "__main__":
    silence_libraries()
    try:
        run_main(main)
    except OSError as error:  # of the stream that the answers go to
        if not isinstance(error, BrokenPipeError):  # where the reader has read enough
            print(f"The answers cannot be written ({error.strerror})", file=sys.stderr)
        os.dup2(1, sys.stdout.fileno())  # which leads nowhere
        sys.exit(1)
