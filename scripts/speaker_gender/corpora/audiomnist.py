"""Corpora in AudioMNIST's layout: their speakers and their recordings.

    <folder>/audioMNIST_meta.txt                          JSON: speaker → gender, age, accent, …
    <folder>/<speaker>/<digit>_<speaker>_<repetition>.wav

AudioMNIST: Becker et al., arXiv:1807.03418, github.com/soerenab/AudioMNIST (MIT licence).
"""

import json
import os
import re
from pathlib import Path

import pandas as pd

from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.corpora.labels import read_ages, read_genders
from speaker_gender.corpora.tables import header_of, table_recordings, table_speakers
from speaker_gender.sound.reading import printable

METADATA = "audioMNIST_meta.txt"
AUDIOMNIST_FEMALE = frozenset("12 26 28 36 43 47 52 56 57 58 59 60".split())
AUDIOMNIST_SPEAKERS = tuple(f"{number:02}" for number in range(1, 61))
AUDIOMNIST_REPETITIONS = 50
NAMED = 10  # missing speakers that are named at most
MISSPELT = {"vr-romm": "vr-room"}
# A speaker's key is the name of a folder: nothing that leads elsewhere.
RECORDING_NAME = re.compile(
    r"(?P<digit>\d)_(?P<speaker>[^./\\:][^/\\:]*)_(?P<repetition>\d+)\.(wav|flac|mp3|ogg|opus|m4a)",
    re.ASCII | re.IGNORECASE,
)
SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a")


def load_speakers(corpus: Corpus) -> pd.DataFrame:
    """Read a corpus's metadata as a table with one row a speaker.

    The metadata is cleaned, not hidden: `age` is a number of years or missing, `accent` and `room` have one spelling
    each, and the published values stand beside them. Only the gender is required. Returns a table indexed by speaker
    key, sorted; speakers with another gender or none are left out, and listed in `attrs["left_out"]`. Columns: gender,
    age (years, Int64), accent, native_speaker, origin, room, recorded, age_published, accent_published,
    room_published. Raises CorpusError for unreadable metadata, or where no speaker has one of the two genders.
    """
    if corpus.table:
        return table_speakers(corpus)
    path = corpus.folder / METADATA
    try:
        metadata = json.loads(path.read_bytes())  # UTF-8, UTF-16 or UTF-32, with a byte order mark or without
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise CorpusError(f"{path}: not valid JSON") from None
    if not isinstance(metadata, dict) or not metadata or not all(isinstance(who, dict) for who in metadata.values()):
        raise CorpusError(f"{path}: should map each speaker to gender, age, …")
    for who in metadata.values():  # a room may be a number, and its name is text all the same
        who |= {name: str(who[name]) for name in ("accent", "recordingroom") if who.get(name) is not None}
    keys = pd.Index(list(metadata), dtype=object)  # pyarrow's strings cannot hold names that are no valid UTF-8
    table = pd.DataFrame(list(metadata.values()), index=keys).sort_index()
    table = table.rename(
        columns={"native speaker": "native_speaker", "recordingroom": "room", "recordingdate": "recorded"}
    )
    table = table.reindex(columns=["gender", "age", "accent", "native_speaker", "origin", "room", "recorded"])
    table.index.name = "speaker"
    table["gender"] = read_genders(table["gender"])
    left_out = table.index[table["gender"].isna()].tolist()
    table = table[table["gender"].notna()].copy()
    table.attrs["left_out"] = left_out
    if table.empty:
        raise CorpusError(f"{path}: no speaker has a gender 'female' or 'male'")
    table["age"] = table["age"].replace("unknown", None)
    for column in ("age", "accent", "room"):
        table[f"{column}_published"] = table[column]
    table["age"] = read_ages(table["age"])
    table["accent"] = unify_spelling(table["accent"])
    table["room"] = unify_spelling(table["room"])
    return table


def unify_spelling(names: pd.Series) -> pd.Series:
    """Give names that differ only in case their commonest spelling, and AudioMNIST's one misspelt room its own."""
    names = names.map(lambda name: MISSPELT.get(name.casefold(), name), na_action="ignore")
    folded = names.map(str.casefold, na_action="ignore")
    return folded.map(names.groupby(folded).agg(lambda group: group.value_counts().index[0]))


def corrections(speakers: pd.DataFrame) -> pd.DataFrame:
    """List what `load_speakers` read differently from what was published.

    `speakers`: see `load_speakers`. Returns columns: speaker, field, published, read_as.
    """
    rows = []
    for field in ("age", "accent", "room"):
        for speaker, published, clean in zip(speakers.index, speakers[f"{field}_published"], speakers[field]):
            if pd.isna(published):
                continue
            same = str(published) == (f"{clean:g}" if field == "age" and pd.notna(clean) else str(clean))
            if not same:
                rows.append((speaker, field, published, "missing" if pd.isna(clean) else clean))
    return pd.DataFrame(rows, columns=["speaker", "field", "published", "read_as"])


