"""The demo corpus: AudioMNIST's layout, the same bytes always, and nothing but the voice gives the gender away."""

import hashlib
import itertools
import json
import subprocess
import sys
from pathlib import Path

import espeakng_loader
import librosa
import numpy as np
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from speaker_gender.config import ROOT
from speaker_gender.corpora import demo
from speaker_gender.corpora.demo import draw_surroundings, draw_utterance, draw_voice, make_demo_corpus

SEED = 42
N_SPEAKERS = 24


def digests(folder: Path) -> dict[str, str]:
    """Every file under the folder, hidden ones too, and its hash."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def separability(features: np.ndarray, is_female: np.ndarray) -> float:
    """Cross-validated AUC of a logistic regression that guesses gender: 0.5 is chance, 1 a leak."""
    model = make_pipeline(StandardScaler(), LogisticRegression())
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=5, random_state=SEED)
    return cross_val_score(model, features, is_female, cv=folds, scoring="roc_auc").mean()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """24 speakers × 10 digits × 1 repetition, made by two workers; not to be written to."""
    return make_demo_corpus(
        tmp_path_factory.mktemp("demo") / "corpus", n_speakers=N_SPEAKERS, n_repetitions=1, n_workers=2
    )


@pytest.fixture(scope="session")
def metadata(corpus) -> dict:
    return json.loads((corpus / "audioMNIST_meta.txt").read_text())


@pytest.fixture(scope="session")
def signals(corpus) -> dict[str, list[np.ndarray]]:
    """Every speaker's ten recordings, float in −1…1, by key and digit."""
    keys = [f"{number:02d}" for number in range(1, N_SPEAKERS + 1)]
    return {key: [soundfile.read(corpus / key / f"{d}_{key}_0.wav")[0] for d in range(10)] for key in keys}


@pytest.fixture
def small(tmp_path) -> Path:
    return make_demo_corpus(tmp_path / "small", n_speakers=3, n_repetitions=1, n_workers=2)


