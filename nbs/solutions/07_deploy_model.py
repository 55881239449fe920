"""Solutions to the exercises of notebook 07: python nbs/solutions/07_deploy_model.py"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import numpy as np

from speaker_gender.classifying.classification import classify_signal
from speaker_gender.classifying.classifier import default_model, load_classifier
from speaker_gender.config import ROOT, WORKING_RATE
from speaker_gender.sound.changes import pitch_shifted
from speaker_gender.sound.reading import read_signal

classifier = load_classifier(default_model())
path = ROOT / "nbs" / "my_wavs" / "synthetic_male_nine.wav"
rng = np.random.default_rng(0)
signal = read_signal(path, sample_rate=WORKING_RATE)


def p_female(changed):
    return classify_signal(classifier, changed, sample_rate=WORKING_RATE, file=path.name).p_female


# 1. Without a second recording: the same word at a higher and at a lower pitch.
for semitones in (-3, 0, 3):
    print(f"{semitones:+} semitones: p(female) {p_female(pitch_shifted(semitones)(signal, rng)):.3f}")

# 2. Step by step upwards, until the label turns.
turned = next((step for step in range(1, 25) if p_female(pitch_shifted(step)(signal, rng)) >= 0.5), None)
print(f"The label turns at {turned} semitones" if turned else "The label turns at no shift of up to two octaves")

# 3. A chord is no speech, and the answer gives the reason.
time = np.arange(2 * WORKING_RATE) / WORKING_RATE
chord = 3_000 * sum(np.sin(2 * np.pi * frequency * time) for frequency in (220, 277, 330))
answer = classify_signal(classifier, chord, sample_rate=WORKING_RATE, file="chord")
print(f"A chord: {answer.answer} ({answer.reason})")
