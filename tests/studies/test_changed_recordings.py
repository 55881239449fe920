"""Changed recordings: so much is cut off as is said, codecs keep the speech, and figures are those counted by hand."""

import numpy as np
import pandas as pd
import pytest

from speaker_gender.config import ROOT
from speaker_gender.sound.reading import read_signal
from studies.changed_recordings import AS_IT_IS, CHANGES, CODECS, clipped, draw, figures


def test_the_loudest_samples_lie_at_the_limit_and_the_others_stay():
    signal = np.array([-5.0, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(clipped(signal, share=0.2), signal.clip(-4, 4))
    np.testing.assert_array_equal(clipped(signal + 100, share=0.2), signal.clip(-4, 4))
    np.testing.assert_array_equal(clipped(signal, share=0), signal)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_share_is_that_of_the_samples(share):
    signal = clipped(np.random.default_rng(0).normal(size=10_000), share=share)
    assert np.mean(np.abs(signal) == np.abs(signal).max()) == pytest.approx(share, abs=2e-4)


@pytest.mark.parametrize("name", CODECS)
def test_what_comes_through_a_codec_is_the_same_speech_on_the_same_scale(name):
    signal = read_signal(ROOT / "nbs" / "my_wavs" / "synthetic_female_seven.wav")
    changed = CHANGES[name](signal)
    assert abs(len(changed) - len(signal)) < 0.1 * 48_000
    assert np.sqrt(np.mean(changed**2)) == pytest.approx(np.sqrt(np.mean(signal.astype(float) ** 2)), rel=0.35)
    spectra = [
        np.abs(np.fft.rfft(sound, 2 * len(signal)))[: 3_000 * len(signal) // 24_000] for sound in (signal, changed)
    ]
    assert 0.8 < np.corrcoef(*spectra)[0, 1] < 1 and not np.array_equal(*spectra)


def test_nothing_is_changed_where_nothing_is_to_be():
    signal = np.random.default_rng(0).normal(size=1_000)
    assert CHANGES[AS_IT_IS](signal) is signal


def test_each_speaker_gives_so_many_recordings_or_all():
    recordings = pd.DataFrame({"speaker": ["1"] * 5 + ["2"], "path": range(6)})
    drawn = draw(recordings, 2)
    assert drawn["speaker"].tolist() == ["1", "1", "2"] and drawn["path"].is_monotonic_increasing
    pd.testing.assert_frame_equal(drawn, draw(recordings, 2))


def predictions(p_female: list[float], warned: list[bool]) -> pd.DataFrame:
    table = {"recording": list("abcd"), "speaker": list("wxyz"), "gender": ["female", "female", "male", "male"]}
    return pd.DataFrame(table | {"p_female": p_female, "warned": warned})


def test_figures_are_those_that_are_counted_by_hand():
    before = predictions([0.9, 0.8, 0.1, 0.2], [False] * 4)
    after = predictions([0.9, np.nan, 0.1, 0.7], [True, False, True, True])
    found = figures(after, before)
    assert found["scores"]["balanced_accuracy"] == 0.5 and found["difference"]["difference"] == -0.5
    assert (found["images"], found["speakers"], found["refused"], found["warned"]) == (4, 4, 1, 3)
    assert found["accuracy"] == pytest.approx(2 / 3), "of the three that are classified"
    assert found["mean_probability"] == pytest.approx((0.9 + 0.9 + 0.7) / 3)
    assert found["difference_of_classified"]["difference"] == -0.25, "one man of two; the one woman is right"
    assert figures(before, before)["difference"]["difference"] == 0
