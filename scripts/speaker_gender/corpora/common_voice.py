"""A folder in Common Voice's layout: Ardila et al., LREC 2020, commonvoice.mozilla.org (CC0).

<folder>/<language>/validated.tsv     client_id, path, sentence, …, age, gender, …
<folder>/<language>/clips/*.mp3
"""

import os
from pathlib import Path

import pandas as pd

from speaker_gender.config import settings
from speaker_gender.corpora.corpus import CorpusError

COMMON_VOICE = settings().common_voice
TABLE, CLIPS = "validated.tsv", "clips"
# Releases from 17 on say female_feminine and male_masculine.
GENDERS = {"female": "female", "male": "male", "female_feminine": "female", "male_masculine": "male"}
AGES = {  # as declared → decade
    "teens": 10, "twenties": 20, "thirties": 30, "fourties": 40, "forties": 40, "fifties": 50, "sixties": 60,
    "seventies": 70, "eighties": 80, "nineties": 90,
}  # fmt: skip
KEY_LENGTH = 16  # characters of a client_id that tell people apart, also in millions


def is_common_voice(folder: Path) -> bool:
    """Whether a folder holds languages of Common Voice, or is one of them."""
    return (folder / TABLE).is_file() or any(folder.glob(f"*/{TABLE}"))


def common_voice_recordings(folder: Path | None = None) -> pd.DataFrame:
    """List the clips of people who declared a gender, in all languages of a folder.

    A person is a client_id, across languages too. Clips without a gender (or with another one), of people who declared
    two, and clips that are not there are left out and counted in one printed line. `folder`: In Common Voice's layout;
    $COMMON_VOICE or the folder CommonVoice beside the project by default. Returns columns source ('common_voice'),
    speaker (the first 16 characters of the client_id), gender, path (Path), language, age (decade, missing where not
    declared); empty where there is no such folder. Raises CorpusError where a table cannot be read or lacks a column.
    """
    folder = folder or COMMON_VOICE
    tables = sorted([*folder.glob(TABLE), *folder.glob(f"*/{TABLE}")]) if folder.is_dir() else []
    if not tables:
        return pd.DataFrame()
    clips = pd.concat([_read(path) for path in tables], ignore_index=True)
    labelled = clips[clips["gender"].notna()]
    by_person = labelled.groupby("speaker")["gender"].nunique()
    contradictory = labelled["speaker"].map(by_person) > 1
    known = labelled[~contradictory]
    there = _are_there(known["path"])
    left_out = {
        "without a gender": len(clips) - len(labelled),
        "of people who declared two": int(contradictory.sum()),
        "not there": int((~there).sum()),
    }
    if any(left_out.values()):
        named = ", ".join(f"{count:,} {why}" for why, count in left_out.items() if count)
        print(f"{folder.name}: {len(clips):,} clips, left out: {named}")
    found = known[there].reset_index(drop=True)
    return found.assign(path=found["path"].map(Path).astype(object))


def _are_there(paths: pd.Series) -> pd.Series:
    """Whether each clip's file exists; a folder of millions of clips is listed once, instead of asking for each."""
    found: set[str] = set()
    for folder in {os.path.dirname(path) for path in paths}:
        if os.path.isdir(folder):
            found |= {entry.path for entry in os.scandir(folder) if entry.is_file()}
    return paths.isin(found)


def _read(table: Path) -> pd.DataFrame:
    columns = ["client_id", "path", "age", "gender"]
    try:
        clips = pd.read_csv(table, sep="\t", usecols=columns, dtype=str, quoting=3, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise CorpusError(f"{table}: cannot be read as Common Voice's table ({str(error).splitlines()[0]})") from None
    folder = table.parent / CLIPS
    names = clips["path"].map(lambda name: name if name.endswith(".mp3") else f"{name}.mp3")
    return pd.DataFrame(
        {
            "source": "common_voice",
            "speaker": clips["client_id"].str[:KEY_LENGTH],
            "gender": clips["gender"].map(GENDERS),
            "path": f"{folder}{os.sep}" + names.map(os.path.basename),
            "language": table.parent.name,
            "age": clips["age"].map(AGES).astype("Int64"),
        }
    )
