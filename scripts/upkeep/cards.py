"""The data card and the model card as Markdown, made from the JSON in results/.

Sources of their form: Gebru et al., Datasheets for Datasets, 2021; Mitchell et al., Model Cards for Model Reporting,
2019.
"""

from speaker_gender.config import GENDERS

NAMED = 5  # speakers of doubtful label that a row names at most
DETECTOR = "Silero VAD (in use)"  # in speech_detectors.json
MANY = 100  # recordings from which on a share is written in per cent

MEANING = (
    "The label is the gender that a corpus's metadata give for a speaker: two classes and no more. It says how a voice "
    "was filed, not who a person is. Voices overlap, change with age, mood, health and intention, and no recording "
    "determines a person's gender."
)
NOT_FOR = (
    "It must not be used to decide anything about a person: not for access, selection, advertising, moderation or "
    "surveillance, and not to check a person's own statement."
)


def data_card(found: dict) -> str:
    """Write the data card of AudioMNIST.

    `found`: see corpora.description.describe_corpus. Returns Markdown.
    """
    female, male = found["genders"]["female"], found["genders"]["male"]
    seconds, available = found["here"]["seconds"], found["here"]
    lines = [
        "# Data card: AudioMNIST as it is used here",
        "",
        "Written by `scripts/upkeep/update_readme.py` from `results/audiomnist/corpus.json`; do not edit.",
        "",
        "**What it is.** Recordings of the spoken English digits 0 to 9 (Becker et al., arXiv:1807.03418; MIT licence; "
        "github.com/soerenab/AudioMNIST). It was collected for the classification of digits and speakers' gender and "
        "is not part of this project: clone it beside it.",
        "",
        "| | female | male |",
        "|---|---|---|",
        f"| speakers | {female['speakers']} | {male['speakers']} |",
        f"| recordings | {female['recordings']:,} | {male['recordings']:,} |",
        f"| age in years: least, median, greatest | {_ages(female)} | {_ages(male)} |",
        f"| native speakers of English | {female['native_speakers']} | {male['native_speakers']} |",
        "",
        f"**Who is missing.** {male['speakers']} of {male['speakers'] + female['speakers']} speakers are male, most "
        "are young adults, and most speak with one accent. There are no children and no whispered, sung or shouted "
        "speech.",
        "",
        "| accent | speakers |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in found["accents"].items()),
        "",
        f"**Recorded** in {len(found['rooms'])} rooms ({_counts(found['rooms'])}), one speaker in one session: room "
        "and speaker are confounded.",
        "",
        f"**Measured** on the recordings that were available when this was written ({available['recordings']:,} of "
        f"{available['speakers']} speakers): {seconds['least']:.2f} to {seconds['greatest']:.2f} s long, median "
        f"{seconds['median']:.2f} s; {_counts(available['encodings'])}.",
        "",
        "**Its dirt**, read as the last column says and never changed in place:",
        "",
        "| speaker | field | published | read as |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in found["corrections"]),
        "",
        "**The trap in it.** Each speaker says each digit fifty times. A random split puts every speaker into training "
        "and test. A score on such a split is one of seen speakers (notebook 05).",
        "",
        f"**What the label means.** {MEANING} {NOT_FOR}",
    ]
    return "\n".join(lines) + "\n"


