"""From a recording of anyone's to an answer, and its explanation."""
