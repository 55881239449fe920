"""Solutions to the exercises of notebook 06: python nbs/solutions/06_pitch.py"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import numpy as np

from speaker_gender.judging.comparisons import describe, pooled
from speaker_gender.judging.methods import SHIPPED, SHOWN, accuracy_by_speaker, load_methods
from speaker_gender.learning.calibration import log_odds, probability

_, predictions = load_methods(SHOWN)

# 1. The speakers at the bottom of the figure.
print(accuracy_by_speaker(predictions, "harmonic").nsmallest(5).round(2))

# 2. A threshold fitted on half of the speakers, tested on the other half. With labels that are doubtful in one half
# only, the gain differs a lot from half to half.
answered = predictions.dropna(subset=SHIPPED).assign(odds=lambda table: log_odds(table[SHIPPED].to_numpy()))
speakers = np.random.default_rng(0).permutation(answered["speaker"].unique())
fitted = answered["speaker"].isin(speakers[: len(speakers) // 2])


def balanced(table, threshold):
    return describe(table.assign(p_female=probability(table["odds"] - threshold)))["scores"]["balanced_accuracy"]


thresholds = np.linspace(-3, 3, 25)
best = max(thresholds, key=lambda threshold: balanced(answered[fitted], threshold))
print(f"Threshold {best:+.2f} log-odds: fitted half {balanced(answered[fitted], best):.3f}")
print(f"other half {balanced(answered[~fitted], best):.3f}, with threshold 0 {balanced(answered[~fitted], 0):.3f}")

# 3. Two methods that err on different speakers are better together.
both = predictions.dropna(subset=["harmonic", SHIPPED])
members = [both.assign(p_female=both[name]) for name in ("harmonic", SHIPPED)]
for name, table in zip(("harmonic", SHIPPED, "average"), [*members, pooled(members)]):
    print(f"{name}: balanced accuracy {describe(table)['scores']['balanced_accuracy']:.3f}")