@pytest.mark.slow
def test_of_two_runs_at_once_one_makes_it_and_the_other_finds_it_whole(small, tmp_path):
    folder = str(tmp_path / "both")
    code = f"from speaker_gender.corpora import demo; demo.make_demo_corpus({folder!r}, n_speakers=3, n_repetitions=1)"
    command = [sys.executable, "-c", code]
    runs = [
        subprocess.Popen(command, cwd=ROOT / "scripts", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for run in runs:
        _, said = run.communicate(timeout=300)
        assert run.returncode == 0, said.decode()
    assert digests(tmp_path / "both") == digests(small)


# Layout


def test_layout_is_audiomnists(corpus, metadata):
    keys = [f"{number:02d}" for number in range(1, N_SPEAKERS + 1)]
    assert list(metadata) == keys
    expected = {f"{key}/{digit}_{key}_0.wav" for key in keys for digit in range(10)}
    assert set(digests(corpus)) == expected | {"audioMNIST_meta.txt", "demo_corpus.json"}
    assert not (corpus / ".partial").exists()


def test_recordings_are_like_audiomnists(corpus):
    for path in corpus.glob("*/*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (48_000, 1, "PCM_16")
        assert 14_000 < info.frames <= 47_998


def test_metadata_says_synthetic_and_invents_no_age(metadata):
    for entry in metadata.values():
        assert list(entry) == [
            "accent", "age", "gender", "native speaker", "origin", "recordingdate", "recordingroom"
        ]  # fmt: skip
        assert entry["origin"] == "synthetic, eSpeak NG"
        assert entry["age"] == "unknown"
    assert [entry["gender"] for entry in metadata.values()].count("female") == N_SPEAKERS / 2


def test_default_corpus_is_balanced_and_order_does_not_tell_gender():
    is_female = np.array([draw_voice(number, seed=SEED).gender == "female" for number in range(1, 201)])
    assert is_female.sum() == 100
    assert (is_female[0::2] != is_female[1::2]).all()
    assert 35 < is_female[0::2].sum() < 65  # neither "odd is female" nor "even is"


# The same bytes


def test_same_bytes_whatever_the_workers_and_speakers(corpus, tmp_path):
    once = digests(make_demo_corpus(tmp_path / "1", n_speakers=4, n_repetitions=1, n_workers=1))
    again = digests(make_demo_corpus(tmp_path / "2", n_speakers=4, n_repetitions=1, n_workers=2))
    assert once == again
    whole = digests(corpus)
    assert all(whole[name] == digest for name, digest in once.items() if name.endswith(".wav"))


def test_first_repetition_does_not_depend_on_how_many_there_are(small, tmp_path):
    two = digests(make_demo_corpus(tmp_path / "two", n_speakers=3, n_repetitions=2))
    first = {name: digest for name, digest in two.items() if name.endswith("_0.wav")}
    assert first == {name: digest for name, digest in digests(small).items() if name.endswith(".wav")}
    assert len(set(two.values())) == len(two)  # no recording twice


def test_interrupted_run_is_resumed(small):
    whole = digests(small)
    kept = small / "01" / "0_01_0.wav"
    kept_since = kept.stat().st_mtime_ns
    (small / "audioMNIST_meta.txt").unlink()
    (small / ".partial").mkdir()
    (small / "02").rename(small / ".partial" / "02")  # a speaker half-written …
    (small / ".partial" / "02" / "0_02_0.wav").write_bytes(b"RIFF")
    (small / "03" / "9_03_0.wav").unlink()  # … and one damaged later
    make_demo_corpus(small, n_speakers=3, n_repetitions=1)
    assert digests(small) == whole
    assert kept.stat().st_mtime_ns == kept_since


def test_interruption_never_looks_whole(tmp_path, monkeypatch):
    make_speaker = demo.make_speaker

    def interrupted(folder, number, *args, **kwargs):
        if number == 2:
            raise KeyboardInterrupt
        make_speaker(folder, number, *args, **kwargs)

    monkeypatch.setattr(demo, "make_speaker", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_demo_corpus(tmp_path / "corpus", n_speakers=3, n_repetitions=1, n_workers=1)
    assert not (tmp_path / "corpus" / "audioMNIST_meta.txt").exists()
    assert not (tmp_path / "corpus" / "02").exists()


def test_whole_corpus_is_left_alone(small, monkeypatch):
    monkeypatch.setattr(demo, "make_speaker", None)
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    assert make_demo_corpus(small, n_speakers=3, n_repetitions=1) == small
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before


@pytest.mark.parametrize("other", [{"n_speakers": 2}, {"n_repetitions": 2}, {"seed": 7}], ids=str)
def test_other_parameters_remake(small, tmp_path, other):
    parameters = {"n_speakers": 3, "n_repetitions": 1} | other
    make_demo_corpus(small, **parameters)
    assert digests(small) == digests(make_demo_corpus(tmp_path / "fresh", **parameters))


def test_other_version_remakes(small, monkeypatch):
    before = digests(small)
    (small / "01" / "0_01_0.wav").write_bytes(b"as an older version made it")
    monkeypatch.setattr(demo, "VERSION", demo.VERSION + 1)
    make_demo_corpus(small, n_speakers=3, n_repetitions=1)
    after = digests(small)
    assert before.pop("demo_corpus.json") != after.pop("demo_corpus.json")
    assert before == after


def test_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "01").mkdir()
    (tmp_path / "01" / "0_01_0.wav").write_bytes(b"someone's recording")
    before = digests(tmp_path)
    with pytest.raises(FileExistsError, match="no demo corpus"):
        make_demo_corpus(tmp_path, n_speakers=2, n_repetitions=1)
    assert digests(tmp_path) == before


# Failures are errors, not hangs


def fails_in_one_line(folder: Path, match: str) -> None:
    with pytest.raises(RuntimeError, match=match) as error:
        make_demo_corpus(folder, n_speakers=6, n_repetitions=1, n_workers=2)
    assert "\n" not in str(error.value)
    assert not (folder / "audioMNIST_meta.txt").exists()


def test_a_synthesis_that_hangs_is_an_error(tmp_path, monkeypatch):
    def hang(*_, timeout: float, **__):
        raise subprocess.TimeoutExpired("eSpeak NG", timeout)

    monkeypatch.setattr(demo.subprocess, "run", hang)
    with pytest.raises(RuntimeError, match="speaker 01 took longer than"):
        demo.make_speaker(tmp_path, 1, "01", n_repetitions=1, seed=42)
    assert not list(tmp_path.iterdir())


def test_missing_data_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(tmp_path / "nowhere"))
    fails_in_one_line(tmp_path / "corpus", "synthesis of speaker 0[1-6] failed .*FileNotFoundError.*nowhere")


def test_path_too_long_for_espeak_is_an_error(tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 200)
    deep.mkdir()
    for variable in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(variable, str(deep))
    fails_in_one_line(tmp_path / "corpus", "eSpeak NG did not start")


def test_killed_worker_is_an_error(tmp_path, monkeypatch):
    killed = ["-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    run = demo.subprocess.run
    monkeypatch.setattr(demo.subprocess, "run", lambda command, **kwargs: run(command[:1] + killed, **kwargs))
    fails_in_one_line(tmp_path / "corpus", "exit code -9")


# Sound


def noise_level(signal: np.ndarray) -> float:
    """RMS of the quietest 5 ms, dBFS."""
    frames = signal[144:-144][: (len(signal) - 288) // 240 * 240].reshape(-1, 240)  # without the fades
    return 10 * np.log10(np.mean(frames**2, axis=1).min())


def test_no_clipping_and_no_click_at_the_ends(signals):
    for signal in (signal for of_speaker in signals.values() for signal in of_speaker):
        peak = np.abs(signal).max()
        assert 0.001 < peak < 0.5
        assert signal[0] == signal[-1] == 0
        assert np.abs(signal[:24]).max() < 0.2 * peak  # half a millisecond
        assert np.abs(signal[-24:]).max() < 0.2 * peak


def test_speech_stands_out_of_the_noise(signals):
    ratios = [10 * np.log10(np.mean(s**2)) - noise_level(s) for speech in signals.values() for s in speech]
    assert 8 < min(ratios) and 20 < np.median(ratios) < 40


def test_digits_and_speakers_differ(signals):
    durations = np.array([[len(signal) for signal in of_speaker] for of_speaker in signals.values()]) / 48_000
    of_digit = dict(enumerate(np.median(durations, axis=0)))
    assert max(of_digit[0], of_digit[7]) > 1.25 * min(of_digit[2], of_digit[8])  # zero, seven; two, eight
    assert np.ptp(np.median(durations, axis=1)) > 0.1


def test_repetitions_are_said_differently():
    said = {draw_utterance(1, 7, repetition, seed=SEED, rate=130)[:3] for repetition in range(10)}
    assert len(said) > 5


@pytest.mark.slow
def test_f0_tells_gender_and_is_as_drawn(signals, metadata):
    def f0(signal):
        signal = librosa.resample(signal, orig_sr=48_000, target_sr=16_000)
        f0, voiced, _ = librosa.pyin(signal, fmin=60, fmax=400, sr=16_000, frame_length=1024, hop_length=320)
        return f0[voiced]

    measured = {
        key: np.median(np.concatenate([f0(of_speaker[d]) for d in (1, 9)])) for key, of_speaker in signals.items()
    }
    by_gender = {g: [f for k, f in measured.items() if metadata[k]["gender"] == g] for g in ("female", "male")}
    assert 185 < np.median(by_gender["female"]) < 225
    assert 95 < np.median(by_gender["male"]) < 140
    drawn = np.array([draw_voice(int(key), seed=SEED).f0 for key in measured])
    assert np.median(np.abs(np.array(list(measured.values())) / drawn - 1)) < 0.08


# Nothing but the voice gives the gender away


@pytest.mark.slow
def test_surroundings_as_drawn_do_not_tell_gender():
    """2,000 speakers: chance is 0.5 ± 0.013, and even a leak of a fifth of a standard deviation would give 0.556."""
    features, f0, is_female = [], [], []
    for seed, number in itertools.product(range(10), range(1, 201)):
        surroundings, voice = draw_surroundings(number, seed=seed), draw_voice(number, seed=seed)
        utterances = [draw_utterance(number, d, 0, seed=seed, rate=surroundings.rate) for d in range(10)]
        rate, pitch = np.mean([utterance[1:3] for utterance in utterances], axis=0)
        questions = sum(utterance[0].endswith("?") for utterance in utterances)
        variant = dict(line.split(maxsplit=1) for line in voice.variant.splitlines())
        settings = [int(variant.get(name, 0)) for name in ("flutter", "roughness", "voicing", "klatt")]
        features.append([*surroundings, rate, pitch, questions, *settings, voice.accent.startswith("en-US")])
        f0.append([voice.f0])
        is_female.append(voice.gender == "female")
    features, is_female = np.array(features, dtype=float), np.array(is_female)
    assert separability(features, is_female) < 0.545
    for feature in features.T:
        assert 0.455 < roc_auc_score(is_female, feature) < 0.545
    assert separability(np.array(f0), is_female) > 0.95  # the test itself can see a leak


def test_default_corpus_is_balanced_by_luck_too():
    is_female = [draw_voice(number, seed=SEED).gender == "female" for number in range(1, 201)]
    for feature in zip(*(draw_surroundings(number, seed=SEED) for number in range(1, 201)), strict=True):
        assert 0.45 < roc_auc_score(is_female, feature) < 0.55


def test_recordings_do_not_tell_gender_by_level_duration_noise_or_padding(signals, metadata):
    """24 speakers: chance is 0.5 ± 0.12 for one feature; a leak (all of a gender louder, say) comes close to 1."""

    def measure(signal):
        n = len(signal) // 240 * 240
        power = np.mean(signal[:n].reshape(-1, 240) ** 2, axis=1)  # of 5 ms each
        loud = np.flatnonzero(power > 1e-2 * power.max())
        return len(signal), 10 * np.log10(np.mean(signal**2)), noise_level(signal), loud[0], len(power) - loud[-1]

    features = np.array([np.mean([measure(s) for s in of_speaker], axis=0) for of_speaker in signals.values()])
    is_female = np.array([metadata[key]["gender"] == "female" for key in signals])
    assert separability(features, is_female) < 0.75
    for feature in features.T:
        assert 0.2 < roc_auc_score(is_female, feature) < 0.8
