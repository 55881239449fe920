"""The speaker encoder's mel spectrogram: librosa's numbers, whatever the level, and nothing of silence."""

import librosa
import numpy as np
import pytest
from conftest import buzz

from speaker_gender.images import mel

RATE, SAMPLES = 16_000, 15_999


@pytest.fixture(scope="module")
def voice():
    return buzz(120, seconds=1.0, sample_rate=RATE, seed=1)[:SAMPLES]


def test_it_is_the_one_that_resemblyzer_computes_by_librosa(voice):
    levelled = voice / np.sqrt(np.mean(voice**2)) * 10 ** (-30 / 20)
    expected = librosa.feature.melspectrogram(y=levelled, sr=RATE, n_fft=400, hop_length=160, n_mels=40).T
    found = mel.mel_spectrogram(voice)
    assert found.shape == (mel.N_FRAMES, mel.N_MELS) == (100, 40) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * expected.max())


def test_scale_does_not_change_it_and_padding_only_adds_silence(voice):
    found = mel.mel_spectrogram(voice)
    np.testing.assert_allclose(mel.mel_spectrogram(32_768 * voice), found, rtol=1e-4)
    word = np.zeros(SAMPLES)
    word[4_000:12_000] = voice[4_000:12_000]
    inside = mel.mel_spectrogram(word)[30:70]
    alone = mel.mel_spectrogram(np.pad(word[4_000:12_000], (0, SAMPLES - 8_000)))[5:45]
    np.testing.assert_allclose(inside, alone, rtol=1e-4)


def test_silence_stays_silent():
    assert not mel.mel_spectrogram(np.zeros(SAMPLES)).any()
