"""Images without the cue of their length: the same number of sounding frames in each, and the sound still in them."""

import numpy as np
import pytest

from speaker_gender.judging.baselines import sounding_frames
from studies import duration


def image_with(n_frames, *, front=10):
    image = np.zeros((12, 98), np.uint8)
    image[:, front : front + n_frames] = np.random.default_rng(n_frames).integers(100, 255, (12, n_frames))
    return image


@pytest.mark.parametrize("form, left", [(duration.stretched, duration.FRAMES), (duration.middle, duration.MIDDLE)])
def test_every_sound_has_the_same_length_and_place(form, left):
    made = np.stack([form(image_with(n_frames, front=front)) for n_frames in (20, 35, 70, 88) for front in (0, 10)])
    assert made.shape == (8, 12, 98) and made.dtype == np.uint8
    assert set(sounding_frames(made)) == {left}
    assert len({int((image.max(axis=0) > 0).argmax()) for image in made}) == 1


def test_the_middle_is_that_of_the_sound():
    image = image_with(50, front=7)
    np.testing.assert_array_equal(duration.middle(image)[:, 34:64], image[:, 17:47])


def test_a_sound_of_the_right_length_is_only_moved():
    image = image_with(duration.FRAMES)
    np.testing.assert_array_equal(duration.stretched(image)[:, 19:79], image[:, 10:70])


def test_a_black_image_stays_black():
    black = np.zeros((12, 98), np.uint8)
    assert duration.stretched(black).max() == duration.middle(black).max() == 0
