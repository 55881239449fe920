"""Halves of a fused model: where speakers lie on a map, and which half is wrong."""

import numpy as np
import pandas as pd

from speaker_gender.judging.halves import BOTH, ENCODER, IMAGE, errors_by_half, map_of_speakers


def test_the_map_keeps_what_differs_most_and_looks_at_no_label():
    rng = np.random.default_rng(0)
    features = rng.normal(0, 0.1, (60, 5))
    features[:30, 2] += 4
    features[7] = np.nan  # no speech
    places = map_of_speakers(features, pd.Series([f"{row // 3:02}" for row in range(60)]))
    assert places.shape == (20, 2) and np.allclose(places.std(ddof=0), 1)
    apart = places["x"].to_numpy() > 0
    assert apart[:10].all() != apart[10:].all() and len(set(apart[:10])) == len(set(apart[10:])) == 1


def test_errors_are_counted_by_the_half_that_makes_them():
    table = pd.DataFrame({"gender": ["female", "female", "male", "male", "female"]})
    table[IMAGE] = [0.9, 0.1, 0.1, 0.8, np.nan]
    table[ENCODER] = [0.9, 0.8, 0.7, 0.9, np.nan]
    table[BOTH] = [0.9, 0.6, 0.6, 0.9, np.nan]
    assert errors_by_half(table) == {
        "each": {"recordings": 2, "wrong_together": 2},
        ENCODER: {"recordings": 1, "wrong_together": 1},
        IMAGE: {"recordings": 1, "wrong_together": 0},
        "none": {"recordings": 1, "wrong_together": 0},
    }
