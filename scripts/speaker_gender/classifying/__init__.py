"""From anyone's recording to an answer: who speaks when, and how sure."""
