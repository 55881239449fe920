"""The data card and the model card as Markdown, made from the JSON in results/.

Sources of their form: Gebru et al., Datasheets for Datasets, 2021; Mitchell et al., Model Cards for Model Reporting,
2019.
"""

from speaker_gender.config import GENDERS

MEANING = (
    "The label is the gender that a corpus's metadata give for a speaker: two classes and no more. It says how a voice "
    "was filed, not who a person is. Voices overlap, change with age, mood, health and intention, and no recording "
    "tells a person's gender."
)
NOT_FOR = (
    "It must not be used to decide anything about anybody: not for access, selection, advertising, moderation or "
    "surveillance, and not to check what people say of themselves."
)


def data_card(found: dict) -> str:
    """The data card of AudioMNIST from `describe_corpus`."""
    female, male = found["genders"]["female"], found["genders"]["male"]
    seconds, here = found["here"]["seconds"], found["here"]
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
        "are young adults, and most speak with one accent; there are no children and nobody whispers, sings or shouts.",
        "",
        "| accent | speakers |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in found["accents"].items()),
        "",
        f"**Recorded** in {len(found['rooms'])} rooms ({_counts(found['rooms'])}), one speaker in one session, so that "
        "room and speaker cannot be told apart.",
        "",
        f"**Measured** on the recordings that were here when this was written ({here['recordings']:,} of "
        f"{here['speakers']} speakers): {seconds['least']:.2f} to {seconds['greatest']:.2f} s long, median "
        f"{seconds['median']:.2f} s; {_counts(here['encodings'])}.",
        "",
        "**Its dirt**, read as the last column says and never changed in place:",
        "",
        "| speaker | field | published | read as |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in found["corrections"]),
        "",
        "**The trap in it.** Each speaker says each digit fifty times. A random split puts the same person on both "
        "sides, and a score measured so says how well known voices are remembered (notebook 05).",
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


def model_card(card: dict, assessed: dict, narrow: dict, readers: dict, *, n_weights: int) -> str:
    """The model card of the shipped model, from its JSON card and from what it answered to a corpus it never heard.

    narrow: what it answered to the same corpus at a lower sample rate; readers: to LibriSpeech's that it was not
    trained on, as they are.
    """
    sources = [
        f"| {source} | {data['female_speakers']} | {data['male_speakers']} | {data['recordings']:,} | "
        f"{data['licence']} |"
        for source, data in card["data"].items()
    ]
    refused = _counts(assessed["all"]["not_answered"]) or "none"
    lines = [
        "# Model card: the model that ships",
        "",
        "Written by `scripts/upkeep/update_readme.py` from `results/shipped/`; do not edit.",
        "",
        f"**What it is.** {n_weights:,} weights: {card['architecture']}. It takes the view *{card['view']}* of one "
        f"second of speech ({card['image_size'][0]} × {card['image_size'][1]} pixels; "
        "scripts/speaker_gender/images/harmonic.py) and says *female* or *male* with a probability. Longer speech is "
        "cut into windows and their log-odds are averaged. "
        f"Trained {card['date']} by `python scripts/studies/shipped_model/train.py`, from scratch, seeds "
        f"{', '.join(map(str, card['seeds']))}; `gender.safetensors` and `gender.onnx` are the same.",
        "",
        "**Intended use.** Trying one's own voice, teaching, and research on what such a model hears.",
        "",
        f"**Not intended.** {NOT_FOR} Children, languages other than English, whispering, singing and disguise were "
        "not in its training.",
        "",
        "**Trained on** (every recording several times, with noise, reverberation, filters, other pitches):",
        "",
        "| source | female speakers | male speakers | recordings | licence |",
        "|---|---|---|---|---|",
        *sources,
        "",
        f"**Measured** on people it never heard, 95 % intervals over speakers. {assessed['corpus']} are digits in "
        f"Azerbaijani; recordings refused and not counted: {refused}. Whether voices are raised in training and "
        f"sent through narrow lines, whether synthetic ones are left out and how high the view reaches was settled "
        f"with an eye on {assessed['corpus']}; no threshold was chosen on it.",
        "",
        "| tested on | speakers | balanced accuracy | interval | ROC AUC |",
        "|---|---|---|---|---|",
        _figures(f"{assessed['corpus']}, each recording", assessed["all"]["recordings"]),
        _figures(f"{assessed['corpus']}, each speaker", assessed["all"]["by_speaker"]),
        *(
            [
                _figures(
                    f"the same without {' and '.join(assessed['doubtful'])}, whose pitch contradicts their label",
                    assessed["without_doubtful"]["recordings"],
                )
            ]
            if "doubtful" in assessed
            else []
        ),
        _figures(
            f"{narrow['corpus']} at {narrow['sample_rate'] / 1_000:g} kHz, each recording", narrow["all"]["recordings"]
        ),
        _figures(f"{readers['corpus']} kept aside, each recording; calibrated on them", readers["all"]["recordings"]),
        *(
            _figures(f"readers of {source} kept aside, augmented; calibrated on them", found)
            for source, found in card["validation"].items()
        ),
        "",
        f"| recordings told rightly | {' | '.join(GENDERS)} | expected calibration error |",
        "|---|---|---|---|",
        *(
            f"| {found['corpus']} | "
            + " | ".join(_percent(found["all"]["accuracy_of_gender"][gender]) for gender in GENDERS)
            + f" | {found['all']['recordings']['scores']['ece']:.3f} |"
            for found in (assessed, readers)
        ),
        "",
        f"**Calibrated** on {card['calibration']['on']}: a line through the log-odds (Platt scaling), with both "
        "genders weighing the same.",
        "",
        "**Known failings.** Its threshold is that of raised voices, as people have who say single words: women who "
        "read aloud are taken for men more often than the other way round. Low female and high male voices, and voices "
        "moved in pitch: notebook 06 shows where its answer tips. It answers for anything that sounds voiced, people "
        "or not.",
        "",
        f"**What the label means.** {MEANING}",
    ]
    return "\n".join(lines) + "\n"


def _figures(title: str, found: dict) -> str:
    low, high = found["intervals"]["balanced_accuracy"]
    balanced, auc = found["scores"]["balanced_accuracy"], found["scores"]["auc"]
    return f"| {title} | {found['speakers']} | {_percent(balanced)} | {_percent(low)} to {_percent(high)} | {auc:.3f} |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
