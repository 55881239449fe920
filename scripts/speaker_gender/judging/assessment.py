"""A model evaluated on a corpus's recordings, as anybody's recordings are classified."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import soxr
from tqdm.auto import tqdm

from speaker_gender.classifying.classification import classify_recordings
from speaker_gender.classifying.classifier import load_classifier
from speaker_gender.config import SAMPLE_RATE
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.common_voice import COMMON_VOICE, common_voice_recordings
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.corpora.librispeech import LIBRISPEECH, librispeech_recordings
from speaker_gender.judging.comparisons import by_speaker, counts_of_gender, describe
from speaker_gender.learning.model_files import read_card
from speaker_gender.sound.reading import AudioError, read_signal

LEAST_RATE = 8_000  # Hz, of a telephone


def unseen_recordings(corpus: Corpus, model: Path) -> pd.DataFrame:
    """Every recording of a corpus but those of speakers in the model's training set.

    `corpus`: whose WAVs are downloaded, all or some. `model`: a safetensors file with its JSON card. Returns columns as
    `load_recordings` gives them, with `path` a Path. Raises CorpusError where no recording is left.
    """
    table = load_recordings(corpus)
    seen = table["speaker"].isin(seen_speakers(model, corpus.name))
    table = table[table["here"] & ~seen].reset_index(drop=True)
    if table.empty:
        raise CorpusError(f"{corpus.folder}: no recordings of speakers that {model.stem} was not trained on")
    return table.assign(path=table["path"].map(corpus.source))


def unseen_readers(model: Path, source: str = "librispeech") -> pd.DataFrame:
    """A source's recordings but those of speakers in the model's training set; validation speakers are left in.

    `model`: a safetensors file with its JSON card. `source`: 'librispeech' or 'common_voice'. Raises CorpusError where
    there are none.
    """
    readers = {"librispeech": librispeech_recordings, "common_voice": common_voice_recordings}[source]()
    if not len(readers):
        raise CorpusError(
            f"{ {'librispeech': LIBRISPEECH, 'common_voice': COMMON_VOICE}[source] }: no recordings in it"
        )
    readers = readers[~readers["speaker"].isin(seen_speakers(model, source))].reset_index(drop=True)
    if readers.empty:
        raise CorpusError(f"{source}: no recordings of speakers that {model.stem} was not trained on")
    return readers


def by_group(predictions: pd.DataFrame, groups: pd.Series) -> dict[str, dict]:
    """Count correct recordings of each gender, refusals wrong, in groups of recordings such as languages or ages.

    `predictions`: as `predict_recordings` returns it. `groups`: the group of each row; missing ones are left out.
    Returns group → gender, if it has recordings → speakers, images (recordings) and correct ones.
    """
    grouped = predictions.assign(group=groups).dropna(subset="group").groupby("group")
    return {str(name): counts_of_gender(group) for name, group in grouped}


def seen_speakers(model: Path, source: str) -> set[str]:
    """The speakers of a source that are in a model's training set, from the list beside the model.

    Raises CorpusError where the model was trained on the source and the list cannot be read.
    """
    if source not in read_card(model).get("data", {}):
        return set()
    path = model.with_name(f"{model.stem}_recordings.csv")
    try:
        listed = pd.read_csv(path, dtype=str)
        speakers = listed.loc[(listed["source"] == source) & (listed["part"] == "train"), "speaker"]
    except (OSError, ValueError, KeyError):
        raise CorpusError(f"{path}: cannot be read; it lists the speakers that the model was trained on") from None
    return set(speakers.str.removeprefix(f"{source} "))


def predict_recordings(model: Path, recordings: pd.DataFrame, *, sample_rate: int | None = None) -> pd.DataFrame:
    """The model's predictions for recordings, made as anybody's recordings are classified.

    `model`: a safetensors file with its JSON card. `recordings`: columns path (Path), speaker, gender. `sample_rate`:
    In Hz: the recordings are resampled to it first, as if they had been recorded so. Returns recording (the name of its
    file), speaker, gender, p_female (nan without speech), reason (why there is none), one row a recording.
    """
    paths = recordings["path"].tolist()
    names = [path.name for path in paths]
    with tempfile.TemporaryDirectory() as folder:
        if sample_rate:
            copies = [Path(folder) / f"{number}.wav" for number in range(len(paths))]
            paths = [recorded_at(sample_rate, path, copy) for path, copy in zip(paths, copies)]
        work = classify_recordings(load_classifier(model), paths)
        answers = list(tqdm(work, "classifying", total=len(paths), unit="recording", leave=False))
    return recordings[["speaker", "gender"]].assign(
        recording=names,
        p_female=np.array([answer.p_female for answer in answers], dtype=float),
        reason=pd.Series([answer.reason for answer in answers], dtype=object, index=recordings.index),
    )


def recorded_at(sample_rate: int, recording: Path, copy: Path) -> Path:
    """A recording's copy at another rate; the recording itself where it cannot be read, which its answer then says."""
    try:
        signal = read_signal(recording)
    except AudioError:
        return recording
    soundfile.write(copy, soxr.resample(signal / 32_768, SAMPLE_RATE, sample_rate), sample_rate, subtype="PCM_16")
    return copy


def figures(predictions: pd.DataFrame) -> dict:
    """Scores by recording and by speaker, counts and accuracy of each gender, reasons for not classifying.

    `recordings` and `accuracy_of_gender` are of the classified recordings. `all_recordings` and
    `balanced_accuracy_if_refused_is_wrong` are of all, refusals wrong, for comparison with models that classify
    everything. `predictions`: as `predict_recordings` returns it. Raises CorpusError where no recording was classified.
    """
    answered = predictions.dropna(subset="p_female")
    if answered.empty:
        raise CorpusError(f"no recording was classified; the first: {predictions['reason'].iloc[0]}")
    correct = (answered["p_female"] >= 0.5) == (answered["gender"] == "female")
    correct_of_all = correct.reindex(predictions.index, fill_value=False).groupby(predictions["gender"]).mean()
    return {
        "recordings": describe(answered),
        "by_speaker": describe(by_speaker(answered)),
        "all_recordings": describe(predictions),
        "accuracy_of_gender": {gender: float(part.mean()) for gender, part in correct.groupby(answered["gender"])},
        "balanced_accuracy_if_refused_is_wrong": float(correct_of_all.mean()),
        "not_answered": predictions["reason"].value_counts().to_dict(),
    }
