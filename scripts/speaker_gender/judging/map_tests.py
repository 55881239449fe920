"""Tests that a Grad-CAM must pass to be believed.

Deletion (Petsiuk et al., RISE, arXiv:1806.07421) hides the image in the order of the map. That the network then loses
its answer says little by itself: any order that hides speech before padding does. So the map competes with the map of
another image, with the sound's energy and with random order. Randomisation (Adebayo et al., arXiv:1810.03292) asks
whether the map depends on what the network has learnt.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from skimage.metrics import structural_similarity
from skimage.transform import resize
from tqdm.auto import tqdm

from speaker_gender.config import SEED
from speaker_gender.images.mfc import N_MFCC
from speaker_gender.judging.attention import ALL_NETWORKS
from speaker_gender.judging.evaluation import interval_over_speakers, mean_by_speaker, mean_of_speakers
from speaker_gender.judging.grad_cam import FRACTIONS, STAGES, enlarge, grad_cam
from speaker_gender.learning.networks import make_network
from speaker_gender.learning.recipes import Recipe

VERSION = 2  # part of every cache's key: raise it when a change here changes a number

OWN, OTHER, ENERGY, RANDOM = "own map", "another image's map", "sound energy", "random"
TIE = 1e-6  # cells of equal value are separated at random, not from top to bottom


def sample_per_speaker(images: pd.DataFrame, count: int, *, seed: int = SEED) -> np.ndarray:
    """Draw the same number of images of each speaker, or all of those who have fewer.

    `images`: with a column speaker. Returns positions of rows, ascending.
    """
    order = np.random.default_rng(seed).permutation(len(images))
    rank = images["speaker"].iloc[order].groupby(images["speaker"].to_numpy()[order]).cumcount()
    return np.sort(order[rank.to_numpy() < count])


def other_images(n_images: int, *, seed: int = SEED) -> np.ndarray:
    """Assign another image to each image, at random and each exactly once.

    Raises ValueError for a single image: there is no other.

    Returns
    -------
    np.ndarray of int, shape (n_images,)
        A permutation without a fixed point.
    """
    if n_images < 2:
        raise ValueError("another image's map takes two images at least")
    order = np.random.default_rng(seed).permutation(n_images)
    other = np.empty(n_images, int)
    other[order] = np.roll(order, 1)  # the images in a circle: each takes its neighbour's
    return other


def deletion_orders(images: np.ndarray, maps: np.ndarray, *, seed: int = SEED) -> dict[str, np.ndarray]:
    """Make the orders in which images are deleted, all as coarse as the maps: the greatest values go first.

    Sound energy is the level of coefficient 0, the same for all rows: frames go in the order of their loudness. The
    image clips the loudest ones, which then go in random order. Raises ValueError for a single image.

    Parameters
    ----------
    images : np.ndarray of uint8, shape (images, height, width)
        In view 'mfc'.
    maps : np.ndarray, shape (images, rows, columns)
        See grad_cam.grad_cam.
    seed : int
        Of the random order, and of the choice of other images.

    Returns
    -------
    dict of str to np.ndarray of float32, shape (images, rows, columns)
        'own map', "another image's map", 'sound energy', 'random'.
    """
    loudness = images[:, : max(1, images.shape[1] // N_MFCC)].mean(axis=1)
    coarse = np.stack([resize(levels, (maps.shape[2],), anti_aliasing=True) for levels in loudness])
    orders = {
        OWN: maps,
        OTHER: maps[other_images(len(maps), seed=seed)],
        ENERGY: np.broadcast_to(coarse[:, np.newaxis] / 255, maps.shape),
        RANDOM: np.random.default_rng(seed).uniform(size=maps.shape),
    }
    return {name: np.asarray(order, np.float32) for name, order in orders.items()}


def deletion_curves(
    predict: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    order: np.ndarray,
    classes: np.ndarray,
    *,
    seed: int = SEED,
) -> np.ndarray:
    """Predict while the images are deleted in an order: how fast does the probability of the class fall?

    What is deleted is replaced by the row's mean over all images.

    Parameters
    ----------
    predict : callable
        images → p_female, shape (images,).
    images : np.ndarray of uint8, shape (images, height, width)
    order : np.ndarray, shape (images, rows, columns)
        The greatest values are deleted first.
    classes : np.ndarray of int, shape (images,)
        0 female, 1 male.
    seed : int
        Of the order of cells of equal value.

    Returns
    -------
    np.ndarray, shape (images, fractions)
        Probability of the class at each of grad_cam.FRACTIONS.

    References
    ----------
    Petsiuk et al., RISE, arXiv:1806.07421.
    """
    noise = np.random.default_rng(seed).uniform(0, TIE, order.shape)
    fine = enlarge(order + noise, images.shape[1:]).reshape(len(images), -1)
    ranks = stats.rankdata(-fine, axis=1, method="ordinal").reshape(images.shape) - 1
    background = np.broadcast_to(images.mean(axis=(0, 2))[:, None], images.shape[1:])
    found = []
    for fraction in FRACTIONS:
        shown = np.where(ranks < round(fraction * fine.shape[1]), background, images)
        p_female = predict(np.round(shown).astype(np.uint8))
        found.append(np.where(classes == 0, p_female, 1 - p_female))
    return np.stack(found, axis=1)


def curves_by_speaker(
    predict: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    maps: np.ndarray,
    table: pd.DataFrame,
    *,
    seed: int = SEED,
) -> pd.DataFrame:
    """Compute the deletion curve in each order, averaged over each speaker's images.

    Returns pd.DataFrame of float: Index (gender, speaker); columns (order, share of the image that is deleted), see
    `deletion_orders` and grad_cam.FRACTIONS.

    Parameters
    ----------
    predict : callable
        images → p_female, shape (images,).
    images : np.ndarray of uint8, shape (images, height, width)
        Correctly classified ones.
    maps : np.ndarray, shape (images, rows, columns)
        Their Grad-CAMs.
    table : pd.DataFrame
        Columns gender (the true one), speaker; a row for each image.
    """
    classes = (table["gender"] != "female").to_numpy().astype(int)
    curves = {}
    for name, order in tqdm(deletion_orders(images, maps, seed=seed).items(), "deletion", unit="order", leave=False):
        found = pd.DataFrame(deletion_curves(predict, images, order, classes, seed=seed), columns=FRACTIONS)
        curves[name] = mean_by_speaker(found, table)
    return pd.concat(curves, axis=1)


def deletion_areas(curves: pd.DataFrame) -> pd.DataFrame:
    """Measure the area under each speaker's deletion curves: small ones mean that what went first mattered.

    `curves`: see `curves_by_speaker`. Returns areas between 0 and 1: index (gender, speaker), columns the orders.
    """
    orders = curves.columns.unique(level=0)
    areas = {order: np.trapezoid(curves[order], curves[order].columns.astype(float), axis=1) for order in orders}
    return pd.DataFrame(areas, index=curves.index)


def compare_orders(areas_of_networks: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Compare the areas under deletion curves: is the image's own map the better order? Paired by speaker.

    `areas_of_networks`: network → its `deletion_areas`. Returns index (network, order), last the mean of the networks.
    Columns: area (mean over speakers), low and high (95 % interval over speakers), above_own (the area minus that of
    the own map: positive where the own map is better), above_own_low, above_own_high, speakers.
    """
    together = pd.concat(areas_of_networks.values()).groupby(level=["gender", "speaker"]).mean()
    tables = {name: _against_own(areas) for name, areas in (areas_of_networks | {ALL_NETWORKS: together}).items()}
    return pd.concat(tables, names=["network", "order"])


