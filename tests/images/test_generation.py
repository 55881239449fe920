"""MFC JPEGs of a whole corpus: the study's order, nothing made twice, nothing half-written, nothing out of date."""

import csv
import os

import numpy as np
import pytest
import soundfile
from PIL import Image

from speaker_gender.config import ROOT
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import Corpus, CorpusError, with_stamps
from speaker_gender.images import generation
from speaker_gender.images.generation import generate_images, plan_images
from speaker_gender.images.maps import load_maps, map_images

REFERENCE = ROOT.parent / "shared" / "data" / "audiomnist_recordings.csv"


def jpegs(corpus):
    return {path.name: path.read_bytes() for path in corpus.images.glob("*.jpg")}


def test_every_recording_becomes_an_image_and_the_maps_say_which(buzz_corpus):
    report = generate_images(buzz_corpus, load_recordings(buzz_corpus))
    assert report == {"made": 24, "kept": 0, "missing": 0, "skipped": {}}
    table = load_maps(buzz_corpus)
    assert set(table["image"]) == set(jpegs(buzz_corpus))
    assert sorted(table["path"]) == sorted(load_recordings(buzz_corpus)["path"])
    assert (table["gender"] == "female").sum() == 12
    for name in table["image"]:
        with Image.open(buzz_corpus.images / name) as image:
            assert image.size == (224, 224) and image.format == "JPEG"


def test_images_that_are_there_are_kept_whoever_made_them(buzz_corpus):
    recordings = load_recordings(buzz_corpus)
    buzz_corpus.images.mkdir(parents=True)
    (buzz_corpus.images / "male_0.jpg").write_bytes(b"published elsewhere")
    assert generate_images(buzz_corpus, recordings)["made"] == 23
    assert (buzz_corpus.images / "male_0.jpg").read_bytes() == b"published elsewhere"
    times = {path: path.stat().st_mtime_ns for path in buzz_corpus.images.iterdir()}
    assert generate_images(buzz_corpus, recordings) == {"made": 0, "kept": 24, "missing": 0, "skipped": {}}
    assert times == {path: path.stat().st_mtime_ns for path in buzz_corpus.images.iterdir()}


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_number_of_workers(buzz_corpus):
    recordings = load_recordings(buzz_corpus)
    generate_images(buzz_corpus, recordings, n_jobs=1)
    one = jpegs(buzz_corpus)
    for path in buzz_corpus.images.iterdir():
        path.unlink()
    generate_images(buzz_corpus, recordings, n_jobs=2)
    assert jpegs(buzz_corpus) == one


def test_an_interrupted_run_goes_on_to_the_same_bytes(buzz_corpus, monkeypatch):
    recordings = load_recordings(buzz_corpus)
    generate_images(buzz_corpus, recordings, n_jobs=1)
    undisturbed = jpegs(buzz_corpus)
    for path in buzz_corpus.images.iterdir():
        path.unlink()

    written = []

    def stop_after_ten(path, content):
        if len(written) == 10:
            raise KeyboardInterrupt
        written.append(path)
        path.write_bytes(content)

    with monkeypatch.context() as patch:
        patch.setattr(generation, "write_atomically", stop_after_ten)
        with pytest.raises(KeyboardInterrupt):
            generate_images(buzz_corpus, recordings, n_jobs=1)
    assert len(jpegs(buzz_corpus)) == 10
    assert generate_images(buzz_corpus, recordings, n_jobs=1)["made"] == 14
    assert jpegs(buzz_corpus) == undisturbed


def test_a_changed_recording_is_made_again_and_no_other_of_the_same_length(buzz_corpus):
    generate_images(buzz_corpus, load_recordings(buzz_corpus))
    before = jpegs(buzz_corpus)
    wav = buzz_corpus.folder / "01" / "0_01_0.wav"
    sound, rate = soundfile.read(wav)
    soundfile.write(wav, sound[::-1] * 0.5, rate, subtype="PCM_16")
    assert generate_images(buzz_corpus, load_recordings(buzz_corpus))["made"] == 1
    after = jpegs(buzz_corpus)
    changed = load_maps(buzz_corpus).set_index("path").at["01/0_01_0.wav", "image"]
    assert {name for name in before if before[name] != after[name]} == {changed}


def test_other_parameters_make_all_images_again(buzz_corpus, monkeypatch):
    recordings = load_recordings(buzz_corpus)
    generate_images(buzz_corpus, recordings, n_jobs=1)
    monkeypatch.setitem(generation.mfc.PARAMETERS, "version", "another")
    assert generate_images(buzz_corpus, recordings, n_jobs=1)["made"] == 24


def test_a_recording_that_cannot_be_read_is_skipped_by_name_and_the_rest_is_done(buzz_corpus):
    (buzz_corpus.folder / "01" / "0_01_0.wav").write_text("not a sound")
    report = generate_images(buzz_corpus, load_recordings(buzz_corpus))
    assert report["made"] == 23 and report["missing"] == 0
    assert list(report["skipped"]) == ["01/0_01_0.wav"]
    assert "is text, not sound" in report["skipped"]["01/0_01_0.wav"]


def test_the_padding_is_planned_with_the_length_the_signal_will_have(buzz_corpus):
    recordings = load_recordings(buzz_corpus)
    plan = plan_images(map_images(recordings), with_stamps(buzz_corpus, recordings)).set_index("path")
    for path, row in plan.iterrows():
        signal = generation.read_signal(buzz_corpus.folder / path)
        assert len(signal) == 3 * recordings.set_index("path").at[path, "samples"]
        assert 0 <= row["front"] < generation.mfc.RECORDING_SAMPLES - len(signal)


def test_maps_alone_tell_speakers_and_genders(buzz_corpus):
    generate_images(buzz_corpus, load_recordings(buzz_corpus))
    images_only = Corpus(buzz_corpus.name, buzz_corpus.folder.parent / "nowhere")
    table = load_maps(images_only)
    assert dict(zip(table["speaker"], table["gender"])) == {"01": "male", "02": "female", "03": "male", "04": "female"}


@pytest.mark.parametrize(
    "content",
    [
        *("{", "[]", '{"female_0.jpg": 5}', '{"../x.jpg": "02/0_02_0.wav"}'),
        *(f'{{"female_0.jpg": "{path}"}}' for path in ("../../x.wav", "../0_.._0.wav", "/0__0.wav", "C:/0_C:_0.wav")),
    ],
)
def test_a_map_that_is_none_is_refused_in_one_line(buzz_corpus, content):
    generate_images(buzz_corpus, load_recordings(buzz_corpus))
    (buzz_corpus.maps / "female.json").write_text(content)
    with pytest.raises(CorpusError, match="female.json") as error:
        load_maps(buzz_corpus)
    assert "\n" not in str(error.value)


def test_no_partial_file_stays(buzz_corpus):
    generate_images(buzz_corpus, load_recordings(buzz_corpus))
    assert not [name for name in os.listdir(buzz_corpus.images) if name.endswith(".partial")]


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference table of recordings is not there")
def test_reference_order_is_the_published_one():
    import pandas as pd

    with REFERENCE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    genders = np.where([row["mfc_jpeg"].startswith("female") for row in rows], "female", "male")
    maps = map_images(pd.DataFrame({"path": [row["wav"] for row in rows], "gender": genders}))
    assert maps["female"] | maps["male"] == {row["mfc_jpeg"]: row["wav"] for row in rows}
