"""Maps of images to the recordings that they were made from, in the study's order."""

import json

import numpy as np
import pandas as pd

from speaker_gender.caching import write_json
from speaker_gender.config import GENDERS
from speaker_gender.corpora.audiomnist import recordings_from_paths
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.corpora.tables import recordings_in_table

ORDER_SEED = 25  # the study's: shuffles the male recordings, then the female ones


def map_images(recordings: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Name an image for each recording, in the study's order: 'male_0.jpg' is the first of the males.

    Each gender's sorted paths are shuffled with numpy's legacy generator, seed 25, first the male ones. Returns gender
    → {image's name: recording's path}.

    Parameters
    ----------
    recordings : pd.DataFrame
        With columns path and gender.

    Examples
    --------
    >>> recordings = pd.DataFrame({"path": ["01/0_01_0.wav", "12/0_12_0.wav"], "gender": ["male", "female"]})
    >>> map_images(recordings)
    {'male': {'male_0.jpg': '01/0_01_0.wav'}, 'female': {'female_0.jpg': '12/0_12_0.wav'}}
    """
    generator = np.random.RandomState(ORDER_SEED)
    maps = {}
    for gender in ("male", "female"):
        paths = sorted(recordings.loc[recordings["gender"] == gender, "path"])
        generator.shuffle(paths)
        maps[gender] = {f"{gender}_{index}.jpg": path for index, path in enumerate(paths)}
    return maps


def write_maps(corpus: Corpus, maps: dict[str, dict[str, str]]) -> None:
    """Write a corpus's maps as JSON files, maps/<corpus>/<gender>.json."""
    for gender, images in maps.items():
        write_json(corpus.maps / f"{gender}.json", images)


def load_maps_if_written(corpus: Corpus) -> pd.DataFrame | None:
    """Load the table of `load_maps`, or return None where notebook 02 has not written the maps yet."""
    try:
        return load_maps(corpus)
    except CorpusError:
        return None


def load_maps(corpus: Corpus) -> pd.DataFrame:
    """Load the table of a corpus's images from its maps; it needs neither WAVs nor, in AudioMNIST's layout, metadata.

    Returns columns: path, speaker, digit, repetition, image, gender; and what else a table gives. The female images
    come first. Raises CorpusError where a map is missing or is not {image: recording}.
    """
    tables = []
    for gender in GENDERS:
        path = corpus.maps / f"{gender}.json"
        try:
            images = json.loads(path.read_text(encoding="utf-8"))
            names, paths = list(images), list(images.values())
            if names != [f"{gender}_{index}.jpg" for index in range(len(names))]:
                raise ValueError
            table = None if corpus.table else recordings_from_paths(paths, corpus.folder)
        except FileNotFoundError:
            raise CorpusError(f"{path}: not there; run notebook 02_generate_mfc first") from None
        except (ValueError, AttributeError, TypeError):
            raise CorpusError(f"{path}: is not a map of images to recordings; delete it and run notebook 02") from None
        if table is None:
            table = recordings_in_table(corpus, paths)
        tables.append(table.assign(image=names, gender=gender))
    return pd.concat(tables, ignore_index=True)
