"""A corpus's speakers and recordings in figures: for notebook 01 and the data card."""

import pandas as pd

from speaker_gender.corpora.audiomnist import completeness, corrections, load_recordings, load_speakers
from speaker_gender.corpora.corpus import Corpus


def describe_corpus(corpus: Corpus) -> dict:
    """Summarise a corpus's metadata and available WAVs in figures.

    Returns corpus, completeness, recordings, digits, genders (counts and ages in years of each),
    accents, rooms, corrections, and here (the available WAVs: counts, seconds, encodings).
    """
    speakers, recordings = load_speakers(corpus), load_recordings(corpus)
    recorded = recordings[recordings["here"]]
    seconds = (recorded["samples"] / recorded["sample_rate"]).dropna().astype(float)
    changed = corrections(speakers)
    return {
        "corpus": corpus.title,
        "completeness": completeness(recordings),
        "recordings": len(recordings),
        "digits": int(recordings["digit"].nunique()),
        "genders": {
            gender: {
                "speakers": len(group),
                "recordings": int((recordings["gender"] == gender).sum()),
                "age": _quantiles(group["age"].dropna().astype(float)),
                "age_unknown": int(group["age"].isna().sum()),
                "native_speakers": int((group["native_speaker"].astype(str).str.lower() == "yes").sum()),
            }
            for gender, group in speakers.groupby("gender")
        },
        "accents": {str(name): int(count) for name, count in speakers["accent"].value_counts().items()},
        "rooms": {str(name): int(count) for name, count in speakers["room"].value_counts().items()},
        "corrections": [[str(value) for value in row] for row in changed.to_numpy()],
        "here": {
            "recordings": len(recorded),
            "speakers": int(recorded["speaker"].nunique()),
            "seconds": _quantiles(seconds),
            "encodings": {str(name): int(count) for name, count in recorded["encoding"].value_counts().items()},
        },
    }


def one_of_each_gender(recordings: pd.DataFrame, *, digit: int) -> dict[str, pd.Series]:
    """Choose a recording of each gender, of one digit: the first of each, in the order of their paths.

    `recordings`: see audiomnist.load_recordings. `digit`: the one that is wanted. Of those that most genders say, the
    nearest to it is taken. In a corpus without digits any recording is. Returns gender → its row.
    """
    chosen = recordings.sort_values("path")
    genders = recordings.groupby("digit")["gender"].nunique()
    if len(genders):  # a corpus of sentences has no digits
        candidates = genders.index[genders == genders.max()]
        nearest = min(candidates, key=lambda candidate: abs(candidate - digit))
        chosen = chosen[chosen["digit"] == nearest]
    return {str(gender): rows.iloc[0] for gender, rows in chosen.groupby("gender")}


def _quantiles(values: pd.Series) -> dict | None:
    if not len(values):
        return None
    return {"least": float(values.min()), "median": float(values.median()), "greatest": float(values.max())}
