"""Solutions to the exercises of notebook 02: python nbs/solutions/02_generate_mfc.py"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import librosa
import numpy as np

from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.description import one_of_each_gender
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images import mfc
from speaker_gender.sound.reading import read_signal

corpus = resolve_corpus()
recordings = load_recordings(corpus)
examples = one_of_each_gender(recordings[recordings["samples"].notna()], digit=7)
padded = mfc.pad(read_signal(corpus.source(examples["female"]["path"])), front=0)


def coefficients(signal, n_mfcc=12, lifter=22):
    emphasised = np.append(signal[0], signal[1:] - 0.97 * signal[:-1])
    return librosa.feature.mfcc(
        y=emphasised, sr=48_000, n_mfcc=n_mfcc, lifter=lifter, n_fft=1_200, hop_length=480, center=False, n_mels=40
    )


# 1. Another scale adds a constant to all log powers. The cosine transform puts it into coefficient 0 alone. (Where
# librosa's floor of 80 dB below the loudest is reached, the others stay as well: the floor moves along.)
difference = coefficients(padded) - coefficients(padded / 32_768)
print("Mean change of each coefficient:", difference.mean(axis=1).round(1))

# 2. Coefficients beyond 12 hold finer ripples. Where the variance rises again, the ripple is that of the harmonics.
many = coefficients(padded, n_mfcc=40, lifter=0)
print("Variance over time of coefficients 0 to 39:", many.var(axis=1).round(0))

# 3. Narrow bands alone do not show the harmonics of a low voice: a window of 25 ms blurs what lies closer than about
# 160 Hz. With 64 ms the levels of neighbouring bands differ more: some lie on a harmonic, some between two.
low = read_signal(corpus.source(examples["male"]["path"]))
for win_length in (1_200, 3_072):
    options = {"n_fft": 8_192, "win_length": win_length, "hop_length": 480, "n_mels": 64, "fmin": 100, "fmax": 1_500}
    mel = librosa.feature.melspectrogram(y=low, sr=48_000, **options)
    levels = librosa.power_to_db(mel)[:, mel.sum(axis=0).argmax()]
    print(f"win_length={win_length}: neighbouring bands differ by {np.abs(np.diff(levels)).mean():.1f} dB on average")
