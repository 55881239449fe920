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


def test_a_gender_without_a_map_leaves_no_empty_picture():
    figure = Figure(layout="constrained")
    figures.draw_mean_maps(figure, {"male": np.full((4, 14), 0.6)})
    assert len(figure.axes) == 2, "one map and one bar"


def test_every_network_is_drawn_beside_the_mean():
    rows = pd.DataFrame({"difference": [0.1, -0.1], "low": [0.0, -0.2], "high": [0.2, 0.0]}, index=["0–5", "6–11"])
    names = ["seed42", "seed43", "mean of networks"]
    axis = Figure().subplots()
    figures.draw_differences(axis, pd.concat(dict.fromkeys(names, rows), names=["network", "coefficients"]))
    labels = axis.get_legend_handles_labels()[1]
    assert sorted(labels) == sorted(names)


def test_points_stand_at_their_values_with_whiskers_to_the_intervals_ends():
    axis = Figure().subplots()
    figures.draw_intervals(axis, {"one": (6.5, 2.8, 11.1), "other": (-2.0, -6.0, 1.0)})
    (points,), (bars,) = axis.lines, axis.collections
    assert points.get_xdata().tolist() == [6.5, -2.0] and points.get_ydata().tolist() == [0, 1]
    ends = [bar[:, 0].tolist() for bar in bars.get_segments()]
    np.testing.assert_allclose(ends, [[2.8, 11.1], [-6.0, 1.0]])
    assert [label.get_text() for label in axis.get_yticklabels()] == ["one", "other"]
    assert axis.get_ylim()[0] > axis.get_ylim()[1], "the first is on top"
