"""The same speech in every encoding that people have gives the same answer of the shipped model.

Encoded by ffmpeg and sox, not by the library that reads it. Synthetic voices always; real ones where a corpus with WAVs
lies beside the project.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speaker_gender.classifying.classification import Answer, classify_recording
from speaker_gender.classifying.classifier import SHIPPED_MODEL, load_classifier
from speaker_gender.config import AUDIOMNIST, ROOT

N_REAL = 10  # recordings
LOSSLESS, LOSSY, NARROW = 0.03, 0.2, 0.2  # how far p(female) may move

FFMPEG = {  # name → options, and how far the answer may move
    "u8.wav": ("-c:a pcm_u8", LOSSY),
    "s16.wav": ("-c:a pcm_s16le", LOSSLESS),
    "s24.wav": ("-c:a pcm_s24le", LOSSLESS),
    "s32.wav": ("-c:a pcm_s32le", LOSSLESS),
    "f32.wav": ("-c:a pcm_f32le", LOSSLESS),
    "f64.wav": ("-c:a pcm_f64le", LOSSLESS),
    "alaw.wav": ("-c:a pcm_alaw", LOSSY),
    "mulaw.wav": ("-c:a pcm_mulaw", LOSSY),
    "8k.wav": ("-ar 8000", NARROW),
    "11k.wav": ("-ar 11025", NARROW),
    "16k.wav": ("-ar 16000", LOSSY),  # its filter sets in below the highest of the bands that the model sees
    "44k.wav": ("-ar 44100", LOSSLESS),
    "96k.wav": ("-ar 96000", LOSSLESS),
    "192k.wav": ("-ar 192000 -c:a pcm_s24le", LOSSLESS),
    "stereo.wav": ("-ac 2", LOSSLESS),
    "5.1.wav": ("-af pan=5.1|FL=c0|FR=c0|FC=c0|LFE=c0|BL=c0|BR=c0", LOSSLESS),
    "7.1.wav": ("-af pan=7.1|FL=c0|FR=c0|FC=c0|LFE=c0|BL=c0|BR=c0|SL=c0|SR=c0", LOSSLESS),
    "rf64.wav": ("-rf64 always", LOSSLESS),
    "quiet.wav": ("-af volume=0.1 -c:a pcm_s24le", LOSSLESS),
    "x.flac": ("-c:a flac", LOSSLESS),
    "vorbis.ogg": ("-c:a libvorbis -q:a 4", LOSSY),
    "x.opus": ("-c:a libopus -b:a 32k", LOSSY),
    "x.mp3": ("-c:a libmp3lame -b:a 64k", LOSSY),
    "x.aiff": ("", LOSSLESS),
    "x.au": ("", LOSSLESS),
    "x.caf": ("", LOSSLESS),
}
SOX = {
    "sox_u8.wav": ("-b 8 -e unsigned-integer", LOSSY),
    "sox_s24.wav": ("-b 24 -e signed-integer", LOSSLESS),
    "sox_float.wav": ("-b 32 -e floating-point", LOSSLESS),
    "sox_alaw.wav": ("-e a-law", LOSSY),
    "sox_mulaw.wav": ("-e mu-law", LOSSY),
    "sox_ima.wav": ("-e ima-adpcm", LOSSY),
    "sox_22k.flac": ("-r 22050", LOSSLESS),
    "sox.aiff": ("", LOSSLESS),
    "sox.ogg": ("-C 5", LOSSY),
}


@pytest.fixture(scope="module")
def classifier():
    return load_classifier(SHIPPED_MODEL, threads=1)


@pytest.fixture(scope="module")
def plain(classifier) -> dict[Path, Answer]:
    """The answers for the recordings as they are."""
    synthetic = sorted((ROOT / "nbs" / "my_wavs").glob("synthetic_*.wav"))
    real = sorted(AUDIOMNIST.glob("*/*.wav"))
    recordings = synthetic + real[:: max(1, len(real) // N_REAL)]
    return {path: classify_recording(classifier, path) for path in recordings}


def loud(source: Path, folder: Path) -> Path:
    """A copy that fills the scale: of AudioMNIST's quiet recordings eight bits would leave a step or two."""
    sound, rate = soundfile.read(source)
    copy = folder / f"loud_{source.name}"
    soundfile.write(copy, 0.7 * sound / abs(sound).max(), rate, subtype="PCM_24")
    return copy


def encode(program: str, source: Path, options: str, target: Path) -> None:
    if program == "ffmpeg":
        command = ["ffmpeg", "-loglevel", "error", "-i", source, *options.split(), target]
    else:
        command = ["sox", "-R", source, *options.split(), target]  # -R: the same dither whenever it runs
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.parametrize(("program", "name"), [("ffmpeg", name) for name in FFMPEG] + [("sox", name) for name in SOX])
def test_an_answer_does_not_depend_on_the_encoding(classifier, plain, tmp_path, program, name):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    options, allowed = {"ffmpeg": FFMPEG, "sox": SOX}[program][name]
    moved = []
    for number, (source, expected) in enumerate(plain.items()):
        target = tmp_path / f"{number}_{name}"
        encode(program, loud(source, tmp_path) if "u8" in name else source, options, target)
        encoded = classify_recording(classifier, target)
        if expected.gender is None:
            continue
        assert encoded.gender, f"{source.name} as {name}: {encoded.reason}"
        moved.append(abs(encoded.p_female - expected.p_female))
        assert moved[-1] <= allowed or allowed == NARROW, f"{source.name} as {name}"
        undecided = abs(expected.p_female - 0.5) < LOSSLESS
        assert encoded.gender == expected.gender or allowed > LOSSLESS or undecided, f"{source.name} as {name}"
    assert len(moved) >= len(plain) // 2
    assert np.quantile(moved, 0.9) <= allowed, "a quarter of the bands may be gone: one in ten may move further"
