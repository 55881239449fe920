"""Solutions to the exercises of notebook 01: python nbs/solutions/01_eda.py"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import librosa
import numpy as np

from speaker_gender.config import SAMPLE_RATE
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.description import one_of_each_gender
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.sound.reading import read_signal

corpus = resolve_corpus()
recordings = load_recordings(corpus)
readable = recordings[recordings["samples"].notna()]


def median_f0(path, fmax=400):
    signal = read_signal(corpus.source(path)) / 32_768
    f0, voiced, _ = librosa.pyin(signal, fmin=60, fmax=fmax, sr=SAMPLE_RATE, frame_length=4_096)
    return np.median(f0[voiced]) if voiced.any() else np.nan


# 1. One digit removes the differences between digits. What is left is between the speakers.
sevens = readable[readable["digit"] == 7]
seconds = (sevens["samples"] / sevens["sample_rate"]).astype(float)
print(seconds.groupby(sevens["gender"]).describe()[["count", "mean", "std"]].round(3))

# 2. The spread within one speaker, in semitones: 12 log2 of the ratio of two frequencies.
speaker = readable["speaker"].iloc[0]
f0 = np.array([median_f0(path) for path in readable.loc[readable["speaker"] == speaker, "path"][:10]])
spread = 12 * np.log2(np.nanquantile(f0, 0.9) / np.nanquantile(f0, 0.1))
print(f"Speaker {speaker}: the middle 80 % of {len(f0)} recordings span {spread:.1f} semitones")

# 3. A search range that ends below the voice gives no pitch, or half of it (an octave error).
woman = one_of_each_gender(readable, digit=7)["female"]["path"]
print(f"The woman's median F0: {median_f0(woman):.0f} Hz; with fmax=200: {median_f0(woman, fmax=200):.0f} Hz")
