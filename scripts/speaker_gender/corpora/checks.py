"""What in a corpus someone should listen to before it is trusted. Nothing is repaired, left out or relabelled here.

Every recording is read. The pitch is tracked in at most twenty recordings of a speaker, evenly spaced over them.
"""

import importlib.metadata
from pathlib import Path

import numpy as np
import pandas as pd

from speaker_gender.caching import cached_json, content_digest, digest
from speaker_gender.config import GENDERS, SAMPLE_RATE
from speaker_gender.corpora.corpus import Corpus, with_stamps
from speaker_gender.corpora.pitches import median_pitch
from speaker_gender.parallel import in_parallel
from speaker_gender.sound import reading, speech
from speaker_gender.sound.reading import AudioError, read_signal
from speaker_gender.sound.speech import is_clipped, why_not_speech

VERSION = 2  # part of the cache's key: raise it when a change here changes content or reason of a recording

PITCHED = 20  # recordings of a speaker in which the pitch is tracked
LEAST_PITCHED = 3  # of these with a pitch, before anything is said of a speaker
OUTLIER = 3.5  # modified z-score of an outlier (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)
NORMAL_MAD = 0.6745  # median absolute deviation of a normal distribution, in standard deviations
RECORDINGS_A_WORKER = 300  # fewer are inspected before another process has started
SHOWN = 3  # recordings that a row of the report names


def check_corpus(inspected: pd.DataFrame, maps: pd.DataFrame | None = None) -> pd.DataFrame:
    """List everything that looks wrong in a corpus, one row each.

    The checks: recordings without classifiable speech (see speech.why_not_speech), 'clipped' and 'unreadable' ones, a
    'duplicate' of another recording, a speaker in both 'gender lists' (maps), and a 'gender label' that a speaker's
    pitch contradicts. `inspected`: see `inspect_recordings`. `maps`: see images.maps.load_maps. Returns columns: check,
    speaker, recordings, what. Empty where nothing looks wrong.
    """
    rows = [
        *_bad_recordings(inspected),
        *_duplicates(inspected),
        *_both_genders(inspected, maps),
        *_contradicted_labels(inspected),
    ]
    return pd.DataFrame(rows, columns=["check", "speaker", "recordings", "what"])


