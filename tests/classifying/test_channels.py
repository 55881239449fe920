"""Who speaks in which channel: telephone calls and podcasts with a channel, or a track, for each speaker."""

import csv
import io

import numpy as np
import pytest
import soundfile
from praatio import textgrid
from sounds import film

import classify_wavs
from speaker_gender.classifying.classification import classify_recording
from speaker_gender.classifying.classifier import SHIPPED_MODEL, load_classifier
from speaker_gender.classifying.exports import write_timeline
from speaker_gender.config import ROOT
from speaker_gender.sound.reading import measure_channels, read_signal

RATE = 16_000
SOFT = 10 ** (-24 / 20)


def voice(name: str, words: int) -> np.ndarray:
    word = read_signal(ROOT / "nbs" / "my_wavs" / f"synthetic_{name}.wav", sample_rate=RATE)
    return np.tile(np.pad(word * 8_000 / np.abs(word).max(), (0, 4_000)), words)


WOMAN, MAN = voice("female_seven", 8), voice("male_nine", 4)


def turns(*parts: tuple[np.ndarray, tuple[float, float]]) -> np.ndarray:
    """Sounds one after the other, each with a gain for the left and the right channel, in a little noise."""
    sound = np.concatenate([np.outer(signal, gains) for signal, gains in parts])
    return sound + np.random.default_rng(0).normal(0, 1, sound.shape)


CALLS = {  # two speakers, one per channel
    "a man 24 dB softer": turns((WOMAN, (1, 0)), (MAN, (0, SOFT))),
    "with cross-talk": turns((WOMAN, (1, 0.15)), (MAN, (0.15, 1))),
    "for a moment only": turns((np.tile(WOMAN, 5), (1, 0)), (MAN, (0, SOFT)), (WOMAN, (1, 0))),
}
STEREO = {  # one sound, heard by two microphones
    "in the middle": turns((WOMAN, (1, 1)), (MAN, (1, 1))),
    "from both sides": turns((WOMAN, (1, 0.5)), (MAN, (0.5, 1))),
    "one channel": turns((WOMAN, (1, 0)), (MAN, (1, 0))),
}


@pytest.fixture(scope="module")
def classifier():
    return load_classifier(SHIPPED_MODEL)


@pytest.fixture
def call(tmp_path):
    path = tmp_path / "a call.wav"
    soundfile.write(path, CALLS["a man 24 dB softer"] / 32_768, RATE, subtype="PCM_24")
    return path


@pytest.mark.parametrize("kind", CALLS)
def test_two_speakers_one_per_channel_are_both_heard(classifier, tmp_path, kind):
    soundfile.write(tmp_path / "x.flac", CALLS[kind] / 32_768, RATE, subtype="PCM_24")
    answer = classify_recording(classifier, tmp_path / "x.flac")
    assert answer.answer == "mixed" and answer.warning is None
    assert {(stretch.channel, stretch.label) for stretch in answer.timeline} == {(1, "female"), (2, "male")}
    assert 1.5 < answer.speaking_time["male"] < len(MAN) / RATE
    assert [stretch.start for stretch in answer.timeline] == sorted(stretch.start for stretch in answer.timeline)


@pytest.mark.parametrize("kind", STEREO)
def test_stereo_is_heard_mixed(classifier, tmp_path, kind):
    soundfile.write(tmp_path / "stereo.wav", STEREO[kind] / 32_768, RATE, subtype="PCM_24")
    weights = measure_channels(tmp_path / "stereo.wav").weights
    soundfile.write(tmp_path / "mono.wav", STEREO[kind] @ weights / 32_768, RATE, subtype="DOUBLE")
    stereo, mono = (classify_recording(classifier, tmp_path / f"{name}.wav") for name in ("stereo", "mono"))
    assert {stretch.channel for stretch in stereo.timeline} == {None}
    assert stereo.answer == mono.answer and stereo.p_female == pytest.approx(mono.p_female, abs=1e-4)


def test_speakers_on_tracks_of_their_own_are_heard_one_by_one(classifier, tmp_path):
    quiet = np.zeros(len(WOMAN))
    (tmp_path / "x.mkv").write_bytes(film("matroska", np.concatenate([WOMAN, 0 * MAN]), np.concatenate([quiet, MAN])))
    answer = classify_recording(classifier, tmp_path / "x.mkv")
    assert {(stretch.channel, stretch.label) for stretch in answer.timeline} == {(1, "female"), (2, "male")}
    assert answer.answer == "mixed" and answer.warning == "has 2 audio tracks, which were all heard"


def test_timelines_say_which_channel(classifier, call, tmp_path):
    answer = classify_recording(classifier, call)
    paths = {form: tmp_path / f"x.gender.{form}" for form in ("csv", "rttm", "textgrid")}
    for form, path in paths.items():
        write_timeline(answer, path, form=form)
    rows = list(csv.DictReader(io.StringIO(paths["csv"].read_text())))
    assert {(row["channel"], row["label"]) for row in rows} == {("1", "female"), ("2", "male")}
    lines = [line.split() for line in paths["rttm"].read_text().splitlines()]
    assert {(line[1], line[2], line[7]) for line in lines} == {("x", "1", "female"), ("x", "2", "male")}
    tiers = textgrid.openTextgrid(str(paths["textgrid"]), includeEmptyIntervals=False)
    assert tiers.tierNames == ("gender, channel 1", "gender, channel 2")


def test_the_command_line_says_both_speaking_times(call, capsys):
    assert classify_wavs.main([str(call)]) == 0
    assert ": mixed (female " in capsys.readouterr().out
