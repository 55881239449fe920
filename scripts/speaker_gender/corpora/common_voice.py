"""A folder in Common Voice's layout: Ardila et al., LREC 2020, commonvoice.mozilla.org (CC0).

<folder>/<language>/validated.tsv     client_id, path, sentence, …, age, gender, …
<folder>/<language>/clips/*.mp3
"""

import os
from pathlib import Path

import pandas as pd

from speaker_gender.config import settings
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.labels import read_ages, read_genders

COMMON_VOICE = settings().common_voice
TABLE, CLIPS = "validated.tsv", "clips"
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
    known = known.assign(path=_present(known["path"]))
    there = known["path"].notna()
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


def _present(paths: pd.Series) -> pd.Series:
    """The file of each clip, whatever its suffix; missing where there is none. A folder of millions is listed once."""
    found: dict[str, str] = {}
    for folder in {os.path.dirname(path) for path in paths}:
        if os.path.isdir(folder):
            found |= {os.path.splitext(entry.path)[0]: entry.path for entry in os.scandir(folder) if entry.is_file()}
    return paths.map(found)


def _read(table: Path) -> pd.DataFrame:
    columns = ["client_id", "path", "age", "gender"]
    try:
        clips = pd.read_csv(table, sep="\t", usecols=columns, dtype=str, quoting=3, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise CorpusError(f"{table}: cannot be read as Common Voice's table ({str(error).splitlines()[0]})") from None
    broken = clips["client_id"].isna() | clips["path"].isna()
    if broken.any():
        print(f"{table}: {broken.sum()} lines broke off and are left out")
    clips = clips[~broken]
    names = clips["path"].map(lambda name: os.path.splitext(os.path.basename(name))[0])
    return pd.DataFrame(
        {
            "source": "common_voice",
            "speaker": clips["client_id"].str[:KEY_LENGTH],
            "gender": read_genders(clips["gender"]),
            "path": f"{table.parent / CLIPS}{os.sep}" + names,
            "language": table.parent.name,
            "age": read_ages(clips["age"]),
        }
    )
