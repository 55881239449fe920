"""How corpora write genders and ages, and how they are read; what cannot be read is missing."""

import pandas as pd

FEMALE = ("female", "f", "woman", "women", "feminine", "female_feminine")
MALE = ("male", "m", "man", "men", "masculine", "male_masculine")
GENDERS = dict.fromkeys(FEMALE, "female") | dict.fromkeys(MALE, "male")
DECADES = {  # Common Voice's, with its spelling
    "teens": 10, "twenties": 20, "thirties": 30, "fourties": 40, "forties": 40, "fifties": 50, "sixties": 60,
    "seventies": 70, "eighties": 80, "nineties": 90,
}  # fmt: skip
PLAUSIBLE_AGES = (3, 110)  # years


def read_genders(written: pd.Series) -> pd.Series:
    """Read 'female' or 'male'; missing for another gender or none."""
    return written.astype(str).str.strip().str.lower().map(GENDERS)


def read_ages(written: pd.Series) -> pd.Series:
    """Read ages in years, Int64; of a decade the first year; missing where it is none, or no plausible one."""
    texts = written.astype(str).str.strip().str.lower()
    years = pd.to_numeric(texts, errors="coerce").fillna(texts.map(DECADES)).astype(float)
    return years.where(years.between(*PLAUSIBLE_AGES)).round().astype("Int64")
