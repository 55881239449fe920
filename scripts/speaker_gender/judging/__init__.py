"""How good a network is, where it looks, and what a simpler method does."""
