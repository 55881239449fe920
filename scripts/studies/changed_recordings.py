#!/usr/bin/env python3
"""How much accuracy do codecs and clipping cost, and is the warning of clipping right?

    python scripts/studies/changed_recordings.py CORPUS… [--each N]

Sends recordings of the named corpora (development sets) through a codec, or clips them as a microphone does to a voice
that is too loud. Writes results/shipped/changed_recordings.json: for each change the balanced accuracy with refusals
wrong, its 95 % interval over speakers, and the paired difference from the same recordings unchanged; how many are
refused, and how many get the warning of clipping; and of those that are classified the accuracy beside the mean
probability of the answers.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
import functools
import io
from collections.abc import Callable
from datetime import date
from typing import cast

import av
import numpy as np
import pandas as pd
import soxr

from speaker_gender.caching import write_json
from speaker_gender.classifying.classification import CLIPPED, classify_signal
from speaker_gender.classifying.classifier import default_model, load_classifier
from speaker_gender.config import RESULTS, SAMPLE_RATE, SEED
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.judging.assessment import unseen_recordings
from speaker_gender.judging.comparisons import compare_on_same_recordings, describe, in_points
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.training import versions
from speaker_gender.parallel import in_parallel
from speaker_gender.sound.reading import read_signal

LOUDEST = 0.7  # of full scale, of what a codec gets


def clipped(signal: np.ndarray, *, share: float) -> np.ndarray:
    """Clip a signal.

    `signal`: any scale, shape (samples,). Its offset is taken out. `share`: of its samples, the loudest, that are cut
    to the level of the loudest of the others; 0 leaves all as they are. Returns ndarray: float64, shape (samples,).
    """
    centred = signal - np.median(signal)
    limit = np.quantile(np.abs(centred), 1 - share)
    return centred.clip(-limit, limit)


def coded(signal: np.ndarray, *, codec: str, container: str, rate: int, bit_rate: int | None = None) -> np.ndarray:
    """Send a signal through a codec of FFmpeg and back.

    Returns ndarray: float64 at 48 kHz on the signal's scale, shape (samples,). Codecs add some samples.

    Parameters
    ----------
    signal : ndarray
        At 48 kHz, any scale, shape (samples,).
    codec, container : str
        FFmpeg's names of the encoder and of the file's format.
    rate : int
        Sample rate that is encoded, in Hz.
    bit_rate : int, optional
        In bit/s, where the codec has several.
    """
    loudest = np.abs(signal).max() or 1.0
    samples = soxr.resample(np.asarray(signal, np.float64) / loudest, SAMPLE_RATE, rate)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = cast(av.AudioStream, output.add_stream(codec, rate=rate, layout="mono"))
        if bit_rate:
            stream.bit_rate = bit_rate
        stream.codec_context.open()
        int16 = (32_767 * LOUDEST * samples.clip(-1, 1)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(int16[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or None)
        for converted in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(converted))
        output.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as source:
        to_mono = av.AudioResampler("dbl", layout="mono", rate=SAMPLE_RATE)
        frames = [part for frame in source.decode(audio=0) for part in to_mono.resample(frame)]
        decoded = np.concatenate([part.to_ndarray()[0] for part in [*frames, *to_mono.resample(None)]])
    return decoded / LOUDEST * loudest


AS_IT_IS = "as it is"
CODECS: dict[str, tuple[str, str, int, int | None]] = {  # title → encoder, container, sample rate, bits a second
    "telephone, µ-law, 64 kbit/s": ("pcm_mulaw", "wav", 8_000, None),
    "mobile telephone, AMR, 12.2 kbit/s": ("libopencore_amrnb", "amr", 8_000, 12_200),
    "mobile telephone, AMR, 4.75 kbit/s": ("libopencore_amrnb", "amr", 8_000, 4_750),
    "voice message, Opus, 16 kbit/s": ("libopus", "ogg", 16_000, 16_000),
    "voice message, Opus, 6 kbit/s": ("libopus", "ogg", 16_000, 6_000),
    "MP3, 16 kbit/s": ("libmp3lame", "mp3", 16_000, 16_000),
}
SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5)  # of the samples that are clipped
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {AS_IT_IS: lambda signal: signal}
CHANGES |= {
    title: functools.partial(coded, codec=codec, container=container, rate=rate, bit_rate=bit_rate)
    for title, (codec, container, rate, bit_rate) in CODECS.items()
}
CHANGES |= {f"{100 * share:.0f} % of the samples clipped": functools.partial(clipped, share=share) for share in SHARES}


def draw(recordings: pd.DataFrame, each: int, *, seed: int = SEED) -> pd.DataFrame:
    """Draw so many recordings of each speaker, or all where there are fewer; in their order."""
    return recordings.sample(frac=1, random_state=seed).groupby("speaker").head(each).sort_index()


def classify_changed(model: Path, recordings: pd.DataFrame) -> pd.DataFrame:
    """Classify recordings with every change.

    `model`: a safetensors file with its JSON card. `recordings`: columns path (Path), speaker, gender. Returns columns
    change, recording, speaker, gender, p_female (None without speech), warned; a row each.
    """
    classifier, rows = load_classifier(model, threads=1), []
    for path, speaker, gender in recordings[["path", "speaker", "gender"]].itertuples(index=False):
        signal = read_signal(path)
        for name, change in CHANGES.items():
            answer = classify_signal(classifier, change(signal), sample_rate=SAMPLE_RATE, file=path.name)
            rows.append((name, path.name, speaker, gender, answer.p_female, CLIPPED in (answer.warning or "")))
    return pd.DataFrame(rows, columns=["change", "recording", "speaker", "gender", "p_female", "warned"])


def figures(predictions: pd.DataFrame, unchanged: pd.DataFrame) -> dict:
    """Describe the predictions with one change.

    `predictions`, `unchanged`: columns recording, speaker, gender, p_female, warned; with this change, and with none.
    Returns as `comparisons.describe`, with `warned` (recordings) and `difference` from unchanged (see
    `compare_on_same_recordings`); and of the classified recordings their `accuracy`, the `mean_probability` of the
    labels that they were given, and their own `difference_of_classified`.
    """
    classified = predictions.dropna(subset="p_female")
    p_female = classified["p_female"].astype(float)
    return describe(predictions) | {
        "warned": int(predictions["warned"].sum()),
        "difference": compare_on_same_recordings(predictions, unchanged),
        "difference_of_classified": compare_on_same_recordings(classified, unchanged),
        "accuracy": float(((p_female >= 0.5) == (classified["gender"] == "female")).mean()),
        "mean_probability": float(np.maximum(p_female, 1 - p_female).mean()),
    }


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", metavar="CORPUS", help="folders in AudioMNIST's layout")
    parser.add_argument("--each", type=int, default=10, help="recordings of each speaker (default: 10)")
    options = parser.parse_args()
    found: dict = {"date": date.today().isoformat(), "versions": versions(), "each": options.each, "rows": {}}
    try:
        model = default_model()
        for choice in options.corpora:
            corpus = resolve_corpus(choice)
            drawn = draw(unseen_recordings(corpus, model), options.each)
            groups = [group for _, group in drawn.groupby("speaker")]
            classify = functools.partial(classify_changed, model)
            predictions = pd.concat(list(in_parallel(classify, groups, batch=1, title=corpus.title, unit="speaker")))
            tables = dict(list(predictions.astype({"p_female": float}).groupby("change")))
            found["rows"][corpus.title] = {name: figures(tables[name], tables[AS_IT_IS]) for name in CHANGES}
        write_json(RESULTS / "shipped" / "changed_recordings.json", found)
    except (CorpusError, ModelError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for title, rows in found["rows"].items():
        for change, row in rows.items():
            low, high = row["intervals"]["balanced_accuracy"]
            print(
                f"{title}, {change}: balanced accuracy {row['scores']['balanced_accuracy']:.1%} "
                f"({low:.1%} to {high:.1%}), {in_points(row['difference'])}; {row['images']} recordings of "
                f"{row['speakers']} speakers, {row['refused']} refused, {row['warned']} with the warning"
            )
            print(
                f"    of the classified: {in_points(row['difference_of_classified'])}, accuracy {row['accuracy']:.1%}, "
                f"mean probability {row['mean_probability']:.1%}"
            )
    return 0


if __name__ == "__main__":
    run_main(main)
