#!/usr/bin/env python3
"""How long does it take to classify an hour of speech, and how much memory?

    python scripts/studies/long_recordings.py CORPUS… [--minutes M]

Puts recordings of the named corpora (development sets) together to one WAV in a temporary folder, has it classified by
`classify_wavs.py --timeline csv`, cold, and writes results/long_recordings.json: wall and processor seconds of all its
threads, the peak of its memory, and how many times faster than real time that is. Where other programs keep the
processors busy, the processor seconds are the fairer figure. Beside them stands what inaSpeechSegmenter's author
writes of its speed, which was not measured here. Linux and macOS.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
import json
import os
import subprocess
import tempfile
import time
from datetime import date

import numpy as np
import pandas as pd
import soundfile

from speaker_gender.caching import write_json
from speaker_gender.classifying.classifier import default_model
from speaker_gender.config import RESULTS, ROOT, SAMPLE_RATE, SEED
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.judging.assessment import unseen_recordings
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.training import versions
from speaker_gender.sound.reading import INT16_FULL_SCALE, read_signal

LEVEL = 3_000  # RMS on the int16 scale, to which each recording is brought
PAUSE = 0.3  # seconds between recordings
TURN = 8  # recordings of one speaker in a row
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


def measure(path: Path, folder: Path) -> tuple[dict, dict]:
    """Classify a recording from the command line and measure it.

    `path`, `folder`: the recording; where its timeline goes. Raises ValueError where it was not classified.

    Returns
    -------
    measured : dict
        seconds (of the recording), wall_seconds, processor_seconds, peak_bytes, times_real_time, and the latter by
        processor seconds.
    answer : dict
        As the command line gives it.
    """
    command: list[str | Path] = [sys.executable, ROOT / "scripts" / "classify_wavs.py", path, "--json"]
    command += ["--timeline", "csv", "--timeline-folder", folder]
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        program = subprocess.Popen(command, stdout=output)
        _, status, used = os.wait4(program.pid, 0)  # it says what the program used, and no other one
        wall = time.perf_counter() - started
        program.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if program.returncode:
        raise ValueError(f"{path.name}: not classified ({text.strip() or 'no answer'})")
    answer, processor = json.loads(text), used.ru_utime + used.ru_stime
    return {
        "seconds": answer["seconds"],
        "wall_seconds": round(wall, 2),
        "processor_seconds": round(processor, 2),
        "peak_bytes": used.ru_maxrss * (1 if sys.platform == "darwin" else 1_024),
        "times_real_time": round(answer["seconds"] / wall, 1),
        "times_real_time_by_processor_seconds": round(answer["seconds"] / processor, 1),
    }, answer


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
            measured, answer = measure(path, Path(folder))
    except (CorpusError, ModelError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    found: dict = {"date": date.today().isoformat(), "versions": versions(), "cores": os.cpu_count()}
    found |= {"corpora": [corpus.title for corpus in corpora], "recordings": n_recordings}
    found |= {"measured": measured, "windows": answer["windows"], "published": PUBLISHED}
    write_json(RESULTS / "long_recordings.json", found)
    print(
        f"{measured['seconds'] / 60:.0f} minutes: {measured['wall_seconds']:.1f} s ({measured['times_real_time']:.0f} "
        f"times real time), {measured['processor_seconds']:.1f} processor seconds "
        f"({measured['times_real_time_by_processor_seconds']:.0f} times), {measured['peak_bytes'] / 2**20:.0f} MiB; "
        f"{answer['windows']} windows of {n_recordings} recordings"
    )
    return 0


if __name__ == "__main__":
    run_main(main)
