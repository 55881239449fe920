"""The ways of turning a recording into an image, by name; everything after this module is the same for all of them."""

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from speaker_gender.config import SAMPLE_RATE, WORKING_RATE
from speaker_gender.images import harmonic, mfc


@dataclass(frozen=True)
class View:
    """How a recording becomes an image, and the size at which a network takes it.

    Attributes
    ----------
    image : callable
        (signal on the int16 scale at 48 kHz, shape (samples,); front=zeros before it) → uint8 (height, width[, 3]).
    parameters : dict
        Everything that the image depends on, for cache keys.
    jpeg_quality : int
        Pillow's, 1…95.
    fold_size : tuple of int
        Rows and columns of the images that the networks of learning.folds are trained on.
    sample_rate : int
        In Hz, at which a recording is read that is to be classified.
    window_image : callable
        As `image`, from a signal at that rate.
    """

    image: Callable[..., np.ndarray]
    parameters: dict
    jpeg_quality: int
    fold_size: tuple[int, int]
    sample_rate: int
    window_image: Callable[..., np.ndarray]


VIEWS = {
    # Pillow's default quality, as in the study; its 224 × 224 pixels are 12 × 98 numbers, enlarged.
    "mfc": View(
        mfc.mfc_image,
        mfc.PARAMETERS,
        jpeg_quality=75,
        fold_size=(mfc.N_MFCC, mfc.N_FRAMES),
        sample_rate=SAMPLE_RATE,
        window_image=mfc.mfc_image,
    ),
    "harmonic": View(
        harmonic.harmonic_image,
        harmonic.PARAMETERS,
        jpeg_quality=95,
        fold_size=(harmonic.N_BANDS, harmonic.N_FRAMES),
        sample_rate=WORKING_RATE,
        window_image=functools.partial(harmonic.harmonic_image, sample_rate=WORKING_RATE),
    ),
}


def encode_jpeg(image: np.ndarray, *, quality: int) -> bytes:
    """Encode an image as a JPEG with Pillow.

    Parameters
    ----------
    image : np.ndarray of uint8, shape (height, width) or (height, width, 3)
    quality : int
        1…95.
    """
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def shrink(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """Resize a grey image, triangle-filtered, so that no pixel is left out.

    Parameters
    ----------
    size : tuple of int
        Height and width in pixels.

    Returns
    -------
    np.ndarray of uint8, shape (height, width)
    """
    height, width = size
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
