"""What moving a voice's pitch does to the predictions of networks of both views, the formants left as they are."""

import librosa
import numpy as np
import pandas as pd
import soxr
from PIL import Image
from tqdm.auto import tqdm

from speaker_gender.caching import cached_json
from speaker_gender.config import GENDERS, SAMPLE_RATE, SEED, WORKING_RATE
from speaker_gender.corpora.corpus import Corpus, stamp_of
from speaker_gender.images.views import VIEWS, shrink
from speaker_gender.learning.folds import divide, first_network, first_network_key
from speaker_gender.learning.networks import predict
from speaker_gender.learning.training import versions
from speaker_gender.sound import augmentation, reading
from speaker_gender.sound.augmentation import revoice
from speaker_gender.sound.reading import read_signal

VERSION = 1  # part of the cache's key: raise it when a change here changes a prediction

STEPS = (-12, -6, -3, 0, 3, 6, 12)  # semitones
THERE_AND_BACK = (3, -3)  # at 0: what the alteration alone does
RECORDINGS = 40  # of each gender


def with_pitch_moved(signal: np.ndarray, *steps: float) -> np.ndarray:
    """Move the pitch of speech by each of these steps, one after the other; formants and length stay.

    Parameters
    ----------
    signal : np.ndarray, shape (samples,)
        At 16 kHz, any scale.
    *steps : float
        In semitones.

    Returns
    -------
    np.ndarray of float64, shape (3 × samples,)
        At 48 kHz.
    """
    for semitones in steps:
        ratio = 2 ** (semitones / 12)
        longer = librosa.effects.time_stretch(signal, rate=1 / ratio, n_fft=1_024)
        signal = revoice(longer, pitch=ratio, formants=1.0)  # which shortens it again
    return soxr.resample(signal, WORKING_RATE, SAMPLE_RATE)


def moved_pitch(corpus: Corpus, table: pd.DataFrame, *, count: int = RECORDINGS) -> dict[str, dict[str, float]]:
    """Predict for recordings of unseen speakers whose pitch was moved, by the networks of the first fold; cached.

    Neither network was trained on such altered speech. `corpus`: In view 'mfc'; images of both views exist. `table`:
    its images, see dataset.available_images. `count`: recordings of each gender, drawn at random from the first fold's
    test part. Returns '<view>, <gender>' → semitones (as text) → mean p_female. At '0' the pitch went up by three and
    back.
    """
    tested = table[divide(corpus, table, "grouped")[0] == "test"]
    tested = tested[tested["path"].map(lambda path: corpus.has(path))]
    chosen = {
        str(gender): group["path"].sample(min(count, len(group)), random_state=SEED).tolist()
        for gender, group in tested.groupby("gender")
    }
    key = {
        "recordings": [[path, stamp_of(corpus.source(path))] for paths in chosen.values() for path in paths],
        "steps": [STEPS, THERE_AND_BACK],
        "networks": [first_network_key(corpus.seen_as(view), "grouped") for view in VIEWS],
        "views": [view.parameters for view in VIEWS.values()],
        "versions": [VERSION, reading.VERSION, augmentation.VERSION, versions()],
    }
    return cached_json(corpus.results / "moved_pitch.json", key, lambda: _predicted(corpus, chosen))


def _predicted(corpus: Corpus, chosen: dict[str, list[str]]) -> dict[str, dict[str, float]]:
    networks = {view: first_network(corpus.seen_as(view), "grouped") for view in VIEWS}
    found: dict[str, dict[str, float]] = {f"{view}, {gender}": {} for gender in GENDERS for view in VIEWS}
    work = [(gender, step) for gender in chosen for step in STEPS]
    for gender, step in tqdm(work, "moved pitch", unit="step", leave=False):
        moves = (step,) if step else THERE_AND_BACK
        recordings = [read_signal(corpus.source(path), sample_rate=WORKING_RATE) for path in chosen[gender]]
        signals = [with_pitch_moved(signal, *moves) for signal in recordings]
        for view, (network, card) in networks.items():
            images = [Image.fromarray(VIEWS[view].image(signal, front=0)).convert("L") for signal in signals]
            small = np.stack([shrink(image, tuple(card["image_size"])) for image in images])
            p_female = predict(network, small, card["normalisation"])
            found[f"{view}, {gender}"][str(step)] = round(float(p_female.mean()), 4)
    return found
