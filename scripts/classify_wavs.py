#!/usr/bin/env python3
"""Classify sound files: does a female or a male voice speak, how sure is the model, and who speaks when?

    python scripts/classify_wavs.py FILE_OR_FOLDER… [--json | --csv] [--images DIR] [--model PATH]
                                    [--timeline csv|rttm|textgrid [--timeline-folder DIR]]

Any format that libsndfile or FFmpeg reads, of any length up to twelve hours; folders are searched through.
Prints a table, or one JSON object a line, or CSV: file, answer ("female", "male", "mixed", "unsure", "no speech" or
"unreadable"), gender (the likelier label), p_female, p_male, seconds, windows, reason, warning, speaking time.
--timeline writes who speaks when, as <file>.gender.<form> beside each file or into a folder. --images writes a PNG for
each classified file: what the model saw, and where it looked.
Exit status: 0 when every file was classified, 1 when some were not or something could not be written, 2 for wrong
usage, 130 after Ctrl-C.
"""

import argparse
import contextlib
import csv
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from speaker_gender.sound.files import sound_files

MANY = 20  # files from which a terminal gets a progress bar
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
    try:
        options.files, others = sound_files(options.paths)
    except OSError as error:
        parser.exit(2, f"{_shown(error.filename)}: cannot be read ({error.strerror})\n")
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

    failed, bar = False, _progress(len(options.files))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if options.csv:
        writer.writerow([*COLUMNS, "female_seconds", "male_seconds"])
    for path, answer in zip(options.files, classify_recordings(classifier, options.files)):
        with bar.external_write_mode() if bar else contextlib.nullcontext():
            if options.csv:
                writer.writerow(_csv_row(answer))
            else:
                print(json.dumps(_as_json(answer)) if options.json else _table_row(answer))
            sys.stdout.flush()
        failed |= answer.gender is None
        failed |= not _write_extras(options, classifier, path, answer)
        if bar:
            bar.update()
    if bar:
        bar.close()
    return failed


def _write_extras(options: argparse.Namespace, classifier, path: Path, answer) -> bool:
    """Writes what was asked for beside the answer; False where it could not be."""
    from speaker_gender.learning.model_files import ModelError
    from speaker_gender.sound.reading import printable

    target = path
    try:
        if options.timeline and answer.seconds is not None:
            from speaker_gender.classifying.exports import SUFFIXES, write_timeline

            name = f"{_file_name(path, options.files, options.timeline_folder)}.gender{SUFFIXES[options.timeline]}"
            target = (options.timeline_folder or path.parent) / name
            write_timeline(answer, target, form=options.timeline)
        if options.images and answer.gender:
            from speaker_gender.showing.explanation import draw_answer  # here: matplotlib and torch take seconds

            target = options.images / f"{_file_name(path, options.files, options.images)}.png"
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
    """Leaves the standard error stream to Python: C libraries write lines of their own there.

    Both streams show what their encoding lacks as escapes instead of failing.
    """
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.stdout.reconfigure(errors="backslashreplace")
    if not sys.warnoptions:
        import warnings

        warnings.simplefilter("ignore")


def _file_name(path: Path, files: list[Path], folder: Path | None) -> str:
    """The file's name, with its number before it where another file of that name goes into the same folder."""
    twins = [other for other in files if other.name == path.name]
    return path.name if folder is None or len(twins) == 1 else f"{files.index(path) + 1}_{path.name}"


def _as_json(answer) -> dict:
    found = asdict(answer)
    found["timeline"] = [stretch._asdict() for stretch in answer.timeline]
    return found


def _csv_row(answer) -> list:
    row = [getattr(answer, column) for column in COLUMNS]
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
        sys.exit(main())
    except OSError as error:  # of the stream that the answers go to
        if not isinstance(error, BrokenPipeError):  # where the reader has read enough
            print(f"The answers cannot be written ({error.strerror})", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nStopped", file=sys.stderr)
        os._exit(130)  # at once, whatever the workers are at
