"""Solutions to the exercises of notebook 04: python nbs/solutions/04_evaluate_model.py (after notebook 03)"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import numpy as np

from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.maps import load_maps
from speaker_gender.judging import attention, evaluation, grad_cam
from speaker_gender.learning.dataset import available_images, load_images
from speaker_gender.learning.networks import load_network, predict
from speaker_gender.learning.recipes import FRESH_SEEDS
from speaker_gender.learning.splits import random_split
from speaker_gender.learning.training import model_path

corpus = resolve_corpus()
network, card = load_network(model_path(corpus, f"mfc_random_seed{FRESH_SEEDS[0]}"))
table = available_images(corpus, load_maps(corpus))
tested = np.flatnonzero(random_split(table["image"], seed=FRESH_SEEDS[0]) == "valid")[:500]
images = load_images(corpus, table, size=tuple(card["image_size"]))[tested]
rows = table.loc[tested, ["image", "speaker", "gender"]].reset_index(drop=True)
p_female = predict(network, images, card["normalisation"])
predictions = rows.assign(p_female=p_female)
classes = (rows["gender"] == "male").to_numpy().astype(int)

# 1. layer3 has half as many rows: what it says about coefficients is half as fine.
maps = grad_cam.grad_cam(network, images, card["normalisation"], classes, stage="layer3")
print("layer3:", maps.shape[1:], "cells; each {:.0f} coefficients × {:.0f} ms".format(*grad_cam.cell_size(maps)))

# 2. A misclassified image's map for its true class shows what spoke for that class, not why it lost.
wrong = np.flatnonzero(evaluation.predicted_gender(predictions) != rows["gender"])
if len(wrong):
    said = 1 - classes[wrong]
    for title, of_class in (("true", classes[wrong]), ("predicted", said)):
        maps = grad_cam.grad_cam(network, images[wrong], card["normalisation"], of_class, stage="layer2")
        shares = attention.shares_by_speaker(maps, rows.iloc[wrong].reset_index(drop=True))
        print(f"{len(wrong)} misclassified images, shares per row for the {title} class:")
        print(shares.groupby(level="gender").mean().round(2))

# 3. Delete the loudest columns first, seven at a time. Read off where p(female) crosses 0.5.
first = images[0].astype(float)
order = np.argsort(first[: max(1, first.shape[0] // 12)].mean(axis=0))[::-1]
for n_frames in range(0, first.shape[1] + 1, 7):
    left = first.copy()
    left[:, order[:n_frames]] = 0
    p = predict(network, left[np.newaxis].astype(np.uint8), card["normalisation"])[0]
    print(f"{n_frames} of {first.shape[1]} columns deleted: p(female) {p:.2f} ({rows['gender'][0]})")
