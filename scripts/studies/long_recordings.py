#!/usr/bin/env python3
"""How long does it take to classify an hour of speech and a thousand recordings, how much memory, and where does it go?

    python scripts/studies/long_recordings.py CORPUS… [--minutes M]

Puts recordings of the named corpora (development sets) together to one WAV in a temporary folder, has it classified by
`classify_wavs.py --timeline csv`, cold, and 1,000 recordings of the first corpus by `classify_wavs.py`. Writes
results/long_recordings.json: wall and processor seconds of all threads and processes, the peak of the memory, how many
times faster than real time that is, and the seconds of each step in one thread. Where other programs keep the
processors busy, the processor seconds are the fairer figure. Beside them stands what inaSpeechSegmenter's author writes
of its speed, which was not measured here. Linux and macOS.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
import functools
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import date
from itertools import cycle, islice
from typing import TypeVar

import numpy as np
import pandas as pd
import soundfile

from speaker_gender.caching import write_json
from speaker_gender.classifying.classification import as_windows, classify_windows, windows_of
from speaker_gender.classifying.classifier import default_model, load_classifier
from speaker_gender.config import RESULTS, ROOT, SAMPLE_RATE, SEED
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.judging.assessment import unseen_recordings
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.training import versions
from speaker_gender.sound.reading import INT16_FULL_SCALE, read_pieces, read_signal
from speaker_gender.sound.speech import find_speech

Result = TypeVar("Result")

LEVEL = 3_000  # RMS on the int16 scale, to which each recording is brought
STEPS = ("reading", "finding speech", "images and mel spectrograms", "networks")
PAUSE = 0.3  # seconds between recordings
TURN = 8  # recordings of one speaker in a row
SHORT = 1_000  # recordings that are classified as they are
PUBLISHED = {
    "tool": "inaSpeechSegmenter",
    "source": "https://github.com/ina-foss/inaSpeechSegmenter/issues/9",
    "written": "2018-09-28, by its author D. Doukhan",
    "quotation": [
        "6 minutes per hour of archive using CPU Intel Core i7-6700 (3.40 Ghz, 4 cores, 8 threads)",
        "1 minute per hour of archive using Titan X Maxwell GPU",
    ],
    "times_real_time": {"CPU Intel Core i7-6700": 10, "Titan X Maxwell GPU": 60},
    "note": "Other machines, other sound: an order of magnitude, no comparison on equal terms. It also tells music and "
    "noise from speech. Its README and its paper's abstract (Doukhan et al., ICASSP 2018) say nothing of speed; the "
    "rest of the paper could not be read.",
}


def write_long_recording(path: Path, recordings: pd.DataFrame, *, seconds: float, seed: int = SEED) -> int:
    """Write recordings one after the other as one WAV: mono, 16 bits, 48 kHz.

    Returns recordings that were put together; the last one may be cut.

    Parameters
    ----------
    path : Path
        Of the WAV.
    recordings : DataFrame
        Columns path (Path) and speaker. They are drawn in turns of up to TURN of one speaker, as often as it takes.
    seconds : float
        Of the WAV.
    seed : int
        Of the draw.
    """
    rng = np.random.default_rng(seed)
    turns = [group["path"].to_numpy() for _, group in recordings.groupby("speaker")]
    missing, n_recordings, pause = round(seconds * SAMPLE_RATE), 0, np.zeros(round(PAUSE * SAMPLE_RATE))
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, subtype="PCM_16") as file:
        while missing:
            paths = turns[rng.integers(len(turns))]
            for recording in rng.permutation(paths)[:TURN]:
                signal = read_signal(recording)
                signal = signal * (LEVEL / max(np.sqrt(np.mean(signal**2)), 1e-9)) / INT16_FULL_SCALE
                block = np.concatenate([signal.clip(-1, 1), pause])[:missing]
                file.write(block)
                missing, n_recordings = missing - len(block), n_recordings + 1
                if not missing:
                    break
    return n_recordings


def measure(paths: list[Path], folder: Path | None = None) -> tuple[dict, list[dict]]:
    """Classify recordings from the command line and measure it.

    `paths`: the recordings. `folder`: where their timelines go, if they are wanted. Raises ValueError where one cannot
    be read.

    Returns
    -------
    measured : dict
        seconds (of the recordings), wall_seconds, processor_seconds, peak_bytes of one process, times_real_time, and
        the latter by processor seconds.
    answers : list of dict
        As the command line gives them.
    """
    command: list[str | Path] = [sys.executable, ROOT / "scripts" / "classify_wavs.py", *paths, "--json"]
    command += ["--timeline", "csv", "--timeline-folder", folder] if folder else []
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        program = subprocess.Popen(command, stdout=output)
        _, status, used = os.wait4(program.pid, 0)  # it says what the program used, and no other one
        wall = time.perf_counter() - started
        program.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        lines = output.read().splitlines()
    answers, processor = [json.loads(line) for line in lines], used.ru_utime + used.ru_stime
    unread = [answer for answer in answers if answer["seconds"] is None]
    if unread or len(answers) < len(paths):
        raise ValueError(f"{paths[0].name}: not classified ({unread[0]['reason'] if unread else 'no answer'})")
    seconds = sum(answer["seconds"] for answer in answers)
    return {
        "seconds": round(seconds, 1),
        "wall_seconds": round(wall, 2),
        "processor_seconds": round(processor, 2),
        "peak_bytes": used.ru_maxrss * (1 if sys.platform == "darwin" else 1_024),
        "times_real_time": round(seconds / wall, 1),
        "times_real_time_by_processor_seconds": round(seconds / processor, 1),
    }, answers


def seconds_of_steps(paths: list[Path]) -> dict[str, float]:
    """Seconds that each step of classifying recordings takes in one thread, everything loaded before."""
    classifier, spent = load_classifier(default_model(), threads=1), dict.fromkeys(STEPS, 0.0)
    rate = classifier.view.sample_rate
    classify_windows(classifier, windows_of(classifier, next(read_pieces(paths[0], sample_rate=rate))[: 10 * rate]))

    def timed(step: str, function: Callable[..., Result], *arguments: object) -> Result:
        started = time.perf_counter()
        result = function(*arguments)
        spent[step] += time.perf_counter() - started
        return result

    for path in paths:
        pieces = read_pieces(path, sample_rate=rate, report=[])
        while (piece := timed("reading", next, pieces, None)) is not None:
            found, reason = timed(
                "finding speech", functools.partial(find_speech, sample_rate=rate), piece - piece.mean()
            )
            windows = timed("images and mel spectrograms", as_windows, classifier, found, reason)
            if len(found):
                timed("networks", classify_windows, classifier, windows)
    return {step: round(seconds, 2) for step, seconds in spent.items()}


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", metavar="CORPUS", help="folders in AudioMNIST's layout")
    parser.add_argument("--minutes", type=float, default=60, help="of the recording (default: 60)")
    options = parser.parse_args()
    try:
        corpora, model = [resolve_corpus(choice) for choice in options.corpora], default_model()
        recordings = pd.concat([unseen_recordings(corpus, model) for corpus in corpora])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "long.wav"
            n_recordings = write_long_recording(path, recordings, seconds=60 * options.minutes)
            measured, answers = measure([path], Path(folder))
            short = [Path(path) for path in islice(cycle(recordings["path"]), SHORT)]
            measured_short, _ = measure(short)
            del measured_short["peak_bytes"]  # a child's begins with that of its parent, which has the long recording's
            steps = {"long": seconds_of_steps([path]), "short": seconds_of_steps(short)}
    except (CorpusError, ModelError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    found: dict = {"date": date.today().isoformat(), "versions": versions(), "cores": os.cpu_count()}
    found |= {"corpora": [corpus.title for corpus in corpora], "recordings": n_recordings}
    found |= {
        "measured": measured,
        "windows": answers[0]["windows"],
        "short": {"recordings": len(short)} | measured_short,
    }
    found |= {"seconds_of_steps": steps, "published": PUBLISHED}
    write_json(RESULTS / "long_recordings.json", found)
    print(
        f"{measured['seconds'] / 60:.0f} minutes: {measured['wall_seconds']:.1f} s ({measured['times_real_time']:.0f} "
        f"times real time), {measured['processor_seconds']:.1f} processor seconds "
        f"({measured['times_real_time_by_processor_seconds']:.0f} times), {measured['peak_bytes'] / 2**20:.0f} MiB; "
        f"{answers[0]['windows']} windows of {n_recordings} recordings"
    )
    print(f"{SHORT:,} recordings: {measured_short['wall_seconds']:.1f} s; steps in one thread: {steps}")
    return 0


if __name__ == "__main__":
    run_main(main)
