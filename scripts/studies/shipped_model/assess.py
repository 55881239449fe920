#!/usr/bin/env python3
"""Ask the shipped model about every recording of a corpus, as `classify_wavs.py` would, and keep how well it did.

    python scripts/studies/shipped_model/assess.py CORPUS [--model PATH] [--doubtful SPEAKER…] [--sample-rate HZ]

Writes results/shipped/<model>_on_<corpus>.json (<corpus>_at_<HZ>_hz where a rate is given): scores by recording and by
speaker, with intervals over speakers, and once more without the speakers whose label is doubtful. CORPUS may be
'librispeech'. Speakers that the model was trained on are left out. Nothing here trains or chooses anything.
"""

import argparse
import sys
import tempfile
from datetime import date
from pathlib import Path

import pandas as pd
import soundfile
import soxr
from sklearn.metrics import roc_auc_score
from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from speaker_gender.answering.classification import classify_recordings, default_model, load_classifier
from speaker_gender.caching import write_json
from speaker_gender.config import RESULTS, SAMPLE_RATE
from speaker_gender.corpora.audiomnist import Corpus, CorpusError, load_recordings, resolve_corpus
from speaker_gender.learning.calibration import log_odds, probability
from speaker_gender.learning.model_files import ModelError, read_card
from speaker_gender.learning.training import versions
from speaker_gender.learning.voices import LIBRISPEECH, librispeech_recordings
from speaker_gender.sound.reading import AudioError, read_signal
from studies.unseen_speakers import describe

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


def by_speaker(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row a speaker: gender, and p_female from the mean log-odds of the speaker's recordings."""
    odds = predictions.assign(odds=log_odds(predictions["p_female"].to_numpy()))
    found = odds.groupby(["speaker", "gender"], as_index=False)["odds"].mean()
    return found.assign(p_female=probability(found["odds"]))


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


def auc_of_doubtful(predictions: pd.DataFrame, doubtful: list[str]) -> float:
    """ROC AUC that would be left if the doubtful speakers alone were taken for women, ranked as they are.

    All other men are put below everybody, so what is missing to 1 is owed to the doubtful labels.
    """
    answered = predictions.dropna(subset="p_female")
    female = answered["gender"] == "female"
    if female.nunique() < 2:
        return float("nan")
    ranks = answered["p_female"].where(female | answered["speaker"].isin(doubtful), -1.0)
    return float(roc_auc_score(female, ranks))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="a folder in AudioMNIST's layout, 'demo' or 'librispeech'")
    parser.add_argument("--model", type=Path, help="a safetensors file with its JSON card (default: the project's own)")
    parser.add_argument("--doubtful", nargs="*", default=[], metavar="SPEAKER", help="whose label is to be doubted")
    parser.add_argument("--sample-rate", type=int, metavar="HZ", help="as if recorded at this rate, such as 8000")
    options = parser.parse_args()
    if options.sample_rate and not LEAST_RATE <= options.sample_rate <= SAMPLE_RATE:
        parser.error(f"--sample-rate {options.sample_rate}: should be {LEAST_RATE} to {SAMPLE_RATE} Hz")
    try:
        model = options.model or default_model()
        if options.corpus == "librispeech":
            name, title, recordings = "librispeech", "LibriSpeech's readers", unheard_readers(model)
        else:
            corpus = resolve_corpus(options.corpus)
            name, title, recordings = corpus.name, corpus.title, unheard_recordings(corpus, model)
        if unknown := sorted(set(options.doubtful) - set(recordings["speaker"])):
            parser.error(f"{title}: no recordings of a speaker {unknown[0]}")
        predictions = ask(model, recordings, sample_rate=options.sample_rate)
        found = {"corpus": title, "model": model.stem, "date": date.today().isoformat(), "versions": versions()}
        if options.sample_rate:
            found["sample_rate"] = options.sample_rate
        found["all"] = figures(predictions)
        if options.doubtful:
            found["doubtful"] = options.doubtful
            found["auc_of_doubtful"] = auc_of_doubtful(predictions, options.doubtful)
            found["without_doubtful"] = figures(predictions[~predictions["speaker"].isin(options.doubtful)])
        at = f"_at_{options.sample_rate}_hz" if options.sample_rate else ""
        write_json(RESULTS / "shipped" / f"{model.stem}_on_{name}{at}.json", found)
    except (CorpusError, ModelError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for part in ("all", "without_doubtful"):
        if part in found:
            scores = found[part]["recordings"]["scores"]
            told = {gender: f"{share:.1%}" for gender, share in found[part]["accuracy_of_gender"].items()}
            print(
                f"{part}: balanced accuracy {scores['balanced_accuracy']:.1%}, AUC {scores['auc']:.3f}, {told}, "
                f"speakers {found[part]['by_speaker']['scores']['balanced_accuracy']:.1%}, "
                f"not answered {sum(found[part]['not_answered'].values())}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
