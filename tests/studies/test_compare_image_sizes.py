"""The comparison of image sizes: each size once, and a table of what there is."""

from functools import partial

import pytest

from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.images.generation import generate_images
from speaker_gender.judging.comparisons import load_image_sizes
from speaker_gender.learning.recipes import Recipe
from studies import compare_image_sizes


@pytest.mark.slow
def test_each_size_is_trained_once_and_shown_in_order(buzz_corpus, monkeypatch, capsys):
    generate_images(buzz_corpus, load_recordings(buzz_corpus), n_jobs=1)
    monkeypatch.setattr(compare_image_sizes, "SIZES", ((16, 98), (32, 32)))
    monkeypatch.setattr(compare_image_sizes, "EPOCHS", 1)
    monkeypatch.setattr(compare_image_sizes, "Recipe", partial(Recipe, architecture="small"))
    assert load_image_sizes(buzz_corpus).empty
    compare_image_sizes.compare(buzz_corpus)
    capsys.readouterr()
    compare_image_sizes.compare(buzz_corpus)
    assert capsys.readouterr().out.count("From the cache") == 2
    table = load_image_sizes(buzz_corpus)
    assert table.index.tolist() == ["32x32", "16x98"]
    assert (table["images_per_second"] > 0).all()
    assert table["error_rate"].between(0, 1).all() and (table["train_images"] == 16).all()
