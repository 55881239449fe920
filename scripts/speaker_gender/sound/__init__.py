"""From a sound file to a signal, the speech in it and its pitch; the same voice as it sounds elsewhere."""
