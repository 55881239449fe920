"""The model that ships: trained, assessed on corpora that it was not trained on, ablated."""
