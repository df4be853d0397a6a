"""Figures from results: each function takes core dataclasses and returns a picture, nothing else."""
