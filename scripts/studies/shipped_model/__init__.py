"""The shipped model: trained, evaluated on unseen speakers, ablated."""
