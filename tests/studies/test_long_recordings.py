"""An hour of speech: put together to the sample, and measured as it is classified from the command line."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from speaker_gender.classifying.classifier import SHIPPED_MODEL
from speaker_gender.config import ROOT, SAMPLE_RATE
from studies.long_recordings import LEVEL, STEPS, measure, seconds_of_steps, write_long_recording

VOICES = sorted((ROOT / "nbs" / "my_wavs").glob("synthetic_*.wav"))
RECORDINGS = pd.DataFrame({"path": VOICES, "speaker": [path.stem.split("_")[1] for path in VOICES]})


def test_recordings_are_put_together_to_the_length_that_was_asked_for(tmp_path):
    paths = [tmp_path / "one.wav", tmp_path / "again.wav"]
    counts = [write_long_recording(path, RECORDINGS, seconds=7.5) for path in paths]
    sound, rate = soundfile.read(paths[0], dtype="int16")
    assert rate == SAMPLE_RATE and sound.shape == (7.5 * SAMPLE_RATE,) and counts[0] == counts[1] >= 7
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert 0.5 * LEVEL < np.sqrt(np.mean(sound.astype(float) ** 2)) < LEVEL, "with pauses"


@pytest.mark.slow
@pytest.mark.skipif(not SHIPPED_MODEL.exists(), reason="the shipped model is not there")
def test_what_it_takes_is_measured(tmp_path):
    write_long_recording(tmp_path / "long.wav", RECORDINGS, seconds=20)
    measured, answers = measure([tmp_path / "long.wav"], tmp_path)
    assert measured["seconds"] == 20 and answers[0]["windows"] >= 10
    assert measured["wall_seconds"] > 0.1 and measured["processor_seconds"] > 0.1
    assert measured["times_real_time"] == pytest.approx(20 / measured["wall_seconds"], rel=0.05)
    assert measured["peak_bytes"] > 50e6  # no upper bound: a child's peak begins with that of its parent, pytest here
    steps = seconds_of_steps([tmp_path / "long.wav"])
    assert tuple(steps) == STEPS and 0 < sum(steps.values()) and min(steps.values()) >= 0
    assert (tmp_path / "long.wav.gender.csv").read_text().startswith("start,stop,label,p_female,channel\n0")
    with pytest.raises(ValueError, match="not classified"):
        measure([tmp_path / "none.wav"], tmp_path)
