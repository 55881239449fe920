"""A model's files: weights (safetensors, or ONNX for a quick start) and a JSON card that describes them.

The card is put in place last and holds the SHA-256 of every file beside it: a model is used only as it was saved.
Nothing here can run code from a file, and nothing here imports torch: the command line reads a card in no time. An ONNX
graph can ask for any memory and any time, so only those beside a card of `OURS` are run.
"""

import hashlib
import json
import math
from contextlib import ExitStack
from pathlib import Path

from speaker_gender.caching import json_text, replacing
from speaker_gender.config import GENDERS
from speaker_gender.images import mel
from speaker_gender.images.views import VIEWS

LARGEST_IMAGE = 256  # pixels of height or width; the study's have 224
MOST_MEMBERS = 5  # networks in an ensemble
LARGEST_FILE = 500_000_000  # bytes; ResNet-34's weights are 87 million
# SHA-256 of this project's cards, as `card_digest` gives it: results/shipped/gender.json.
OURS = frozenset({"8337b85fbf9ff209138c9460381ed682a982d1e4523e6bc645a3d547666c3afc"})


class ModelError(ValueError):
    """A model file that cannot be used; the message is one line that names the file."""


def write_model(path: Path, weights: bytes, card: dict, *, onnx: bytes | None = None) -> dict:
    """Write a model's files: <name>.safetensors, <name>.onnx where it is given, and their card.

    Nothing is replaced before all of it is written. `path`: of the safetensors file. `weights`: its content. `onnx`:
    content of the ONNX file; without it an existing one is removed. Returns the card as it will be read. Raises OSError
    where a file cannot be written.
    """
    contents = {".safetensors": weights} | ({".onnx": onnx} if onnx else {})
    if card.get("view") in VIEWS:
        card = card | {"view_parameters": VIEWS[card["view"]].parameters}
    if "encoder" in card:
        card = card | {"mel_parameters": mel.PARAMETERS}
    card = card | {"sha256": {suffix: hashlib.sha256(content).hexdigest() for suffix, content in contents.items()}}
    text = json_text(card)
    with ExitStack() as files:  # which renames the last one first, and the card last
        for suffix, content in {".json": text.encode(), **contents}.items():
            files.enter_context(replacing(path.with_suffix(suffix))).write_bytes(content)
    if not onnx:
        path.with_suffix(".onnx").unlink(missing_ok=True)
    return json.loads(text)  # as it will be read


def read_card(path: Path) -> dict:
    """Read a model's card.

    Returns {'key': None} where there is no readable card, as after a run that was stopped while saving.
    """
    try:
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {"key": None}
    return card if isinstance(card, dict) and isinstance(card.get("key"), str) else {"key": None}


def usable_card(path: Path) -> dict:
    """Read the card of a model that is to be used, and check it.

    Raises ModelError where the card is missing, lacks a field, has an impossible value, or is of another form of the
    view.
    """
    card = read_card(path)
    card_path = path.with_suffix(".json")
    if card["key"] is None:
        raise ModelError(f"{path}: not a model of this project (there is no card {card_path.name} beside it)")
    try:
        _check(card)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ModelError(f"{card_path}: not a card of this project's models") from None
    made_now = json.loads(json.dumps([VIEWS[card["view"]].parameters, mel.PARAMETERS]))
    if [card.get("view_parameters", made_now[0]), card.get("mel_parameters", made_now[1])] != made_now:
        raise ModelError(f"{card_path}: the model was trained on another form of view {card['view']}; train it again")
    return card


def _check(card: dict) -> None:
    """Raises KeyError, TypeError, ValueError or OverflowError for a card that a network cannot be run by."""
    height, width = card["image_size"]
    trained_height, trained_width = dict(card["recipe"]).get("image_size", (height, width))
    numbers = [card["normalisation"]["mean"], card["normalisation"]["std"]]
    if "calibration" in card:
        numbers += [card["calibration"]["slope"], card["calibration"]["intercept"]]
    sound = (
        card["view"] in VIEWS
        and list(card["classes"]) == list(GENDERS)
        and all(type(side) is int for side in (height, width, trained_height, trained_width))
        and 0 < min(height, width, trained_height, trained_width)
        and max(height, width, trained_height, trained_width) <= LARGEST_IMAGE
        and all(math.isfinite(number) for number in numbers)
        and card["normalisation"]["std"] > 0
        and 1 <= len(list(card.get("seeds", [None]))) <= MOST_MEMBERS
        and isinstance(card["sha256"], dict)
    )
    if not sound:
        raise ValueError


def card_digest(card: dict) -> str:
    """Digest what a card says, however its file is laid out."""
    return hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()


def checked_file(path: Path, card: dict) -> bytes:
    """Read a model's file and check that its card was written for it.

    `path`: of the safetensors or ONNX file. Raises ModelError where it cannot be read, is too large, or is another
    file.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ModelError(f"{path}: too large for a model of this project")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != card["sha256"].get(path.suffix):
        raise ModelError(f"{path}: not the file that its card was written for; get both anew, or train again")
    return content
