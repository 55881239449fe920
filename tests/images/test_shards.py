"""Tar shards: the images that the folder has, each once, the same bytes each time; streamed, they train as well."""

import json
import subprocess
import tarfile

import numpy as np
import pytest
import torch
from conftest import flip_bit

from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.images import shards as writing
from speaker_gender.images.generation import generate_images
from speaker_gender.images.maps import load_maps
from speaker_gender.images.shards import generate_shards, shard_folder
from speaker_gender.learning.dataset import decode_images, grey_stats
from speaker_gender.learning.learners import make_learner
from speaker_gender.learning.recipes import Recipe
from speaker_gender.learning.shards import ShardImages, shard_dls, shards_of
from speaker_gender.learning.splits import split_by_speaker

pytest.importorskip("webdataset", reason="webdataset is missing: requirements-cluster.txt")
SIZE = (32, 32)


@pytest.fixture
def sharded(buzz_corpus):
    """The buzzing corpus in shards of five images: two speakers to train on, two to validate on."""
    recordings = load_recordings(buzz_corpus)
    return buzz_corpus, recordings, generate(buzz_corpus, recordings)


def generate(corpus, recordings):
    parts = split_by_speaker(recordings["speaker"], train={"01", "02"}, valid={"03", "04"}, test=set())
    return generate_shards(corpus, recordings, parts, images_a_shard=5)


def parts(corpus):
    return {part: shards_of(corpus, part) for part in ("train", "valid")}


def contents(corpus):
    return {path.name: path.read_bytes() for path in shard_folder(corpus).iterdir()}


def in_tars(corpus) -> dict[str, bytes]:
    found = {}
    for path in sorted(shard_folder(corpus).glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                assert member.name not in found
                found[member.name] = tar.extractfile(member).read()
    return found


def test_shards_hold_the_images_of_the_folder_once_each_with_their_labels(sharded):
    corpus, recordings, report = sharded
    assert report == {"made": 6, "kept": 0, "images": 24, "skipped": {}}
    generate_images(corpus, recordings)
    found = in_tars(corpus)
    of_folder = {path.name: path.read_bytes() for path in corpus.images.glob("*.jpg")}
    assert {name: content for name, content in found.items() if name.endswith(".jpg")} == of_folder
    table = load_maps(corpus).set_index("image")
    for name, row in table.iterrows():
        about = json.loads(found[name.replace(".jpg", ".json")])
        assert about == {"path": row["path"], "speaker": row["speaker"], "gender": row["gender"], "digit": row["digit"]}


def test_shards_are_the_same_each_time_and_current_ones_are_kept(sharded):
    corpus, recordings, _ = sharded
    before = contents(corpus)
    assert generate(corpus, recordings) == {"made": 0, "kept": 6, "images": 24, "skipped": {}}
    torn = shard_folder(corpus) / "train-000001.tar"
    torn.write_bytes(before[torn.name][:3_000])
    (shard_folder(corpus) / "valid-000000.json").unlink()
    (shard_folder(corpus) / "train-000007.tar").write_bytes(b"of a larger corpus")
    assert generate(corpus, recordings)["made"] == 2
    assert contents(corpus) == before


@pytest.mark.parametrize("damaged", ["train-000001.tar", "train-000001.json"])
def test_a_shard_that_was_altered_is_made_again_and_not_trained_on(sharded, damaged):
    corpus, recordings, _ = sharded
    before = contents(corpus)
    flip_bit(shard_folder(corpus) / damaged, 2_000 if damaged.endswith("tar") else 150)
    with pytest.raises(CorpusError, match="train-000001.tar"):
        shards_of(corpus, "train")
    assert generate(corpus, recordings)["made"] == 1
    assert contents(corpus) == before


def test_a_recording_that_cannot_be_read_is_reported_each_time(sharded):
    corpus, _, _ = sharded
    (corpus.folder / "01" / "0_01_0.wav").write_text("not a sound")
    for _ in range(2):
        report = generate(corpus, load_recordings(corpus))
        assert report["images"] == 23
    (corpus.folder / "01" / "0_01_1.wav").rename(corpus.folder / "01" / "1_01_7.wav")
    assert generate(corpus, load_recordings(corpus))["images"] == 23


def test_an_epoch_has_every_image_once_in_another_order_and_they_are_decoded_as_from_the_folder(sharded):
    corpus, recordings, _ = sharded
    generate_images(corpus, recordings)
    table = load_maps(corpus)
    expected = decode_images(corpus, table["image"].tolist(), size=SIZE)[table["speaker"].isin(["01", "02"])]
    (dls, stats) = shard_dls(parts(corpus), size=SIZE, batch_size=5)
    assert stats == pytest.approx(grey_stats(expected))
    orders = []
    for epoch in range(2):
        torch.manual_seed(epoch)
        batches = list(dls.train)
        assert [len(images) for images, _ in batches] == [5, 5, 2]
        images = torch.cat([images for images, _ in batches]).cpu().numpy() * stats[1] + stats[0]
        orders.append(np.rint(images[:, 0] * 255).astype(np.uint8))
    assert not np.array_equal(*orders)
    for order in orders:
        assert sorted(image.tobytes() for image in order) == sorted(image.tobytes() for image in expected)
    labels = torch.cat([classes for _, classes in dls.valid]).tolist()
    assert sorted(labels) == [0] * 6 + [1] * 6


def test_processes_read_shards_of_their_own(sharded, monkeypatch):
    paths = list(shards_of(sharded[0], "train"))
    assert [path[-10:-4] for path in paths] == ["000000", "000001", "000002"]
    own = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        stream = iter(ShardImages(paths, SIZE, shuffle=False))
        own.append([next(stream)[0].numpy().tobytes() for _ in range((7, 5)[int(rank)])])
    assert len(set(own[0]) | set(own[1])) == 12


def test_streamed_images_train_a_network(sharded):
    dls, _ = shard_dls(parts(sharded[0]), size=SIZE, batch_size=4, max_shift=0.1)
    learn = make_learner(dls, Recipe(architecture="small", image_size=SIZE, epochs=1, batch_size=4))
    with learn.no_bar(), learn.no_logging():
        learn.fit(2)
    assert len(learn.recorder.losses) == 6 and np.isfinite(learn.recorder.losses).all()


def test_without_shards_it_says_what_to_run(buzz_corpus):
    with pytest.raises(CorpusError, match="generate_images.py --shards"):
        shards_of(buzz_corpus, "train")


def test_without_webdataset_it_says_what_to_install(buzz_corpus, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "webdataset", None)
    with pytest.raises(CorpusError, match="requirements-cluster.txt"):
        generate(buzz_corpus, load_recordings(buzz_corpus))
    assert not shard_folder(buzz_corpus).exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_shards(sharded, monkeypatch):
    corpus, recordings, _ = sharded
    before = contents(corpus)
    for path in shard_folder(corpus).iterdir():
        path.unlink()
    whole = writing._make_shard
    done = []

    def stop_after_two(*job):
        if len(done) == 2:
            raise subprocess.SubprocessError("killed")
        done.append(job)
        return whole(*job)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "_make_shard", stop_after_two)
        with pytest.raises(subprocess.SubprocessError):
            generate(corpus, recordings)
    assert generate(corpus, recordings)["kept"] == 2
    assert contents(corpus) == before
