"""Batches: what is on disk arrives, normalised, with the right label, and only training images are shifted."""

import numpy as np
import pytest
import torch
from fastai.torch_core import TensorImage, set_seed
from PIL import Image

from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.images.generation import generate_images
from speaker_gender.images.maps import load_maps
from speaker_gender.images.views import shrink
from speaker_gender.learning.batches import to_batch
from speaker_gender.learning.dataset import TimeShift, available_images, grey_stats, load_images, make_dls
from speaker_gender.learning.splits import random_split

SIZE = (32, 112)


@pytest.fixture
def table(buzz_corpus):
    generate_images(buzz_corpus, load_recordings(buzz_corpus), n_jobs=1)
    return available_images(buzz_corpus, load_maps(buzz_corpus))


def test_images_are_loaded_in_the_tables_order_and_once(buzz_corpus, table, capsys):
    images = load_images(buzz_corpus, table, size=SIZE)
    assert images.shape == (24, *SIZE) and images.dtype == np.uint8
    with Image.open(buzz_corpus.images / table["image"][5]) as image:
        assert (images[5] == shrink(image.convert("L"), SIZE)).all()
    capsys.readouterr()
    assert (load_images(buzz_corpus, table, size=SIZE) == images).all()
    assert "From the cache" in capsys.readouterr().out


def test_a_changed_image_is_loaded_anew(buzz_corpus, table, capsys):
    load_images(buzz_corpus, table, size=SIZE)
    Image.new("RGB", (224, 224), (200, 200, 200)).save(buzz_corpus.images / table["image"][0])
    again = load_images(buzz_corpus, available_images(buzz_corpus, load_maps(buzz_corpus)), size=SIZE)
    assert (again[0] == 200).all()


def test_a_broken_image_is_named(buzz_corpus, table):
    path = buzz_corpus.images / table["image"][3]
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CorpusError, match=path.name):
        load_images(buzz_corpus, available_images(buzz_corpus, load_maps(buzz_corpus)), size=SIZE)


def test_no_images_at_all_is_said_in_one_line(buzz_corpus, table):
    for path in buzz_corpus.images.iterdir():
        path.unlink()
    with pytest.raises(CorpusError, match="run notebook 02_generate_mfc first"):
        available_images(buzz_corpus, load_maps(buzz_corpus))


def test_shrinking_keeps_the_mean_grey():
    noise = np.random.default_rng(0).integers(0, 256, (224, 224), dtype=np.uint8)
    assert shrink(Image.fromarray(noise), SIZE).mean() == pytest.approx(noise.mean(), abs=1)


def test_stats_are_numpys():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 9), dtype=np.uint8)
    assert grey_stats(images) == pytest.approx((images.mean() / 255, images.std() / 255))


def test_batches_hold_the_normalised_image_and_its_class(buzz_corpus, table):
    images = load_images(buzz_corpus, table, size=SIZE)
    split = random_split(table["image"])
    dls = make_dls(images, table["gender"], split, batch_size=8)
    assert list(dls.vocab) == ["female", "male"]
    batch, classes = dls.valid.one_batch()
    own = np.flatnonzero(split == "valid")
    mean, std = grey_stats(images[(split == "train").to_numpy()])
    assert torch.allclose(torch.Tensor(batch), to_batch(images[own], {"mean": mean, "std": std}), atol=1e-5)
    assert [dls.vocab[int(one)] for one in classes] == table["gender"][own].tolist()


def test_only_training_images_are_shifted(buzz_corpus, table):
    images = load_images(buzz_corpus, table, size=SIZE)
    split = random_split(table["image"])
    shifted = make_dls(images, table["gender"], split, batch_size=8, max_shift=0.5)
    still = make_dls(images, table["gender"], split, batch_size=8)
    assert torch.equal(shifted.valid.one_batch()[0], still.valid.one_batch()[0])
    originals = {
        tuple(row)
        for row in torch.Tensor(still.train.new(shuffle=False, drop_last=False).one_batch()[0]).flatten(1).tolist()
    }
    rolled = torch.Tensor(shifted.train.new(shuffle=False, drop_last=False).one_batch()[0]).flatten(1).tolist()
    assert sum(tuple(row) in originals for row in rolled) < len(rolled) / 2


def test_a_shift_rolls_time_within_its_limit_and_keeps_every_pixel():
    set_seed(0)
    images = torch.arange(2 * 3 * 100.0).reshape(2, 1, 3, 100)
    shifted = torch.Tensor(TimeShift(0.1)(TensorImage(images), split_idx=0))
    for before, after in zip(images, shifted):
        rolls = [roll for roll in range(-10, 11) if torch.equal(torch.roll(before, roll, dims=2), after)]
        assert len(rolls) == 1
