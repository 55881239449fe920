#!/usr/bin/env python3
"""Which image gives the best predictions for unseen speakers? Several forms of it on the same folds.

    python scripts/studies/compare_views.py

Trains small networks of three seeds on the resolved corpus's speaker-disjoint folds, from the available WAVs, and pools
their predictions. Writes results/<corpus>/views/<form>.json and their summary results/<corpus>/views.json, which
notebook 05 shows.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import functools
from collections.abc import Callable
from datetime import date
from typing import Any

import librosa
import numpy as np
import pandas as pd
import soxr
from fastai.callback.mixup import MixUp
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import set_seed
from PIL import Image
from tqdm.auto import tqdm

from speaker_gender.caching import cached_json, digest, write_json
from speaker_gender.config import SAMPLE_RATE, SEED, WORKING_RATE, WORKING_SAMPLES, settings
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import Corpus, CorpusError, with_stamps
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images import harmonic, mfc
from speaker_gender.images.generation import plan_images
from speaker_gender.images.maps import map_images
from speaker_gender.images.views import shrink
from speaker_gender.judging.comparisons import describe, paired_difference, pooled
from speaker_gender.judging.evaluation import scores
from speaker_gender.learning import dataset
from speaker_gender.learning.dataset import grey_stats, make_dls
from speaker_gender.learning.folds import n_folds
from speaker_gender.learning.learners import class_weights
from speaker_gender.learning.networks import predict, small_network
from speaker_gender.learning.splits import grouped_folds
from speaker_gender.learning.training import versions
from speaker_gender.parallel import in_parallel
from speaker_gender.sound import pitch, reading
from speaker_gender.sound.reading import read_signal

VERSION = 1  # part of the cache's key: raise it when a change here changes a prediction

TRAINING: dict[str, Any] = {"epochs": 15, "learning_rate": 3e-3, "batch_size": 64, "max_shift": 0.1, "mixup": 0.2}
SEEDS = (SEED, SEED + 1, SEED + 2)
REFERENCE = "harmonic"  # the form that the others are compared with
MFC_SIZE = (32, 112)  # pixels; more than the 12 × 98 numbers, because the network halves the height four times
N_MELS, MEL_FREQUENCIES = 96, (40, 7_600)  # bands, Hz
HIGHEST_LINEAR = 2_000  # Hz
LEAST_QUEFRENCY = 0.002  # seconds: a voice of 500 Hz; longer quefrencies are pitch


# A form takes a signal on the int16 scale at 48 kHz, shape (samples,), and the zeros before it in samples (`front`). It
# returns an image, uint8 of shape (channels, height, width).


def harmonic_form(signal: np.ndarray, *, front: int) -> np.ndarray:
    """View `harmonic` as it is, uint8 (1, 112, 30)."""
    return harmonic.harmonic_image(signal, front=front)[np.newaxis]


def mfc_form(signal: np.ndarray, *, front: int) -> np.ndarray:
    """View `mfc` in 32 × 112 pixels, uint8 (1, 32, 112)."""
    return _mfc_of_size(signal, front, MFC_SIZE)[np.newaxis]


def mel_form(signal: np.ndarray, *, front: int) -> np.ndarray:
    """Make a mel spectrogram with the window of view harmonic: low bands evenly spaced, high ones in log frequency."""
    weights = librosa.filters.mel(
        sr=WORKING_RATE,
        n_fft=harmonic.N_FFT,
        n_mels=N_MELS,
        fmin=MEL_FREQUENCIES[0],
        fmax=MEL_FREQUENCIES[1],
    )
    return harmonic.to_image(weights @ _spectrum(signal, front))[np.newaxis]


def linear_form(signal: np.ndarray, *, front: int) -> np.ndarray:
    """Make a spectrogram up to 2 kHz with the same window: harmonics are evenly spaced, higher formants are cut off."""
    powers = _spectrum(signal, front, n_fft=harmonic.WINDOW_LENGTH)
    return harmonic.to_image(powers[: HIGHEST_LINEAR * harmonic.WINDOW_LENGTH // WORKING_RATE])[np.newaxis]


def without_pitch_form(signal: np.ndarray, *, front: int) -> np.ndarray:
    """Make view harmonic of the spectrum's envelope: the same bands, frames and levels, the harmonics smoothed away."""
    powers = _spectrum(signal, front)
    cepstrum = np.fft.irfft(np.log(powers + 1e-10 * powers.max() + 1e-30), axis=0)
    kept = round(LEAST_QUEFRENCY * WORKING_RATE)
    cepstrum[kept : len(cepstrum) - kept + 1] = 0
    envelope = np.exp(np.fft.rfft(cepstrum, axis=0).real)
    return harmonic.to_image(harmonic.band_weights().T @ envelope)[np.newaxis]


