"""Caches cannot lie: where what they were made from changes, or they do, they are made anew, and nothing else is."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import flip_bit
from PIL import Image

from speaker_gender.caching import cached_array
from speaker_gender.config import ROOT
from speaker_gender.corpora.audiomnist import METADATA, load_recordings
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.images import generation
from speaker_gender.images.generation import generate_images
from speaker_gender.images.maps import load_maps
from speaker_gender.learning.dataset import available_images, load_images

SIZE = (12, 98)


def times(corpus) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in corpus.images.glob("*.jpg")}


def changed(before: dict, after: dict) -> set:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def generate(corpus) -> dict:
    return generate_images(corpus, load_recordings(corpus), n_jobs=1)


def decoded(corpus) -> np.ndarray:
    return load_images(corpus, available_images(corpus, load_maps(corpus)), size=SIZE)


@pytest.fixture
def made(buzz_corpus):
    """The buzz corpus with its images, and their names by recording."""
    generate(buzz_corpus)
    return buzz_corpus, load_maps(buzz_corpus).set_index("path")["image"]


# --- what images are made from


def test_a_wav_changed_in_one_bit_under_its_old_size_and_time_is_made_again_and_nothing_else(made):
    corpus, image_of = made
    before = times(corpus)
    wav = corpus.folder / "02" / "1_02_0.wav"
    sound, rate = soundfile.read(wav, dtype="int16")
    flip_bit(wav, 44 + 2 * int(np.abs(sound).argmax()) + 1)
    assert generate(corpus)["made"] == 1
    assert changed(before, times(corpus)) == {image_of["02/1_02_0.wav"]}


def test_a_wav_that_is_only_copied_changes_nothing(made):
    corpus, _ = made
    before = times(corpus)
    os.utime(corpus.folder / "02" / "1_02_0.wav", (0, 0))
    assert generate(corpus)["made"] == 0 and times(corpus) == before


@pytest.mark.release
@pytest.mark.slow
def test_another_constant_makes_the_views_images_again_and_no_other_views(buzz_corpus, tmp_path):
    workspace, views = tmp_path / "workspace", ("mfc", "harmonic")
    scripts = shutil.copytree(ROOT / "scripts", tmp_path / "project" / "scripts")

    def run(view: str) -> str:
        ran = subprocess.run(
            [sys.executable, scripts / "studies" / "generate_images.py", "--view", view],
            env=os.environ | {"WORKSPACE": str(workspace), "CORPUS": str(buzz_corpus.folder)},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.splitlines()[-1]

    assert [run(view).endswith("24 images made, 0 kept") for view in views] == [True, True]
    module = scripts / "speaker_gender" / "images" / "mfc.py"
    source = module.read_text(encoding="utf-8")
    assert "N_MELS = 40\n" in source
    module.write_text(source.replace("N_MELS = 40\n", "N_MELS = 41\n"), encoding="utf-8")
    assert run("mfc").endswith("24 images made, 0 kept")
    assert run("harmonic").endswith("0 images made, 24 kept")


@pytest.mark.parametrize("version", ["reader", "package"])
def test_another_version_makes_again_but_does_not_touch_what_comes_out_the_same(made, monkeypatch, version):
    corpus, _ = made
    before = times(corpus)
    if version == "reader":
        monkeypatch.setattr(generation, "VERSION", "another")
    else:
        monkeypatch.setattr(generation.importlib.metadata, "version", lambda package: "another")
    assert generate(corpus)["made"] == 24
    assert times(corpus) == before, "models are trained on images with these times"
    assert generate(corpus)["made"] == 0


def test_another_gender_in_the_metadata_changes_maps_and_images(made):
    corpus, _ = made
    metadata = json.loads((corpus.folder / METADATA).read_text())
    metadata["01"]["gender"] = "female"
    (corpus.folder / METADATA).write_text(json.dumps(metadata))
    assert generate(corpus)["made"] > 0
    table = load_maps(corpus)
    assert set(table.loc[table["speaker"] == "01", "gender"]) == {"female"}
    fresh = {name: (corpus.images / name).read_bytes() for name in table["image"]}
    shutil.rmtree(corpus.images)
    generate(corpus)
    assert fresh == {name: (corpus.images / name).read_bytes() for name in table["image"]}


@pytest.mark.slow
def test_a_recording_that_goes_renumbers_no_image_of_another_view_in_silence(made):
    corpus, _ = made
    seen = corpus.seen_as("harmonic")
    generate(seen)
    (corpus.folder / "01" / "0_01_0.wav").unlink()
    generate(corpus)
    new = load_maps(corpus).set_index("image")["path"]
    with pytest.raises(CorpusError, match="recordings have no image"):
        available_images(seen, load_maps(seen))
    kept = {image: (seen.images / image).read_bytes() for image in new.index if (seen.images / image).exists()}
    assert 0 < len(kept) < len(new)
    generate(seen)
    assert len(available_images(seen, load_maps(seen))) == len(new)
    for path in seen.images.glob("*.jpg"):
        path.unlink()
    generate(seen)
    assert all((seen.images / image).read_bytes() == content for image, content in kept.items())


# --- images


@pytest.mark.parametrize("n_bytes", [0, 100, -100])
def test_a_torn_image_is_made_again(made, n_bytes):
    corpus, _ = made
    path = corpus.images / "male_3.jpg"
    whole = path.read_bytes()
    path.write_bytes(whole[:n_bytes])
    assert generate(corpus)["made"] == 1 and path.read_bytes() == whole


def test_an_image_that_others_changed_is_said_and_kept(made, capsys):
    corpus, _ = made
    Image.new("RGB", (224, 224)).save(corpus.images / "male_3.jpg")
    own = (corpus.images / "male_3.jpg").read_bytes()
    assert generate(corpus)["made"] == 0 and (corpus.images / "male_3.jpg").read_bytes() == own
    assert "1 images are not as they were made here, and are kept" in capsys.readouterr().out


def test_an_image_in_which_a_bit_flips_under_its_old_size_and_time_is_noticed(made, capsys):
    corpus, _ = made
    before = decoded(corpus)
    path = corpus.images / "male_3.jpg"
    flip_bit(path, path.stat().st_size - 200)
    generate(corpus)
    assert "male_3.jpg" in capsys.readouterr().out
    assert not np.array_equal(decoded(corpus), before), "the decoded images are not those of another file"
    path.unlink()
    generate(corpus)
    assert np.array_equal(decoded(corpus), before)


@pytest.mark.parametrize("recompute", [False, True])
def test_images_of_others_are_never_deleted_or_replaced(buzz_corpus, monkeypatch, recompute):
    buzz_corpus.images.mkdir(parents=True)
    published = buzz_corpus.images / "male_0.jpg"
    Image.new("RGB", (224, 224)).save(published)
    own = published.read_bytes()
    if recompute:
        monkeypatch.setenv("RECOMPUTE", "1")
    generate(buzz_corpus)
    for path in (buzz_corpus.folder / "01").iterdir():
        path.write_bytes(b"broken")
    for path in (buzz_corpus.folder / "03").iterdir():
        soundfile.write(path, np.zeros(4_000), 16_000)
    generate(buzz_corpus)
    shutil.rmtree(buzz_corpus.folder / "01")
    generate(buzz_corpus)
    assert published.read_bytes() == own


def test_a_torn_image_of_others_is_one_line(made):
    corpus, _ = made
    (corpus.images / generation.MANIFEST).unlink()
    path = corpus.images / "male_3.jpg"
    path.write_bytes(path.read_bytes()[:-100])
    assert generate(corpus)["made"] == 0
    with pytest.raises(CorpusError, match="male_3.jpg: not a whole JPEG; delete it") as error:
        decoded(corpus)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"key": {"manifest": 1}, "digest": "x", "result": {}}'])
def test_a_damaged_manifest_is_one_line_because_nobody_knows_whose_images_these_are(made, damage):
    corpus, _ = made
    (corpus.images / generation.MANIFEST).write_bytes(damage)
    with pytest.raises(CorpusError, match="made.json: checksum mismatch; delete it and the images beside it"):
        generate(corpus)


def test_images_of_an_earlier_version_are_made_again(made):
    corpus, before = made
    (corpus.images / generation.MANIFEST).unlink()
    (corpus.images / "made.jsonl").write_text('\n["male_3.jpg", "key", "digest"]\n["male_4.jpg", "key", "digest"]\n')
    assert generate(corpus)["made"] == 2


# --- caches


def damage_nothing(path):
    path.touch()


def damage_a_bit(path):
    flip_bit(path, path.stat().st_size - 5)


def damage_the_header(path):
    flip_bit(path, 10)


def damage_the_end(path):
    path.write_bytes(path.read_bytes()[:-8])


def damage_all(path):
    path.write_bytes(b"")


def damage_the_array(path):
    np.save(path, np.zeros(100))


def damage_the_key(path):
    path.write_bytes(b"key \xff" + path.read_bytes())


DAMAGES = [damage_a_bit, damage_the_header, damage_the_end, damage_all, damage_the_array, damage_the_key]


@pytest.mark.parametrize("damage", [damage_nothing, *DAMAGES], ids=lambda damage: damage.__name__)
def test_an_array_is_used_only_as_it_was_written(tmp_path, capsys, damage):
    path, calls = tmp_path / "x.npy", []

    def compute():
        calls.append(1)
        return np.arange(100.0)

    cached_array(path, "key", compute)
    damage(path)
    assert np.array_equal(cached_array(path, "key", compute), np.arange(100.0))
    assert len(calls) == (1 if damage is damage_nothing else 2)
    assert ("From the cache" in capsys.readouterr().out) == (damage is damage_nothing)
    cached_array(path, "another key", compute)
    assert len(calls) == (2 if damage is damage_nothing else 3)


def test_a_list_of_skipped_recordings_that_is_none_is_one_line(made):
    corpus, _ = made
    for content in ("{", "[]", "5"):
        corpus.skipped.write_text(content)
        with pytest.raises(CorpusError, match="skipped.json: not a list of recordings"):
            available_images(corpus, load_maps(corpus))
