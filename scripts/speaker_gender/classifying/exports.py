"""Timelines as files that other programs read: CSV, RTTM (speaker diarisation) and Praat's TextGrid."""

import csv
import io
from pathlib import Path

from speaker_gender.caching import replacing, write_atomically
from speaker_gender.classifying.classification import Answer
from speaker_gender.classifying.timeline import Stretch
from speaker_gender.sound.reading import printable

SUFFIXES = {"csv": ".gender.csv", "rttm": ".gender.rttm", "textgrid": ".gender.TextGrid"}  # sound.files knows them, too
TIER = "gender"


def write_timeline(answer: Answer, path: Path, *, form: str) -> None:
    """Write an answer's timeline.

    Raises OSError where the file cannot be written.

    Parameters
    ----------
    answer : Answer
        Of one file; without speech the timeline is empty.
    path : Path
        Where to; what was there is replaced. RTTM calls the recording by its name, without the form's suffix.
    form : str
        'csv' (start, stop, label, p_female, channel), 'rttm' or 'textgrid' (a tier of intervals for each channel,
        speech unlabelled between).
    """
    if form == "textgrid":
        _write_textgrid(answer, path)
    else:
        write_atomically(path, _csv(answer) if form == "csv" else _rttm(answer, path.name.removesuffix(SUFFIXES[form])))


def _csv(answer: Answer) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Stretch._fields)
    writer.writerows(answer.timeline)
    return text.getvalue()


def _rttm(answer: Answer, name: str) -> str:
    """Rich Transcription Time Marked, as NIST's evaluation plan RT-09 defines it; names may not hold spaces."""
    name = "_".join(printable(name).split()) or "sound"
    return "".join(
        f"SPEAKER {name} {channel or 1} {start:.3f} {stop - start:.3f} <NA> <NA> {label} <NA> <NA>\n"
        for start, stop, label, _, channel in answer.timeline
    )


def _write_textgrid(answer: Answer, path: Path) -> None:
    from praatio import textgrid  # here, because few want it

    grid = textgrid.Textgrid(0, answer.seconds)
    for channel in sorted({stretch.channel or 0 for stretch in answer.timeline}) or [0]:
        own = [stretch[:3] for stretch in answer.timeline if (stretch.channel or 0) == channel]
        name = f"{TIER}, channel {channel}" if channel else TIER
        grid.addTier(textgrid.IntervalTier(name, own, 0, answer.seconds))
    with replacing(path) as partial:
        grid.save(str(partial), format="long_textgrid", includeBlankSpaces=True)