def unclipped_mfc_form(signal: np.ndarray, *, front: int) -> np.ndarray:
    """Make the levels of the 40 mel bands that the study's 12 coefficients describe, scaled like view harmonic's."""
    coefficients = mfc.mfcc(mfc.pre_emphasise(mfc.pad(signal, front)))
    levels = np.linalg.pinv(mfc.lifted_dct()) @ coefficients  # dB
    return harmonic.to_image(10 ** (levels / 10))[np.newaxis]


def with_mfc_form(signal: np.ndarray, *, front: int) -> np.ndarray:
    """Make both views as the channels of one image."""
    image = harmonic.harmonic_image(signal, front=front)
    return np.stack([image, _mfc_of_size(signal, front, image.shape)])


def with_pitch_form(signal: np.ndarray, *, front: int) -> np.ndarray:
    """Make view harmonic, and in a second channel a line at the height of F0 where there is one."""
    image = harmonic.harmonic_image(signal, front=front)
    line = np.zeros_like(image)
    centres = (np.arange(harmonic.N_FRAMES) * harmonic.HOP_LENGTH + harmonic.WINDOW_LENGTH // 2) // pitch.PITCH_HOP
    track = pitch.pitch_track(_at_working_rate(signal, front))[centres]
    for frame in np.flatnonzero(~np.isnan(track)):
        band = int(np.argmin(np.abs(np.log(harmonic.band_frequencies() / track[frame]))))
        line[harmonic.N_BANDS - 1 - band, frame] = 255
    return np.stack([image, line])


def _mfc_of_size(signal: np.ndarray, front: int, size: tuple[int, int]) -> np.ndarray:
    return shrink(Image.fromarray(mfc.mfc_image(signal, front=front)[:, :, 0]), size)


def _spectrum(signal: np.ndarray, front: int, *, n_fft: int = harmonic.N_FFT) -> np.ndarray:
    """Power at each frequency in the frames of view harmonic, shape (1 + n_fft / 2, 30)."""
    stft = librosa.stft(
        _at_working_rate(signal, front),
        n_fft=n_fft,
        win_length=harmonic.WINDOW_LENGTH,
        hop_length=harmonic.HOP_LENGTH,
    )
    return np.abs(stft[:, 1 : 1 + harmonic.N_FRAMES]) ** 2  # the first frame is centred on the first sample


def _at_working_rate(signal: np.ndarray, front: int) -> np.ndarray:
    return soxr.resample(mfc.pad(signal, front), SAMPLE_RATE, WORKING_RATE)[:WORKING_SAMPLES]


FORMS: dict[str, tuple[str, Callable[..., np.ndarray]]] = {  # name → title, function to uint8 (channels, h, w)
    "harmonic": ("harmonic", harmonic_form),
    "mfc": ("mfc", mfc_form),
    "mfc_unclipped": ("mfc, neither clipped nor dependent on the level", unclipped_mfc_form),
    "harmonic_smoothed": ("harmonic, the harmonics smoothed away", without_pitch_form),
    "mel": (f"mel spectrogram, {N_MELS} bands to 7.6 kHz, window of 64 ms", mel_form),
    "linear": ("spectrogram up to 2 kHz, window of 64 ms", linear_form),
    "harmonic_mfc": ("harmonic and mfc as two channels", with_mfc_form),
    "harmonic_pitch": ("harmonic and a pitch track as two channels", with_pitch_form),
}


def compare(corpus: Corpus) -> dict[str, dict]:
    """Compare the forms on unseen speakers.

    Returns title of each form → its pooled scores (see comparisons.describe), balanced_accuracy_of_seeds, and gain: the
    paired difference from view harmonic. Raises ValueError where the speakers are too few for the folds.
    """
    recordings = with_stamps(corpus, load_recordings(corpus))
    plan = plan_images(map_images(recordings), recordings)
    columns = ["path", "speaker", "gender", "digit", "stamp"]
    table = plan[["path", "image", "front"]].merge(recordings[columns], on="path")
    folds = grouped_folds(table["speaker"], table["gender"], n_folds=n_folds(table["speaker"], table["gender"]))
    predictions = {name: _predictions(corpus, table, folds, name) for name in FORMS}
    found = {}
    for name, seeds in predictions.items():
        together = pooled(seeds)
        found[FORMS[name][0]] = describe(together) | {
            "balanced_accuracy_of_seeds": [scores(seed)["balanced_accuracy"] for seed in seeds],
            "gain": paired_difference(together, pooled(predictions[REFERENCE])),
        }
    return found


def _predictions(corpus: Corpus, table: pd.DataFrame, folds: list[pd.Series], name: str) -> list[pd.DataFrame]:
    """For each seed: all images with fold and p_female, by the network that did not train on their speaker; cached."""
    tested = pd.concat([table[fold == "test"].assign(fold=number) for number, fold in enumerate(folds, start=1)])
    training = TRAINING | ({"epochs": 1} if settings().smoke else {})

    def compute() -> dict:
        images = _images(corpus, table, name)
        of_seeds = []
        with tqdm(total=len(SEEDS) * len(folds), desc=FORMS[name][0], unit="network", leave=False) as progress:
            for seed in SEEDS:
                p_female = []
                for fold in folds:
                    p_female.append(_trained_predictions(images, table, fold, seed=seed, **training))
                    progress.update()
                of_seeds.append(np.round(np.concatenate(p_female), 6).tolist())
        return {"p_female": of_seeds}

    key = {
        "recordings": table.astype(str).to_numpy().tolist(),
        "folds": [fold.astype(str).tolist() for fold in folds],
        "training": training,
        "seeds": SEEDS,
        "views": [harmonic.PARAMETERS, mfc.PARAMETERS],
        "versions": [VERSION, reading.VERSION, pitch.VERSION, dataset.VERSION, versions()],
    }
    from_cache = cached_json(corpus.results / "views" / f"{name}.json", {"digest": digest(key)}, compute)
    return [tested.assign(p_female=p_female) for p_female in from_cache["p_female"]]


def _images(corpus: Corpus, table: pd.DataFrame, name: str) -> np.ndarray:
    """The form's image of each recording, uint8 (images, channels, height, width)."""
    jobs = [(corpus.folder / path, front) for path, front in zip(table["path"], table["front"])]
    make = functools.partial(_image_of, name)
    return np.stack(list(in_parallel(make, jobs, batch=16, title=FORMS[name][0], unit="image")))


def _image_of(name: str, job: tuple[Path, int]) -> np.ndarray:
    path, front = job
    return FORMS[name][1](read_signal(path), front=front)


def _trained_predictions(
    images: np.ndarray,
    table: pd.DataFrame,
    fold: pd.Series,
    *,
    seed: int,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    max_shift: float,
    mixup: float,
) -> np.ndarray:
    """p_female of the fold's test images by a small network that was trained on its training images."""
    set_seed(seed, reproducible=True)
    dls = make_dls(images, table["gender"], fold, batch_size=batch_size, max_shift=max_shift)
    network = small_network(images.shape[2:], n_in=images.shape[1])
    loss = CrossEntropyLossFlat(weight=class_weights(dls))
    learn = Learner(dls, network, loss_func=loss, cbs=[MixUp(mixup)])
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, learning_rate)
    mean, std = grey_stats(images[(fold == "train").to_numpy()])
    return predict(learn.model, images[(fold == "test").to_numpy()], {"mean": mean, "std": std})


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        corpus = resolve_corpus()
        found = compare(corpus)
        about = {"corpus": corpus.title, "seeds": SEEDS, "date": date.today().isoformat(), "versions": versions()}
        write_json(corpus.results / "views.json", about | {"rows": found})
    except (CorpusError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for title, row in found.items():
        print(
            f"{title}: balanced accuracy {row['scores']['balanced_accuracy']:.1%}, AUC {row['scores']['auc']:.3f}, "
            f"{100 * row['gain']['difference']:+.1f} percentage points compared with {REFERENCE}"
        )
    return 0


if __name__ == "__main__":
    run_main(main)