def _ages(gender: dict) -> str:
    age = gender["age"]
    return f"{age['least']:.0f}, {age['median']:.0f}, {age['greatest']:.0f}" + (
        f" ({gender['age_unknown']} unknown)" if gender["age_unknown"] else ""
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


ENCODER = (
    "**The speaker encoder** is that of the package resemblyzer 0.1.4 (Apache-2.0, github.com/resemble-ai/Resemblyzer),"
    " unchanged. The method: Wan et al., *Generalized End-to-End Loss for Speaker Verification*, arXiv:1710.10467. "
    "The package does not say what it was trained on. Its page calls it interchangeable with the encoder of "
    "Real-Time-Voice-Cloning, whose author names (issue 1032) LibriSpeech's training set, VoxCeleb1 Dev A–D and "
    "VoxCeleb2: 3,201 hours, 8,371 speakers. *An inference, not a statement of the author:* that number is 1,166 + "
    "1,211 + 5,994, so LibriSpeech's part is train-other-500, whose readers are not those of the excerpts that trained "
    "and test this model (train-clean-100 and test-other)."
)


def model_card(
    card: dict,
    assessments: list[dict],
    left_out: dict[str, int],
    changed: dict,
    detectors: dict,
    *,
    n_weights: int,
) -> str:
    """Write the model card of the shipped model.

    Returns Markdown.

    Parameters
    ----------
    card : dict
        Its JSON card.
    assessments : list of dict
        What shipped_model/assess.py wrote, a dict for each corpus of unseen speakers.
    left_out : dict of str to int
        Gender → speakers who were left out of training because of their label.
    changed : dict
        What changed_recordings.py wrote.
    detectors : dict
        What speech_detectors.py wrote.
    """
    sounds = detectors["rows"]["no speech, all"]
    lines = [
        "# Model card: the shipped model",
        "",
        "Written by `scripts/upkeep/update_readme.py` from `results/shipped/`; do not edit.",
        "",
        f"**What it is.** {n_weights:,} weights: {card['architecture']}. It takes the view *{card['view']}* of one "
        f"second of speech ({card['image_size'][0]} × {card['image_size'][1]} pixels; "
        "scripts/speaker_gender/images/harmonic.py), and for the encoder a mel spectrogram of the same second "
        "(images/mel.py). It predicts *female* or *male* with a probability. Longer speech is cut into windows and "
        "their log-odds are averaged. "
        f"Trained {card['date']} by `python scripts/studies/shipped_model/train.py`, seeds "
        f"{', '.join(map(str, card['seeds']))}; `gender.safetensors` and `gender.onnx` are the same.",
        "",
        ENCODER,
        "",
        "**Intended use.** Trying one's own voice, teaching, and research on such models.",
        "",
        f"**Not intended.** {NOT_FOR} Children, whispering, singing and disguise are not in its training set.",
        "",
        *_training_data(card, left_out),
        "",
        *_measurements(card, assessments),
        "",
        f"**Calibrated** on {card['calibration']['on']}: a line through the log-odds (Platt scaling), with both "
        "genders weighing the same.",
        "",
        "**Known failings.** Low female voices, high male voices and pitch-shifted voices are difficult: notebook 07 "
        "shows where its prediction changes. Its threshold is a compromise between corpora: where it errs differs "
        f"by corpus. Of {sounds['recordings']:,} sounds without speech {sounds['wrong'][DETECTOR]:,} are taken for "
        "speech (`results/speech_detectors.json`) and classified.",
        "",
        "**Telephones and voice messages.** Through codecs of telephones, voice messages and small files, balanced "
        f"accuracy changes by {_costs(changed)}. Where it falls, women are taken for men. `results/README.md` has all "
        "figures.",
        "",
        f"**What the label means.** {MEANING}",
    ]
    return "\n".join(lines) + "\n"


def _costs(changed: dict) -> str:
    """Between how many percentage points codecs change the accuracy, for each corpus."""
    found = []
    for corpus, rows in changed["rows"].items():
        points = [100 * row["difference"]["difference"] for name, row in rows.items() if "bit/s" in name]
        found.append(f"{min(points):+.1f} to {max(points):+.1f} percentage points on {corpus}")
    return " and by ".join(found)


def _training_data(card: dict, left_out: dict[str, int]) -> list[str]:
    lines = [
        "**Trained on** (every recording several times, with noise, reverberation, filters and pitch shifts):",
        "",
        "| source | female speakers | male speakers | recordings | licence |",
        "|---|---|---|---|---|",
        *(
            f"| {source} | {data['female_speakers']} | {data['male_speakers']} | {data['recordings']:,} | "
            f"{data['licence']} |"
            for source, data in card["data"].items()
        ),
        "",
        f"Left out, as `label_issues.csv` lists: {left_out.get('female', 0)} women and {left_out.get('male', 0)} men "
        "by label whose label a cross-validation contradicts (confident learning over speakers, "
        "`studies/shipped_model/labels.py`): wrong labels, bad microphones, or real high-voiced men and low-voiced "
        "women, whom the model then knows less well.",
    ]
    for source, data in card["data"].items():
        for kind, title in (("speakers_by_language", "Languages"), ("speakers_by_age", "Declared ages")):
            if kind in data:
                lines += ["", f"{title} of {source} (speakers): {_counts(data[kind])}."]
    return lines


def _measurements(card: dict, assessments: list[dict]) -> list[str]:
    lines = [
        "**Measured** on speakers who are not in the training set; 95 % intervals over speakers. A recording in which "
        "no speech is found counts as wrong, in the intervals too. AudioMNIST_AZ (digits in Azerbaijani), "
        "the Ukrainian digits and the telephone digits (English, India) are *development sets*: the view, the "
        "augmentation, the detector of speech and how the halves are joined were chosen on them. "
        "The held-out speakers of LibriSpeech and Common Voice, drawn before any label was doubted, calibrated the "
        "model. Doubtful is a label that the speaker's pitch contradicts. To leave such speakers out favours every "
        "method that uses pitch; both rows stand here.",
        "",
        "| tested on | speakers | recordings | balanced accuracy | 95 % interval | female | male | AUC |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for found in assessments:
        rate = f" at {found['sample_rate'] / 1_000:g} kHz" if "sample_rate" in found else ""
        lines.append(_row(f"{found['corpus']}{rate}", found["all"]["all_recordings"]))
        lines.append(_row("… by speaker, each once", found["all"]["by_speaker"]))
        if "without_doubtful" in found:
            lines.append(_row(f"… without {names_of(found['doubtful'])}", found["without_doubtful"]["all_recordings"]))
    for kind, title in (("by_language_group", "language group"), ("by_age", "declared age")):
        for found in assessments:
            if kind in found:
                lines += ["", f"| {found['corpus']}: {title} | speakers | female | male |", "|---|---|---|---|"]
                lines += [_group_row(name, group) for name, group in found[kind].items()]
    return lines


def names_of(speakers: list[str]) -> str:
    """Name the speakers whose label is doubtful, or count them where they are many."""
    if len(speakers) > NAMED:
        return f"{len(speakers)} speakers of doubtful label"
    names = sorted(speakers)
    listed = ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
    return f"speaker{'s' if len(names) > 1 else ''} {listed} of doubtful label"


def _row(title: str, found: dict) -> str:
    low, high = found["intervals"]["balanced_accuracy"]
    of_gender = " | ".join(share_of(found["of_gender"].get(gender)) for gender in GENDERS)
    return (
        f"| {title} | {found['speakers']} | {found['images']:,} | {_percent(found['scores']['balanced_accuracy'])} | "
        f"{_percent(low)} to {_percent(high)} | {of_gender} | {found['scores']['auc']:.3f} |"
    )


def _group_row(name: str, group: dict) -> str:
    of_gender = " | ".join(share_of(group.get(gender)) for gender in GENDERS)
    return f"| {name} | {sum(counts['speakers'] for counts in group.values())} | {of_gender} |"


def share_of(counts: dict | None) -> str:
    """Write how many are correctly classified: of few as counts, of many in per cent.

    Parameters
    ----------
    counts : dict, optional
        images and correct, see comparisons.counts_of_gender; nothing for None.

    Examples
    --------
    >>> share_of({"images": 19, "correct": 16}), share_of({"images": 371, "correct": 344})
    ('16 of 19', '92.7 % of 371')
    """
    if counts is None:
        return ""
    n, correct = counts["images"], counts["correct"]
    return f"{correct} of {n}" if n < MANY else f"{_percent(correct / n)} of {n:,}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
