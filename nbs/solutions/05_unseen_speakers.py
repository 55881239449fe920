"""Solutions to the exercises of notebook 05: python nbs/solutions/05_unseen_speakers.py (after notebook 05)"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.maps import load_maps
from speaker_gender.judging.baselines import mfcc_statistics
from speaker_gender.judging.comparisons import describe
from speaker_gender.judging.evaluation import predicted_gender
from speaker_gender.learning.dataset import available_images, load_images
from speaker_gender.learning.folds import fold_predictions, n_folds

corpus = resolve_corpus()
table = available_images(corpus, load_maps(corpus))
female = (table["gender"] == "female").to_numpy()
statistics = mfcc_statistics(load_images(corpus, table, size=(12, 98)))


def balanced_accuracy(features, seed):
    """Of logistic regression, each speaker tested unseen."""
    folds = StratifiedGroupKFold(n_folds(table["speaker"], table["gender"]), shuffle=True, random_state=seed)
    model = LogisticRegression(class_weight="balanced", max_iter=1_000)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    predicted = cross_val_predict(model, scaled, female, groups=table["speaker"], cv=folds)
    return balanced_accuracy_score(female, predicted)


# 1. Other divisions of the speakers move the figure by some percentage points: a fold tests few speakers.
print("Five divisions:", [f"{balanced_accuracy(statistics, seed):.3f}" for seed in range(5)])

# 2. Images as independent observations: the interval becomes far too narrow.
unseen = fold_predictions(corpus, "grouped")
low, high = describe(unseen)["intervals"]["error_rate"]
wrong = (predicted_gender(unseen) != unseen["gender"]).to_numpy()
drawn = np.random.default_rng(0).choice(wrong, (1_000, len(wrong))).mean(axis=1)
narrow = np.quantile(drawn, [0.025, 0.975])
print(f"Error rate {wrong.mean():.3f}: over speakers {low:.3f} to {high:.3f},", end=" ")
print(f"over images {narrow[0]:.3f} to {narrow[1]:.3f}")

# 3. Coefficient 0 is the loudness: what it predicts is how loud the speakers of each gender were recorded.
alone, together = balanced_accuracy(statistics[:, [0, 12]], 0), balanced_accuracy(statistics, 0)
print(f"Coefficient 0 alone: {alone:.3f}, all: {together:.3f}")
