"""Timelines as files that other programs read: CSV, RTTM (speaker diarisation) and Praat's TextGrid."""

import csv
import io
from pathlib import Path

from speaker_gender.caching import replacing, write_atomically
from speaker_gender.classifying.classification import Answer

SUFFIXES = {"csv": ".csv", "rttm": ".rttm", "textgrid": ".TextGrid"}
TIER = "gender"


def write_timeline(answer: Answer, path: Path, *, form: str) -> None:
    """Write an answer's timeline.

    Parameters
    ----------
    answer : Answer
        Of one file; without speech the timeline is empty.
    path : Path
        Where to; what was there is replaced.
    form : str
        'csv' (start, stop, label, p_female), 'rttm' or 'textgrid' (one tier of intervals, speech unlabelled between).

    Raises
    ------
    OSError
        Where the file cannot be written.
    """
    if form == "textgrid":
        _write_textgrid(answer, path)
    else:
        write_atomically(path, {"csv": _csv, "rttm": _rttm}[form](answer))


def _csv(answer: Answer) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["start", "stop", "label", "p_female"])
    writer.writerows(answer.timeline)
    return text.getvalue()


def _rttm(answer: Answer) -> str:
    """Rich Transcription Time Marked, as NIST's evaluation plan RT-09 defines it; names may not hold spaces."""
    name = "_".join(Path(answer.file).stem.split()) or "sound"
    return "".join(
        f"SPEAKER {name} 1 {start:.3f} {stop - start:.3f} <NA> <NA> {label} <NA> <NA>\n"
        for start, stop, label, _ in answer.timeline
    )


def _write_textgrid(answer: Answer, path: Path) -> None:
    from praatio import textgrid  # here, because few want it

    entries = [(start, stop, label) for start, stop, label, _ in answer.timeline]
    grid = textgrid.Textgrid(0, answer.seconds)
    grid.addTier(textgrid.IntervalTier(TIER, entries, 0, answer.seconds))
    with replacing(path) as partial:
        grid.save(str(partial), format="long_textgrid", includeBlankSpaces=True)