def inspect_recordings(corpus: Corpus, recordings: pd.DataFrame) -> pd.DataFrame:
    """Read the available recordings and report what their sound contains; cached.

    `recordings`: see audiomnist.load_recordings. Returns the rows whose WAV is available, with the columns stamp,
    content, reason and f0 added. content: digest of the signal without the zeros around it; missing where nothing is
    left or it cannot be read. reason: why there is no speech to classify; missing where there is. f0: median in Hz,
    where it was tracked and found.
    """
    available = with_stamps(corpus, recordings[recordings["here"]].reset_index(drop=True))
    of_speakers = available.groupby("speaker")
    rank, size = of_speakers.cumcount(), of_speakers["path"].transform("size")
    tracked = (size <= PITCHED) | (rank * PITCHED // size > (rank - 1) * PITCHED // size)
    key: dict[str, object] = {"recordings": digest(available[["path", "stamp"]].to_numpy().tolist())}
    key |= {"reader": reading.VERSION, "speech": speech.VERSION, "version": VERSION}
    key["packages"] = [
        importlib.metadata.version(name) for name in ("numpy", "onnxruntime", "silero-vad", "soundfile", "soxr")
    ]

    def compute() -> dict:
        sources = [corpus.source(path) for path in available["path"]]
        found = in_parallel(_inspect, sources, batch=16, worth=RECORDINGS_A_WORKER, title="inspecting")
        return dict(zip(available["path"], found))

    found = cached_json(corpus.results / "corpus_checks.json", key, compute)
    columns = pd.DataFrame.from_dict(found, orient="index", columns=["content", "reason"])
    return available.join(columns, on="path").assign(f0=median_pitch(corpus, available.loc[tracked, "path"]))


def _inspect(path: Path | str) -> tuple[str | None, str | None]:
    try:
        signal = read_signal(path)
    except AudioError as error:
        return None, f"unreadable: {error.problem}"
    sound = np.trim_zeros(signal)
    reason = why_not_speech(signal, sample_rate=SAMPLE_RATE) or ("clipped" if is_clipped(signal) else None)
    return content_digest(sound.tobytes()) if len(sound) else None, reason


def _bad_recordings(inspected: pd.DataFrame) -> list[tuple]:
    bad = inspected.dropna(subset="reason")
    bad = bad.assign(check=[reason.partition(":")[0] for reason in bad["reason"]])
    return [
        (*named, _some(group["path"]), "; ".join(sorted(set(group["reason"]))))
        for named, group in bad.groupby(["check", "speaker"])
    ]


def _duplicates(inspected: pd.DataFrame) -> list[tuple]:
    twins = inspected[inspected["content"].notna() & inspected.duplicated("content", keep=False)]
    rows = []
    for _, group in twins.groupby("content", sort=False):
        speakers = sorted(set(group["speaker"]))
        whose = f"of {len(speakers)} speakers" if len(speakers) > 1 else "of one speaker"
        rows.append(("duplicate", " ".join(speakers), _some(group["path"]), f"{len(group)} times one sound, {whose}"))
    return rows


def _both_genders(inspected: pd.DataFrame, maps: pd.DataFrame | None) -> list[tuple]:
    """Speakers with two genders in the maps, or in maps and metadata; none where there are no maps yet."""
    if maps is None:
        return []
    labels = pd.concat([maps.assign(where="maps"), inspected.assign(where="metadata")])
    rows = []
    for speaker, group in labels.groupby("speaker"):
        if group["gender"].nunique() > 1:
            counts = group.groupby(["where", "gender"], as_index=False).size()
            what = ", ".join(f"{count} {gender} in the {where}" for where, gender, count in counts.to_numpy())
            rows.append(("gender lists", speaker, _some(group["path"].drop_duplicates()), what))
    return rows


def _contradicted_labels(inspected: pd.DataFrame) -> list[tuple]:
    """Speakers whose voice is an outlier among those of their label and on the other gender's side.

    A voice is the median, over recordings, of log2 F0. It is an outlier where its modified z-score exceeds 3.5. The
    deviations from the median of each voice's own label are taken together for both genders, because one gender alone
    may have few speakers. The side is that of the middle between the genders' medians.
    """
    found = _voices(inspected)
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
        paths = inspected.loc[(inspected["speaker"] == row["speaker"]) & inspected["f0"].notna(), "path"]
        rows.append(("gender label", row["speaker"], _some(paths), what))
    return rows


def contradicted_speakers(recordings: pd.DataFrame) -> list[str]:
    """List the speakers whose pitch contradicts their gender label, as `check_corpus` reports them.

    `recordings`: columns path, speaker, gender, f0 (median in Hz, missing where unknown). Empty where
    there are not voices of both genders.
    """
    return sorted(speaker for _, speaker, *_ in _contradicted_labels(recordings))


def _voices(inspected: pd.DataFrame) -> pd.DataFrame:
    """speaker, gender, median and count of the F0s of those speakers of whom enough recordings have a pitch."""
    found = inspected.groupby(["speaker", "gender"])["f0"].agg(["median", "count"]).reset_index()
    return found[found["count"] >= LEAST_PITCHED]


def labels_checked(inspected: pd.DataFrame) -> str:
    """Say in one line of how many speakers the label was compared with the pitch.

    It is compared for no speaker unless there are voices of both genders. `inspected`: see `inspect_recordings`.
    """
    counts = _voices(inspected)["gender"].value_counts().reindex(GENDERS, fill_value=0)
    if counts.min() == 0:
        lacking = " and ".join(gender for gender in GENDERS if not counts[gender])
        return f"no label was checked: too few recordings of {lacking} speakers available"
    return f"labels were compared with the pitch of {counts.sum()} of {inspected['speaker'].nunique()} speakers"


def _some(paths: pd.Series) -> str:
    """The first of some recordings, and how many there are."""
    more = f", … ({len(paths)} in all)" if len(paths) > SHOWN else ""
    return ", ".join(sorted(paths)[:SHOWN]) + more
