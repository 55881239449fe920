"""A model evaluated on a corpus's recordings, as anybody's recordings are classified."""

import tempfile
from pathlib import Path

import pandas as pd
import soundfile
import soxr
from tqdm.auto import tqdm

from speaker_gender.answering.classification import classify_recordings
from speaker_gender.answering.classifier import load_classifier
from speaker_gender.config import SAMPLE_RATE
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.corpora.librispeech import LIBRISPEECH, librispeech_recordings
from speaker_gender.judging.comparisons import by_speaker, describe
from speaker_gender.learning.model_files import read_card
from speaker_gender.sound.reading import AudioError, read_signal

LEAST_RATE = 8_000  # Hz, of a telephone


def unheard_recordings(corpus: Corpus, model: Path) -> pd.DataFrame:
    """Every recording of a corpus that is here, but of speakers that the model learned from: path, speaker, gender, …

    Raises CorpusError where none is left.
    """
    table = load_recordings(corpus)
    table = table[table["here"] & ~table["speaker"].isin(heard_speakers(model, corpus.name))].reset_index(drop=True)
    if table.empty:
        raise CorpusError(f"{corpus.folder}: no recordings of speakers that {model.stem} was not trained on")
    return table.assign(path=[corpus.folder / path for path in table["path"]])


def unheard_readers(model: Path) -> pd.DataFrame:
    """LibriSpeech's recordings without those of the readers that a model learned from: columns as for `ask`.

    Those that it was validated and calibrated on are left. Raises CorpusError where there are none.
    """
    readers = librispeech_recordings()
    if not len(readers):
        raise CorpusError(f"{LIBRISPEECH}: no recordings in LibriSpeech's layout")
    readers = readers[~readers["speaker"].isin(heard_speakers(model, "librispeech"))].reset_index(drop=True)
    if readers.empty:
        raise CorpusError(f"{LIBRISPEECH}: no recordings of readers that {model.stem} was not trained on")
    return readers


def heard_speakers(model: Path, source: str) -> set[str]:
    """The speakers of a source of training voices that a model learned from, as the list beside the model tells."""
    if source not in read_card(model).get("data", {}):
        return set()
    path = model.with_name(f"{model.stem}_recordings.csv")
    try:
        listed = pd.read_csv(path, dtype=str)
        speakers = listed.loc[(listed["source"] == source) & (listed["part"] == "train"), "speaker"]
    except (OSError, ValueError, KeyError):
        raise CorpusError(f"{path}: cannot be read; it tells which speakers the model was trained on") from None
    return set(speakers.str.removeprefix(f"{source} "))


def ask(model: Path, recordings: pd.DataFrame, *, sample_rate: int | None = None) -> pd.DataFrame:
    """The recordings (path, speaker, gender) with the model's p_female (nan without an answer) and reason for none.

    sample_rate: of what the model gets to hear, in Hz, as if it had been recorded so; by default the recordings' own.
    """
    paths = recordings["path"].tolist()
    with tempfile.TemporaryDirectory() as folder:
        if sample_rate:
            copies = [Path(folder) / f"{number}.wav" for number in range(len(paths))]
            paths = [_recorded_at(sample_rate, path, copy) for path, copy in zip(paths, copies)]
        answers = classify_recordings(load_classifier(model), paths)
        answers = list(tqdm(answers, "classifying", total=len(paths), unit="recording", leave=False))
    return recordings[["speaker", "gender"]].assign(
        p_female=pd.array([answer.p_female for answer in answers], dtype=float),
        reason=[answer.reason for answer in answers],
    )


def _recorded_at(sample_rate: int, recording: Path, copy: Path) -> Path:
    """A recording's copy at another rate; the recording itself where it cannot be read, which is said of it later."""
    try:
        signal = read_signal(recording)
    except AudioError:
        return recording
    soundfile.write(copy, soxr.resample(signal / 32_768, SAMPLE_RATE, sample_rate), sample_rate, subtype="PCM_16")
    return copy


def figures(predictions: pd.DataFrame) -> dict:
    """Scores of the answered recordings and of the speakers, accuracy of each gender, reasons for not answering.

    And the balanced accuracy where not to answer is wrong, for comparison with models that answer everything. Raises
    CorpusError where nothing was answered.
    """
    answered = predictions.dropna(subset="p_female")
    if answered.empty:
        raise CorpusError(f"no recording got an answer; the first: {predictions['reason'].iloc[0]}")
    right = (answered["p_female"] >= 0.5) == (answered["gender"] == "female")
    right_of_all = right.reindex(predictions.index, fill_value=False).groupby(predictions["gender"]).mean()
    return {
        "recordings": describe(answered),
        "by_speaker": describe(by_speaker(answered)),
        "accuracy_of_gender": {gender: float(part.mean()) for gender, part in right.groupby(answered["gender"])},
        "balanced_accuracy_if_refused_is_wrong": float(right_of_all.mean()),
        "not_answered": predictions["reason"].value_counts().to_dict(),
    }