def load_recordings(corpus: Corpus) -> pd.DataFrame:
    """List a corpus's recordings as a table with one row a recording, sorted by path as a string.

    For AudioMNIST the table has all 30,000 rows, however many WAVs are available. Returns columns: path
    ('59/5_59_22.wav'), speaker, gender, digit, repetition, here (whether the WAV is available). And from the WAV
    headers, missing where there is no WAV: samples, sample_rate (Hz), encoding, problem (why the file cannot be read).
    Raises CorpusError for a recording whose name does not parse or whose speaker is not in the metadata, and where none
    can be read.
    """
    if corpus.table:
        return table_recordings(corpus)
    speakers = load_speakers(corpus)
    genders = speakers["gender"]
    found = _list_recordings(corpus.folder)
    outside = set(speakers.attrs["left_out"])
    left_out = [path for path in found if path.partition("/")[0] in outside]
    found = [path for path in found if path.partition("/")[0] not in outside]
    if corpus.is_audiomnist:
        if not _are_audiomnists(genders):
            raise CorpusError(f"{corpus.folder / METADATA}: these are not AudioMNIST's 60 speakers; rename the folder")
        paths = [
            f"{speaker}/{digit}_{speaker}_{repetition}.wav"
            for speaker in AUDIOMNIST_SPEAKERS
            for digit in range(10)
            for repetition in range(AUDIOMNIST_REPETITIONS)
        ]
        unknown = sorted(set(found) - set(paths))
        if unknown:
            path = printable(corpus.folder / unknown[0])
            raise CorpusError(f"{path}: not a recording of AudioMNIST; move it elsewhere")
    else:
        paths = found
        if not paths:
            raise CorpusError(f"{corpus.folder}: no <speaker>/<digit>_<speaker>_<repetition>.wav in it")
    table = recordings_from_paths(sorted(paths), corpus.folder)
    unlabelled = sorted(set(table["speaker"]) - set(genders.index))
    if unlabelled:
        raise CorpusError(f"{corpus.folder / METADATA}: speaker {unlabelled[0]} is missing, but has recordings")
    table["gender"] = table["speaker"].map(genders)
    table["here"] = table["path"].isin(found)
    columns = ["samples", "sample_rate", "encoding", "problem"]
    # In turn: threads would take three times as long, waiting for each other. Of 30,000, pathlib's / takes a third.
    read = [header_of(os.path.join(corpus.folder, path)) for path in found]
    headers = pd.DataFrame(read, index=found, columns=columns)
    if found and headers["samples"].isna().all():
        first = printable(corpus.folder / found[0])
        raise CorpusError(f"{first}: {headers['problem'].iloc[0]}; none of the {len(found):,} recordings can be read")
    table = table.join(headers, on="path").astype({"samples": "Int64", "sample_rate": "Int64"})
    table.attrs["left_out"] = (len(left_out), len(outside))
    return table


def recordings_from_paths(paths: list[str], folder: Path) -> pd.DataFrame:
    """Parse recordings' paths into a table.

    `paths`: relative to the corpus: '59/5_59_22.wav'. `folder`: the corpus's folder, for the message of an error.
    Returns columns: path, speaker, digit, repetition; in the order of `paths`. Raises CorpusError for a path that is
    not <speaker>/<digit>_<speaker>_<repetition>.wav.
    """
    rows = []
    for path in paths:
        speaker, _, name = path.partition("/")
        match = RECORDING_NAME.fullmatch(name)
        if not match or match["speaker"] != speaker or not path.isprintable():
            expected = f"<digit>_{printable(speaker)}_<repetition>.wav"
            raise CorpusError(f"{printable(folder / path)}: name is not {expected}; rename or remove it")
        rows.append((path, speaker, int(match["digit"]), int(match["repetition"])))
    return pd.DataFrame(rows, columns=["path", "speaker", "digit", "repetition"])


def completeness(recordings: pd.DataFrame) -> str:
    """Say in one line how many WAVs are available and which speakers' are missing.

    `recordings`: see `load_recordings`.
    """
    available, total = int(recordings["here"].sum()), len(recordings)
    n_left_out, n_speakers = recordings.attrs.get("left_out", (0, 0))
    left_out = f" {n_left_out:,} recordings of {n_speakers} speakers with another gender or none are left out."
    left_out = left_out if n_speakers else ""
    if available == total:
        return f"All {total:,} WAVs are available.{left_out}"
    by_speaker = recordings.groupby("speaker")["here"].agg(["sum", "size"])
    absent = list(by_speaker.index[by_speaker["sum"] == 0])
    partial = by_speaker[(by_speaker["sum"] > 0) & (by_speaker["sum"] < by_speaker["size"])]
    missing = []
    for part, names in (("all", absent), ("part", list(partial.index))):
        if names:
            more = " …" if len(names) > NAMED else ""
            missing.append(f"{part} of {len(names)} speakers ({' '.join(names[:NAMED])}{more})")
    return f"{available:,} of {total:,} WAVs are available; missing: {' and '.join(missing)}.{left_out}"


def is_audiomnist(folder: Path) -> bool:
    """Whether a folder's metadata are those of AudioMNIST's 60 speakers, whatever its name."""
    try:
        return _are_audiomnists(load_speakers(Corpus("", folder))["gender"])
    except CorpusError:
        return False


def _are_audiomnists(genders: pd.Series) -> bool:
    female = set(genders.index[genders == "female"])
    return tuple(genders.index) == AUDIOMNIST_SPEAKERS and female == AUDIOMNIST_FEMALE


def _list_recordings(folder: Path) -> list[str]:
    """Path relative to the corpus of every sound file of every speaker's folder, sorted."""
    wavs = []
    try:
        for speaker in (entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
            with os.scandir(speaker) as entries:
                wavs += [
                    f"{speaker.name}/{entry.name}"
                    for entry in entries
                    if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith(".")
                ]
    except OSError as error:
        raise CorpusError(f"{printable(error.filename)}: cannot be read ({error.strerror})") from None
    return sorted(wavs)
