"""From images to a trained network: data, splits, networks, training, model files, calibration."""
