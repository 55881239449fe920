"""What in a corpus someone should listen to before it is believed. Nothing is repaired, left out or relabelled here.

Every recording is read; the pitch is tracked in at most twenty recordings of a speaker, evenly spaced over them.
"""

import importlib.metadata
import os
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from speaker_gender.caching import cached_json, content_digest, digest
from speaker_gender.config import GENDERS, SAMPLE_RATE
from speaker_gender.corpora.corpus import Corpus, with_stamps
from speaker_gender.corpora.pitches import median_pitch
from speaker_gender.sound import reading
from speaker_gender.sound.reading import AudioError, read_signal
from speaker_gender.sound.speech import why_not_speech

VERSION = 2  # part of the cache's key: raise it when a change here changes what is heard

PITCHED = 20  # recordings of a speaker in which the pitch is tracked
LEAST_PITCHED = 3  # of these with a pitch, before anything is said of a speaker
OUTLIER = 3.5  # modified z-score of an outlier (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)
NORMAL_MAD = 0.6745  # median absolute deviation of a normal distribution, in standard deviations
SHOWN = 3  # recordings that a row of the report names


def check_corpus(heard: pd.DataFrame, maps: pd.DataFrame | None = None) -> pd.DataFrame:
    """Everything that looks wrong, one row each: check, speaker, recordings, what; empty where nothing does.

    heard: see `listen`; maps: see images.maps.load_maps. The checks: recordings that are
    'unreadable', 'silence', 'noise only', 'too short' or 'clipped' (see reading.why_not_speech), a 'duplicate' of
    another one, a speaker in both 'gender lists' (maps), and a 'gender label' that a speaker's pitch contradicts.
    """
    rows = [*_bad_recordings(heard), *_duplicates(heard), *_both_genders(heard, maps), *_contradicted_labels(heard)]
    return pd.DataFrame(rows, columns=["check", "speaker", "recordings", "what"])