def _against_own(areas: pd.DataFrame) -> pd.DataFrame:
    above = areas.sub(areas[OWN], axis="index")
    low, high = interval_over_speakers(areas, mean_of_speakers)
    above_low, above_high = interval_over_speakers(above, mean_of_speakers)
    columns = {"area": areas.mean(), "low": low, "high": high, "above_own": above.mean()}
    columns |= {"above_own_low": above_low, "above_own_high": above_high, "speakers": len(areas)}
    return pd.DataFrame(columns, index=areas.columns)


def randomised_networks(
    network: torch.nn.Module, recipe: Recipe, *, seed: int = SEED
) -> Iterator[tuple[str, torch.nn.Module]]:
    """Replace a ResNet-34's learnt weights by new initial ones, part after part from the head down.

    `recipe`: that it was built from. `seed`: of the initial weights.

    Yields
    ------
    name : str
        The part that was replaced last: all parts above it are new, too. The last one is the whole network.

    References
    ----------
    Adebayo et al., Sanity Checks for Saliency Maps, arXiv:1810.03292 (cascading randomisation).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new: Any = make_network(recipe)
    randomised: Any = copy.deepcopy(network)  # body and head, by index, which nn.Module does not promise
    body = {name: [place] for name, place in reversed(STAGES.items())}
    body["whole network"] = list(range(min(STAGES.values())))  # what comes before the first stage
    _copy_weights(new[1], randomised[1])
    yield "head", randomised
    for name, places in body.items():
        for place in places:
            _copy_weights(new[0][place], randomised[0][place])
        yield f"down to {name}" if name in STAGES else name, randomised


def _copy_weights(source: torch.nn.Module, target: torch.nn.Module) -> None:
    target.load_state_dict(source.state_dict())


def map_similarity(maps: np.ndarray, others: np.ndarray, size: tuple[int, int]) -> pd.DataFrame:
    """Compare maps with other maps of the same images.

    Returns pd.DataFrame of float: One row an image. rank_correlation: Spearman's, over the cells; 0 where a map is the
    same everywhere, which orders nothing. ssim: structural similarity of the enlarged maps, 1 for equal ones.

    Parameters
    ----------
    maps, others : np.ndarray, shape (images, rows, columns)
        Values 0…1.
    size : tuple of int
        Height and width of the images, in which structures are compared.

    References
    ----------
    Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004 (ssim).
    """
    fine, other_fine = (enlarge(np.asarray(some, np.float32), size) for some in (maps, others))
    rows = [
        (_rank_correlation(one.ravel(), other.ravel()), structural_similarity(large, other_large, data_range=1.0))
        for one, other, large, other_large in zip(maps, others, fine, other_fine)
    ]
    return pd.DataFrame(rows, columns=["rank_correlation", "ssim"])


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    return 0.0 if np.ptp(one) == 0 or np.ptp(other) == 0 else float(stats.spearmanr(one, other).statistic)


def randomisation_test(
    network: torch.nn.Module,
    card: dict,
    images: np.ndarray,
    table: pd.DataFrame,
    *,
    stage: str,
    seed: int = SEED,
) -> pd.DataFrame:
    """Compare a network's maps with those of the network with randomised weights, by speaker.

    Maps that stay alike show the image or the architecture, not what was learnt. "another image's map" compares each
    map with one of the same network that belongs to another image: what maps have in common anyhow. Returns
    pd.DataFrame of float: Index (gender, speaker); columns (compared with, measure), see `map_similarity`.

    Parameters
    ----------
    images : np.ndarray of uint8, shape (images, height, width)
        Correctly classified ones.
    table : pd.DataFrame
        Columns gender (the true one), speaker; a row for each image.
    stage : str
        See grad_cam.stage_of.

    References
    ----------
    Adebayo et al., Sanity Checks for Saliency Maps, arXiv:1810.03292.
    """
    classes = (table["gender"] != "female").to_numpy().astype(int)
    size, normalisation = images.shape[1:], card["normalisation"]
    maps = grad_cam(network, images, normalisation, classes, stage=stage)
    recipe = Recipe(**card["recipe"])
    found = {OTHER: map_similarity(maps, maps[other_images(len(maps), seed=seed)], size)}
    for name, randomised in randomised_networks(network, recipe, seed=seed):
        others = grad_cam(randomised, images, normalisation, classes, stage=stage)
        found[name] = map_similarity(maps, others, size)
    columns = {(name, measure): values for name, alike in found.items() for measure, values in alike.items()}
    return mean_by_speaker(pd.DataFrame(columns), table)


def similarity_table(similarities: pd.DataFrame) -> pd.DataFrame:
    """Average similarities over speakers, with 95 % intervals over speakers.

    `similarities`: see `randomisation_test`. Returns index (compared with, measure); columns mean, low, high, speakers.
    """
    low, high = interval_over_speakers(similarities, mean_of_speakers)
    columns = {"mean": similarities.mean(), "low": low, "high": high, "speakers": len(similarities)}
    return pd.DataFrame(columns).rename_axis(["compared_with", "measure"])
