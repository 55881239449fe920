"""The data card and the model card as Markdown, made from the JSON in results/.

Sources of their form: Gebru et al., Datasheets for Datasets, 2021; Mitchell et al., Model Cards for Model Reporting,
2019.
"""

from speaker_gender.config import GENDERS

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

    Parameters
    ----------
    found : dict
        See corpora.description.describe_corpus.

    Returns
    -------
    str
        Markdown.
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
        "and test. A score on such a split measures how well seen speakers are recognised (notebook 05).",
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


def model_card(card: dict, assessed: dict, at_8_khz: dict, readers: dict, *, n_weights: int) -> str:
    """Write the model card of the shipped model.

    Parameters
    ----------
    card : dict
        Its JSON card.
    assessed, at_8_khz, readers : dict
        What shipped_model/assess.py wrote: for a corpus of unseen speakers, for the same at a lower sample rate, and
        for LibriSpeech's readers outside the training set.
    n_weights : int

    Returns
    -------
    str
        Markdown.
    """
    lines = [
        "# Model card: the shipped model",
        "",
        "Written by `scripts/upkeep/update_readme.py` from `results/shipped/`; do not edit.",
        "",
        f"**What it is.** {n_weights:,} weights: {card['architecture']}. It takes the view *{card['view']}* of one "
        f"second of speech ({card['image_size'][0]} × {card['image_size'][1]} pixels; "
        "scripts/speaker_gender/images/harmonic.py) and predicts *female* or *male* with a probability. Longer speech "
        "is cut into windows and their log-odds are averaged. "
        f"Trained {card['date']} by `python scripts/studies/shipped_model/train.py`, from scratch, seeds "
        f"{', '.join(map(str, card['seeds']))}; `gender.safetensors` and `gender.onnx` are the same.",
        "",
        "**Intended use.** Trying one's own voice, teaching, and research on such models.",
        "",
        f"**Not intended.** {NOT_FOR} Children, languages other than English, whispering, singing and disguise are "
        "not in its training set.",
        "",
        *_training_data(card),
        "",
        *_measurements(card, assessed, at_8_khz, readers),
        "",
        f"**Calibrated** on {card['calibration']['on']}: a line through the log-odds (Platt scaling), with both "
        "genders weighing the same.",
        "",
        "**Known failings.** Its threshold is that of raised vocal effort, as in single words. Women who read aloud "
        "are classified as male more often than men as female. Low female voices, high male voices and pitch-shifted "
        "voices are difficult: notebook 06 shows where its prediction changes. It classifies anything that sounds "
        "voiced, speech or not.",
        "",
        f"**What the label means.** {MEANING}",
    ]
    return "\n".join(lines) + "\n"


def _training_data(card: dict) -> list[str]:
    return [
        "**Trained on** (every recording several times, with noise, reverberation, filters and pitch shifts):",
        "",
        "| source | female speakers | male speakers | recordings | licence |",
        "|---|---|---|---|---|",
        *(
            f"| {source} | {data['female_speakers']} | {data['male_speakers']} | {data['recordings']:,} | "
            f"{data['licence']} |"
            for source, data in card["data"].items()
        ),
    ]


def _measurements(card: dict, assessed: dict, at_8_khz: dict, readers: dict) -> list[str]:
    corpus, refused = assessed["corpus"], _counts(assessed["all"]["not_answered"]) or "none"
    tested = [
        (f"{corpus}, each recording", assessed["all"]["recordings"]),
        (f"{corpus}, each speaker", assessed["all"]["by_speaker"]),
    ]
    if "doubtful" in assessed:
        doubtful = f"the same without {' and '.join(assessed['doubtful'])}, whose pitch contradicts their label"
        tested.append((doubtful, assessed["without_doubtful"]["recordings"]))
    rate = f"{at_8_khz['sample_rate'] / 1_000:g} kHz"
    tested.append((f"{at_8_khz['corpus']} at {rate}, each recording", at_8_khz["all"]["recordings"]))
    tested.append((f"{readers['corpus']}, held out, each recording; calibrated on them", readers["all"]["recordings"]))
    for source, found in card["validation"].items():
        tested.append((f"readers of {source}, held out, augmented; calibrated on them", found))
    return [
        f"**Measured** on unseen speakers, 95 % intervals over speakers. {corpus} are digits in Azerbaijani; "
        f"recordings refused and not counted: {refused}. {corpus} is a development set: pitch shifts, telephone "
        f"bandwidth and synthetic voices in training, and the view's highest frequency, were chosen on it. No "
        f"threshold was chosen on it.",
        "",
        "| tested on | speakers | balanced accuracy | interval | ROC AUC |",
        "|---|---|---|---|---|",
        *(_figures(title, found) for title, found in tested),
        "",
        f"| correctly classified recordings | {' | '.join(GENDERS)} | expected calibration error |",
        "|---|---|---|---|",
        *(
            f"| {found['corpus']} | "
            + " | ".join(_percent(found["all"]["accuracy_of_gender"][gender]) for gender in GENDERS)
            + f" | {found['all']['recordings']['scores']['ece']:.3f} |"
            for found in (assessed, readers)
        ),
    ]


def _figures(title: str, found: dict) -> str:
    low, high = found["intervals"]["balanced_accuracy"]
    balanced, auc = found["scores"]["balanced_accuracy"], found["scores"]["auc"]
    return f"| {title} | {found['speakers']} | {_percent(balanced)} | {_percent(low)} to {_percent(high)} | {auc:.3f} |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
