"""Figures, explanations of answers, and the page for one's own voice."""
