"""From a recording to its image in a view, and the maps of images to recordings."""
