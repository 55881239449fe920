"""Findings that stay repeatable: each is a program that writes its figures into results/."""
