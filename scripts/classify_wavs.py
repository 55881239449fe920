#!/usr/bin/env python3
"""Say of sound files whether a female or a male voice speaks.

    python scripts/classify_wavs.py FILE_OR_FOLDER… [--json] [--images DIR] [--model PATH]

Prints a table, or with --json one JSON object a line: file, gender ("female", "male" or null), p_female, p_male,
seconds, windows, reason. With --images, writes a PNG for each answered file: what the model saw, and where it looked.
Exit status: 0 when every file was answered, 1 when some were not or could not be drawn, 2 for wrong usage.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from speaker_gender.sound.files import sound_files


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--model", type=Path, help="a safetensors file with its JSON card (default: the project's own)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="write what the model saw, with Grad-CAM, into DIR")
    options = parser.parse_args(arguments)
    try:
        files = sound_files(options.paths)
    except OSError as error:
        parser.error(f"{error.filename}: cannot be read ({error.strerror})")
    if not files:
        parser.error("there is no sound file in what was named")

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads cost more than they gain in products this small
    # Imported late, so that wrong usage is answered at once.
    from speaker_gender.answering.classification import classify_recordings
    from speaker_gender.answering.classifier import default_model, load_classifier
    from speaker_gender.learning.model_files import ModelError

    try:
        classifier = load_classifier(options.model or default_model())
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    answers, undrawn = [], False
    for path, answer in zip(files, classify_recordings(classifier, files)):
        answers.append(answer)
        print(json.dumps(asdict(answer)) if options.json else _table_row(answer), flush=True)
        if options.images and answer.gender:
            from speaker_gender.answering.explanation import draw_answer

            try:
                draw_answer(classifier, answer, options.images / f"{_file_name(path, files)}.png")
            except (OSError, ModelError) as error:
                print(error, file=sys.stderr)
                undrawn = True
    return int(undrawn or any(answer.gender is None for answer in answers))


def silence_libraries() -> None:
    """Leaves the standard error stream to Python: libmpg123 tells of every damaged MP3 there in lines of its own."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _file_name(path: Path, files: list[Path]) -> str:
    """The file's name, with its number before it where another file has the same."""
    twins = [other for other in files if other.name == path.name]
    return path.name if len(twins) == 1 else f"{files.index(path) + 1}_{path.name}"


def _table_row(answer) -> str:
    from speaker_gender.sound.reading import printable

    name = printable(answer.file)
    if answer.gender is None:
        return f"{name}: no answer, {answer.reason}"
    seconds = f"{answer.seconds:.1f} s, {answer.windows} window{'s' if answer.windows > 1 else ''}"
    return f"{name}: {answer.gender} (female {answer.p_female:.1%}, male {answer.p_male:.1%}; {seconds})"


if __name__ == "__main__":
    silence_libraries()
    try:
        sys.exit(main())
    except BrokenPipeError:  # whoever reads the answers has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
