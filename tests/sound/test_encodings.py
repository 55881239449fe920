"""The same speech in encodings that people have gives the same answer of the shipped model.

Encoded by ffmpeg, not by the library that reads it. Synthetic voices always; real ones where a corpus with WAVs lies
beside the project.
"""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from speaker_gender.classifying.classification import classify_recording
from speaker_gender.classifying.classifier import SHIPPED_MODEL, load_classifier
from speaker_gender.config import AUDIOMNIST, ROOT

N_REAL = 10  # recordings
LOSSLESS, LOSSY = 0.03, 0.2  # how far p(female) may move
ENCODINGS = {  # name → options of ffmpeg, how far the answer may move, and whether for one in ten further
    "u8.wav": ("-c:a pcm_u8", LOSSY, False),
    "f32.wav": ("-c:a pcm_f32le", LOSSLESS, False),
    "alaw.wav": ("-c:a pcm_alaw", LOSSY, False),
    "8k.wav": ("-ar 8000", LOSSY, True),  # a quarter of the bands that the model sees may be gone
    "44k.wav": ("-ar 44100", LOSSLESS, False),
    "5.1.wav": ("-af pan=5.1|FL=c0|FR=c0|FC=c0|LFE=c0|BL=c0|BR=c0", LOSSLESS, False),
    "x.mp3": ("-c:a libmp3lame -b:a 64k", LOSSY, False),
    "x.opus": ("-c:a libopus -b:a 32k", LOSSY, False),
}


@pytest.fixture(scope="module")
def classifier():
    return load_classifier(SHIPPED_MODEL, threads=1)


@pytest.fixture(scope="module")
def plain(classifier, tmp_path_factory) -> dict:
    """Recordings that fill the scale (of quiet ones eight bits would leave a step or two), and the answers."""
    folder, answers = tmp_path_factory.mktemp("plain"), {}
    real = sorted(AUDIOMNIST.glob("*/*.wav"))
    for source in [*sorted((ROOT / "nbs" / "my_wavs").glob("synthetic_*.wav")), *real[:: max(1, len(real) // N_REAL)]]:
        sound, rate = soundfile.read(source)
        soundfile.write(folder / source.name, 0.7 * sound / abs(sound).max(), rate, subtype="PCM_24")
        answers[folder / source.name] = classify_recording(classifier, folder / source.name)
    return answers


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
@pytest.mark.parametrize("name", ENCODINGS)
def test_an_answer_does_not_depend_on_the_encoding(classifier, plain, tmp_path, name):
    options, allowed, sometimes_more = ENCODINGS[name]
    moved = []
    for number, (source, expected) in enumerate(plain.items()):
        target = tmp_path / f"{number}_{name}"
        command = ["ffmpeg", "-loglevel", "error", "-i", source, *options.split(), target]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        encoded = classify_recording(classifier, target)
        if expected.gender is None:
            continue
        assert encoded.gender, f"{source.name} as {name}: {encoded.reason}"
        moved.append(abs(encoded.p_female - expected.p_female))
        assert moved[-1] <= allowed or sometimes_more, f"{source.name} as {name}"
    assert len(moved) >= len(plain) // 2 and np.quantile(moved, 0.9) <= allowed