def listen(corpus: Corpus, recordings: pd.DataFrame) -> pd.DataFrame:
    """The recordings that are here, with what their sound tells; cached. recordings: see corpus.load_recordings.

    Added columns: content (stands for the signal without zeros around it; missing where nothing is left or it cannot
    be read), reason (why there is no speech to classify), f0 (median in Hz, where it was tracked and found).
    """
    here = with_stamps(corpus, recordings[recordings["here"]].reset_index(drop=True))
    rank, size = here.groupby("speaker").cumcount(), here.groupby("speaker")["path"].transform("size")
    tracked = (size <= PITCHED) | (rank * PITCHED // size > (rank - 1) * PITCHED // size)
    key = {"recordings": digest(here[["path", "stamp"]].to_numpy().tolist())}
    key |= {"reader": reading.VERSION, "version": VERSION}
    key["packages"] = [importlib.metadata.version(name) for name in ("numpy", "soundfile", "soxr")]

    def compute() -> dict:
        work = Parallel(n_jobs=os.cpu_count(), return_as="generator", batch_size=16)(
            delayed(_hear)(corpus.folder / path) for path in here["path"]
        )
        return dict(zip(here["path"], tqdm(work, "listening", total=len(here), unit="recording", leave=False)))

    heard = cached_json(corpus.results / "corpus_checks.json", key, compute)
    told = pd.DataFrame.from_dict(heard, orient="index", columns=["content", "reason"])
    return here.join(told, on="path").assign(f0=median_pitch(corpus, here.loc[tracked, "path"]))


def _hear(path: Path) -> tuple[str | None, str | None]:
    try:
        signal = read_signal(path)
    except AudioError as error:
        return None, f"unreadable: {error.problem}"
    sound = np.trim_zeros(signal)
    return content_digest(sound.tobytes()) if len(sound) else None, why_not_speech(signal, sample_rate=SAMPLE_RATE)


def _bad_recordings(heard: pd.DataFrame) -> list[tuple]:
    bad = heard.dropna(subset="reason")
    bad = bad.assign(check=[reason.partition(":")[0] for reason in bad["reason"]])
    return [
        (*named, _some(group["path"]), "; ".join(sorted(set(group["reason"]))))
        for named, group in bad.groupby(["check", "speaker"])
    ]


def _duplicates(heard: pd.DataFrame) -> list[tuple]:
    twins = heard[heard["content"].notna() & heard.duplicated("content", keep=False)]
    rows = []
    for _, group in twins.groupby("content", sort=False):
        speakers = sorted(set(group["speaker"]))
        whose = f"of {len(speakers)} speakers" if len(speakers) > 1 else "of one speaker"
        rows.append(("duplicate", " ".join(speakers), _some(group["path"]), f"{len(group)} times one sound, {whose}"))
    return rows


def _both_genders(heard: pd.DataFrame, maps: pd.DataFrame | None) -> list[tuple]:
    """Speakers of whom the maps, or maps and metadata, give two genders; none where there are no maps yet."""
    if maps is None:
        return []
    told = pd.concat([maps.assign(where="maps"), heard.assign(where="metadata")])
    rows = []
    for speaker, group in told.groupby("speaker"):
        if group["gender"].nunique() > 1:
            counts = group.groupby(["where", "gender"]).size()
            what = ", ".join(f"{count} {gender} in the {where}" for (where, gender), count in counts.items())
            rows.append(("gender lists", speaker, _some(group["path"].drop_duplicates()), what))
    return rows


def _contradicted_labels(heard: pd.DataFrame) -> list[tuple]:
    """Speakers whose voice is an outlier among those of their label and on the other gender's side.

    A voice is the median, over recordings, of log2 F0. It is an outlier where its modified z-score exceeds 3.5, the
    deviations from the median of each voice's own label being taken together for both genders, because of one alone
    there may be few; and its side is told by the middle between the genders' medians.
    """
    found = _voices(heard)
    voice, label = np.log2(found["median"]), found["gender"]
    centre = voice.groupby(label).median().reindex(GENDERS)
    if centre.isna().any():
        return []
    deviation, middle = voice - label.map(centre), centre.mean()
    score = deviation.abs() / (deviation.abs().median() / NORMAL_MAD)
    on_other_side = (voice > middle) != (label.map(centre) > middle)
    usual = ", ".join(f"{gender} {2**octaves:.0f} Hz" for gender, octaves in centre.items())
    rows = []
    for index, row in found[(score > OUTLIER) & on_other_side].iterrows():
        what = f"labelled {row['gender']}, median F0 {row['median']:.0f} Hz, z {score[index]:.1f} (medians: {usual})"
        paths = heard.loc[(heard["speaker"] == row["speaker"]) & heard["f0"].notna(), "path"]
        rows.append(("gender label", row["speaker"], _some(paths), what))
    return rows


def _voices(heard: pd.DataFrame) -> pd.DataFrame:
    """speaker, gender, median and count of the F0s of those speakers of whom enough recordings have a pitch."""
    found = heard.groupby(["speaker", "gender"])["f0"].agg(["median", "count"]).reset_index()
    return found[found["count"] >= LEAST_PITCHED]


def labels_checked(heard: pd.DataFrame) -> str:
    """One line: of how many speakers the label was compared with the pitch; of none without voices of both genders."""
    counts = _voices(heard)["gender"].value_counts().reindex(GENDERS, fill_value=0)
    if counts.min() == 0:
        lacking = " and ".join(gender for gender in GENDERS if not counts[gender])
        return f"labels were compared with the pitch of no speaker: too few recordings of {lacking} speakers are here"
    return f"labels were compared with the pitch of {counts.sum()} of {heard['speaker'].nunique()} speakers"


def _some(paths: pd.Series) -> str:
    """The first recordings of some, and how many there are."""
    more = f", … ({len(paths)} in all)" if len(paths) > SHOWN else ""
    return ", ".join(sorted(paths)[:SHOWN]) + more
