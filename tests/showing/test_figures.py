"""Figures that compare do so on one scale."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from speaker_gender.showing import figures


def test_mean_maps_side_by_side_have_one_colour_scale():
    figure = Figure(layout="constrained")
    maps = {"female": np.full((4, 14), 0.2), "male": np.full((4, 14), 0.6)}
    figures.draw_mean_maps(figure, maps)
    drawn = [axis.images[0].get_clim() for axis in figure.axes if axis.images and axis.get_title()]
    assert drawn == [(0, 0.6), (0, 0.6)]
    assert len(figure.axes) == 3, "two maps and one bar"


def test_every_network_is_drawn_beside_the_mean():
    rows = pd.DataFrame({"difference": [0.1, -0.1], "low": [0.0, -0.2], "high": [0.2, 0.0]}, index=["0–5", "6–11"])
    names = ["seed42", "seed43", "mean of networks"]
    axis = Figure().subplots()
    figures.draw_differences(axis, pd.concat(dict.fromkeys(names, rows), names=["network", "coefficients"]))
    labels = axis.get_legend_handles_labels()[1]
    assert sorted(labels) == sorted(names)
