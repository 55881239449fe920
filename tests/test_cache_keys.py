"""Every cache of the library is computed anew when what it was made from changes: data, parameters, code version."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from speaker_gender.corpora import checks, pitches
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.images.generation import generate_images
from speaker_gender.images.maps import load_maps
from speaker_gender.learning import dataset, folds
from speaker_gender.learning.dataset import available_images, load_images
from speaker_gender.learning.splits import split_by_speaker
from speaker_gender.sound import pitch, reading, speech


@pytest.fixture
def table(buzz_corpus):
    generate_images(buzz_corpus, load_recordings(buzz_corpus))
    return available_images(buzz_corpus, load_maps(buzz_corpus))


def from_cache(capsys, work):
    """Whether work loads its result instead of computing it."""
    capsys.readouterr()
    work()
    return "From the cache" in capsys.readouterr().out


def replace_sound(path):
    sound, rate = soundfile.read(path)
    soundfile.write(path, sound[::-1], rate, subtype="PCM_16")


@pytest.mark.parametrize("room, constant", [(pitch, "VERSION"), (pitches, "READER"), (pitch, "PITCH_THRESHOLDS")])
def test_pitches(buzz_corpus, table, capsys, monkeypatch, room, constant):
    few = table["path"][:2]
    monkeypatch.setattr(pitches, "_pitch_of", lambda path: 100.0)

    def track():
        pitches.median_pitch(buzz_corpus, few)

    assert not from_cache(capsys, track) and from_cache(capsys, track)
    replace_sound(buzz_corpus.folder / few[0])
    assert not from_cache(capsys, track), "another recording under the same name"
    monkeypatch.setattr(room, constant, (1, 2) if constant.startswith("PITCH") else 99)
    assert not from_cache(capsys, track) and from_cache(capsys, track)


def test_decoded_images(buzz_corpus, table, capsys, monkeypatch):
    def decode(size=(12, 98)):
        load_images(buzz_corpus, available_images(buzz_corpus, load_maps(buzz_corpus)), size=size)

    assert not from_cache(capsys, decode) and from_cache(capsys, decode)
    assert not from_cache(capsys, lambda: decode((6, 49)))
    one, other = (buzz_corpus.images / name for name in table["image"][:2])
    one.write_bytes(other.read_bytes())
    assert not from_cache(capsys, decode), "another image under the same name"
    monkeypatch.setattr(dataset, "VERSION", 99)
    assert not from_cache(capsys, decode)


@pytest.mark.parametrize("room", [checks, reading, speech])
def test_inspected_recordings(buzz_corpus, capsys, monkeypatch, room):
    recordings = load_recordings(buzz_corpus)[:2]
    monkeypatch.setattr(checks, "_inspect", lambda path: ("content", None))
    monkeypatch.setattr(checks, "median_pitch", lambda corpus, paths: pd.Series(100.0, index=paths.index))

    def inspect():
        checks.inspect_recordings(buzz_corpus, recordings)

    assert not from_cache(capsys, inspect) and from_cache(capsys, inspect)
    replace_sound(buzz_corpus.folder / recordings["path"].iloc[0])
    assert not from_cache(capsys, inspect)
    monkeypatch.setattr(room, "VERSION", 99)
    assert not from_cache(capsys, inspect)


def test_predictions_of_folds(buzz_corpus, table, monkeypatch):
    def key(table, **changes):
        fold = split_by_speaker(table["speaker"], train={"01", "02"}, valid={"03"}, test={"04"})
        return folds._key(table, [fold], [folds.fold_recipe(buzz_corpus, 12, **changes)])

    original = key(table)
    assert original == key(table.copy())
    assert original != key(table, seed=43) and original != key(table, epochs=1)
    assert original != key(table.assign(stamp=np.arange(len(table)).astype(str))), "other images"
    assert original != key(table.assign(gender="male")), "other labels"
    for room in (folds, dataset):
        monkeypatch.setattr(room, "VERSION", 99)
        assert original != key(table)
        monkeypatch.undo()
