"""From a recording to its image in a view, and the maps that say which image came from which recording."""
