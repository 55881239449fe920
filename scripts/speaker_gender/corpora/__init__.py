"""Folders of recordings: who speaks in them, which recordings they hold, what in them to doubt."""
