"""Folders of recordings: their speakers, their recordings, and what in them is doubtful."""
